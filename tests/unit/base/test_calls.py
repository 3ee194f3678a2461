"""Calls of blocking functions from the event loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hart_salt.base.concurrency import Calls


def test_calls_of_salt_are_made_one_after_another_in_their_order() -> None:
    made: list[int] = []
    inside: list[int] = []

    def call(number: int) -> None:
        inside.append(number)
        assert inside == [number]
        made.append(number)
        inside.pop()

    async def main() -> None:
        with Calls() as calls:
            await asyncio.gather(*(calls.salt(call, number) for number in range(200)))

    asyncio.run(main())
    assert made == list(range(200))


def test_calls_that_nobody_awaits_are_made_before_the_end() -> None:
    made: list[int | str] = []

    async def main(calls: Calls) -> None:
        for number in range(50):
            asyncio.ensure_future(calls.salt(made.append, number))
        await calls.salt(made.append, "last")

    with Calls() as calls:
        asyncio.run(main(calls))
    assert made == [*range(50), "last"]


def test_calls_of_drivers_run_in_parallel() -> None:
    all_there = threading.Barrier(4)

    async def main() -> None:
        with Calls() as calls:
            await asyncio.gather(*(calls.driver(all_there.wait, 60) for _ in range(4)))

    asyncio.run(main())


def test_a_call_aside_returns_its_result_or_raises_its_error() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async def main() -> int:
        with Calls() as calls:
            with pytest.raises(ZeroDivisionError):
                await calls.aside(fail)
            return await calls.aside(int, "7")

    assert asyncio.run(main()) == 7


def test_a_call_aside_that_never_returns_does_not_block_the_end(tmp_path: Path) -> None:
    code = """
import asyncio, threading
from hart_salt.base.concurrency import Calls
async def main():
    with Calls() as calls:
        try:
            await asyncio.wait_for(calls.aside(threading.Event().wait), 0.01)
        except asyncio.TimeoutError:
            print("given up")
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "given up\n", "")


def test_a_call_aside_that_returns_late_does_no_harm() -> None:
    go = threading.Event()
    errors: list[object] = []
    before, threading.excepthook = threading.excepthook, lambda arguments: errors.append(arguments)

    async def main() -> None:
        with Calls() as calls, pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(calls.aside(go.wait), 0.01)

    try:
        asyncio.run(main())
        go.set()
        for thread in threading.enumerate():
            if thread.name == "hart-aside":
                thread.join()
    finally:
        threading.excepthook = before
    assert errors == []
