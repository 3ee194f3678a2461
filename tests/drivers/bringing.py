"""
What the tests of faults share: creation of nodes as far as the provider is involved, and ways for a call to fail.

The steps are those of ``hart_salt.operations.create`` and ``hart_salt.node.lifecycle``, with their own functions for
calls of the provider. No machine behind the API is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from hart_salt.base import concurrency
from hart_salt.base.concurrency import Calls
from hart_salt.base.errors import HartError
from hart_salt.drivers.contract import Driver
from hart_salt.model import Instance, Node
from hart_salt.node import ssh
from hart_salt.node.batch import NodeState
from hart_salt.node.undo import Undo
from hart_salt.node.watcher import Watcher
from hart_salt.operations import create
from tests.drivers.do.driver import KEY, SCRIPT, Time
from tests.emulation import faults
from tests.emulation.emulator import Emulator
from tests.emulation.faults import Fault

UP = "up"
HTML = "<html>502</html>"
Row = tuple[str, str, str]


@dataclass
class Batch:
    """The part of a batch that ``lifecycle`` needs for calls of the provider."""

    driver: Driver
    calls: Calls
    watcher: Watcher
    access: Any


class Bringing:
    """Parallel creation of nodes, as far as the provider is involved; ``outcomes`` has the result of each node."""

    def __init__(self, driver: Driver, time: Time, boot_timeout: float = 5.0) -> None:
        self._driver = driver
        self._time = time
        self._boot_timeout = boot_timeout
        self.outcomes: dict[str, str] = {}
        #: what could not be cleaned up
        self.problems: list[str] = []
        self.instances: list[Instance] = []

    def up(self, *nodes: Node) -> str:
        """Create the nodes, and return the outcomes as one text."""
        with Calls(sleep=self._sleep) as calls:
            try:
                asyncio.run(self._all(nodes, calls))
            except HartError as error:
                self.outcomes = {it.minion_id: type(error).__name__ for it in nodes}
        return ", ".join(sorted(set(self.outcomes.values())))

    async def _sleep(self, seconds: float) -> None:
        self._time.sleep(seconds)
        await asyncio.sleep(0.001)  # the one that has waited longest goes first

    async def _all(self, nodes: Sequence[Node], calls: Calls) -> None:
        watcher = Watcher(
            lambda: calls.driver(self._driver.instances), self._driver.poll_interval, calls.sleep, self._time
        )
        # The tests share one key line, because making one is slow.
        opened = create._access(self._driver, nodes, ssh.Key("", KEY), self.problems)
        async with concurrency.entered(calls.driver, opened) as access:
            batch: Any = Batch(self._driver, calls, watcher, access)
            launched = Barrier(len(nodes))
            try:
                await asyncio.gather(*(self._one(it, batch, launched) for it in nodes))
            finally:
                await watcher.close()

    async def _one(self, wanted: Node, batch: Any, launched: Any) -> None:
        record: Any = None
        life = NodeState(record, launched=True)
        try:
            try:
                life.instance = await batch.calls.driver(batch.driver.launch, wanted, SCRIPT, batch.access)
            finally:
                # Time passes with the first poll, so no node polls before all are launched.
                await launched.wait()
            self.instances.append(
                await batch.watcher.wait(life.instance.instance_id, _is_up, self._boot_timeout)
            )  # fmt: skip
            self.outcomes[wanted.minion_id] = UP
        except HartError as error:
            self.outcomes[wanted.minion_id] = type(error).__name__
            await Undo(wanted, batch, life, _silent).remove_instance()


def _silent(*_: Any, **__: Any) -> None:
    """Ignore the events of a node."""


class Barrier:
    """A barrier; asyncio has one from Python 3.11 on."""

    def __init__(self, parties: int) -> None:
        self._missing = parties
        self._all = asyncio.Event()

    async def wait(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._all.set()
        await self._all.wait()


def _is_up(seen: Instance) -> bool:
    return seen.state == "running" and seen.public_ip is not None


@dataclass(frozen=True)
class Outcome:
    """The outcome for a node under a fault, after everything is removed again."""

    #: ``up``, or the class of the error
    word: str
    left: dict[str, list[str]]
    #: what could not be cleaned up
    problems: list[str]
    #: the number of additional instances
    made: int


def under(
    cloud: Emulator, driver: Driver, time: Time, broken: Sequence[Any], wanted: Node, left: Callable[[], Any],
    boot_timeout: float = 5.0,
) -> Outcome:  # fmt: skip
    """
    Create a node while faults strike, and remove everything afterwards.

    left
        returns what is left in the account; an instance with the name ``before`` is removed too
    """
    assert cloud.settle(10)
    before = cloud.made()
    cloud.faults.add(*broken)
    bringing = Bringing(driver, time, boot_timeout)
    word = bringing.up(wanted)
    assert cloud.settle(10)
    made = cloud.made() - before
    for instance in [*bringing.instances, *driver.instances()]:
        assert word == UP or instance.minion_id == "before"
        driver.terminate(instance)
    return Outcome(word, left(), bringing.problems, made)


def hit(method: str, path: str, **more: Any) -> tuple[tuple[str, Fault], ...]:
    """Return the ways in which one call can fail temporarily."""
    return (
        ("500, not done", Fault(method, path, status=500, **more)),
        ("500, but done", Fault(method, path, status=500, when="after", **more)),
        ("connection lost, not done", Fault(method, path, drop=True, **more)),
        ("connection lost, but done", Fault(method, path, drop=True, when="after", **more)),
        ("no answer in time, but done", Fault(method, path, stall=0.6, when="after", **more)),
        ("a gateway's 502 page", Fault(method, path, status=502, answer=HTML, **more)),
        ("429 with Retry-After", faults.throttled(path, method, retry_after=5, **more)),
    )


@contextmanager
def table_of(cloud: str, request: pytest.FixtureRequest) -> Iterator[list[Row]]:
    """Collect rows of fault, outcome and what was left, and print them at the end."""
    rows: list[Row] = []
    yield rows
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n\n{cloud}: fault, outcome of the node, what was left")
        for name, outcome, leavings in rows:
            print(f"  {name:<58} {outcome:<18} {leavings}")
