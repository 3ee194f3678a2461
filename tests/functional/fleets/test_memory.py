"""What is remembered of a fleet between calls: silence, holds and changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hart_salt.fleets import memory
from hart_salt.inventory.records import CHANGES, FLEETS, HOLDS
from tests.functional.fleets.fleet_world import NOW, World, actions


def key(world: World) -> str:
    return memory.key_of("web", world.info.owner)


def test_a_minion_is_replaced_after_it_was_silent_for_so_long(world: World) -> None:
    world.start("a", "b", "c")
    world.break_down("c")
    for seconds in (0, 300, 299):
        world.clock.sleep(seconds)
        assert world.apply()["nodes"] == {}
    world.clock.sleep(2)
    assert actions(world.plan()) == [("replace", "c")]
    world.apply()
    assert "c" not in world.nodes()


def test_a_minion_that_answered_in_between_begins_anew(world: World) -> None:
    world.start("a", "b", "c")
    for _ in range(3):
        world.break_down("c")
        world.apply()
        world.clock.sleep(400)
        world.present.add("c")
        world.apply()
        world.clock.sleep(400)
    assert world.nodes() == ["a", "b", "c"]


def test_a_plan_alone_remembers_nothing(world: World) -> None:
    world.start("a", "b", "c")
    world.break_down("c")
    world.plan()
    assert world.store.recall(FLEETS, key(world)) == {}


def remembering(data: dict[str, Any]) -> Callable[[World], object]:
    """Return what waits until the minion would be replaced, and changes the memory."""

    def change(world: World) -> None:
        world.clock.sleep(700)
        world.store.remember(FLEETS, key(world), data)

    return change


SOONER: dict[str, Callable[[World], object]] = {
    "the clock is set back": lambda world: world.clock.sleep(-86400),
    "nobody looked for days": lambda world: world.clock.sleep(7 * 86400),
    "the memory is lost": remembering({}),
    "the memory is garbage": remembering({"silent": {"c": "long"}, "looked": NOW + 700, "past": 5}),
    "the memory is true": remembering({"silent": {"c": True}, "looked": NOW + 700}),
    "the memory is no number": remembering({"silent": {"c": float("nan")}, "looked": NOW + 700}),
    "the memory is no mapping": remembering({"silent": [1], "looked": "now", "past": "x"}),
    "the memory is from the future": remembering({"silent": {"c": NOW + 9e8}, "looked": NOW + 9e8}),
}


@pytest.mark.parametrize("case", SOONER)
def test_silence_is_counted_again_from_the_next_look_on_if(world: World, case: str) -> None:
    world.start("a", "b", "c")
    world.break_down("c")
    world.apply()
    SOONER[case](world)
    assert world.apply()["nodes"] == {}
    world.clock.sleep(601)
    world.apply()
    assert "c" not in world.nodes()


# holds and changes


@pytest.mark.parametrize(
    ("stored", "words"),
    [({"by": "eve", "at": NOW}, "held by eve since 2030"), ({"by": 5, "at": "x"}, "held"), ({"x": 1}, "held")],
)
def test_a_hold_that_cannot_be_read_is_a_hold(world: World, stored: dict[str, Any], words: str) -> None:
    world.start("a")
    world.store.remember(HOLDS, key(world), stored)
    done = world.apply(code=1)
    assert words in done["problems"][0]
    assert world.nodes() == ["a"]


def test_a_hold_that_has_nothing_to_hold_is_a_success(world: World) -> None:
    world.start("a", "b", "c")
    world.call("hold", "web")
    assert "retcode" not in world.call("plan")
    assert world.call("fleets")["fleets"]["web"]["state"] == "held"
    assert world.call("unhold", "web")["fleets"]["web"]["changed"] is True
    assert world.call("unhold", "web")["fleets"]["web"]["changed"] is False


@pytest.mark.parametrize("stored", [{"times": "x"}, {"times": [True, "x", None, -1, 1e300, NOW + 9e8]}, {"x": 1}])
def test_changes_that_cannot_be_read_do_not_count(world: World, stored: dict[str, Any]) -> None:
    world.fleet.update(limits={"changes_per_hour": 3})
    world.store.remember(CHANGES, key(world), stored)
    world.apply()
    assert len(world.nodes()) == 3
    assert len(world.store.recall(CHANGES, key(world))["times"]) == 3


def test_two_masters_with_one_store_remember_their_own_fleets(world: World) -> None:
    world.start("a", "b", "c")
    memory.hold(world.store, memory.key_of("web", "another-owner"), "eve", NOW)
    assert world.plan()["state"] == "steady"
