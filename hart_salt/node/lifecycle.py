"""
One node from launch to sealed minion, and its undo.

``raise_node`` reads top to bottom as the life of one node. Whatever ends it early, a failure or a
cancellation, undoes what was done; the undo itself cannot be cancelled.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from hart_salt.base import faults
from hart_salt.base.concurrency import Calls, uninterrupted
from hart_salt.base.errors import DriverError, NodeFailed
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.records import Record, Store
from hart_salt.master.client import Master
from hart_salt.master.keys import check_public_key, fingerprint
from hart_salt.master.listener import ANSWER_SETTING
from hart_salt.model import Access, Instance, MasterInfo, Node
from hart_salt.node import bootstrap, ssh
from hart_salt.node.progress import Progress, facts_of
from hart_salt.node.readiness import Readiness
from hart_salt.node.watcher import Watcher

COMMAND_TIMEOUT = 60.0  #: seconds for the short commands over the session: result, start, seal
UNDO_ATTEMPTS = 4  #: looks and tries to take an instance back before the record is left for sweep
UNDO_INTERVAL = 2.0  #: seconds between them; lists of some clouds show an instance only after a second or two


@dataclass(frozen=True)
class NodeKind:
    """What a node becomes once its bootstrap is through."""

    #: as its record has it
    name: str
    become: Callable[[Node, Batch, NodeState, ssh.Session, bootstrap.Result], Awaitable[None]]
    #: what it boots with; None: as a minion
    spec: bootstrap.InstallSpec | None = None


@dataclass(frozen=True)
class Batch:
    """What the nodes of one call at one provider share."""

    master: Master
    info: MasterInfo
    store: Store
    driver: Driver
    watcher: Watcher
    access: Access
    client_key: ssh.Key
    progress: Progress
    presence: Readiness
    calls: Calls
    kind: NodeKind


@dataclass
class NodeState:
    """What one node has so far; the undo goes by it."""

    record: Record
    launched: bool = False
    instance: Instance | None = None
    key: str | None = None
    #: True once salt-minion was told to start: from then on the key may have been used
    minion_started: bool = False
    #: True once it is a sealed minion: from then on nothing undoes it
    sealed: bool = False
    notes: list[str] = field(default_factory=list)
    #: what the undo could not take back, in words
    left: list[str] = field(default_factory=list)
    #: problems of ``apply``, which do not undo the node
    problems: list[str] = field(default_factory=list)


def new_life(node: Node, batch: Batch) -> NodeState:
    """A node that has nothing yet."""
    return NodeState(_new_record(node, batch))


async def raise_node(node: Node, batch: Batch, life: NodeState) -> None:
    """
    Bring one node up; ``life`` tells at any time how far it is. ``problems`` in it are those of ``apply``.

    Raises ``HartError`` when it failed, and whatever cancelled it, in both cases after the undo.
    """
    host_key = ssh.make_key(f"hart-bootstrap-{node.minion_id}")
    async with _undone_on_failure(node, batch, life):
        await _launch(node, batch, life, host_key)
        instance = await _reach(node, batch, life)
        endpoint = _endpoint(node, batch, instance, host_key)
        async with await ssh.connect(
            endpoint, timeout=node.settings.boot_timeout, sleep=batch.calls.sleep, excerpt=batch.progress.excerpt
        ) as session:
            result = await _bootstrap(node, batch, life, session)
            await batch.kind.become(node, batch, life, session, result)
            await _run_script(node, batch, life, session)
            await _after(node, batch, life, session)
            await advance(node, batch, life, "ready")
            await _seal(node, batch, life, session)
    await _apply(node, batch, life)
    await _finish(node, batch, life)


async def _launch(node: Node, batch: Batch, life: NodeState, host_key: ssh.Key) -> None:
    """The record first, then the one create call. It is waited for even if the call is cancelled."""
    await advance(node, batch, life, "launching")
    user_data = bootstrap.render(
        bootstrap.Script(
            platform=batch.driver.platform,
            host_private_key=host_key.private,
            client_public_key=batch.client_key.public,
            master_public_key=batch.info.public_key,
            salt_version=node.settings.salt_version or batch.info.salt_version.split(".")[0],
            settings=node.settings,
            repository_key=_repository_key(node),
            forbid_passwords=batch.driver.password_logins,
            spec=batch.kind.spec,
        )
    )
    life.launched = True

    async def create() -> None:
        life.instance = await batch.calls.driver(batch.driver.launch, node, user_data, batch.access)

    await uninterrupted(create())


def _repository_key(node: Node) -> str:
    return Path(node.settings.salt_repo_key).read_text(encoding="ascii") if node.settings.salt_repo_key else ""


async def _reach(node: Node, batch: Batch, life: NodeState) -> Instance:
    """Wait until the instance runs and has the address that we connect to."""
    launched = life.instance
    assert launched is not None  # noqa: S101 - _launch has returned
    found = await batch.watcher.wait(
        launched.instance_id,
        lambda seen: seen.state == "running" and _address(node, seen) is not None,
        node.settings.boot_timeout,
        functools.partial(batch.calls.driver, batch.driver.instance, launched),
    )
    # It is the one that this call launched, also where its tags do not show yet.
    life.instance = dataclasses.replace(
        found, minion_id=node.minion_id, role=node.role, batch=node.batch, region=found.region or launched.region,
        zone=found.zone or launched.zone,
    )  # fmt: skip
    await advance(node, batch, life, "running")
    return life.instance


def _address(node: Node, instance: Instance) -> str | None:
    private = node.settings.connect_via == "private" or not node.settings.public_ip
    return instance.private_ip if private else instance.public_ip


def _endpoint(node: Node, batch: Batch, instance: Instance, host_key: ssh.Key) -> ssh.Endpoint:
    address = _address(node, instance)
    assert address is not None  # noqa: S101 - _reach waited for it
    return ssh.Endpoint(address, instance.ssh_port, host_key.public, batch.client_key)


def commands(batch: Batch, life: NodeState) -> bootstrap.Commands:
    """What can be called over the session."""
    assert life.instance is not None  # noqa: S101 - there is a session with it
    return bootstrap.commands(batch.driver.root(life.instance))


async def _bootstrap(node: Node, batch: Batch, life: NodeState, session: ssh.Session) -> bootstrap.Result:
    """Follow the script's log to its end and read the document that it leaves."""
    await advance(node, batch, life, "bootstrapping")
    known = commands(batch, life)
    await follow(node, batch, session, known.follow, "the bootstrap script", node.settings.bootstrap_timeout)
    document = await session.run(known.result, timeout=COMMAND_TIMEOUT, output="the bootstrap's result document")
    result = bootstrap.parse_result(document)
    if result.exit_code:
        raise NodeFailed(
            f"the bootstrap failed in step {result.failed_step} with exit code {result.exit_code}"
        )
    life.notes += result.notes
    # The name behind a host key is the node's own word: it may be a secret, and a record holds none.
    life.record = dataclasses.replace(life.record, ssh_host_keys=batch.progress.gate.data(result.host_keys))
    return result


async def follow(
    node: Node, batch: Batch, session: ssh.Session, command: str, what: str, timeout: float
) -> int:
    """
    Run a command on the node, show what it prints, and return its exit code.

    what
        the command in words
    timeout
        seconds until it is given up

    Raises ``NodeFailed`` when it is given up or prints too much.
    """
    work = session.stream(command, functools.partial(batch.progress.output, node.minion_id))
    try:
        return await asyncio.wait_for(work, timeout)
    except asyncio.TimeoutError as error:
        raise NodeFailed(f"{what} was not done within {timeout:g} s") from error


async def _become_minion(
    node: Node, batch: Batch, life: NodeState, session: ssh.Session, result: bootstrap.Result
) -> None:
    await _enrol(node, batch, life, result)
    await _start(node, batch, life, session)


MINION = NodeKind("minion", _become_minion)


async def _enrol(node: Node, batch: Batch, life: NodeState, result: bootstrap.Result) -> None:
    """
    Make the key that the node reported its accepted key.

    The id is the one that we gave; the session proved that the node is the one that we made. Nothing that
    the node says about itself is believed but its key.
    """
    key = check_public_key(result.minion_key)
    life.key = key
    # Before the key is accepted: sweep deletes a key only where a record says that it was the node's.
    life.record = dataclasses.replace(life.record, minion_key_finger=fingerprint(key))
    await advance(node, batch, life, "enrolling")
    notes = await uninterrupted(batch.calls.salt(batch.master.keys.accept, node.minion_id, key))
    if result.former_key:
        notes += await batch.calls.salt(batch.master.keys.holders, result.former_key)
    for note in notes:
        life.notes.append(note)
        batch.progress.line(node.minion_id, f"hart: {note}")
    await advance(node, batch, life, "enrolled")


async def _start(node: Node, batch: Batch, life: NodeState, session: ssh.Session) -> None:
    """Hand over the minion configuration, start salt-minion for the only time, and wait for its answer."""
    presence = batch.presence
    code = presence.expect(node.minion_id)
    life.minion_started = True
    stdin = configuration(node, batch, {ANSWER_SETTING: code})
    await session.run(commands(batch, life).start, stdin=stdin, timeout=COMMAND_TIMEOUT)
    timeout = node.settings.ready_timeout
    try:
        await asyncio.wait_for(presence.answer_of(node.minion_id), timeout)
    except asyncio.TimeoutError as error:
        # A master that was stopped meanwhile is why: this says so.
        await batch.calls.salt(batch.master.require_running)
        if not presence.heard(node.minion_id):
            raise NodeFailed(
                f"salt-minion was started but did not reach this master within {timeout:g} s: check that "
                f"saltmaster ({node.minion_config.get('master')}) is this master's address as the node sees it"
            ) from error
        reason = f" (asking failed last with: {presence.problem})" if presence.problem else ""
        raise NodeFailed(
            f"a start event of the minion came, but it did not answer this master within {timeout:g} s{reason}"
        ) from error


def configuration(node: Node, batch: Batch, more: Mapping[str, Any] = MappingProxyType({})) -> str:
    """The minion configuration, as it is handed over."""
    data = {**batch.driver.minion_defaults(node), **node.minion_config, **more}
    # On lines as long as they get: a secret that is broken in two would not be known again in the node's output.
    return yaml.safe_dump(data, default_flow_style=False, width=math.inf)


async def _run_script(node: Node, batch: Batch, life: NodeState, session: ssh.Session) -> None:
    """Run the operator's script on the node, where it stays as a record; its output goes to the log."""
    if not node.settings.script:
        return
    known = commands(batch, life)
    await session.run(known.keep_script, stdin=Path(node.settings.script).read_bytes())
    what = f"the script {node.settings.script}"
    status = await follow(node, batch, session, known.run_script, what, node.settings.apply_timeout)
    if status:
        raise NodeFailed(f"the script {node.settings.script} ended with exit code {status} on the node")


async def _after(node: Node, batch: Batch, life: NodeState, session: ssh.Session) -> None:
    """What the bootstrap put off until the minion was there: security upgrades, if it was told so."""
    what, timeout = "the security upgrade", node.settings.bootstrap_timeout
    if await follow(node, batch, session, commands(batch, life).after, what, timeout):
        raise NodeFailed("the security upgrades failed on the node")


async def _seal(node: Node, batch: Batch, life: NodeState, session: ssh.Session) -> None:
    """Remove all that the bootstrap opened: on the node first, over the session that this closes for good."""
    assert life.instance is not None  # noqa: S101 - there is a session with it
    await session.run(commands(batch, life).seal, timeout=COMMAND_TIMEOUT)
    await batch.calls.driver(batch.driver.settle, life.instance)
    life.record = dataclasses.replace(life.record, sealed=True)
    life.sealed = True
    await uninterrupted(batch.calls.salt(batch.store.put, life.record))


async def _apply(node: Node, batch: Batch, life: NodeState) -> None:
    """Apply states to the minion. It is a trusted minion by now: what fails here is reported, not undone."""
    if not node.settings.apply:
        return
    _show(node, batch, life, "applying")
    work = batch.calls.aside(batch.master.minions.apply, node.minion_id, node.settings.apply)
    try:
        life.problems = await asyncio.wait_for(work, node.settings.apply_timeout)
    except asyncio.TimeoutError:
        life.problems = [f"it was not done within {node.settings.apply_timeout:g} s"]
    except asyncio.CancelledError:
        life.problems = ["interrupted; the job goes on on the minion"]
        raise
    except Exception as error:
        life.problems = [f"{type(error).__name__}: {error}"]
    for problem in life.problems:
        batch.progress.line(node.minion_id, f"hart: {problem}")


def _new_record(node: Node, batch: Batch) -> Record:
    return Record(
        minion_id=node.minion_id,
        provider=node.provider,
        driver=node.driver,
        region=node.region,
        zone=node.zone,
        size=node.size,
        role=node.role,
        stage="launching",
        owner=batch.info.owner,
        batch=node.batch,
        kind=batch.kind.name,
        created=time.time(),
        log=batch.progress.log_path(node.minion_id),
    )


async def advance(node: Node, batch: Batch, life: NodeState, stage: str) -> None:
    """Write the record, then tell everyone: whoever hears of a stage finds it in the record."""
    instance = life.instance
    life.record = dataclasses.replace(
        life.record,
        stage=stage,
        instance_id=instance.instance_id if instance else None,
        zone=(instance.zone if instance else None) or life.record.zone,
        public_ip=instance.public_ip if instance else None,
        private_ip=instance.private_ip if instance else None,
    )
    await batch.calls.salt(batch.store.put, life.record)
    _show(node, batch, life, stage)


def _show(node: Node, batch: Batch, life: NodeState, stage: str, **more: Any) -> None:
    batch.progress.stage(node.minion_id, stage, {**facts_of(node, life.instance), **more})


async def _finish(node: Node, batch: Batch, life: NodeState) -> None:
    """The last write: sealed, with the seconds of every stage."""
    _show(node, batch, life, "done")
    life.record = dataclasses.replace(life.record, seconds=batch.progress.seconds(node.minion_id))
    await batch.calls.salt(batch.store.put, life.record)


# undo


@asynccontextmanager
async def _undone_on_failure(node: Node, batch: Batch, life: NodeState) -> AsyncIterator[None]:
    try:
        yield
    except BaseException as error:
        if life.sealed:  # the session was being closed; the node is a minion, and is reported as one
            raise
        reason = batch.progress.gate.error(_reason(error))
        keep = node.settings.keep_failed and isinstance(error, Exception)
        await uninterrupted(_undo(node, batch, life, reason, keep))
        if isinstance(error, Exception):
            raise NodeFailed("; ".join([reason, *life.left])) from error
        raise


def _reason(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "interrupted"
    return faults.reason(error)


async def _undo(node: Node, batch: Batch, life: NodeState, reason: str, keep: bool) -> None:
    """
    Take back what the node had: the instance, its key, its record.

    The instance goes before its key, or a minion that is still there would ask to be let in again. What
    cannot be taken back is told in ``life.left``; the record then stays, for ``hart.destroy`` and for sweep.
    """
    batch.progress.line(node.minion_id, f"hart: {reason}")
    remedy = f"salt-run hart.destroy {node.minion_id} removes it"
    left = life.left = [f"the instance was kept as asked; {remedy}"] if keep else []
    if not keep:
        left += await _attempt(_remove_instance(node, batch, life), "the instance could not be removed")
    if life.key:
        connected = life.minion_started
        work = batch.calls.salt(
            functools.partial(batch.master.keys.delete_one, node.minion_id, life.key, connected=connected)
        )
        left += await _attempt(work, "the key could not be deleted")
    if left:
        left += [] if keep else [remedy]
        life.record = dataclasses.replace(life.record, stage="failed", error=reason, kept=keep)
        left += await _attempt(batch.calls.salt(batch.store.put, life.record), "its record could not be kept")
    else:
        left += await _attempt(
            batch.calls.salt(batch.store.remove, node.minion_id), "its record could not be removed"
        )
    _show(node, batch, life, "failed", error=reason, left=left)


async def _attempt(work: Awaitable[Any], failure: str) -> list[str]:
    """Do one part of the undo; a part that fails does not keep the others from being done."""
    try:
        await work
    except Exception as error:
        return [f"{failure}: {faults.as_fault(error) or error}"]
    return []


async def _remove_instance(node: Node, batch: Batch, life: NodeState) -> None:
    """
    Terminate the instance, also one of which only the provider knows: the answer to its create was lost.

    It is known by its minion id and the batch, both of which were in the create call.
    """
    if not life.launched:
        return
    for attempt in range(UNDO_ATTEMPTS):
        if attempt:
            await batch.calls.sleep(UNDO_INTERVAL)
        try:
            life.instance = life.instance or await _find(node, batch)
            if life.instance is not None:
                await batch.calls.driver(batch.driver.terminate, life.instance)
                return
        except DriverError:
            if attempt == UNDO_ATTEMPTS - 1:
                raise


async def _find(node: Node, batch: Batch) -> Instance | None:
    for instance in await batch.calls.driver(batch.driver.instances, node.region):
        if instance.minion_id == node.minion_id and instance.batch == node.batch:
            return instance
    return None
