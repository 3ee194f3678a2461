"""What a declared fleet will undo of a change by hand is said in one sentence; what stays gets none."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.config.fleets import Fleet
from hart_salt.fleets.notes import CHANGED, CREATED, DESTROYED, STOPPED, Done, notes
from hart_salt.fleets.scene import Spec
from hart_salt.inventory.records import READY, Record

AUTOSCALE = {"metric": {"function": "status.loadavg", "key": "1-min"}, "target": 1}


def spec(name: str = "web", alone: bool = True, region: str = "here", **settings: Any) -> Spec:
    return Spec(name, "app", "cloud", (region,), Fleet.model_validate({"role": "app", **settings}), alone)


def records(number: int, **changes: Any) -> list[Record]:
    given = {"provider": "cloud", "driver": "local", "region": "here", "size": "small", "stage": READY, "role": "app"}
    fixed: dict[str, Any] = {"owner": "m", "batch": "b", "created": 1.0, **given, **changes}
    return [Record(minion_id=f"n{one}", **fixed) for one in range(number)]


def done(*what: str, **changes: Any) -> list[Done]:
    given: dict[str, Any] = {"role": "app", "provider": "cloud", "region": "here", **changes}
    return [Done(f"n{number}", one, **given) for number, one in enumerate(what)]


def said(settings: dict[str, Any], there: int, changes: list[Done], *, planned: bool = False) -> list[str]:
    return notes([spec(**settings)], records(there), changes, planned=planned)


@pytest.mark.parametrize(
    ("settings", "there", "what", "declared"),
    [
        ({"count": 4}, 5, [CREATED], "4 nodes, not 5"),
        ({"count": 4}, 3, [DESTROYED], "4 nodes, not 3"),
        ({"count": 1}, 0, [DESTROYED], "1 node, not 0"),
        ({"count": 2, "max": 4}, 5, [CREATED], "2 to 4 nodes, not 5"),
        ({"min": 2, "max": 4}, 1, [DESTROYED], "2 to 4 nodes, not 1"),
        ({"min": 2}, 1, [DESTROYED], "at least 2 nodes, not 1"),
        ({"min": 2, "max": 4, "autoscale": AUTOSCALE}, 5, [CREATED], "2 to 4 nodes, not 5"),
    ],
)
def test_a_number_that_the_declaration_does_not_allow_is_reported(
    settings: dict[str, Any], there: int, what: list[str], declared: str
) -> None:
    assert said(settings, there, done(*what)) == [
        f"the fleet web declares {declared}: hart.apply web goes back to that; salt-run hart.hold web keeps this number"
    ]


@pytest.mark.parametrize(
    ("settings", "there", "what"),
    [
        ({"count": 4}, 4, [CREATED]),
        ({"count": 4}, 4, [CREATED, DESTROYED]),
        ({"min": 2, "max": 4}, 3, [CREATED]),
        ({"min": 2, "max": 4}, 2, [DESTROYED]),
        ({"min": 2}, 50, [CREATED]),
        ({"min": 2, "max": 4, "autoscale": AUTOSCALE}, 3, [CREATED, DESTROYED]),
        ({"count": 4}, 4, [STOPPED]),
        ({"count": 4, "drift": "report"}, 4, [CHANGED]),
    ],
)
def test_what_stays_is_not_mentioned(settings: dict[str, Any], there: int, what: list[str]) -> None:
    assert said(settings, there, done(*what, drift=("size",))) == []


def test_with_autoscale_the_load_decides_within_the_bounds() -> None:
    (note,) = said({"min": 2, "max": 4, "autoscale": AUTOSCALE}, 3, done(CREATED))
    assert note.startswith("the load decides how many nodes the fleet web has: hart.apply web can change the number")


@pytest.mark.parametrize(("what", "number"), [(CREATED, 5), (DESTROYED, 3)])
def test_a_plan_is_added_to_what_is_there(what: str, number: int) -> None:
    (note,) = said({"count": 4}, 4, done(what), planned=True)
    assert f"declares 4 nodes, not {number}:" in note
    assert said({"count": 4}, number, done(what)) == [note]


@pytest.mark.parametrize(
    ("settings", "changes", "begin"),
    [
        ({"repair_after": "10m"}, done(STOPPED), "the fleet web replaces nodes that do not run (repair_after)"),
        ({"drift": "replace"}, done(CREATED, drift=("size", "image")), "the fleet web replaces nodes that differ"),
        ({"drift": "replace"}, done(CHANGED, drift=("size",)), "the fleet web replaces nodes that differ"),
    ],
)
def test_a_node_that_the_fleet_replaces_is_named(settings: dict[str, Any], changes: list[Done], begin: str) -> None:
    (note,) = said({"count": 1, **settings}, 1, changes)
    assert note.startswith(begin)
    assert "replaces n0" in note
    protected = [Done(**{**vars(one), "protected": True}) for one in changes]
    assert said({"count": 1, **settings}, 1, protected) == [], "a protected node stays"


def test_many_nodes_are_counted() -> None:
    (note,) = said({"count": 5, "repair_after": 60}, 5, done(*[STOPPED] * 5))
    assert "replaces n0, n1, n2 and 2 more;" in note


def test_only_the_fleets_of_the_nodes_are_mentioned() -> None:
    fleets = [spec("here", alone=False, count=1), spec("there", alone=False, region="there", count=9)]
    there = [*records(2), *records(3, region="there")]
    assert [one.partition(":")[0] for one in notes(fleets, there, done(CREATED), planned=False)] == [
        "the fleet here declares 1 node, not 2"
    ]
    for other in ({"role": "db"}, {"role": None}, {"provider": "other"}, {"region": "elsewhere"}):
        assert notes(fleets, there, done(CREATED, **other), planned=False) == []


def test_nodes_that_are_not_ready_and_masters_do_not_count() -> None:
    there = [*records(4), *records(1, stage="failed"), *records(1, kind="master")]
    assert notes([spec(count=4)], there, done(CREATED), planned=False) == []
