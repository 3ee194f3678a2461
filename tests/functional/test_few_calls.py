"""Beside thousands of other nodes, the runner's functions do not ask a provider and Salt for lists of them all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from hart_salt.base.errors import AuthError
from hart_salt.inventory.records import Store
from hart_salt.master.client import Master
from hart_salt.master.keys import Keys
from hart_salt.model import Instance
from hart_salt.planning.preflight import SINGLY
from tests.functional import test_use_cases
from tests.functional.test_use_cases import CLOUD, Cloud, Place, call, refusal

place = test_use_cases.place  # the fixture
MANY = ",".join(f"web-{number}" for number in range(SINGLY + 1))


@dataclass
class Asked:
    """The lists of all instances, and the looks for one by its instance id or by its minion id."""

    lists: int = 0
    ids: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked()
    listed = Cloud.instances

    def instances(self: Cloud, region: str | None = None) -> list[Instance]:
        found.lists += 1
        return listed(self, region)

    def instance(self: Cloud, instance: Instance) -> Instance | None:
        found.ids.append(instance.instance_id)
        return next((one for one in listed(self) if one.instance_id == instance.instance_id), None)

    def instances_called(self: Cloud, minion_id: str) -> list[Instance]:
        found.names.append(minion_id)
        return [one for one in listed(self) if one.minion_id == minion_id]

    for replacement in (instances, instance, instances_called):
        monkeypatch.setattr(Cloud, replacement.__name__, replacement, raising=False)
    return found


def test_one_node_is_shown_without_listing_the_others(
    place: Place, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minion_id in ("web-1", "web-2"):
        place.start(minion_id)
    place.start("web-3", stage="launching", sealed=False, instance_id=None)
    monkeypatch.setattr(Keys, "states", lambda self: pytest.fail("all keys were listed"))
    monkeypatch.setattr(Store, "read", lambda self: pytest.fail("all records were read"))
    for minion_id, status in {"web-1": "ready", "web-3": "left at launching"}.items():
        shown = call("show", minion_id)
        assert (shown["status"], shown["sources"]["cloud"], shown["sources"]["key"]) == (status, "running", "accepted")
    assert (asked.lists, asked.ids) == (1, ["i-web-1"]), "a node without an instance id is found by its batch"


def test_one_node_is_shown_with_what_its_provider_says(place: Place) -> None:
    place.start("web-1")
    cloud = place.clouds[CLOUD]
    del cloud.account["i-web-1"]
    assert call("show", "web-1")["status"] == "no instance"
    cloud.error = AuthError("the token is not valid")
    shown = call("show", "web-1")
    assert (shown["status"], shown["errors"]) == ("unknown", [f"{CLOUD}: the token is not valid"])


@pytest.mark.parametrize(
    ("arguments", "lists", "names"),
    [
        ({"minion_id": "web-1"}, 0, ["web-1"]),
        ({"minion_id": "web-1,web-2"}, 0, ["web-1", "web-2"]),
        ({"minion_id": MANY}, 1, []),
        ({"count": 3}, 0, []),
        ({"count": 1, "role_naming_scheme": "{role}-1"}, 0, ["app-1"]),
        ({"count": 3, "zone": "distributed"}, 1, []),
    ],
)
def test_a_create_looks_only_for_the_instances_that_could_have_its_ids(
    place: Place, asked: Asked, arguments: dict[str, Any], lists: int, names: list[str]
) -> None:
    """A random id is nobody's; for many ids one list of all instances takes fewer calls."""
    place.start("other")
    if "minion_id" in arguments:
        planned = call("create", role="app", test=True, **arguments)
    else:
        planned = call("create_role", "app", test=True, **arguments)
    assert "retcode" not in planned, planned
    assert (asked.lists, asked.names) == (lists, names)


@pytest.mark.parametrize("ids", ["web-1", MANY])
def test_an_id_that_an_instance_without_a_record_has_is_refused(place: Place, ids: str) -> None:
    place.start("web-1")
    place.store.remove("web-1")
    Master(place.opts).keys.delete(["web-1"])
    assert f"web-1: {CLOUD} has an instance with that id" in refusal(call("create", ids, role="app"))
