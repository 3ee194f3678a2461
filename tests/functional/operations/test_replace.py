"""What ``hart.replace`` leaves of a role's nodes: the order of replacement, and where it stops."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from hart_salt.base.errors import EnvironmentFault, Interrupted, Refused, TemporaryFailure
from hart_salt.config.settings import Settings
from tests.functional.operations.scale_world import NOW, Up, World, numbers


@pytest.mark.parametrize(
    ("batch", "log"),
    [
        (1, ["create 1", "destroy c", "create 1", "destroy a", "create 1", "destroy b"]),
        (2, ["create 2", "destroy c,a", "create 1", "destroy b"]),
        (3, ["create 3", "destroy c,a,b"]),
        (9, ["create 3", "destroy c,a,b"]),
    ],
)
def test_all_are_replaced_batch_by_batch_oldest_first_and_new_ones_come_first(
    world: World, batch: int, log: list[str]
) -> None:
    world.add("c", "a", "b")
    outcome = world.replace(batch)
    assert (world.log, world.ids, world.fewest) == (log, ["new1", "new2", "new3"], 3)
    assert (outcome.ok, numbers(outcome), outcome.data["changed"]) == (True, (3, 3), True)
    assert (sorted(outcome.data["created"]), sorted(outcome.data["destroyed"])) == (world.ids, ["a", "b", "c"])
    assert (sorted(world.state()["records"]), world.state()["keys"]) == (world.ids, world.ids)


def test_without_nodes_nothing_is_done(world: World) -> None:
    before = world.state()
    outcome = world.replace(2)
    assert (outcome.ok, numbers(outcome), outcome.data["changed"], world.state()) == (True, (0, 0), False, before)


def test_only_ready_nodes_of_the_role_and_place_are_replaced(world: World) -> None:
    world.add("a", "b")
    world.add("web", role="web")
    world.add("far", region="r2")
    world.add("west", provider="west")
    world.add("failed", stage="failed")
    world.add_coming("coming")
    world.add_unrecorded("young", stage="launching", created=NOW - 60)
    others = ["coming", "failed", "far", "web", "west", "young"]
    assert numbers(world.replace(9, provider="east", region="r1")) == (2, 2)
    assert world.ids == sorted([*others, "new1", "new2"])
    assert all(one.region == "r1" for name, one in world.state()["records"].items() if name.startswith("new"))


def test_a_node_whose_record_was_lost_is_replaced_too(world: World) -> None:
    world.add("a")
    world.add_unrecorded("lost")
    world.add_dead("x")
    outcome = world.replace(1)
    assert (world.ids, outcome.data["rebuilt"]) == (["new1", "new2"], ["lost"])


def test_a_node_whose_instance_one_list_misses_is_replaced_and_a_gone_one_is_not(world: World) -> None:
    world.add("gone", "a")
    world.lose_instance("gone")
    world.clouds["east"].gaps["i-a"] = 1
    assert numbers(world.replace(9)) == (1, 1)
    assert (world.log, world.ids) == (["create 1", "destroy a"], ["new1"])


# where it stops


STOPS: dict[str, tuple[Callable[[World], Any], list[str]]] = {
    "half of the first batch came up": (lambda it: it.creations.append(Up(1)), ["b", "c", "d", "new1"]),
    "none of the first batch came up": (lambda it: it.creations.append(Up(0)), ["a", "b", "c", "d"]),
    "half of the second batch came up": (lambda it: it.creations.extend([Up(2), Up(1)]), ["d", "new1", "new2", "new3"]),
    "none of the second batch came up": (lambda it: it.creations.extend([Up(2), Up(0)]), ["c", "d", "new1", "new2"]),
    "one could not be drained": (lambda it: it.master.problems.update(a=["busy"]), ["a", "c", "d", "new1", "new2"]),
    "one could not be destroyed": (lambda it: it.stuck.add("a"), ["a", "c", "d", "new1", "new2"]),
}


@pytest.mark.parametrize("stop", STOPS)
def test_it_stops_at_the_first_failure_and_each_old_node_is_there_or_replaced(world: World, stop: str) -> None:
    world.add("a", "b", "c", "d")
    world.settings["r1"] = Settings(drain=["stop"])
    fail, left = STOPS[stop]
    fail(world)
    outcome = world.replace(2)
    assert (outcome.ok, world.ids, numbers(outcome)) == (False, left, (4, len(left)))
    assert len(world.ids) >= 4
    assert world.fewest >= 4


def test_with_force_a_failed_drain_does_not_stop_it(world: World) -> None:
    world.add("a", "b")
    world.settings["r1"] = Settings(drain=["stop"])
    world.master.problems["a"] = ["busy"]
    assert world.replace(1, force=True).ok
    assert (world.ids, [name for name, _ in world.master.drained]) == (["new1", "new2"], ["a", "b"])


def test_only_nodes_that_go_are_drained(world: World) -> None:
    world.add("a", "b", "c")
    world.settings["r1"] = Settings(drain=["stop"])
    world.creations = [Up(1)]
    world.replace(2)
    assert [name for name, _ in world.master.drained] == ["a"]


# interruptions


@pytest.mark.parametrize("up", [0, 1, 2])
def test_a_signal_while_new_nodes_come_up_ends_it_and_no_old_node_goes(world: World, up: int) -> None:
    """An operator who interrupts wants an end at once, and not after a drain."""
    world.add("a", "b", "c", "d", "e")
    world.creations = [Up(2), Up(up, signal.SIGTERM)]
    outcome = world.replace(2)
    new = [f"new{number}" for number in range(1, 3 + up)]
    assert (outcome.ok, outcome.interrupted, world.ids) == (False, signal.SIGTERM, ["c", "d", "e", *new])
    assert (numbers(outcome), sorted(outcome.data["destroyed"])) == ((5, 5 + up), ["a", "b"])
    assert world.store.last_scaled("app") == NOW


def test_a_signal_while_old_nodes_go_ends_it(world: World) -> None:
    world.add("a", "b", "c")
    world.stuck, world.cut = {"b"}, signal.SIGINT
    outcome = world.replace(2)
    assert (outcome.ok, outcome.interrupted, world.ids) == (False, signal.SIGINT, ["b", "c", "new1", "new2"])


LATER: dict[str, Callable[[World], Any]] = {
    "while new ones are made": lambda it: it.creations.extend([Up(1), TemporaryFailure("no answer")]),
    "while nodes are drained": lambda it: setattr(it, "settings_fault", ("b", Refused("no answer"))),
    "while nodes are destroyed": lambda it: setattr(it, "on_destroy", lambda: _fail_at_second(it)),
}


def _fail_at_second(world: World) -> None:
    if world.log.count("create 1") == 2:
        raise EnvironmentFault("no answer")


@pytest.mark.parametrize("when", LATER)
def test_a_later_error_ends_it_and_what_was_done_is_reported(world: World, when: str) -> None:
    world.add("a", "b", "c")
    world.settings["r1"] = Settings(drain=["stop"])
    LATER[when](world)
    outcome = world.replace(1)
    new = sorted(outcome.data["created"])
    assert (outcome.ok, outcome.data["error"], world.ids) == (False, "no answer", ["b", "c", *new])
    assert (list(outcome.data["destroyed"]), numbers(outcome)) == (["a"], (3, 2 + len(new)))
    assert world.store.last_scaled("app") == NOW


def test_a_signal_between_batches_is_reported_as_one(world: World) -> None:
    world.add("a", "b")
    world.creations = [Up(1), Interrupted(signal.SIGTERM, "interrupted by SIGTERM")]
    outcome = world.replace(1)
    assert (outcome.ok, outcome.interrupted, outcome.data["error"]) == (False, signal.SIGTERM, "interrupted by SIGTERM")
    assert world.ids == ["b", "new1"]


@pytest.mark.parametrize("error", [TemporaryFailure("no answer"), Interrupted(signal.SIGTERM, "nothing was begun")])
def test_an_error_at_the_start_is_raised_and_nothing_is_changed(world: World, error: Any) -> None:
    world.add("a")
    world.creations = [error]
    with pytest.raises(type(error)):
        world.replace(1)
    assert (world.ids, world.store.last_scaled("app"), world.is_role_free()) == (["a"], None, True)
