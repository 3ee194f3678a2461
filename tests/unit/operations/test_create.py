"""The lives of a call's nodes, side by side."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from hart_salt.base import concurrency
from hart_salt.operations import create


def test_a_node_that_loses_the_cancellation_is_undone_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "AGAIN", 0)
    undone: list[str] = []

    async def life(minion_id: str, loses: bool) -> None:
        if loses:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        try:
            for _ in range(1000):  # and not for ever: a test that hangs tells nothing
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            undone.append(minion_id)
            raise

    outcomes = create.Outcomes()

    async def main() -> None:
        lives = {"a": life("a", loses=False), "b": life("b", loses=True)}
        call = asyncio.ensure_future(create._side_by_side(lives, outcomes))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        assert sorted(undone) == ["a", "b"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert outcomes.errors == {}
