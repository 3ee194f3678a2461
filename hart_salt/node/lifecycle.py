"""
The life of one node, from launch to sealed minion.

``Lifecycle.run`` reads from top to bottom as the life of one node. A failure or a cancellation rolls back what was
done; see ``undo.py``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml

from hart_salt.base import faults
from hart_salt.base.concurrency import uninterrupted, within
from hart_salt.base.errors import NodeFailed
from hart_salt.inventory.locks import Locks, machine_of
from hart_salt.inventory.records import Record
from hart_salt.master.listener import ANSWER_SETTING
from hart_salt.master.public_keys import check_public_key, fingerprint
from hart_salt.model import Instance, MasterInfo, Node
from hart_salt.node import bootstrap, minion_log, ssh
from hart_salt.node.batch import Batch, NodeKind, NodeState
from hart_salt.node.progress import facts_of
from hart_salt.node.undo import Undo
from hart_salt.planning.minion_config import watches_interruptions

T = TypeVar("T")

#: libyaml's dumper writes the same as PyYAML's own and takes a twentieth of the time
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
UNLIMITED = 2**31 - 1  #: characters of a line
COMMAND_TIMEOUT = 60.0  #: seconds for each of the short commands over the session: start, seal


class Lifecycle:
    """One node of a batch: creates the instance and turns it into a minion."""

    def __init__(self, node: Node, batch: Batch) -> None:
        self.node = node
        self.batch = batch
        log = batch.progress.log_path(node.minion_id)
        record = new_record(node, batch.info, batch.kind, batch.locks, log, batch.by)
        self.state = NodeState(record, notes=list(node.notes))
        self.undo = Undo(node, batch, self.state, self.show)

    async def run(self) -> None:
        """
        Bring the node up.

        ``state`` shows at any time how far the node is; its ``problems`` are those of ``apply``.

        Raises ``HartError`` if the node failed, and the cancellation if it was cancelled, in both cases after the undo.
        """
        if self.batch.kind.course is not None:
            await self.batch.kind.course(self)
            return
        async with self.undo.on_failure(), self.bootstrapped() as (session, result):
            await self.batch.kind.become(self, session, result)
            await self._run_script(session)
            await self.after(session)
            self.note(protected=self.node.settings.protect)
            await self.advance("ready")
            await self._seal(session)
        if self.node.settings.apply:
            await self.apply()
            await self.finish()

    @asynccontextmanager
    async def bootstrapped(self) -> AsyncIterator[tuple[ssh.Session, bootstrap.Result]]:
        """Create the instance, and yield the session with it and the result of its bootstrap. Undo nothing."""
        host_key = ssh.make_key(f"hart-bootstrap-{self.node.minion_id}")
        await self._launch(host_key)
        instance = await self._reach()
        async with await self._connect(instance, host_key) as session:
            yield session, await self._bootstrap(session)

    async def _launch(self, host_key: ssh.Key) -> None:
        """Write the record, then make the one create call, and wait for its answer even if the call is cancelled."""
        self.batch.progress.note(self.node.minion_id, f"hart: batch {self.node.batch}")
        await self.advance("launching")
        user_data = bootstrap.render(
            bootstrap.Script(
                platform=self.batch.driver.platform,
                host_private_key=host_key.private,
                client_public_key=self.batch.client_key.public,
                master_public_key=self.batch.info.public_key,
                salt_version=self.node.settings.salt_version or self.batch.info.salt_version.split(".")[0],
                settings=self.node.settings,
                repository_key=self._repository_key(),
                forbid_passwords=self.batch.driver.password_logins,
                spec=self.batch.kind.spec,
                signing_key=self.batch.info.terms.signing_key,
                signing_key_name=self._signing_key_name(),
                baked=bool(self.node.baked),
                boothooks=self.batch.driver.boothooks,
            )
        )
        await self.batch.calls.salt(functools.partial(self.batch.locks.check_mine, self.node.minion_id, creating=True))
        self.state.launched = True

        async def create() -> None:
            launch = self.batch.driver.launch
            self.state.instance = await self.batch.calls.driver(launch, self.node, user_data, self.batch.access)

        await uninterrupted(create())

    def _signing_key_name(self) -> str:
        """Return the name under which the minion looks for the key that verifies the keys of other masters."""
        return str(self.node.minion_config.get("master_sign_key_name") or self.batch.info.terms.signing_key_name)

    def _repository_key(self) -> str:
        path = self.node.settings.salt_repo_key
        return Path(path).read_text(encoding="ascii") if path else ""

    async def _reach(self) -> Instance:
        """Wait until the instance runs and has the address that hart connects to."""
        launched = self.state.instance
        assert launched is not None  # noqa: S101 - _launch has returned
        found = await self.batch.watcher.wait(
            launched.instance_id,
            lambda seen: seen.state == "running" and self._address(seen) is not None,
            self.node.settings.boot_timeout,
            functools.partial(self.batch.calls.driver, self.batch.driver.instance, launched),
        )
        # It is the instance that this call launched, even if the provider does not show its tags yet.
        self.state.instance = dataclasses.replace(
            found, minion_id=self.node.minion_id, role=self.node.role, batch=self.node.batch,
            region=found.region or launched.region, zone=found.zone or launched.zone,
        )  # fmt: skip
        await self.advance("running")
        return self.state.instance

    def _address(self, instance: Instance) -> str | None:
        private = self.node.settings.connect_via == "private" or not self.node.settings.public_ip
        return instance.private_ip if private else instance.public_ip

    def _connect(self, instance: Instance, host_key: ssh.Key) -> Awaitable[ssh.Session]:
        """Open the one session with the node; only the host key from its user-data is accepted."""
        address = self._address(instance)
        assert address is not None  # noqa: S101 - _reach waited for it
        endpoint = ssh.Endpoint(address, instance.ssh_port, host_key.public, self.batch.client_key)
        return ssh.connect(
            endpoint, timeout=self.node.settings.boot_timeout, sleep=self.batch.calls.sleep,
            excerpt=self.batch.progress.excerpt, handshakes=self.batch.handshakes,
        )  # fmt: skip

    def commands(self) -> bootstrap.Commands:
        """Return the commands that can be run over the session."""
        assert self.state.instance is not None  # noqa: S101 - there is a session with it
        return bootstrap.commands(self.batch.driver.root(self.state.instance))

    async def _bootstrap(self, session: ssh.Session) -> bootstrap.Result:
        """Follow the script's log to its end and read the result document."""
        await self.advance("bootstrapping")
        known = self.commands()
        output = functools.partial(self.batch.progress.output, self.node.minion_id)
        work = session.follow(known.follow, output, output="the bootstrap's result document")
        document = await self._in_time(work, "the bootstrap script", self.node.settings.bootstrap_timeout)
        result = bootstrap.parse_result(document)
        if result.exit_code:
            reason = f": {result.reason}" if result.reason else ""
            code = f"with exit code {result.exit_code}"
            raise NodeFailed(f"the bootstrap failed in step {result.failed_step} {code}{reason}")
        self.state.notes += result.notes
        # The node chooses the comment of a host key: it may be a secret, and a record holds none.
        self.note(ssh_host_keys=self.batch.progress.gate.data(result.host_keys))
        return result

    async def follow(self, session: ssh.Session, command: str, what: str, timeout: float) -> int:
        """
        Run a command on the node, show what it prints, and return its exit code.

        ``what`` names the command in errors; ``timeout`` is in seconds.

        Raises ``NodeFailed`` if the command exceeds the timeout or prints too much.
        """
        work = session.stream(command, functools.partial(self.batch.progress.output, self.node.minion_id))
        return await self._in_time(work, what, timeout)

    async def _in_time(self, work: Awaitable[T], what: str, timeout: float) -> T:
        try:
            return await within(work, timeout)
        except asyncio.TimeoutError as error:
            raise NodeFailed(f"{what} did not finish within {timeout:g} s") from error

    async def enrol(self, result: bootstrap.Result) -> None:
        """
        Accept the minion key that the node reported.

        The id is the one that hart chose; the session proved that the node is the one that hart created. Of all that
        the node says about itself, hart believes only its key.
        """
        key = check_public_key(result.minion_key)
        self.state.key = key
        # Before the key is accepted: sweep deletes a key only if a record says that it belongs to the node.
        self.note(minion_key_finger=fingerprint(key))
        await self.advance("enrolling")
        notes = await self.batch.enrolment.accept(self.node.minion_id, key)
        if self.batch.peer_keys:
            self.state.on_peers = True
            notes += await self.batch.peer_keys.accept(self.node.minion_id, key)
        if result.former_key:
            notes += await self.batch.enrolment.holders(self.node.minion_id, result.former_key)
        for note in notes:
            self.state.notes.append(note)
            self.batch.progress.line(self.node.minion_id, f"hart: {note}")
        await self.advance("enrolled")

    async def start(self, session: ssh.Session) -> None:
        """Write the minion configuration, start salt-minion for the first time, and wait for its answer."""
        readiness = self.batch.readiness
        code = readiness.expect(self.node.minion_id)
        self.state.minion_started = True
        if watches_interruptions(self.node):
            await session.run(self.commands().bring_module, stdin=bootstrap.module(), timeout=COMMAND_TIMEOUT)
        stdin = self.configuration({ANSWER_SETTING: code})
        await session.run(self.commands().start, stdin=stdin, timeout=COMMAND_TIMEOUT)
        timeout = self.node.settings.ready_timeout
        hint = f"check that the node can reach this master at saltmaster ({self.node.minion_config.get('master')})"
        try:
            await within(readiness.answer_of(self.node.minion_id), timeout)
        except asyncio.TimeoutError as error:
            # If the master was stopped, that is the reason, and this raises it.
            await self.batch.calls.salt(self.batch.master.require_running)
            said = await self._minion_errors(session)
            if not readiness.heard(self.node.minion_id):
                raise NodeFailed(
                    f"salt-minion was started but did not reach this master within {timeout:g} s: {said}{hint}"
                ) from error
            reason = f" (last error: {readiness.problem})" if readiness.problem else ""
            raise NodeFailed(
                f"the minion sent its start event but did not answer this master within {timeout:g} s{reason}"
                + (f": {said}" if said else "").removesuffix("; ")
            ) from error

    async def _minion_errors(self, session: ssh.Session) -> str:
        """Return what the minion's own log says, for an error; empty if it says nothing or cannot be read."""
        assert self.state.instance is not None  # noqa: S101 - there is a session with it
        command = minion_log.command(self.batch.driver.root(self.state.instance), self.node.minion_config)
        try:
            text = await session.run(command, timeout=COMMAND_TIMEOUT, output="the minion's log")
        except NodeFailed:
            return ""
        errors = minion_log.last_errors(text)
        return f"its log says: {self.batch.progress.excerpt(' | '.join(errors))}; " if errors else ""

    def configuration(self, more: Mapping[str, Any] = MappingProxyType({})) -> str:
        """Return the minion configuration in YAML, with ``more`` added."""
        data = {**self.batch.driver.minion_defaults(self.node), **self.node.minion_config, **more}
        # Lines are not wrapped: redaction would not find a secret that is split in two in the node's output.
        return str(yaml.dump(data, Dumper=DUMPER, default_flow_style=False, width=UNLIMITED))

    async def _run_script(self, session: ssh.Session) -> None:
        """Run the operator's script on the node; the script stays there, and its output goes to the log."""
        if not self.node.settings.script:
            return
        known = self.commands()
        await session.run(known.keep_script, stdin=Path(self.node.settings.script).read_bytes())
        what = f"the script {self.node.settings.script}"
        status = await self.follow(session, known.run_script, what, self.node.settings.apply_timeout)
        if status:
            raise NodeFailed(f"the script {self.node.settings.script} ended with exit code {status} on the node")

    async def after(self, session: ssh.Session) -> None:
        """Run what the bootstrap deferred until the minion is ready: security upgrades, if the settings ask for it."""
        if self.node.settings.security_upgrades != "after":
            return
        what, timeout = "the security upgrade", self.node.settings.bootstrap_timeout
        if await self.follow(session, self.commands().after, what, timeout):
            raise NodeFailed("the security upgrades failed on the node")

    async def _seal(self, session: ssh.Session) -> None:
        """Remove every access that the bootstrap opened, first on the node, then at the provider."""
        assert self.state.instance is not None  # noqa: S101 - there is a session with it
        await session.run(self.commands().seal, stdin=bootstrap.seal_input(), timeout=COMMAND_TIMEOUT)
        await uninterrupted(self._settle(self.state.instance))

    async def _settle(self, instance: Instance) -> None:
        """
        Do the provider's part of sealing, and write to the record that the node is sealed: both, or nothing.

        Without states to apply, this is also the last time that the record is written.
        """
        await self.batch.calls.driver(self.batch.driver.settle, instance)
        self.note(sealed=True)
        self.state.sealed = True
        if self.node.settings.protect:
            await self._protect(instance)
        if not self.node.settings.apply:
            await self.finish()
            return
        self.state.problems = ["it was not started"]  # replaced once it starts; a signal may come before
        await self.batch.calls.salt(self.batch.store.put, self.state.record)

    async def _protect(self, instance: Instance) -> None:
        """
        Protect a sealed node at the provider. A failure is reported and not undone: its record protects it by now.

        Not before: an instance that is rolled back must not be protected.
        """
        try:
            await self.batch.calls.driver(functools.partial(self.batch.driver.protect, instance, on=True))
        except Exception as error:  # even a defect of the driver
            self.state.unprotected = faults.reason(error)
            self.batch.progress.line(self.node.minion_id, f"hart: it is not protected: {self.state.unprotected}")

    async def apply(self) -> None:
        """Apply states to the minion; a failure is reported and not undone, since the minion is trusted by now."""
        self.show("applying")
        self.batch.applying(self.node.minion_id)
        settings, minions = self.node.settings, self.batch.master.minions
        work = self.batch.calls.aside(minions.apply, self.node.minion_id, settings.apply, settings.apply_timeout)
        try:
            done = await within(work, settings.apply_timeout)
            self.state.problems = done.problems
            if done.details:
                self.batch.progress.line(self.node.minion_id, "\n".join(done.details))
        except asyncio.TimeoutError:
            self.state.problems = [f"it did not finish within {settings.apply_timeout:g} s"]
        except asyncio.CancelledError:
            self.state.problems = ["interrupted; the job continues on the minion"]
            raise
        except Exception as error:
            self.state.problems = [f"{type(error).__name__}: {error}"]
        for problem in self.state.problems:
            self.batch.progress.line(self.node.minion_id, f"hart: {problem}")

    async def advance(self, stage: str) -> None:
        """Write the stage to the record, then report it: who receives the event finds the stage in the record."""
        instance = self.state.instance
        self.note(
            stage=stage,
            instance_id=instance.instance_id if instance else None,
            zone=(instance.zone if instance else None) or self.state.record.zone,
            public_ip=instance.public_ip if instance else None,
            private_ip=instance.private_ip if instance else None,
        )
        self.batch.locks.check_alive()
        await self.batch.calls.salt(self.batch.store.put, self.state.record)
        self.show(stage)

    def note(self, **facts: Any) -> None:
        """Change the record in memory; ``advance`` writes it."""
        self.state.record = dataclasses.replace(self.state.record, **facts)

    def show(self, stage: str, **more: Any) -> None:
        self.batch.progress.stage(self.node.minion_id, stage, {**facts_of(self.node, self.state.instance), **more})

    async def finish(self) -> None:
        """Write the record for the last time, with the seconds of every stage: no call works on the node any more."""
        problems = self.state.problems
        self.show("done", **({"error": f"apply failed: {'; '.join(problems)}"} if problems else {}))
        self.note(seconds=self.batch.progress.seconds(self.node.minion_id), session=None)
        await self.batch.calls.salt(self.batch.store.put, self.state.record)


async def _become_minion(life: Lifecycle, session: ssh.Session, result: bootstrap.Result) -> None:
    await life.enrol(result)
    await life.start(session)


MINION = NodeKind("minion", _become_minion)


def new_record(node: Node, info: MasterInfo, kind: NodeKind, locks: Locks, log: str | None, by: str = "") -> Record:
    """Return the record of a node that is about to be created."""
    return Record(
        minion_id=node.minion_id,
        driver=node.driver,
        **dataclasses.asdict(node.place),
        role=node.role,
        stage="launching",
        owner=info.owner,
        batch=node.batch,
        kind=kind.name,
        created=time.time(),
        log=log,
        session=locks.session,
        machine=machine_of(node.driver, locks),
        by=by or None,
        monthly_price=node.monthly_price,
        currency=node.currency,
        digest=node.digest or None,
        ends=node.ends,
    )
