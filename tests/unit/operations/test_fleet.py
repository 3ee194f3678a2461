"""How many nodes there should be, which to remove, and how a fleet is replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hart_salt.base.errors import Interrupted, Refused, TemporaryFailure
from hart_salt.inventory.records import Record
from hart_salt.operations.fleet import Changes, FleetActions, Outcomes, TargetSize, renew, victims

FIRST = Record("a", "cloud", "local", "r", "s", "ready", "me", "b1", 1.0)
FLEET = [replace(FIRST, minion_id=name, created=created) for name, created in (("b", 2.0), ("a", 1.0), ("c", 3.0))]


def ids(records: Sequence[Record]) -> list[str]:
    return [record.minion_id for record in records]


@pytest.mark.parametrize(
    ("goal", "have", "target"),
    [
        (TargetSize(count=3), 5, 3),
        (TargetSize(count=0), 5, 0),
        (TargetSize(delta=2), 5, 7),
        (TargetSize(delta=2, maximum=6), 5, 6),
        (TargetSize(delta=2, maximum=4), 5, 5),
        (TargetSize(delta=-2), 5, 3),
        (TargetSize(delta=-2, minimum=4), 5, 4),
        (TargetSize(delta=-2, minimum=9), 5, 5),
        (TargetSize(delta=-9), 5, 0),
        (TargetSize(delta=0, minimum=1, maximum=9), 5, 5),
        (TargetSize(minimum=3, maximum=9), 5, 5),
        (TargetSize(minimum=6, maximum=9), 5, 6),
        (TargetSize(minimum=6), 5, 6),
        (TargetSize(minimum=1, maximum=4), 5, 4),
        (TargetSize(maximum=0), 5, 0),
    ],
)
def test_the_target_number(goal: TargetSize, have: int, target: int) -> None:
    goal.check()
    assert goal.target(have) == target


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        (TargetSize(), "set count, .* or the bounds"),
        (TargetSize(count=1, delta=1), "either count"),
        (TargetSize(count=1, maximum=2), "cannot be used with count"),
        (TargetSize(delta=1, minimum=3, maximum=2), "min must not be above max"),
    ],
)
def test_values_that_cannot_be_combined_are_refused(goal: TargetSize, words: str) -> None:
    with pytest.raises(Refused, match=words):
        goal.check()


@pytest.mark.parametrize(
    ("remove", "number", "gone"),
    [("newest", 2, ["c", "b"]), ("oldest", 2, ["a", "b"]), ("b, a", 1, ["b"]), ("b,a,b", 2, ["b", "a"])],
)
def test_which_nodes_go_first(remove: str, number: int, gone: list[str]) -> None:
    assert ids(victims(FLEET, number, remove)) == gone


@pytest.mark.parametrize(("remove", "number"), [("b", 2), ("x", 1), ("newest", 4), ("", 1), ("newst", 1)])
def test_too_few_or_unknown_ids_are_refused(remove: str, number: int) -> None:
    with pytest.raises(Refused):
        victims(FLEET, number, remove)


@dataclass
class World:
    """A fleet to change, and the failures to inject."""

    there: list[str] = field(default_factory=lambda: ids(FLEET))
    log: list[str] = field(default_factory=list)
    #: for each create call, how many nodes come up
    fail_creating: dict[int, Any] = field(default_factory=dict)
    undrained: dict[str, Any] = field(default_factory=dict)
    undestroyed: set[str] = field(default_factory=set)
    #: the lowest number of nodes at any time
    fewest: int = 3
    made: int = 0

    def actions(self) -> FleetActions:
        return FleetActions(self._create, self._drain, self._destroy)

    def _create(self, count: int) -> Outcomes:
        self.log.append(f"create {count}")
        new = [f"new{self.made + number}" for number in range(count)]
        up = self.fail_creating.get(self.made, count)
        self.made += count
        if isinstance(up, Exception):
            raise up
        self.there += new[:up]
        return Outcomes({name: {"result": name in new[:up]} for name in new}, up == count)

    def _drain(self, records: Sequence[Record]) -> Mapping[str, str]:
        self.log.append(f"drain {','.join(ids(records))}")
        for error in self.undrained.values():
            if isinstance(error, Exception):
                raise error
        return {name: why for name, why in self.undrained.items() if name in ids(records)}

    def _destroy(self, records: Sequence[Record]) -> Outcomes:
        self.log.append(f"destroy {','.join(ids(records))}")
        gone = [name for name in ids(records) if name not in self.undestroyed]
        self.there = [name for name in self.there if name not in gone]
        self.fewest = min(self.fewest, len(self.there))
        return Outcomes({name: {"result": name in gone} for name in ids(records)}, len(gone) == len(records))


def test_a_fleet_is_replaced_oldest_first_with_new_nodes_before_old_ones_go() -> None:
    world = World()
    changes = renew(FLEET, 2, world.actions())
    assert world.log == ["create 2", "drain a,b", "destroy a,b", "create 1", "drain c", "destroy c"]
    assert (sorted(world.there), changes.ok, changes.number, world.fewest) == (["new0", "new1", "new2"], True, 0, 3)


def test_a_failed_create_stops_it_and_only_as_many_old_nodes_go_as_new_ones_came_up() -> None:
    world = World(fail_creating={0: 1})
    changes = renew(FLEET, 2, world.actions())
    assert world.log == ["create 2", "drain a", "destroy a"]
    assert (sorted(world.there), changes.ok, world.fewest) == (["b", "c", "new0"], False, 3)


def test_if_no_node_came_up_none_goes() -> None:
    world = World(fail_creating={0: 0})
    assert not renew(FLEET, 2, world.actions()).ok
    assert (world.log, world.there) == (["create 2"], ids(FLEET))


def test_a_node_that_cannot_be_drained_stays_and_stops_it() -> None:
    world = World(undrained={"b": "busy"})
    changes = renew(FLEET, 2, world.actions())
    assert world.log == ["create 2", "drain a,b", "destroy a"]
    assert (changes.kept, changes.ok, world.fewest) == ({"b": "busy"}, False, 3)


def test_a_node_that_cannot_be_destroyed_stops_it() -> None:
    world = World(undestroyed={"a"})
    changes = renew(FLEET, 1, world.actions())
    assert (world.log, changes.ok) == (["create 1", "drain a", "destroy a"], False)


def test_a_later_error_still_reports_what_was_done() -> None:
    world = World(fail_creating={1: TemporaryFailure("no answer")})
    changes = renew(FLEET, 1, world.actions())
    assert (changes.problem, changes.ok, list(changes.destroyed)) == ("no answer", False, ["a"])
    with pytest.raises(TemporaryFailure):
        renew(FLEET, 1, World(fail_creating={0: TemporaryFailure("no answer")}).actions())


def test_a_signal_during_a_drain_leaves_the_nodes() -> None:
    world = World(undrained={"a": Interrupted(15, "interrupted by SIGTERM")})
    changes = renew(FLEET, 1, world.actions())
    assert (changes.interrupted, changes.ok, changes.destroyed) == (15, False, {})


def test_the_number_of_nodes_after_changes() -> None:
    changes = Changes()
    changes.add(World(fail_creating={0: 2}).actions(), 3)
    assert (changes.number, changes.any, changes.ok) == (2, True, False)
    assert not Changes().any
