"""
What ``hart.scale`` leaves of a role's nodes: which count, which are created, which go, and when nothing is changed.

All in memory; see ``scale_world.py``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
from collections.abc import Callable
from typing import Any

import pytest

from hart_salt.base.errors import Refused, TemporaryFailure
from hart_salt.config.settings import Settings
from hart_salt.inventory.records import IMPORTING, READY
from hart_salt.operations import scale
from hart_salt.operations.fleet import TargetSize
from hart_salt.operations.leaks import GRACE
from hart_salt.operations.scale import Outcome
from tests.functional.operations.scale_world import NOW, PROVIDER, Up, World, numbers

#: stages of a node in progress
COMING = ["launching", "running", "bootstrapping", "enrolling", "enrolled"]


# which nodes count


def test_missing_nodes_are_created(world: World) -> None:
    world.add("a", "b")
    outcome = world.scale(5)
    assert world.ids == ["a", "b", "new1", "new2", "new3"]
    assert (outcome.ok, numbers(outcome), sorted(outcome.data["created"])) == (True, (2, 5), ["new1", "new2", "new3"])
    assert outcome.data["changed"] is True


def test_if_the_number_is_right_nothing_is_changed(world: World) -> None:
    world.add("a", "b")
    before = world.state()
    outcome = world.scale(2)
    assert (outcome.ok, numbers(outcome), outcome.data["changed"]) == (True, (2, 2), False)
    assert (world.state(), world.clock.waited) == (before, 0.0)


def test_nodes_of_other_roles_or_of_none_do_not_count(world: World) -> None:
    world.add("a")
    world.add("web", role="web")
    world.add("alone", role=None)
    assert numbers(world.scale(0)) == (1, 0)
    assert world.ids == ["alone", "web"]


def test_stopped_nodes_count_and_none_is_created_or_destroyed_for_them(world: World) -> None:
    world.add("a", "b")
    there = world.clouds[PROVIDER].there
    there.update({name: dataclasses.replace(one, state="stopped") for name, one in there.items()})
    outcome = world.scale(2)
    assert (world.ids, numbers(outcome), outcome.data["changed"]) == (["a", "b"], (2, 2), False)


def test_nodes_that_only_another_master_can_change_do_not_count_and_are_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.locks, "elsewhere", lambda record: "" if record.owner == world.info.owner else "no")
    world.add("a")
    world.add("theirs", owner="another")
    world.lose_instance("theirs")
    outcome = world.scale(1)
    assert (numbers(outcome), outcome.data["changed"], world.clock.waited) == ((1, 1), False, 0.0)
    assert "do not count: 1; salt-run hart.list_minions status=elsewhere" in outcome.data["note"]


KINDS: dict[str, Callable[..., None]] = {
    "ready": World.add,
    "coming": World.add_coming,
    "without record": World.add_unrecorded,
    "young": lambda world, *ids, **facts: world.add_unrecorded(*ids, stage="launching", created=NOW - 60, **facts),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("order", "before"),
    [
        ({}, 3), ({"region": "r1"}, 2), ({"region": "r2"}, 1), ({"provider": "west"}, 1), ({"provider": "east"}, 2),
        ({"provider": "east", "region": "r1"}, 1), ({"provider": "west", "region": "r2"}, 0),
    ],
)  # fmt: skip
def test_only_nodes_of_the_given_provider_and_region_count(
    world: World, kind: str, order: dict[str, Any], before: int
) -> None:
    KINDS[kind](world, "a")
    KINDS[kind](world, "b", region="r2")
    KINDS[kind](world, "c", provider="west")
    assert numbers(world.scale(before + 1, **order)) == (before, before + 1)
    assert world.ids == ["a", "b", "c", "new1"]


def test_only_nodes_of_the_given_provider_and_region_go(world: World) -> None:
    world.add("a")
    world.add("b", region="r2")
    world.add("c", provider="west")
    assert numbers(world.scale(0, provider="east", region="r2")) == (1, 0)
    assert world.ids == ["a", "c"]
    assert numbers(world.scale(0, provider="west")) == (1, 0)
    assert world.ids == ["a"]


def test_only_the_given_provider_is_asked_and_it_must_answer(world: World) -> None:
    world.add("a")
    world.clouds["west"].fault = TemporaryFailure("no answer")
    before = world.state()
    with pytest.raises(Refused, match="west: no answer"):
        world.scale(2)
    assert world.state() == before
    assert numbers(world.scale(2, provider="east")) == (1, 2)


@pytest.mark.parametrize("stage", [*COMING, IMPORTING, READY])
def test_a_node_that_a_living_call_brings_up_counts_and_stays(world: World, stage: str) -> None:
    """``ready`` and not sealed yet: it is being sealed."""
    world.add("a", "b")
    world.add_coming("x", stage=stage, created=NOW)
    outcome = world.scale(3)
    assert (numbers(outcome), outcome.data["changed"]) == ((3, 3), False)
    assert numbers(world.scale(2)) == (3, 2)
    assert world.ids == ["a", "x"]


@pytest.mark.parametrize("stage", [*COMING, IMPORTING, "failed"])
@pytest.mark.parametrize("kept", [True, False])
def test_a_node_that_never_became_ready_and_has_no_living_call_does_not_count(
    world: World, stage: str, kept: bool
) -> None:
    world.add("a")
    world.add("x", stage=stage, sealed=False, kept=kept)
    assert numbers(world.scale(2)) == (1, 2)
    assert world.ids == ["a", "new1", "x"]
    assert numbers(world.scale(0)) == (2, 0)
    assert world.ids == ["x"]


def test_a_ready_unsealed_node_counts_and_so_does_one_in_progress(world: World) -> None:
    world.add("a", sealed=False)
    world.add("b")
    with world.locks.claim("b"):
        assert numbers(world.scale(2)) == (2, 2)
        assert numbers(world.scale(0)) == (2, 0)


def test_a_node_without_a_record_but_with_an_accepted_key_counts_and_gets_its_record_again(world: World) -> None:
    world.add("a")
    world.add_unrecorded("lost")
    outcome = world.scale(2)
    assert (numbers(outcome), outcome.data["changed"], outcome.data["rebuilt"]) == ((2, 2), False, ["lost"])
    record = world.store.get("lost")
    assert record is not None
    assert (record.stage, record.role, record.instance_id, record.region) == (READY, "app", "i-lost", "r1")
    assert "rebuilt" not in world.scale(2).data


def test_a_node_whose_record_was_lost_can_go(world: World) -> None:
    world.add("a")
    world.add_unrecorded("lost")
    assert numbers(world.scale(1, remove="lost")) == (2, 1)
    assert (world.ids, world.state()["keys"], list(world.state()["records"])) == (["a"], ["a"], ["a"])


@pytest.mark.parametrize(("age", "counts"), [(0.0, 1), (GRACE - 1, 1), (GRACE, 0), (GRACE + 1, 0)])
def test_an_instance_without_record_and_key_counts_only_while_another_machine_may_bring_it_up(
    world: World, age: float, counts: int
) -> None:
    world.add("a")
    world.add_unrecorded("x", stage="launching", created=NOW - age)
    outcome = world.scale(2)
    assert numbers(outcome) == (1 + counts, 2)
    assert (world.store.get("x"), "rebuilt" in outcome.data) == (None, False)
    world.scale(1)
    assert "x" in world.ids


def test_an_instance_of_a_living_call_counts_although_the_store_has_lost_its_record(world: World) -> None:
    world.add("a")
    world.add_unrecorded("x", batch="b-x", created=NOW - GRACE)
    with world.locks.batch("b-x", {"provider": PROVIDER}):
        outcome = world.scale(2)
        assert (numbers(outcome), "rebuilt" in outcome.data, world.ids) == ((2, 2), False, ["a", "x"])


def test_the_leftovers_of_a_dead_call_are_removed_first(world: World) -> None:
    world.add("a")
    world.add_dead("x")
    assert numbers(world.scale(2)) == (1, 2)
    assert (world.ids, world.state()["dead"]) == (["a", "new1"], [])


@pytest.mark.parametrize("test", [True, False])
def test_the_leftovers_of_a_dead_call_do_not_count_even_if_they_were_not_removed(world: World, test: bool) -> None:
    """They are as young as nodes that another machine brings up, but nobody brings them up."""
    world.sweeps = False
    world.add("a")
    world.add_dead("x")
    assert numbers(world.scale(2, test=test)) == (1, 2)


# instances that a list misses


@pytest.mark.parametrize("lists", [1, 2, 3])
def test_a_node_whose_instance_a_few_lists_miss_is_not_replaced(world: World, lists: int) -> None:
    world.add("a", "b")
    world.clouds["east"].gaps["i-a"] = lists
    outcome = world.scale(2)
    assert (numbers(outcome), world.ids) == ((2, 2), ["a", "b"])
    assert numbers(world.scale(1, remove="a")) == (2, 1)


def test_a_node_whose_instance_all_lists_miss_but_its_id_finds_is_not_replaced(world: World) -> None:
    world.add("a", "b")
    world.clouds["east"].gaps["i-a"] = math.inf
    assert (numbers(world.scale(2)), world.ids) == ((2, 2), ["a", "b"])


def test_a_node_whose_instance_is_gone_is_replaced_after_several_lists_over_15_seconds(world: World) -> None:
    world.add("a", "b")
    world.lose_instance("a")
    assert numbers(world.scale(2, provider="east")) == (1, 2)
    assert world.ids == ["b", "new1"]
    assert (world.clock.waited >= 15.0, world.clouds["east"].lists, world.clouds["west"].lists) == (True, 4, 0)
    with pytest.raises(Refused, match="not a ready node"):
        world.scale(1, remove="a")


# one call at a time


@pytest.mark.parametrize("call", [World.scale, World.replace])
def test_without_wait_another_running_call_is_reported_and_nothing_is_changed(
    world: World, call: Callable[..., Outcome]
) -> None:
    world.add("a", "b")
    world.add_dead("x")
    before = world.state()
    with world.locks.role("app", wait=False):
        outcome = call(world, 1)
    assert outcome.ok
    assert (outcome.data["changed"], outcome.data["note"]) == (False, "another call is changing this fleet")
    assert (world.state(), world.clouds["east"].lists) == (before, 0)


@pytest.mark.parametrize(("call", "left"), [(World.scale, ["a", "new1", "other"]), (World.replace, ["new1", "new2"])])
def test_another_running_call_is_awaited_and_its_changes_count_under_the_lock(
    world: World, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Outcome], left: list[str]
) -> None:
    world.add("a")
    with contextlib.ExitStack() as other:
        assert other.enter_context(world.locks.role("app", wait=False))

        def end(text: str) -> None:
            """It is reported before the wait, which ends when the other call ends."""
            assert text == "hart: another call is changing the fleet of app; waiting for it"
            world.add("other")
            other.close()

        free: list[bool] = []
        world.on_create = lambda: free.append(world.is_role_free())
        monkeypatch.setattr(scale, "print_stderr", end)
        outcome = call(world, 3, wait=True)
    assert (outcome.ok, outcome.data["before"], world.ids, free) == (True, 2, left, [False])


@pytest.mark.parametrize("call", [World.scale, World.replace])
def test_a_role_is_locked_while_its_fleet_is_changed_and_no_longer(world: World, call: Callable[..., Outcome]) -> None:
    world.add("a", "b")
    world.settings["r1"] = Settings(drain=["stop"])
    free: list[bool] = []
    world.on_create = world.on_destroy = world.master.meanwhile = lambda: free.append(world.is_role_free())
    with world.locks.role("web", wait=False):
        assert call(world, 1).ok
        assert call(world, 3).ok
    assert len(free) >= 3
    assert not any(free)
    assert world.is_role_free()


# the cooldown


@pytest.mark.parametrize("first", [lambda it: it.scale(3), lambda it: it.scale(1), lambda it: it.replace(2)])
def test_during_the_cooldown_after_a_change_nothing_is_changed(world: World, first: Any) -> None:
    world.add("a", "b")
    world.on_create = world.on_destroy = lambda: world.clock.sleep(1000)
    first(world)
    before = world.state()
    world.clock.now += 299
    outcome = world.scale(7, cooldown=300)
    assert (outcome.ok, outcome.data["changed"]) == (True, False)
    assert outcome.data["note"] == "it was scaled less than 300 s ago; the cooldown lasts for 1 s more"
    assert world.state() == before
    world.clock.now += 1
    assert world.scale(7, cooldown=300).data["after"] == 7
    assert world.scale(2).data["after"] == 2, "nothing rests where no cooldown is asked for"


def test_a_change_by_the_awaited_call_starts_the_cooldown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as other:
        assert other.enter_context(world.locks.role("app", wait=False))

        def end(_: str) -> None:
            world.store.scaled("app", NOW)
            other.close()

        monkeypatch.setattr(scale, "print_stderr", end)
        outcome = world.scale(2, cooldown=300, wait=True)
    assert (outcome.data["changed"], world.ids) == (False, [])


def test_the_change_of_another_role_starts_no_cooldown(world: World) -> None:
    world.store.scaled("web", NOW)
    assert world.scale(1, cooldown=300).data["changed"]
    assert world.store.last_scaled("app") == NOW


@pytest.mark.parametrize(
    "nothing",
    [
        lambda it: it.scale(2), lambda it: it.scale(3, test=True), lambda it: it.replace(test=True),
        lambda it: (it.creations.append(Up(0)), it.scale(3)),
        lambda it: (it.stuck.update("ab"), it.scale(1)),
        lambda it: (it.creations.append(Up(0)), it.replace()),
    ],
)  # fmt: skip
def test_without_a_change_there_is_no_cooldown(world: World, nothing: Any) -> None:
    world.add("a", "b")
    nothing(world)
    assert world.store.last_scaled("app") is None
    assert world.scale(4, cooldown=300).data["after"] == 4


def test_a_partial_change_starts_the_cooldown(world: World) -> None:
    world.creations = [Up(1)]
    outcome = world.scale(3)
    assert (outcome.ok, numbers(outcome), outcome.data["changed"]) == (False, (0, 1), True)
    assert world.scale(3, cooldown=300).data["changed"] is False


# the target number


@pytest.mark.parametrize(
    ("ready", "coming", "goal", "after"),
    [
        (2, 1, TargetSize(delta=1), 4),
        (2, 1, TargetSize(delta=2, maximum=4), 4),
        (2, 1, TargetSize(delta=1, maximum=3), 3),
        (2, 1, TargetSize(delta=1, maximum=2), 3),
        (2, 1, TargetSize(delta=1, minimum=9), 4),
        (2, 1, TargetSize(delta=-1), 2),
        (2, 1, TargetSize(delta=-2, minimum=2), 2),
        (2, 1, TargetSize(delta=-1, minimum=3), 3),
        (2, 1, TargetSize(delta=-1, minimum=4), 3),
        (2, 1, TargetSize(delta=-1, maximum=1), 2),
        (2, 0, TargetSize(delta=-5), 0),
        (2, 0, TargetSize(delta=-5, minimum=0), 0),
        (0, 0, TargetSize(delta=1, maximum=0), 0),
        (2, 1, TargetSize(delta=0, minimum=3, maximum=3), 3),
        (0, 3, 3, 3),
        (2, 0, 0, 0),
    ],
)
def test_bounds_limit_a_change_and_count_nodes_in_progress(
    world: World, ready: int, coming: int, goal: TargetSize | int, after: int
) -> None:
    world.add(*(f"a{number}" for number in range(ready)))
    world.add_coming(*(f"x{number}" for number in range(coming)))
    outcome = world.scale(goal)
    assert (outcome.ok, numbers(outcome), len(world.ids)) == (True, (ready + coming, after), after)


@pytest.mark.parametrize(
    "goal", [TargetSize(), TargetSize(count=3, maximum=4), TargetSize(delta=1, minimum=3, maximum=2)]
)
def test_values_that_cannot_be_combined_are_refused_before_anything_is_changed(world: World, goal: TargetSize) -> None:
    world.add("a")
    world.add_dead("x")
    before = world.state()
    with pytest.raises(Refused):
        world.scale(goal)
    assert (world.state(), world.clouds["east"].lists) == (before, 0)


# which nodes go


@pytest.mark.parametrize(
    ("remove", "left"),
    [("newest", ["b"]), ("oldest", ["a"]), ("c,b", ["a"]), ("b, a", ["c"]), ("a,a,b,c", ["c"])],
)
def test_the_chosen_nodes_go(world: World, remove: str, left: list[str]) -> None:
    """By their time of creation: ids say nothing about age."""
    world.add("b", "c", "a")
    outcome = world.scale(1, remove=remove)
    assert (world.ids, numbers(outcome)) == (left, (3, 1))
    state = world.state()
    assert (state["keys"], list(state["records"]), sorted([*outcome.data["destroyed"], *left])) == (
        left, left, ["a", "b", "c"]
    )  # fmt: skip


@pytest.mark.parametrize("remove", ["coming", "west", "web", "failed", "nobody", "a,nobody", "a", ""])
def test_only_a_ready_node_of_the_role_can_be_chosen(world: World, remove: str) -> None:
    world.add("a", "b")
    world.add_coming("coming")
    world.add("west", provider="west")
    world.add("web", role="web")
    world.add("failed", stage="failed")
    before = world.state()
    with pytest.raises(Refused):
        world.scale(1, remove=remove, provider="east")
    assert world.state() == before


# plans


@pytest.mark.parametrize(
    ("call", "expected_numbers", "created", "destroyed"),
    [
        (lambda it: it.scale(5, test=True), (3, 5), 2, []),
        (lambda it: it.scale(3, test=True), (3, 3), 0, []),
        (lambda it: it.scale(1, test=True, remove="oldest"), (3, 1), 0, ["a", "b"]),
        (lambda it: it.replace(2, test=True), (3, 3), 3, ["a", "b", "lost"]),
    ],
)
def test_a_plan_says_what_would_be_done_and_changes_nothing(
    world: World, call: Any, expected_numbers: tuple[int, int], created: int, destroyed: list[str]
) -> None:
    world.add("a", "b")
    world.add_unrecorded("lost")
    world.add_dead("x")
    world.settings["r1"] = Settings(drain=["stop"])
    before = world.state()
    outcome = call(world)
    assert (outcome.ok, numbers(outcome), outcome.data["would_rebuild"]) == (True, expected_numbers, ["lost"])
    assert len(outcome.data.get("created", ())) == created
    plans = outcome.data.get("destroyed", {})
    assert (sorted(plans), {plan["result"] for plan in plans.values()}) == (destroyed, {None} if destroyed else set())
    assert world.state() == before
    assert world.is_role_free()


# failures


def test_nodes_that_did_not_come_up_are_reported_and_do_not_count(world: World) -> None:
    world.add("a")
    world.creations = [Up(1, signal.SIGINT)]
    outcome = world.scale(4)
    assert (outcome.ok, outcome.interrupted, numbers(outcome), world.ids) == (
        False, signal.SIGINT, (1, 2), ["a", "new1"]
    )  # fmt: skip
    assert {name: entry["result"] for name, entry in outcome.data["created"].items()} == {
        "new1": True, "new2": False, "new3": False
    }  # fmt: skip


def test_an_error_before_any_change_is_raised(world: World) -> None:
    world.add("a")
    before = world.state()
    world.creations = [TemporaryFailure("no answer")]
    with pytest.raises(TemporaryFailure):
        world.scale(2)
    assert {**world.state(), "log": []} == before
    assert world.is_role_free()


def test_a_node_that_could_not_be_destroyed_counts(world: World) -> None:
    world.add("a", "b", "c")
    world.stuck, world.cut = {"b"}, signal.SIGINT
    outcome = world.scale(1)
    assert (outcome.ok, outcome.interrupted, numbers(outcome)) == (False, signal.SIGINT, (3, 2))
    assert {name: entry["result"] for name, entry in outcome.data["destroyed"].items()} == {"b": False, "c": True}
