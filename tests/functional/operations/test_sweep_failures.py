"""A sweep that fails in part or is interrupted: what is left, what is reported, what the next one does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hart_salt.base.errors import DriverError, TemporaryFailure
from hart_salt.operations.sweep import SIDE_BY_SIDE
from tests.functional.fakes import fails_with
from tests.functional.operations.sweep_world import DEAD, World, names, new_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with new_world(tmp_path, monkeypatch) as found:
        yield found


ERRORS = [DriverError("forbidden"), OSError("forbidden"), ZeroDivisionError("forbidden")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("step", "name"),
    [("terminate i-left", "left"), ("terminate i-unrecorded", "unrecorded"), ("remove key-1", "hart-key-1")],
)
def test_a_failed_removal_is_reported_and_the_rest_goes(world: World, step: str, name: str, error: Exception) -> None:
    world.dies()
    world.left("left", batch=DEAD)
    world.instance("unrecorded")
    world.leftover("key-1", "b-1")
    world.on[step] = fails_with(error)
    report = world.sweep()
    (failed,) = report["failed"]
    assert (failed["name"], "forbidden" in failed["error"]) == (name, True)
    assert len(report["removed"]) == 2
    assert len(world.nodes()) + len(world.temporary()) == 1
    assert world.claims() == [DEAD]
    world.on.clear()
    assert names(world.sweep()["removed"]) == [name]
    assert (world.nodes(), world.temporary(), world.claims()) == ({}, [], [])


def test_a_key_that_cannot_be_deleted_keeps_its_record(world: World) -> None:
    world.left("left")
    world.on["delete keys"] = fails_with(OSError("the disk is full"))
    (failed,) = world.sweep()["failed"]
    assert (failed["name"], "the disk is full" in failed["error"]) == ("left", True)
    assert world.nodes() == {"left": "record key"}


def test_a_claim_stays_until_everything_could_be_listed(world: World) -> None:
    world.dies()
    world.on["leftovers cloud"] = fails_with(TemporaryFailure("down"))
    assert (len(world.sweep()["errors"]), world.claims()) == (1, [DEAD])


# interrupted


@pytest.mark.parametrize(
    ("step", "gone", "left", "temporary"),
    [
        ("terminate i-left", "left", {"unrecorded": "instance"}, ["key-1"]),
        ("terminate i-unrecorded", "unrecorded", {}, ["key-1"]),
        ("remove key-1", "hart-key-1", {}, []),
    ],
)
def test_a_signal_finishes_started_work_and_starts_nothing_more(
    world: World, step: str, gone: str, left: dict[str, str], temporary: list[str]
) -> None:
    world.dies()
    world.left("left", batch=DEAD)
    world.instance("unrecorded")
    world.leftover("key-1", "b-1")
    world.on[step] = world.interrupt
    report = world.sweep()
    assert (world.interrupted, world.nodes(), world.temporary()) == (signal.SIGTERM, left, temporary)
    assert gone in names(report["removed"])
    assert (world.claims(), "failed" in report) == ([DEAD], False)
    world.on.clear()
    world.sweep()
    assert (world.interrupted, world.nodes(), world.temporary(), world.claims()) == (None, {}, [], [])


def test_after_a_signal_no_waiting_removal_is_started(world: World) -> None:
    many = [f"web-{number}" for number in range(2 * SIDE_BY_SIDE)]
    world.dies()
    for name in many:
        world.instance(name, batch=DEAD)
    world.on["terminate i-web-0"] = world.interrupt
    for number in range(1, SIDE_BY_SIDE):
        world.on[f"terminate i-web-{number}"] = lambda: world.heard.wait(60) and None
    report = world.sweep()
    assert world.interrupted == signal.SIGTERM
    assert names(report["removed"]) == sorted(many[:SIDE_BY_SIDE])
    assert sorted(world.nodes()) == names(report["failed"]) == sorted(many[SIDE_BY_SIDE:])
    assert {entry["error"] for entry in report["failed"]} == {"interrupted; call hart.sweep again"}
