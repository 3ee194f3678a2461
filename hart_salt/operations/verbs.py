"""
Change existing nodes one by one: what all verbs have in common, such as starting, resizing and setting tags.

Each node is locked while the call works on it, must be ready, and its instance must have this master's tag right now.
The failure of one node does not affect the others. A change at the provider is never cut off, since its outcome must be
known; a signal ends the call after it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base import concurrency, descriptors, faults
from hart_salt.base.concurrency import Calls
from hart_salt.base.errors import HartError, Interrupted, NodeFailed, Refused
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.journal import entry
from hart_salt.inventory.records import Record, instance_of
from hart_salt.model import PLACE, Instance
from hart_salt.node.answering import Answering, Boot
from hart_salt.node.progress import Expected, Progress
from hart_salt.node.reporting import open_progress
from hart_salt.operations.leaks import is_ready

OPEN_FILES = 3  #: open files of a node: its log, its lock, and one of the driver for a moment
NOTHING = "nothing was changed"


@dataclass
class Target:
    """One node of the call."""

    record: Record
    driver: Driver
    #: as the provider reported it last
    instance: Instance
    #: seconds to wait for its minion
    timeout: float
    notes: list[str] = field(default_factory=list)
    #: what has happened so far, for an error
    done: str = NOTHING
    began: float = field(default_factory=time.monotonic)

    @property
    def minion_id(self) -> str:
        """The id of the node."""
        return self.record.minion_id


#: what to do with one node; returns facts for its result
Work = Callable[["Nodes", Target], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Verb:
    """What a call does with each of its nodes."""

    #: the word for it in the journal, such as ``start``
    action: str
    #: the last stage of a node that was changed, such as ``started``
    goal: str
    #: only plans with ``test``
    work: Work
    test: bool = False
    #: whether it waits for minions
    waits: bool = False
    #: what changed, for the journal
    details: Mapping[str, str] = field(default_factory=dict)


def on_each(
    verb: Verb, records: Mapping[str, Record], by_provider: Mapping[str, Driver], context: Context,
    timeouts: Mapping[str, float],
) -> tuple[dict[str, Any], int | None]:  # fmt: skip
    """
    Do the same with each node; a plan does not lock it. ``timeouts`` holds the seconds to wait for each minion.

    Returns the outcome of each node by minion id, and the number of the signal that interrupted the work, or None.
    """
    interrupted, problem = None, ""
    with Calls() as calls, open_progress(context) as progress:
        if not verb.test:
            progress.expect(Expected(list(records), verb.goal))
        nodes = Nodes(verb, records, by_provider, context, timeouts, calls, progress)
        try:
            concurrency.run(nodes.all, context.locks.stop)
        except Interrupted as signal:
            interrupted, problem = signal.signum, str(signal)
        except HartError as error:
            problem = str(error)
    nodes.interrupted(problem)
    return {minion_id: nodes.outcomes[minion_id] for minion_id in records}, interrupted


class Nodes:
    """The nodes of one call, and the steps that verbs are made of."""

    def __init__(
        self, verb: Verb, records: Mapping[str, Record], by_provider: Mapping[str, Driver], context: Context,
        timeouts: Mapping[str, float], calls: Calls, progress: Progress,
    ) -> None:  # fmt: skip
        self.calls = calls
        #: by minion id; complete at the end of the call
        self.outcomes: dict[str, dict[str, Any]] = {}
        self._verb = verb
        self._records = records
        self._drivers = by_provider
        self._context = context
        self._timeouts = timeouts
        self._progress = progress
        self._answering: Answering | None = None
        self._lists: dict[tuple[str, str], asyncio.Future[list[Instance]]] = {}
        self._targets: dict[str, Target] = {}

    def interrupted(self, problem: str) -> None:
        """Note the outcome of the nodes that have none; ``problem`` is why the call ended before."""
        for minion_id in self._records.keys() - self.outcomes.keys():
            target = self._targets.get(minion_id)
            self._end(minion_id, f"{problem}; {target.done if target else NOTHING}")

    async def all(self) -> None:
        """Work on all nodes at the same time, as far as files can be open."""
        seats = asyncio.Semaphore(descriptors.places(OPEN_FILES))
        self._answering = Answering(self._context.master, self.calls)
        with self._answering.events() if self._verb.waits and not self._verb.test else nullcontext():
            tasks = [asyncio.ensure_future(self._one(minion_id, seats)) for minion_id in self._records]
            try:
                await asyncio.gather(*tasks)
            except BaseException:
                await concurrency.ended(tasks)
                raise
            finally:
                await self._answering.close()

    async def _one(self, minion_id: str, seats: asyncio.Semaphore) -> None:
        try:
            async with seats, AsyncExitStack() as stack:
                if not self._verb.test:
                    claim = self._context.locks.claim(minion_id)
                    await stack.enter_async_context(concurrency.entered(self.calls.salt, claim))
                target = await self._target(minion_id)
                facts = await self._verb.work(self, target)
                place = {"provider": target.record.provider, "instance_id": target.record.instance_id}
                notes = {"notes": target.notes} if target.notes else {}
                self.outcomes[minion_id] = {"result": None if self._verb.test else True, **place, **facts, **notes}
                self._finish(target, changed=bool(facts.get("changed")))
        except Exception as error:  # even a defect of a driver is only this node's failure
            reason, failed = faults.reason(error), self._targets.get(minion_id)
            self._end(minion_id, reason if failed is None or failed.done == NOTHING else f"{reason}; {failed.done}")

    def _finish(self, target: Target, *, changed: bool) -> None:
        """Report the end of a node's work: where it was changed, as an event and in the journal too."""
        if self._verb.test:
            return
        self.stage(target, self._verb.goal if changed else "done")
        if changed:
            seconds = round(time.monotonic() - target.began, 1)
            self.outcomes[target.minion_id]["seconds"] = seconds
            self._write(target, seconds)

    def _end(self, minion_id: str, error: str) -> None:
        """Note that a node's work failed."""
        target = self._targets.get(minion_id)
        self.outcomes[minion_id] = {"result": False, "error": error}
        if target is None or self._verb.test:
            return
        if target.notes:
            self.outcomes[minion_id]["notes"] = target.notes
        self._progress.line(minion_id, f"hart: {error}")
        self.stage(target, "failed", error=error)
        if target.done != NOTHING:
            self._write(target, round(time.monotonic() - target.began, 1), error)

    def _write(self, target: Target, seconds: float, error: str = "") -> None:
        self._context.journal.write(
            entry(
                self._verb.action, target.record, result=not error, seconds=seconds, details=self._verb.details,
                error=error,
            )
        )  # fmt: skip

    async def _target(self, minion_id: str) -> Target:
        """Return the node as it is reported now. Raises ``Refused`` if it must not be changed."""
        record = await self.calls.salt(self._context.store.get, minion_id)
        known = instance_of(record) if record is not None and is_ready(record) else None
        if record is None or known is None:
            raise Refused(f"{minion_id} is not a ready node; salt-run hart.show {minion_id} shows its state")
        driver = self._drivers[record.provider]
        instance = await self._mine(driver, record, known)
        target = Target(record, driver, instance, self._timeouts[minion_id])
        self._targets[minion_id] = target
        return target

    async def _mine(self, driver: Driver, record: Record, known: Instance) -> Instance:
        """
        Return the instance from the list of this master's own instances, with one list for all nodes of a region.

        Raises ``Refused`` if the instance does not have this master's tag, or is gone.
        """
        key = (record.provider, record.region)
        if key not in self._lists:
            self._lists[key] = asyncio.ensure_future(self.calls.driver(driver.instances, record.region))
        listed = await self._lists[key]
        for one in listed:
            if one.instance_id == known.instance_id:
                return one
        there = await self.calls.driver(driver.instance, known)
        if there is None or there.state == "gone":
            raise Refused(f"the instance {known.instance_id} of {record.minion_id} is gone")
        raise Refused(
            f"the instance {known.instance_id} of {record.minion_id} does not have the tag of this master, so hart "
            "does not change it"
        )

    # steps of verbs

    def stage(self, target: Target, stage: str, **more: Any) -> None:
        """Report a stage of the node: in its log, on the terminal, and as an event."""
        names = ("role", *PLACE, "public_ip", "private_ip")
        facts = {name: getattr(target.record, name) for name in names}
        self._progress.stage(target.minion_id, stage, {**facts, **more})

    async def change(self, target: Target, what: Callable[..., None], *arguments: Any, **options: Any) -> None:
        """Make a change at the provider, and wait for its end whatever happens. The node must still be this call's."""
        await self.calls.salt(self._context.locks.check_mine, target.minion_id)
        call = lambda: what(target.instance, *arguments, **options)  # noqa: E731 - only for a thread
        await concurrency.uninterrupted(self.calls.driver(call))

    async def look(self, target: Target) -> None:
        """Look at the instance again, and write what has changed into the record."""
        found = await self.calls.driver(target.driver.instance, target.instance)
        if found is None or found.state == "gone":
            raise NodeFailed(f"the instance {target.instance.instance_id} is gone")
        target.instance = found
        size = found.size or target.record.size
        await self.remember(target, public_ip=found.public_ip, private_ip=found.private_ip, size=size)

    async def remember(self, target: Target, **changes: Any) -> None:
        """Write changed facts into the record."""
        record = dataclasses.replace(target.record, **changes)
        if record != target.record:
            target.record = record
            await concurrency.uninterrupted(self.calls.salt(self._context.store.put, record))

    @property
    def answering(self) -> Answering:
        """The minions that are waited for."""
        assert self._answering is not None  # noqa: S101 - ``all`` makes it
        return self._answering

    def has_minion(self, target: Target) -> bool:
        """Return whether the node is a minion of this master; a salt-master is not."""
        return target.record.kind == "minion"

    async def boot_of(self, target: Target) -> Boot:
        """Return the boot of a running node before it is restarted."""
        if not self.has_minion(target):
            return Boot()
        return await self.answering.boot_of(target.minion_id, self.root(target))

    def root(self, target: Target) -> str:
        """Return the machine's root directory, for the mark of its boot."""
        return target.driver.root(target.instance)

    def expect(self, target: Target, before: Boot | None = None) -> None:
        """Expect an answer of the minion; call this before the node is started."""
        self.answering.expect(target.minion_id, before or Boot(), self.root(target))

    async def answer(self, target: Target) -> None:
        """Wait until the minion answers. Raises ``NodeFailed`` if it does not."""
        if not self.has_minion(target):
            target.notes.append("it is a salt-master and no minion of this master: hart did not wait for it")
            return
        with suppress(HartError):  # its addresses are looked up again below
            await self.look(target)
        await self.answering.answer_of(target.minion_id, target.timeout)
        await self.look(target)

    async def is_present(self, target: Target) -> bool:
        """Return whether the minion answers a ping."""
        present = await self.calls.aside(self._context.master.minions.present, [target.minion_id])
        return target.minion_id in present
