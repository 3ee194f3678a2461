"""Many callers share few calls, and each gets its own result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest

from hart_salt.base.turns import Turns


class Work:
    """A call that lasts until ``open`` is set, and notes the names of each turn."""

    def __init__(self) -> None:
        self.turns: list[list[str]] = []
        self.open = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, values: Mapping[str, int]) -> dict[str, int]:
        self.turns.append(list(values))
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return {name: 2 * value for name, value in values.items()}


def play(use: Callable[[Work, Turns[int, int]], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        work = Work()
        return await use(work, Turns(work))

    return asyncio.run(main())


async def a_while() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_what_arrives_during_a_call_goes_into_the_next_one() -> None:
    async def use(work: Work, turns: Turns[int, int]) -> tuple[list[int], list[list[str]]]:
        first = [asyncio.ensure_future(turns.of(name, value)) for value, name in enumerate("ab")]
        await a_while()
        later = [asyncio.ensure_future(turns.of(name, value)) for value, name in enumerate("cde")]
        await a_while()
        assert work.turns == [["a", "b"]]
        work.open.set()
        return await asyncio.gather(*first, *later), work.turns

    assert play(use) == ([0, 2, 0, 2, 4], [["a", "b"], ["c", "d", "e"]])


def test_a_single_caller_has_a_call_of_its_own_each_time() -> None:
    async def use(work: Work, turns: Turns[int, int]) -> list[list[str]]:
        work.open.set()
        for value in range(3):
            assert await turns.of("a", value) == 2 * value
        return work.turns

    assert play(use) == [["a"]] * 3


def test_an_error_reaches_all_callers_of_its_turn_and_no_other() -> None:
    async def use(work: Work, turns: Turns[int, int]) -> Any:
        failing = [asyncio.ensure_future(turns.of(name, 1)) for name in "ab"]
        await a_while()
        work.error = OSError("no")
        work.open.set()
        errors = await asyncio.gather(*failing, return_exceptions=True)
        work.error = None
        return errors, await turns.of("c", 1)

    errors, later = play(use)
    assert ([str(error) for error in errors], later) == (["no", "no"], 2)


@pytest.mark.parametrize("fails", [False, True])
def test_a_caller_that_is_cancelled_does_not_harm_the_others(fails: bool) -> None:
    async def use(work: Work, turns: Turns[int, int]) -> Any:
        gone, stays = (asyncio.ensure_future(turns.of(name, 1)) for name in "ab")
        await a_while()
        gone.cancel()
        await a_while()
        work.error = OSError("no") if fails else None
        work.open.set()
        return (await asyncio.gather(stays, return_exceptions=True))[0]

    assert isinstance(play(use), OSError if fails else int)
