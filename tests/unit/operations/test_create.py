"""The nodes of a call, concurrently."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base import concurrency
from hart_salt.base.gate import Gate
from hart_salt.inventory.slots import Slot
from hart_salt.node.batch import NodeState
from hart_salt.node.progress import Expected, Progress
from hart_salt.operations import create
from tests.parts import new_node, new_state


def test_a_node_that_misses_the_cancellation_is_undone_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "AGAIN", 0)
    undone: list[str] = []

    async def life(minion_id: str, loses: bool) -> None:
        if loses:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        try:
            for _ in range(1000):  # not for ever: a test that hangs shows nothing
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            undone.append(minion_id)
            raise

    states = [new_state("a"), new_state("b")]
    ended: list[NodeState] = []

    async def main() -> None:
        lives = list(zip(states, (life("a", loses=False), life("b", loses=True)), strict=True))
        call = asyncio.ensure_future(create._side_by_side(lives, create._UnderWay([], Slot()), ended.append))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        assert sorted(undone) == ["a", "b"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert [state.error for state in states] == ["", ""]
    assert {id(state) for state in ended} == {id(state) for state in states}


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(str(tmp_path), Gate(), lambda tag, data: None, Silence())


class Silence:
    """A view that shows nothing."""

    def expect(self, expected: Expected) -> None: ...

    def update(self, minion_id: str, stage: str, seconds: float, line: str, reason: str = "") -> None: ...

    def close(self) -> None: ...


def outcome(progress: Progress, **changes: Any) -> dict[str, Any]:
    """Return the outcome of a node after a signal."""
    outcomes = create.Outcomes({"a": new_state("a", **changes)}, signal="interrupted by SIGINT")
    return create._outcome(new_node("a"), outcomes, progress)


def test_a_node_that_was_ready_at_the_signal_is_a_success(progress: Progress) -> None:
    said = outcome(progress, sealed=True)
    assert (said["result"], "error" in said) == (True, False)


def test_the_error_after_a_signal_says_whether_everything_of_the_node_is_gone(progress: Progress) -> None:
    assert outcome(progress)["error"] == "interrupted by SIGINT; the node was rolled back"
    assert outcome(progress, left=["its key is there"])["error"] == "interrupted by SIGINT; its key is there"
    assert outcome(progress, error="no such size")["error"] == "no such size"


def test_the_result_says_if_a_signal_prevented_apply(progress: Progress) -> None:
    said = outcome(progress, sealed=True, problems=["it was not started"])
    assert (said["result"], said["error"]) == (
        False, "the node is a minion and was kept, but apply failed: it was not started"
    )  # fmt: skip


class CountedSlot(Slot):
    released = 0

    def release(self) -> None:
        self.released += 1


def test_the_slot_is_released_once_all_nodes_have_ended_or_only_apply_states() -> None:
    slot = CountedSlot()
    under_way = create._UnderWay([new_node(minion_id=name) for name in "abc"], slot)
    under_way.applies("a")
    under_way.ends("b")
    assert slot.released == 0
    under_way.applies("c")
    assert slot.released == 1


def test_without_states_the_slot_is_kept_until_the_end_of_the_call() -> None:
    slot = CountedSlot()
    under_way = create._UnderWay([new_node(minion_id=name) for name in "ab"], slot)
    under_way.ends("a")
    under_way.ends("b")
    assert slot.released == 0


def test_a_node_can_be_added_while_lost_records_are_written_again() -> None:
    """The store's thread reads the records of nodes with an instance, one after another, and each write takes time."""
    outcomes = create.Outcomes({name: new_state(name) for name in ("a", "b")})
    for life in outcomes.lives.values():
        life.launched = True
    found = []
    for record in create._records(outcomes):
        found.append(record.minion_id)
        outcomes.lives[f"later-{len(found)}"] = new_state("c")
    assert found == ["a", "b"]
