"""The result of a call by hand says what a declared fleet will undo; see ``fleets/notes.py`` for the sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from hart_salt.base.errors import EnvironmentFault
from hart_salt.fleets import memory
from hart_salt.inventory.records import Store
from hart_salt.operations.drift import Drift
from hart_salt.result import Result
from hart_salt.runners import hart as runner
from hart_salt.service import Service
from hart_salt.use_cases.everyday import Everyday
from tests.functional import test_use_cases
from tests.functional.test_use_cases import CLOUD, Place

place = test_use_cases.place
FLEET: dict[str, Any] = {"role": "app", "provider": CLOUD, "count": 3, "repair_after": "10m", "drift": "replace"}


@pytest.fixture
def fleet(place: Place) -> Place:
    place.opts["hart"]["fleets"] = {"web": dict(FLEET)}
    for minion_id in ("one", "two", "three"):
        place.start(minion_id)
    return place


def number(nodes: int) -> list[str]:
    return [
        f"the fleet web declares 3 nodes, not {nodes}: hart.apply web goes back to that; salt-run hart.hold web keeps "
        "this number"
    ]


def notes(document: dict[str, Any]) -> Sequence[str]:
    assert "error" not in document, document
    found: Sequence[str] = document["notes"]
    return found


def test_scaling_and_destroying_by_hand(fleet: Place) -> None:
    assert notes(runner.scale("app", count=2, test=True)) == number(2)
    assert notes(runner.scale("app", count=2)) == number(2)
    assert notes(runner.scale("app", count=2)) == [], "nothing was changed"
    assert notes(runner.destroy("one")) == number(1)


def test_a_selection_and_its_plan(fleet: Place) -> None:
    plan = runner.destroy(role="app", test=True)
    assert number(0)[0] in notes(plan)
    assert number(0)[0] in notes(runner.destroy(role="app", yes=True))


def test_creating_by_hand(fleet: Place) -> None:
    assert notes(runner.create_role("app", count=2, test=True)) == number(5)
    assert notes(runner.create("web-1", role="app", test=True)) == number(4)
    assert notes(runner.create("web-1", provider=CLOUD, region="here", size="small", test=True)) == [], "of no role"


def test_a_new_node_with_other_settings(fleet: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(self: Service, minion_ids: Sequence[str], **given: Any) -> Result:
        for minion_id in minion_ids:
            fleet.start(minion_id, size="big")
        return Result({minion_id: {"result": True} for minion_id in minion_ids})

    monkeypatch.setattr(Service, "create", create)
    monkeypatch.setattr(Drift, "of", lambda self, record, instance=None: ("size",) if record.size == "big" else ())
    fleet.opts["hart"]["fleets"]["web"]["count"] = 4
    (note,) = notes(runner.create("web-1", role="app", size="big"))
    assert "hart.apply web replaces web-1 because of size" in note


def test_a_stopped_node_is_replaced(fleet: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Everyday, minion_ids: Sequence[str], **given: Any) -> Result:
        return Result({one: {"result": True, "changed": one == "one", "state": "stopped"} for one in minion_ids})

    monkeypatch.setattr(Everyday, "stop", stop)
    (note,) = notes(runner.stop("one two"))
    assert "replaces one;" in note, "the other one was stopped before"


def test_a_fleet_that_is_held_says_nothing(fleet: Place) -> None:
    memory.hold(fleet.store, memory.key_of("web", fleet.info.owner), "somebody", 1.0)
    assert notes(runner.scale("app", count=2)) == []


def test_the_engine_and_apply_get_no_notes(fleet: Place) -> None:
    fleet.opts["hart"]["fleets"]["web"]["count"] = 2
    document = runner.apply("web")
    assert [one["action"] for one in document["nodes"].values()] == ["destroy"]
    assert notes(document) == []


def test_a_store_that_fails_after_the_call_changes_no_outcome(fleet: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def destroy(self: Service, minion_ids: Sequence[str], **given: Any) -> Result:
        def read(self: Store) -> Any:
            raise EnvironmentFault("the store does not answer")

        monkeypatch.setattr(Store, "read", read)
        return Result({minion_id: {"result": True} for minion_id in minion_ids})

    monkeypatch.setattr(Service, "destroy", destroy)
    assert notes(runner.destroy("one")) == []


def test_without_a_fleet_no_record_is_read_for_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Store) -> Any:
        raise AssertionError

    place.start("one")
    monkeypatch.setattr(Service, "destroy", lambda self, ids, **given: Result({one: {"result": True} for one in ids}))
    monkeypatch.setattr(Store, "read", read)
    assert notes(runner.destroy("one")) == []
