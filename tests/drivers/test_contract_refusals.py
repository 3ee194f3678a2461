"""
The contract for refusals, pages and slow providers, over every driver of a cloud.

Each refusal has the class that says what to do next. A list is complete or an error. A delete returns after its end.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from hart_salt.base.deadline import within
from hart_salt.base.errors import DriverError, TemporaryFailure, kind_of
from hart_salt.drivers.contract import Driver
from tests.drivers.do.emulator.client import public_key
from tests.drivers.environment import CLIENT_KEY, USER_DATA, CloudEnvironment, launch
from tests.drivers.environments import CLOUDS
from tests.emulation import faults
from tests.emulation.faults import Fault, MachineFault

pytestmark = pytest.mark.parametrize("environment", CLOUDS, indirect=True)

#: the error class of a create call, by the provider's answer
REFUSED = {
    "credentials": "AuthError",
    "permission": "AuthError",
    "not there": "InvalidRequest",
    "conflict": "InvalidRequest",
    "invalid": "InvalidRequest",
    "quota": "QuotaExceeded",
    "capacity": "NoCapacity",
}
API_TIMEOUT = 0.5
#: seconds; a call without a timeout takes longer
AT_THE_MOST = 30


def refusing(environment: CloudEnvironment, word: str, **more: Any) -> Fault:
    """Return a fault with a permanent answer of the provider."""
    status, answer = environment.words[word]
    return Fault(**{"status": status, "answer": answer, "times": None, **more})


# refusals


def test_a_create_that_is_refused_makes_nothing_and_says_what_to_do(
    environment: CloudEnvironment, driver: Driver
) -> None:
    for word, kind in REFUSED.items():
        environment.cloud.faults.add(refusing(environment, word, **environment.create))
        with pytest.raises(DriverError) as caught:
            launch(environment, driver)
        environment.cloud.faults.clear()
        assert (word, kind_of(caught.value), environment.left()) == (word, kind, {})
    assert environment.cloud.made() == 0
    launch(environment, driver)


def test_a_delete_that_is_refused_is_an_error(environment: CloudEnvironment, driver: Driver) -> None:
    made = launch(environment, driver)
    for word, kinds in {"credentials": {"AuthError"}, "invalid": {"InvalidRequest", "TemporaryFailure"}}.items():
        environment.cloud.faults.add(refusing(environment, word, **environment.destroy))
        with pytest.raises(DriverError) as caught:
            driver.terminate(made)
        environment.cloud.faults.clear()
        assert kind_of(caught.value) in kinds, word
    assert [one.instance_id for one in driver.instances(made.region)] == [made.instance_id]


# pages


PAGE_FAULTS: list[str | dict[str, Any]] = [
    "credentials", "permission", "not there", "invalid", {"status": 503}, {"drop": True}, {"status": 200, "answer": {}},
    {"status": 200, "answer": "<html>"},
]  # fmt: skip


def test_every_page_is_read_and_a_page_that_fails_is_an_error_and_no_shorter_list(
    environment: CloudEnvironment,
) -> None:
    environment.cloud.settings.page_cap = 1
    driver, names = environment.driver(**environment.narrow), ["a", "b", "c"]
    for name in names:
        launch(environment, driver, name)
    environment.time.advance(60)
    driver.instances()  # the outcome of create calls is requested once
    environment.cloud.calls.clear()
    assert sorted(one.minion_id for one in driver.instances()) == names
    pages = len(environment.cloud.calls)
    assert pages >= len(names)
    for number in range(pages):
        for said in PAGE_FAULTS:
            fault = {"times": None, **said} if isinstance(said, dict) else vars(refusing(environment, said))
            environment.cloud.faults.add(Fault(**{**fault, "skip": number}))
            with pytest.raises(DriverError) as caught:
                driver.instances()
            assert said != "credentials" or kind_of(caught.value) == "AuthError"
            environment.cloud.faults.clear()
        environment.cloud.faults.add(Fault(status=500, skip=number))
        assert sorted(one.minion_id for one in driver.instances()) == names


# leftovers


def test_everything_left_by_killed_calls_is_found_and_can_be_removed_twice(environment: CloudEnvironment) -> None:
    environment.cloud.settings.page_cap = 1
    batches, later = {"b1", "b2", "b3"}, environment.driver(**environment.narrow)
    with ExitStack() as stack:
        for batch in sorted(batches):
            driver, node = environment.driver(), environment.node(f"n-{batch}", batch=batch)
            access = stack.enter_context(driver.access(batch, public_key(), [node]))
            driver.launch(node, USER_DATA, access)
        environment.time.advance(60)
        assert {one.batch for one in later.instances()} == batches
        for instance in later.instances():
            later.settle(instance)
            later.terminate(instance)
        found, left = later.leftovers(), environment.left()
        assert {one.batch for one in found} == (batches if left else set())
        for leftover in found * 2:
            later.remove(leftover)
        assert (later.leftovers(), environment.left()) == ([], {})


def test_a_list_of_leftovers_is_complete_or_an_error(environment: CloudEnvironment) -> None:
    driver, later = environment.driver(**environment.narrow), environment.driver(**environment.narrow)
    with driver.access("b1", CLIENT_KEY, [environment.node("a")]):
        later.leftovers()
        environment.cloud.calls.clear()
        found = later.leftovers()
        for number in range(len(environment.cloud.calls)):
            environment.cloud.faults.add(Fault(status=500, times=None, skip=number))
            with pytest.raises(TemporaryFailure):
                later.leftovers()
            environment.cloud.faults.clear()
        assert later.leftovers() == found


# slow providers


@pytest.mark.parametrize("slow", [{}, {"ignore_delete": 2}, {"refuse_delete": 2}], ids=["slow", "ignored", "refused"])
def test_terminate_returns_after_the_instance_is_gone(
    environment: CloudEnvironment, driver: Driver, slow: dict[str, Any]
) -> None:
    vars(environment.cloud.settings).update({environment.slow_delete: 12})
    environment.cloud.faults.add(MachineFault(**slow))
    made = launch(environment, driver)
    environment.time.advance(60)
    driver.terminate(made)
    assert (environment.left(), driver.instances(made.region), driver.instance(made)) == ({}, [], None)


def test_an_instance_that_is_never_deleted_is_a_temporary_failure(
    environment: CloudEnvironment, driver: Driver
) -> None:
    environment.cloud.faults.add(MachineFault(ignore_delete=10**6))
    made = launch(environment, driver)
    with pytest.raises(TemporaryFailure):
        driver.terminate(made)
    assert [one.instance_id for one in driver.instances(made.region)] == [made.instance_id]


def test_a_create_that_is_not_answered_in_time_is_abandoned_and_makes_one_instance(
    environment: CloudEnvironment,
) -> None:
    environment.cloud.faults.add(Fault(**environment.create, when="after", stall=4 * AT_THE_MOST))
    driver = environment.driver(api_timeout=API_TIMEOUT)
    made = within(AT_THE_MOST, lambda: launch(environment, driver))
    assert environment.cloud.made() == 1
    assert [one.instance_id for one in environment.driver().instances(made.region)] == [made.instance_id]


def test_a_failed_create_with_an_effect_is_found_or_reported_as_uncertain(
    environment: CloudEnvironment, driver: Driver
) -> None:
    environment.cloud.faults.add(Fault(**environment.create, when="after", status=500, times=None))
    try:
        known = bool(launch(environment, driver).instance_id)
    except TemporaryFailure as error:
        known = error.uncertain
    environment.cloud.faults.clear()
    assert (environment.cloud.made(), known) == (1, True)


# many threads


def test_several_threads_can_use_one_driver_while_some_calls_fail(
    environment: CloudEnvironment, driver: Driver
) -> None:
    nodes = [environment.node(f"n{number:02}") for number in range(16)]
    names = [node.minion_id for node in nodes]
    with ThreadPoolExecutor(len(nodes)) as pool, driver.access("b1", CLIENT_KEY, nodes) as access:
        environment.cloud.faults.add(Fault(**environment.create, when="after", drop=True, times=3))
        environment.cloud.faults.add(faults.throttled("", times=3, skip=12))
        made = list(pool.map(lambda node: driver.launch(node, USER_DATA, access), nodes))
        assert [one.minion_id for one in made] == names
        assert (environment.cloud.made(), len({one.instance_id for one in made})) == (16, 16)
        for listed in pool.map(lambda _: driver.instances(nodes[0].region), range(8)):
            assert sorted(one.minion_id for one in listed) == names
        list(pool.map(driver.settle, made))
        list(pool.map(driver.terminate, made * 2))
    assert environment.left() == {}
