"""How nodes are drained before ``hart.scale`` removes them, and which of them stay."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

from hart_salt.config.settings import Settings
from tests.functional.operations.scale_world import World, numbers

DRAIN = {"function": "service.stop", "args": ["app"], "kwargs": {"wait": True}}


def test_only_nodes_that_go_are_drained_each_by_its_own_settings(world: World) -> None:
    world.add("a", "b")
    world.add("c", "d", region="r2")
    world.add("e", region="r3")
    world.settings = {"r1": Settings(drain=DRAIN), "r2": Settings(drain=["stop"])}
    there: list[list[str]] = []
    world.master.meanwhile = lambda: there.append(world.ids)
    assert world.scale(2, remove="e,b,c").ok
    assert sorted(world.master.drained) == [("b", ("service.stop", ["app"], {"wait": True})), ("c", ["stop"])]
    assert there == [["a", "b", "c", "d", "e"]] * 2
    assert world.ids == ["a", "d"]


FAILURES: dict[str, tuple[list[str] | Exception, str]] = {
    "a failed state": (["stop: it is busy", "more"], "stop: it is busy; more"),
    "an error": (RuntimeError("no master"), "RuntimeError: no master"),
}


@pytest.mark.parametrize("drain", [DRAIN, ["stop"]])
@pytest.mark.parametrize("failure", FAILURES)
def test_a_node_that_could_not_be_drained_stays_and_is_reported_and_the_others_go(
    world: World, drain: Any, failure: str
) -> None:
    world.add("a", "b", "c")
    world.settings["r1"] = Settings(drain=drain)
    world.master.problems["b"], why = FAILURES[failure]
    outcome = world.scale(1)
    assert (world.ids, numbers(outcome), outcome.ok) == (["a", "b"], (3, 2), False)
    assert outcome.data["kept"] == {"b": f"drain failed, so the node stays: {why}"}


def test_a_node_that_does_not_answer_stays(world: World) -> None:
    world.add("a")
    world.settings["r1"] = Settings(drain=["stop"])
    world.master.accepted.clear()
    before = world.state()
    outcome = world.scale(0)
    assert (world.state(), outcome.ok, outcome.data["changed"]) == (before, False, False)
    assert outcome.data["kept"] == {"a": "drain failed, so the node stays: the minion gave no answer"}


def test_with_force_nodes_go_even_if_their_drain_failed(world: World) -> None:
    world.add("a", "b")
    world.settings["r1"] = Settings(drain=["stop"])
    world.master.problems["b"] = ["it is busy"]
    outcome = world.scale(0, force=True)
    assert (world.ids, outcome.ok, "kept" in outcome.data) == ([], True, False)
    assert sorted(world.master.drained) == [("a", ["stop"]), ("b", ["stop"])]


def test_a_node_that_is_not_drained_in_time_stays(world: World) -> None:
    world.add("a")
    world.settings["r1"] = Settings(drain=["stop"], drain_timeout=0.01)
    end = threading.Event()
    world.master.meanwhile = lambda: end.wait(60)
    outcome = world.scale(0)
    end.set()
    assert (world.ids, outcome.ok) == (["a"], False)
    assert outcome.data["kept"]["a"].endswith("it did not finish within 0.01 s")


def test_a_signal_during_a_drain_leaves_all_nodes(world: World) -> None:
    world.add("a", "b")
    world.settings["r1"] = Settings(drain=["stop"])
    end = threading.Event()

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        end.wait(60)

    world.master.meanwhile = kill
    outcome = world.scale(0)
    end.set()
    assert (outcome.interrupted, outcome.ok, world.ids, world.log) == (signal.SIGTERM, False, ["a", "b"], [])
    assert outcome.data["error"] == "interrupted by SIGTERM while nodes were drained"
