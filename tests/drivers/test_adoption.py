"""
The contract for instances that hart did not create: find them by name or id, import them, release them.

The tests run in the same environments as ``test_contract.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from hart_salt.base.errors import Refused
from hart_salt.drivers.contract import Driver
from hart_salt.model import Candidate, Instance
from tests.drivers.environment import OTHER_OWNER, OWNER, CloudEnvironment, Environment, launch
from tests.drivers.environments import CLOUDS, opened
from tests.drivers.gce import driver as gce_driver
from tests.drivers.gce.environment import ComputeEngineEnvironment
from tests.drivers.local.environment import LocalEnvironment

ID = "old-1.example.com"


@pytest.fixture(params=CLOUDS)
def environment(request: pytest.FixtureRequest, root: Path) -> Iterator[Environment]:
    """The environments with instances that hart did not create."""
    with opened(request.param, root) as made:
        yield made


def only(found: list[Candidate]) -> Candidate:
    (one,) = found
    return one


def listed(driver: Driver) -> list[tuple[str, str, str | None]]:
    return [(one.instance_id, one.minion_id, one.role) for one in driver.instances()]


def test_an_instance_is_found_by_name_and_by_id(environment: Environment, driver: Driver) -> None:
    instance_id = environment.by_hand(ID)
    environment.by_hand("other-1.example.com")
    by_name = only(driver.candidates(ID))
    assert (by_name.instance.instance_id, by_name.owner, by_name.instance.role) == (instance_id, None, None)
    assert by_name.instance.region
    assert by_name.instance.size
    assert by_name.name
    assert only(driver.candidates("whatever", instance_id)) == by_name
    assert only(driver.candidates(ID, region=by_name.instance.region)) == by_name
    assert driver.instances() == [], "to look is not to take over"


def test_an_unknown_id_or_name_finds_nothing(environment: Environment, driver: Driver) -> None:
    environment.by_hand(ID)
    for instance_id in ("i-0123456789abcdef0", "123456789", "old-1", "..", "", 'a" OR name'):
        assert driver.candidates(ID, instance_id) == [], instance_id
    assert driver.candidates("old-2.example.com") == []


def test_two_instances_of_the_same_name_are_both_candidates(environment: CloudEnvironment, driver: Driver) -> None:
    if environment.unique_names:
        environment.by_hand(ID)
        with pytest.raises(AssertionError, match="uniqueness_error"):
            environment.by_hand(ID)
        return
    environment.cloud.settings.page_cap = 1
    if isinstance(environment, ComputeEngineEnvironment):
        gce_driver.by_hand(environment.driver(), gce_driver.names_of(ID)[0])
        both = {environment.by_hand(ID), *(one.instance.instance_id for one in driver.candidates(ID))}
    else:
        both = {environment.by_hand(ID), environment.by_hand(ID)}
    assert len(both) == 2
    assert {one.instance.instance_id for one in driver.candidates(ID)} == both


def test_a_terminated_instance_is_no_candidate(environment: Environment, driver: Driver) -> None:
    instance_id = environment.by_hand(ID)
    driver.terminate(only(driver.candidates(ID)).instance)
    assert driver.candidates(ID) == driver.candidates(ID, instance_id) == []


def test_a_candidate_of_another_owner_names_that_owner(environment: Environment, driver: Driver) -> None:
    made = launch(environment, environment.driver(OTHER_OWNER), ID)
    theirs = only(driver.candidates(ID))
    assert (theirs.instance.instance_id, theirs.owner, theirs.instance.role) == (made.instance_id, OTHER_OWNER, "app")
    assert only(environment.driver(OTHER_OWNER).candidates(ID)).owner == OTHER_OWNER


def taken_over(environment: Environment, driver: Driver, name: str, role: str | None = "db.main") -> Instance:
    found = only(driver.candidates(ID, environment.by_hand(name))).instance
    driver.adopt(found, ID, role)
    return found


@pytest.mark.parametrize("name", [ID, "quite-another-name"])
def test_an_imported_instance_is_managed_like_any_other(environment: Environment, driver: Driver, name: str) -> None:
    found = taken_over(environment, driver, name)
    expected = [(found.instance_id, ID, "db.main")]
    assert listed(environment.driver()) == expected
    assert environment.driver(OTHER_OWNER).instances() == []
    assert only(driver.candidates(ID, found.instance_id)).owner == OWNER
    once = environment.labels(found.instance_id)
    driver.adopt(found, ID, "db.main")
    assert environment.labels(found.instance_id) == once
    assert "theirs" in str(once), "what its owner put on it stays"
    assert driver.leftovers() == [], "nothing of it is temporary"
    driver.terminate(found)
    assert driver.instances() == []


def test_another_import_replaces_the_role(environment: Environment, driver: Driver) -> None:
    found = taken_over(environment, driver, ID)
    for role in ("web", None):
        driver.adopt(found, ID, role)
        assert listed(driver) == [(found.instance_id, ID, role)]


def test_release_restores_an_instance_and_ignores_one_that_is_gone(environment: Environment, driver: Driver) -> None:
    for name in (ID, "quite-another-name"):
        instance_id = environment.by_hand(name)
        before = environment.labels(instance_id)
        found = only(driver.candidates(ID, instance_id)).instance
        driver.adopt(found, ID, "app")
        assert environment.labels(instance_id) != before
        for _ in range(2):
            driver.release(found)
        assert environment.labels(instance_id) == before
        assert driver.instances() == []
        assert only(driver.candidates(ID, instance_id)).owner is None
    driver.terminate(found)
    driver.release(found)
    driver.release(dataclasses.replace(found, instance_id="no-such-instance"))


@pytest.mark.parametrize(
    ("minion_id", "names"),
    [
        ("db1.example.com", ["hart-com-example-db1-fb7c54", "db1"]),
        ("web-1", ["hart-web-1", "hart-web-1-c4719a", "web-1"]),
        (
            "1a2b3c4d.us-central1.gce.consumer.production.internal.example.com",
            ["hart-com-example-internal-production-consumer-gce-us-d7b1e1"],
        ),
    ],
)
def test_names_searched_at_compute_engine_include_those_that_hart_makes(minion_id: str, names: list[str]) -> None:
    """Names are from ``name_from_minion_id`` of hart 0.22; other instances may have the id or its first label."""
    found = gce_driver.names_of(minion_id)
    assert [name for name in found if name in names] == names
    assert len(found) == len(names) + (minion_id != "web-1"), found


def test_a_driver_that_cannot_import_refuses_with_the_reason(root: Path) -> None:
    driver = LocalEnvironment(root).driver()
    for instance_id in (None, "a"):
        with pytest.raises(Refused, match="here has only instances that hart created .*there is nothing to import"):
            driver.candidates(ID, instance_id)
