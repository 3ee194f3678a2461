"""Create the nodes of a batch concurrently, and report the outcome of each node."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base import concurrency, descriptors, faults
from hart_salt.base.concurrency import Calls
from hart_salt.base.descriptors import APPLYING, PER_NODE
from hart_salt.base.errors import DriverError, HartError, Interrupted
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.journal import Journal, entry, iso
from hart_salt.inventory.locks import BatchClaim, Locks, known, machine_of
from hart_salt.inventory.records import Record
from hart_salt.inventory.slots import Slot
from hart_salt.model import PLACE, Access, Node
from hart_salt.node import ssh
from hart_salt.node.batch import Batch, NodeKind, NodeState
from hart_salt.node.boot_times import BootTimes
from hart_salt.node.enrolment import Enrolment
from hart_salt.node.lifecycle import MINION, Lifecycle, new_record
from hart_salt.node.peer_keys import PeerKeys
from hart_salt.node.progress import Expected, Progress
from hart_salt.node.readiness import Readiness
from hart_salt.node.remaining import FormerTimes
from hart_salt.node.reporting import open_progress
from hart_salt.node.watcher import Watcher

#: the state of a node, and the coroutine that brings it up
NodeWork = tuple[NodeState, Coroutine[Any, Any, None]]


@dataclass
class Outcomes:
    """What is known of each node, even if the work is interrupted."""

    lives: dict[str, NodeState] = field(default_factory=dict)
    #: what could not be removed of the batch as a whole
    problems: list[str] = field(default_factory=list)
    #: the signal that interrupted the work, in words; empty if none did
    signal: str = ""


def create_all(
    nodes: Sequence[Node], driver: Driver, context: Context, kind: NodeKind = MINION,
    claimed: Callable[[], object] = lambda: None,
) -> tuple[dict[str, Any], int | None]:  # fmt: skip
    """
    Create the nodes concurrently; the failure of one node does not affect the others.

    ``claimed`` is called once other calls can see the claim of the batch, which says how many nodes it creates.

    Returns the outcome of each node by minion id, and the number of the signal that interrupted the work, or None.
    After a signal, nodes that are ready stay, and all others are rolled back. ``errors`` is in the outcome if something
    of the batch, such as its temporary key, could not be removed.
    """
    outcomes = Outcomes()
    interrupted = None
    with Calls() as calls, open_progress(context, events=kind.enrols) as progress:
        kind_of_work = f"{kind.action} {nodes[0].provider} {nodes[0].role}"
        former = FormerTimes(context.info.cachedir, kind_of_work)
        progress.expect(Expected([node.minion_id for node in nodes], kind.goal, former))
        try:
            work = functools.partial(_create, nodes, driver, context, progress, calls, outcomes, kind, claimed)
            concurrency.run(work, context.locks.stop)
        except Interrupted as signal:
            interrupted, outcomes.signal = signal.signum, str(signal)
        data: dict[str, Any] = {node.minion_id: _outcome(node, outcomes, progress) for node in nodes}
    if outcomes.problems:
        data["errors"] = outcomes.problems
    return data, interrupted


async def _create(
    nodes: Sequence[Node], driver: Driver, context: Context, progress: Progress, calls: Calls, outcomes: Outcomes,
    kind: NodeKind, claimed: Callable[[], object],
) -> None:  # fmt: skip
    room = descriptors.places(APPLYING if any(node.settings.apply for node in nodes) else PER_NODE)
    crowded = len(nodes) > room
    client_key = ssh.make_key(f"hart-{nodes[0].batch}")
    readiness = Readiness(functools.partial(calls.aside, context.master.minions.ask_for_answers))
    under_way = _UnderWay(nodes, context.slot)
    region = nodes[0].region
    listed = functools.partial(calls.driver, driver.instances_of, nodes[0].batch, region)
    boots = BootTimes(context.info.cachedir, nodes[0])
    watcher = Watcher(listed, driver.poll_interval, calls.sleep, looks=boots.looks(driver.first_looks))
    async with AsyncExitStack() as stack:
        place: dict[str, Any] = {"provider": nodes[0].provider, "region": region, "owner": context.info.owner}
        place |= {"role": nodes[0].role, "size": nodes[0].size, "nodes": len(nodes)}
        machine = machine_of(nodes[0].driver, context.locks)
        place |= {"machine": machine} if machine else {}
        held = context.locks.batch(nodes[0].batch, place)
        claim = await stack.enter_async_context(concurrency.entered(calls.salt, held))
        stack.callback(_keep_what_is_left, claim, outcomes)
        await calls.salt(claimed)
        # If all nodes fit, each gets its lock and its log before anything is changed, otherwise when its turn comes.
        for node in () if crowded else nodes:
            record = new_record(node, context.info, kind, context.locks, None, context.journal.by)
            await stack.enter_async_context(_claimed(context, outcomes, calls, record))
        for node in nodes[:1] if crowded else nodes:
            progress.begin(node.minion_id)
        if kind.enrols:
            stack.enter_context(context.master.events(readiness.started, readiness.answered))
            await stack.enter_async_context(concurrency.entered(calls.salt, context.master.minions.questions()))
            await stack.enter_async_context(concurrency.entered(calls.salt, context.master.keys.connected()))
        opened = _access(driver, nodes, client_key, outcomes.problems)
        async with concurrency.entered(calls.driver, opened) as access:
            batch = Batch(
                context.master, context.info, context.store, context.locks, driver, watcher, access, client_key,
                progress, readiness, calls, kind, Enrolment(context.master.keys, calls),
                PeerKeys(context.others, calls), under_way.applies, by=context.journal.by,
            )  # fmt: skip
            begun = [Lifecycle(node, batch) for node in nodes]
            outcomes.lives = {life.node.minion_id: life.state for life in begun}
            lives: list[NodeWork] = [(life.state, life.run()) for life in begun]
            if crowded:
                progress.line(nodes[0].minion_id, f"hart: {descriptors.turns(room)}")
                lives = _in_turns(lives, functools.partial(_claimed, context, outcomes, calls), room)
            restoring = asyncio.ensure_future(_restore(nodes[0].batch, outcomes, context.locks, calls, progress))
            try:
                ended = functools.partial(_write_outcome, context.journal, kind, progress)
                await _side_by_side(lives, under_way, ended)
            finally:
                await concurrency.ended([restoring])
                await watcher.close()
                boots.learn(watcher.ran_after, at_once=watcher.ran_at_once)
                await readiness.close()


def _in_turns(
    lives: Sequence[NodeWork], claimed: Callable[[Record], AbstractAsyncContextManager[None]], room: int
) -> list[NodeWork]:
    """Return the same lives, limited to ``room`` at a time, for the limit of open files; the others wait."""
    seats = asyncio.Semaphore(room)

    async def in_turn(state: NodeState, work: Coroutine[Any, Any, None]) -> None:
        try:
            async with seats, claimed(state.record):
                await work
        finally:
            work.close()  # if its turn never came

    return [(state, in_turn(state, work)) for state, work in lives]


def _keep_what_is_left(claim: BatchClaim, outcomes: Outcomes) -> None:
    """Keep the claim for sweep if something could not be removed, other than instances kept by ``keep_failed``."""
    claim.keep = bool(outcomes.problems) or any(life.left and not life.record.kept for life in outcomes.lives.values())


def _claimed(context: Context, outcomes: Outcomes, calls: Calls, record: Record) -> AbstractAsyncContextManager[None]:
    """Return a claim that leaves the event loop to the other nodes; see ``_claim``."""
    return concurrency.entered(calls.salt, _claim(context, outcomes, record))


@contextmanager
def _claim(context: Context, outcomes: Outcomes, record: Record) -> Iterator[None]:
    """
    Claim an id that has no record: of two concurrent calls, on whichever masters, only one can find it free.

    A record that the claim wrote is removed if no instance was requested.
    """
    minion_id, locks = record.minion_id, context.locks
    with locks.claim(minion_id, record) as written:
        if not written and context.store.get(minion_id) is not None:
            raise known(minion_id)
        try:
            yield
        finally:
            life = outcomes.lives.get(minion_id)
            if written and (life is None or not life.launched):
                with contextlib.suppress(HartError):
                    locks.check_mine(minion_id)
                    context.store.remove(minion_id)


async def _restore(batch: str, outcomes: Outcomes, locks: Locks, calls: Calls, progress: Progress) -> None:
    """Write the claim of the batch and its records again whenever the store has lost them, as long as the call runs."""
    while locks.restores is not None:
        await calls.sleep(locks.restores)
        # Without the store, or after the loss of the lease, there is nothing to do.
        with contextlib.suppress(HartError):
            for minion_id in await calls.salt(locks.restore, batch, _records(outcomes)):
                progress.line(minion_id, "hart: the record store had lost the record, which was written again")


def _records(outcomes: Outcomes) -> Iterator[Record]:
    """
    Yield the records of nodes that have or may have an instance, as they are at that moment.

    This runs in another thread, and further nodes can be added in the meantime: hence the copy.
    """
    for life in list(outcomes.lives.values()):
        if life.launched and not life.undoing:
            yield life.record


@contextmanager
def _access(driver: Driver, nodes: Sequence[Node], key: ssh.Key, problems: list[str]) -> Iterator[Access]:
    """
    Enter and leave the driver's context manager. A failure to leave it fails no node; it is added to ``problems``.
    """
    batch = nodes[0].batch
    manager = driver.access(batch, key.public, nodes)
    yield manager.__enter__()
    try:
        manager.__exit__(None, None, None)
    except Exception as error:  # even a defect of the driver must not hide the outcome of the nodes
        known = error if isinstance(error, DriverError) else faults.as_fault(error)
        reason = known or f"a defect in the driver: {error!r}"
        problems.append(f"the temporary access of batch {batch} could not be removed: {reason}")


class _UnderWay:
    """
    The nodes that need the call's slot. Once only states are being applied, the slot is released, because that can take
    an hour, and the states may call hart.
    """

    def __init__(self, nodes: Sequence[Node], slot: Slot) -> None:
        self._ids = {node.minion_id for node in nodes}
        self._slot = slot
        self._any_applies = False

    def applies(self, minion_id: str) -> None:
        """Note that only its states remain to be applied to a node."""
        self._any_applies = True
        self.ends(minion_id)

    def ends(self, minion_id: str) -> None:
        """Note that a node has ended."""
        self._ids.discard(minion_id)
        if self._any_applies and not self._ids:
            self._slot.release()


async def _side_by_side(
    lives: Sequence[NodeWork], under_way: _UnderWay, ended: Callable[[NodeState], None]
) -> None:  # fmt: skip
    """
    Run all nodes to their end, and call ``ended`` with each; on cancellation, cancel all and wait for their undo.
    """

    async def one(state: NodeState, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except HartError as error:
            state.error = str(error)
        except Exception as error:  # after sealing: the node stays, and the error is reported
            state.error = faults.reason(error)
        finally:
            under_way.ends(state.record.minion_id)
            ended(state)

    tasks = [asyncio.ensure_future(one(state, work)) for state, work in lives]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        await concurrency.ended(tasks)
        raise


def _write_outcome(journal: Journal, kind: NodeKind, progress: Progress, state: NodeState) -> None:
    """Write to the journal what became of a node at once, because the call can be killed before its other nodes end."""
    if not (state.launched or state.error):
        return  # a signal came before its turn
    record, problems = state.record, state.problems or list(filter(None, [state.error]))
    stages = progress.seconds(record.minion_id)
    done = state.sealed
    if state.outcome is not None:
        done = bool(state.outcome["result"]) and not state.error
        problems = [] if done else [state.error or state.outcome.get("error", "interrupted")]
    elif not state.sealed:
        problems = [state.error] if state.error else ["interrupted", *state.left]
    elif problems:
        problems = ["apply failed", *problems]
    journal.write(
        entry(
            kind.action, record, result=done, role=record.role or kind.role,
            seconds=round(sum(stages.values()), 3), stages=stages, error="; ".join(problems),
            details=_of_image(state.outcome or {}),
        )
    )  # fmt: skip


def _of_image(outcome: Mapping[str, Any]) -> dict[str, str]:
    """Return what the journal holds of an image that was made of a node."""
    return {"image": outcome["image"]} if outcome.get("image") else {}


def _outcome(node: Node, outcomes: Outcomes, progress: Progress) -> dict[str, Any]:
    life = outcomes.lives.get(node.minion_id)
    if life is not None and life.outcome is not None:
        failed = {"result": False, "error": life.error} if life.error else {}
        return {**life.outcome, **failed, "seconds": progress.seconds(node.minion_id), "notes": life.notes}
    if life is None or not life.sealed:
        return {
            "result": False,
            "error": _why(life, outcomes.signal),
            "output": progress.tail(node.minion_id),
            "log": progress.log_path(node.minion_id),
        }
    problems = life.problems or ([life.error] if life.error else [])
    failures = ["apply failed: " + "; ".join(problems)] if problems else []
    if life.unprotected:
        again = f"salt-run hart.protect {node.minion_id} completes it"
        failures.insert(0, f"its protection is not complete: {life.unprotected}; {again}")
    image = {"image": node.baked} if node.baked else {}
    data = {"result": not failures, **facts(life.record), **image, "notes": life.notes}
    if failures:
        data["error"] = "the node is a minion and was kept, but " + "; ".join(failures)
    return data


def _why(life: NodeState | None, signal: str) -> str:
    """Return why a node is not a minion."""
    if life is not None and life.error:
        return life.error
    left = life.left if life is not None else []
    return "; ".join([signal, *(left or ["the node was rolled back"])]) if signal else "it was not started"


def facts(record: Record) -> dict[str, Any]:
    """Return the facts about a node that became a minion or a salt-master, for the result."""
    finger = f"{record.kind}_key_finger"
    names = (
        "role", *PLACE, "instance_id", "public_ip", "private_ip", "protected", finger, "ssh_host_keys", "seconds",
        "log",
    )  # fmt: skip
    ends = {} if record.ends is None else {"ends": iso(record.ends, "seconds")}
    return {**{name: getattr(record, name) for name in names}, **ends}
