"""The lifecycle of a node that is cancelled while it waits, at each of its waits."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import threading
import types
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import NodeFailed, TemporaryFailure
from hart_salt.model import Instance, Node
from hart_salt.node import undo
from hart_salt.node.batch import Batch, NodeState
from hart_salt.node.lifecycle import Lifecycle
from tests.functional.fakes import fails_with
from tests.functional.node.life_world import ALL, NOTHING, Stage, failure, new_stage, plainly


class Cancelling:
    """Cancels the task that runs a coroutine at its n-th wait, and optionally again later."""

    def __init__(self, at: int, again: bool) -> None:
        self.waits = 0
        self._at = at
        self._again = again

    @types.coroutine
    def __call__(self, life: Coroutine[Any, Any, None]) -> Iterator[Any]:
        step, value = life.send, None
        while True:
            try:
                waited_for = step(value)
            except StopIteration:
                return
            self.waits += 1
            if self.waits == self._at or (self._again and self.waits > self._at):
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                value = yield waited_for
                step = life.send
            except BaseException as error:
                step, value = life.throw, error


@pytest.mark.parametrize("again", [False, True], ids=["once", "again and again"])
@pytest.mark.parametrize("lost_answer", [False, True], ids=["", "the answer to the launch is lost"])
def test_a_cancellation_at_any_wait_leaves_nothing_or_a_sealed_minion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool, lost_answer: bool
) -> None:
    undone = kept = 0
    for at in range(1, 200):
        stage = new_stage(tmp_path / str(at), monkeypatch)
        if lost_answer:
            stage.world.faults["after launch"] = fails_with(TemporaryFailure("lost", uncertain=True))
        cancelling = Cancelling(at, again)
        life = None
        with contextlib.suppress(asyncio.CancelledError, NodeFailed):
            life = stage.play(stage.node(apply="highstate"), cancelling)
        if stage.left() == ALL:
            assert stage.world.sealed == {"web"}, f"kept unsealed after a cancellation at wait {at}"
            kept += 1
        else:
            assert stage.left() == NOTHING, f"left after a cancellation at wait {at}"
            undone += 1
            assert life is None or not life.sealed
        if cancelling.waits < at:
            break
    else:
        pytest.fail("there was no end to it")
    assert undone > (3 if lost_answer else 14)
    assert bool(kept) is not lost_answer


def test_a_node_that_is_called_sealed_exists_whenever_it_was_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives: list[NodeState] = []
    begin = Lifecycle.__init__

    def remembered(life: Lifecycle, node: Node, batch: Batch) -> None:
        begin(life, node, batch)
        lives.append(life.state)

    monkeypatch.setattr(Lifecycle, "__init__", remembered)
    for at in range(1, 200):
        stage = new_stage(tmp_path / str(at), monkeypatch)
        applied: list[int] = []
        stage.world.faults["apply"] = functools.partial(applied.append, at)
        cancelling = Cancelling(at, False)
        with contextlib.suppress(asyncio.CancelledError):
            stage.play(stage.node(apply="web"), cancelling)
        assert stage.left() == (ALL if lives[-1].sealed else NOTHING), f"after a cancellation at wait {at}"
        assert not lives[-1].sealed or applied or lives[-1].problems, f"states that nobody misses, at wait {at}"
        if cancelling.waits < at:
            break


def test_the_record_of_a_sealed_node_says_so_even_if_cancelled_before_it_was_written(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Event()
    playing: list[asyncio.Task[None]] = []
    note = Lifecycle.note

    def noted(life: Lifecycle, **facts: Any) -> None:
        note(life, **facts)
        if "sealed" not in facts:
            return
        (task,), loop = playing, asyncio.get_running_loop()
        life.batch.calls.salt(written.wait, 60)  # the thread that writes records is busy with another one
        task.cancel()
        loop.call_soon(loop.call_soon, written.set)  # after the cancellation has undone what it can

    async def noting(life: Coroutine[Any, Any, None]) -> None:
        playing.append(asyncio.ensure_future(life))
        await playing[0]

    monkeypatch.setattr(Lifecycle, "note", noted)
    with pytest.raises(asyncio.CancelledError):
        stage.play(stage.node(), noting)
    assert stage.left() == ALL
    assert [record.sealed for record in stage.store.all()] == [True]


def test_a_signal_during_the_providers_part_of_sealing_does_not_undo_the_node(stage: Stage) -> None:
    """The volume may be kept by then: an undo would leave it."""
    playing: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    def interrupted() -> None:
        ((loop, task),) = playing
        loop.call_soon_threadsafe(task.cancel)

    async def noting(life: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(life)
        playing.append((asyncio.get_running_loop(), task))
        await task

    stage.world.faults["settle"] = interrupted
    with pytest.raises(asyncio.CancelledError):
        stage.play(stage.node(), noting)
    assert stage.left() == ALL
    assert [record.sealed for record in stage.store.all()] == [True]


@pytest.mark.parametrize(("keep", "left"), [(True, "; the volume vol-1 stays at local: delete it there"), (False, "")])
def test_an_undo_names_a_volume_that_a_failed_sealing_kept(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, keep: bool, left: str
) -> None:
    asked: list[bool] = []

    def kept(instance: Instance) -> list[str]:
        asked.append(instance.instance_id in stage.world.instances)
        return ["vol-1"]

    monkeypatch.setattr(stage.driver, "kept_volumes", kept)
    stage.world.faults["settle"] = fails_with(TemporaryFailure("busy"))
    options: Any = types.SimpleNamespace(keep_volumes=keep)
    said = failure(stage, dataclasses.replace(stage.node(), options=options))
    assert (said.partition(" if you do not need it")[0], asked) == (f"busy{left}", [True] * keep)
    assert stage.left() == NOTHING


def test_an_interrupted_node_is_not_kept(stage: Stage) -> None:
    """Keeping it is for looking at what failed."""

    def interrupted() -> None:
        raise asyncio.CancelledError

    stage.world.faults["seal"] = interrupted
    with pytest.raises(asyncio.CancelledError):
        stage.play(stage.node(keep_failed=True), plainly)
    assert stage.left() == NOTHING


def test_a_launch_in_progress_is_awaited_before_the_undo(stage: Stage) -> None:
    looked = threading.Event()
    playing: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    def interrupted() -> None:
        ((loop, task),) = playing
        loop.call_soon_threadsafe(task.cancel)
        # Only an undo that does not wait looks for the instance before this is over.
        looked.wait(0.3)

    async def noting(life: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(life)
        playing.append((asyncio.get_running_loop(), task))
        await task

    def give_up() -> None:
        if stage.world.lists == undo.UNDO_ATTEMPTS - 1:
            looked.set()

    stage.world.faults.update({"before launch": interrupted, "list": give_up})
    with pytest.raises(asyncio.CancelledError):
        stage.play(stage.node(), noting)
    assert stage.left() == NOTHING
    assert stage.world.undone == ["instance", "record"]
