"""
Many nodes with few file descriptors: as many run as can have their files open, and the others wait for their turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import resource
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hart_salt.base import descriptors
from hart_salt.base.concurrency import Calls
from hart_salt.base.errors import HartError
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.records import Record, Store
from hart_salt.operations import create
from tests.parts import new_state
from tests.unit.inventory.test_records import MemoryCache

NODES = 200
DEADLINE = 60  #: seconds after which a claim fails that no test grants
ROOM = 160  #: files that may be opened in addition to those that are open


@pytest.fixture
def few_files() -> Iterator[None]:
    """Set a limit that 200 nodes at once would exceed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors._open() + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Fleet:
    """Fake lives with the files of a node: a socket, and by ``_in_turns`` a lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls = Calls()
        self.context: Any = SimpleNamespace(locks=FileLocks(str(path)), store=Store(MemoryCache()))
        self.done: list[str] = []
        self.under_way = 0
        self.most = 0
        self.at_end: Callable[[], None] = lambda: None
        #: how many nodes must be under way before any of them ends, and what says that they are; 0: they end at once
        self.full = 0
        self.is_full: asyncio.Future[None]

    def in_turns(self, ids: Sequence[str], room: int) -> list[Coroutine[Any, Any, None]]:
        lives = [(new_state(minion_id), self.life(minion_id)) for minion_id in ids]
        claimed = functools.partial(create._claimed, self.context, create.Outcomes(), self.calls)
        return [work for _, work in create._in_turns(lives, claimed, room)]

    async def life(self, minion_id: str) -> None:
        with socket.socket():
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            if self.under_way == self.full:
                self.is_full.set_result(None)
                self.full = 0
            if self.full:
                await asyncio.shield(self.is_full)
            self.under_way -= 1
            self.done.append(minion_id)
            self.at_end()

    def run(self, ids: list[str], room: int) -> list[BaseException | None]:
        async def main() -> list[BaseException | None]:
            self.full, self.is_full = room, asyncio.get_running_loop().create_future()
            return await asyncio.gather(*self.in_turns(ids, room), return_exceptions=True)

        return asyncio.run(main())


@pytest.mark.usefixtures("few_files")
def test_two_hundred_nodes_come_up_with_a_limit_for_only_a_few(tmp_path: Path) -> None:
    fleet, room = Fleet(tmp_path), descriptors.places()
    assert 1 < room < NODES // 3
    ids = [f"n{number}" for number in range(NODES)]
    assert fleet.run(ids, room) == [None] * NODES
    assert sorted(fleet.done) == sorted(ids)
    assert fleet.most == room


def test_only_a_node_whose_id_is_taken_at_its_turn_fails(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    with FileLocks(str(tmp_path)).claim("b"):
        first, taken, last = fleet.run(["a", "b", "c"], 1)
    assert (first, last, fleet.done) == (None, None, ["a", "c"])
    assert isinstance(taken, HartError)
    assert "being worked on by another operation" in str(taken)


def test_a_node_that_waits_when_the_call_is_interrupted_never_starts(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)

    async def main() -> None:
        tasks = [asyncio.ensure_future(work) for work in fleet.in_turns(("a", "b"), 1)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)

    asyncio.run(main())
    assert fleet.done == []
    assert list((tmp_path / "hart/locks").iterdir()) == []


class SlowLocks(FileLocks):
    """Locks of which one is granted only after ``go`` is set, as with a server that does not answer."""

    def __init__(self, cachedir: str, slow: str) -> None:
        super().__init__(cachedir)
        self.slow = slow
        self.asked, self.go = threading.Event(), threading.Event()

    @contextlib.contextmanager
    def claim(self, minion_id: str, new: Record | None = None) -> Iterator[bool]:
        if minion_id == self.slow:
            self.asked.set()
            assert self.go.wait(DEADLINE), "the event loop stood still"
        with super().claim(minion_id, new) as written:
            yield written


def test_other_nodes_go_on_while_a_node_waits_for_its_claim(tmp_path: Path) -> None:
    fleet, locks = Fleet(tmp_path), SlowLocks(str(tmp_path), "b")
    fleet.context.locks, fleet.at_end = locks, locks.go.set

    async def main() -> None:
        tasks = [asyncio.ensure_future(work) for work in fleet.in_turns(("a", "b"), 2)]
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert fleet.done == ["a", "b"]


def test_a_claim_that_is_granted_after_the_call_was_cancelled_is_left(tmp_path: Path) -> None:
    fleet, locks = Fleet(tmp_path), SlowLocks(str(tmp_path), "a")
    fleet.context.locks = locks

    async def main() -> None:
        (task,) = (asyncio.ensure_future(work) for work in fleet.in_turns(("a",), 1))
        await asyncio.get_running_loop().run_in_executor(None, locks.asked.wait, DEADLINE)
        task.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        waits = not task.done()
        locks.go.set()
        assert waits, "nobody is left who would leave the claim"
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())
    assert (fleet.done, list((tmp_path / "hart/locks").iterdir())) == ([], [])


@pytest.mark.parametrize(
    ("limit", "used", "each", "places"),
    [
        (256, 30, 4, 32),
        (1024, 30, 4, 224),
        (1024, 30, 2, 449),
        (65536, 40, 4, 16350),
        (256, 30, 24, 5),
        (64, 30, 4, 1),
        (None, 30, 4, 2**31),
    ],
)
def test_how_many_fit(limit: int | None, used: int, each: int, places: int) -> None:
    assert descriptors._places(limit, used, each) == places


def test_the_limit_is_raised_as_far_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors._open() + 50, before[1]))
        descriptors.raise_limit()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == (descriptors.MOST if hard == resource.RLIM_INFINITY else min(hard, descriptors.MOST))
