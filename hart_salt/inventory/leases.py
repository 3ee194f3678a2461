"""
Locks for several masters: leases at a coordination server, and the sessions that records name.

A call has one lease, its session, and busy means that the session lives. To take a node, a call holds a short lease
with the node's name while it reads the record and writes its own session into it. After that, the record is the fence:
before an instance is made or ended, the session must still be in it.

A session whose process has died is known to be dead at once on its own machine, because the kernel releases the lock of
a file there. Other machines wait until its lease has run out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hart_salt.base import machine
from hart_salt.base.errors import BrokenRecord, EnvironmentFault, LeaseLost
from hart_salt.base.stopping import Stop
from hart_salt.coordination.contract import Engine, Lease, plain
from hart_salt.inventory import flocks, session
from hart_salt.inventory.locks import BatchClaim, at_work, is_own, known
from hart_salt.inventory.records import LOCAL, UNKNOWN, Record, Store
from hart_salt.inventory.session import Session, Times

#: the end of the name of a file that is locked as long as the process of a session lives
ALIVE = ".session"


class LeaseLocks:
    """The locks of one call, at a server; see ``locks.Locks``."""

    def __init__(
        self, engine: Engine, store: Store, cachedir: str, times: Times | None = None,
        clock: Callable[[], float] = session.now, sleep: Callable[[float], None] = time.sleep,
        start: Callable[[Callable[[], None]], None] = session.in_thread, owner: str = "",
    ) -> None:  # fmt: skip
        """
        Prepare the locks; the first claim begins the session, and the end of the last claim ends it.

        ``store`` has the records that all masters share. ``clock`` counts seconds, ``sleep`` waits, and ``start`` runs
        the renewal of leases in the background. ``owner`` is this master's mark (default: any mark counts as its own).
        """
        self.words = engine.words
        self.stop = Stop()
        self._engine = engine
        self._store = store
        self._cachedir = cachedir
        self._files = Files(flocks.directory_of(cachedir))
        self._times = times or Times()
        self._clock = clock
        self._sleep = sleep
        self._start = start
        self._owner = owner
        self._mutex = threading.RLock()
        self._random = secrets.token_hex(6)
        self._open: Session | None = None
        self._holds = 0
        self._file: contextlib.ExitStack | None = None
        #: nodes that this call has claimed; True: there is no record, so the short lease is kept
        self._claimed: dict[str, bool] = {}

    @property
    def session(self) -> str:
        """The name of this call in records."""
        return f"{self._files.machine}-{self._random}"

    @property
    def machine(self) -> str:
        """The name of this machine in records."""
        return machine.machine(self._cachedir)

    def elsewhere(self, record: Record) -> str:
        """Return why only another master can judge and change the node; see ``Locks``."""
        if self._owner and record.owner != self._owner:
            return f"the master with the mark {record.owner} created it (the mark of this master is {self._owner})"
        if record.machine is not None:
            return (
                "" if machine.is_same(record.machine, self.machine) else f"it runs on {machine.name_of(record.machine)}"
            )
        if record.driver == LOCAL and record.stage != UNKNOWN and not self._is_local(record):
            return "it runs on another machine, which its record does not name, because its instance is not on this one"
        return ""

    def _is_local(self, record: Record) -> bool:
        """Return whether this machine has the instance of a record from before ``coordination`` was set."""
        name = record.instance_id or record.minion_id
        return os.path.lexists(machine.local_instances(self._cachedir, record.provider) / name)

    def check(self) -> str:
        """Take a lease, look it up and give it back."""
        with self._held_name(f"hart/check/{self.session}", self._times.taking, 0) as lease:
            if lease is None or not self._engine.living([lease.name]):
                raise EnvironmentFault(f"{self.words} does not keep leases")
        return f"leases at {self.words}"

    # the session

    @contextmanager
    def _in_session(self) -> Iterator[Session]:
        """Begin the session with the first block, and end it with the last."""
        self.stop.check()
        with self._mutex:
            if self._open is None:
                self._begin()
            assert self._open is not None  # noqa: S101 - it has begun
            self._holds += 1
            opened = self._open
        try:
            yield opened
        finally:
            with self._mutex:
                self._holds -= 1
                if not self._holds:
                    self._end()

    def _begin(self) -> None:
        name = _of_session(self.session)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._files.alive(self.session))
            self._free_dead()
            self._files.note(self.session, name)
            begun = self._clock()
            lease = self._engine.take(name, self._times.lease, holder=self.session)
            if lease is None:
                # Its file is locked, so no other process has this name: an earlier answer of the server was lost.
                raise EnvironmentFault(f"{self.words} has the lease of this call already; call again")
            self._open = Session(lease, self.words, self.stop, self._times, self._clock, begun, self._start)
            self._file = stack.pop_all()

    def _end(self) -> None:
        opened, file, self._open, self._file = self._open, self._file, None, None
        try:
            if opened is not None:
                opened.end()
        finally:
            if file is not None:
                file.close()
        self._engine.close()

    def check_alive(self) -> None:
        """Raise ``LeaseLost`` if the lease of this call has ended; this asks nobody."""
        if lost := self._lost():
            raise LeaseLost(lost)

    def _lost(self) -> str:
        opened = self._open
        return opened.lost if opened is not None else self.stop.reason

    # nodes

    @contextmanager
    def claim(self, minion_id: str, new: Record | None = None) -> Iterator[bool]:
        """Write the session of this call into the record of a node, or hold a lease if it has none; see ``Locks``."""
        with self._in_session() as opened, contextlib.ExitStack() as stack:
            name = f"hart/node/{minion_id}"
            # For as long as the lease of the call: without a record it is kept and renewed like that.
            short = stack.enter_context(self._held_name(name, self._times.lease, self._times.patient))
            if short is None or minion_id in self._claimed:
                raise at_work(minion_id)
            recorded = self._take(minion_id, new)
            self._claimed[minion_id] = not recorded
            if recorded:
                stack.close()
            else:
                opened.add(short)
                stack.callback(opened.drop, short)
            try:
                yield new is not None
            finally:
                del self._claimed[minion_id]

    def _take(self, minion_id: str, new: Record | None) -> bool:
        """
        Write the session into the record; return whether there is one now.

        Raises ``Refused`` if another living call works on the node, or if ``new`` is given and there is a record.
        """
        begun = self._clock()
        try:
            found = self._store.get(minion_id)
        except BrokenRecord:
            if new is not None:
                raise
            return False  # nothing can be written into it
        # A call can work on a node several times, such as a scale that seals it first; two claims at once are refused.
        if found is not None and found.session != self.session and self._lives(found.session):
            raise at_work(minion_id)
        if found is not None and new is not None:
            raise known(minion_id)
        record = new or found
        if record is None:
            return False
        self._check_quick(minion_id, begun, self._times.taking / 2)
        self.check_alive()
        self._store.put(dataclasses.replace(record, session=self.session))
        # The write itself may have waited for the store. Then another call may have claimed the node before it was
        # done: that call finds this session in the record at its next check, and both leave the node.
        self._check_quick(minion_id, begun, self._times.taking)
        return True

    def _check_quick(self, minion_id: str, begun: float, limit: float) -> None:
        if self._clock() - begun >= limit:
            raise EnvironmentFault(f"the record store ({self._store.place}) answers too slowly to claim {minion_id}")

    def busy(self, minion_id: str) -> bool:
        """Return whether a living call works on the node."""
        try:
            record = self._store.get(minion_id)
        except BrokenRecord:
            return False
        return record is not None and self._lives(record.session)

    def look(self, records: Mapping[str, Record]) -> LeaseLook:
        """Return who works on what; the sessions of all records are looked up at once."""
        batches = self._store.batches()
        sessions = {record.session for record in records.values()} | {_session_of(facts) for facts in batches.values()}
        return LeaseLook(records, batches, self._living({one for one in sessions if one}), self._judges)

    def check_mine(self, minion_id: str, *, creating: bool = False) -> None:
        """Check that the record still names this call's session; see ``Locks``."""
        lost = self._lost()
        if lost and (creating or self._claimed.get(minion_id, True)):
            raise LeaseLost(lost)
        if self._claimed.get(minion_id, False):
            return
        try:
            record = self._store.get(minion_id)
        except EnvironmentFault:
            if lost or creating:
                raise
            return  # nobody takes a node from a session that lives
        if record is None and not lost and not creating:
            return  # the store has lost it: nobody removes the record of a session that lives
        if record is None or record.session != self.session:
            raise LeaseLost(
                f"{minion_id} is no longer this call's: another call has taken it over, and hart leaves its instance "
                "to that call"
            )

    # sessions

    def _lives(self, name: str | None) -> bool:
        return bool(name) and name in self._living({str(name)})

    def _living(self, names: Collection[str]) -> frozenset[str]:
        """Return the sessions that live: not those of this machine whose process has died, whatever the server says."""
        possible = {_of_session(name): name for name in names if not self._files.is_dead(name)}
        return frozenset(possible[found] for found in self._engine.living(possible.keys()))

    # batches

    @contextmanager
    def batch(self, batch: str, facts: Mapping[str, Any]) -> Iterator[BatchClaim]:
        """Write the claim of a batch beside the records; see ``Locks``."""
        with self._in_session():
            self._store.put_batch(batch, {**facts, "session": self.session})
            claim = BatchClaim()
            try:
                yield claim
            finally:
                if not claim.keep:
                    # If it stays, the next sweep finds nothing of it and removes it.
                    with suppress(EnvironmentFault):
                        self._store.remove_batch(batch)

    def batch_lives(self, batch: str) -> bool:
        """Return whether the session of a batch lives."""
        return self.look({}).batch_lives(batch)

    def dead_batches(self) -> dict[str, dict[str, Any]]:
        """Return the batches whose sessions are dead."""
        return self.look({}).dead_batches()

    def forget_batch(self, batch: str) -> None:
        """Remove the claim of a dead batch."""
        with suppress(EnvironmentFault):
            self._store.remove_batch(batch)

    def _judges(self, facts: Mapping[str, Any]) -> bool:
        """Return whether a batch may have left something that this master can see: it lists only its own mark."""
        written = facts.get("machine")
        here = not isinstance(written, str) or machine.is_same(written, self.machine)
        return here and is_own(facts, self._owner)

    # roles and the sweep

    @contextmanager
    def role(self, role: str, *, wait: bool) -> Iterator[bool]:
        """Hold the lease of a role; see ``Locks``."""
        with self._long(f"hart/role/{role}", float("inf") if wait else 0) as held:
            yield held

    @contextmanager
    def sweep(self, *, wait: float) -> Iterator[bool]:
        """Hold the lease of the sweep; see ``Locks``."""
        with self._long("hart/sweep", wait) as held:
            yield held

    @contextmanager
    def _long(self, name: str, wait: float) -> Iterator[bool]:
        """Hold a lease that is renewed with the session; yield whether it is held."""
        with self._in_session() as opened:
            lease = self._taken(name, self._times.lease, wait, self._times.waiting)
            if lease is None:
                yield False
                return
            opened.add(lease)
            try:
                yield True
            finally:
                opened.drop(lease)

    @contextmanager
    def _held_name(self, name: str, seconds: float, wait: float) -> Iterator[Lease | None]:
        """Hold a lease for a moment, without renewals."""
        lease = self._taken(name, seconds, wait, self._times.attempt, brief=True)
        try:
            yield lease
        finally:
            if lease is not None:
                with suppress(EnvironmentFault):
                    lease.release()

    def _taken(self, name: str, seconds: float, wait: float, pause: float, *, brief: bool = False) -> Lease | None:
        """
        Take a lease, for which the call waits up to ``wait`` seconds.

        It does not wait for a call of this machine whose process has died.
        """
        until = self._clock() + wait
        self._files.note(self.session, plain(name))
        while True:
            lease = self._engine.take(plain(name), seconds, brief=brief, holder=self.session)
            if lease is None and self._free_dead():
                continue
            if lease is not None or self._clock() >= until:
                return lease
            self._sleep(pause)
            self.stop.check()

    def clear(self) -> None:
        """Free the leases of sessions of this machine whose processes have died, and remove all files of dead ones."""
        with suppress(EnvironmentFault):
            self._free_dead()
            self._files.clear()

    def _free_dead(self) -> bool:
        """Free the leases of the sessions of this machine whose processes have died; return whether there were any."""
        return self._files.free_dead(self._engine.free)


class LeaseLook:
    """Who works on what, seen with the records of one snapshot."""

    def __init__(
        self, records: Mapping[str, Record], batches: Mapping[str, Mapping[str, Any]], living: Collection[str],
        judges: Callable[[Mapping[str, Any]], bool],
    ) -> None:  # fmt: skip
        """Keep the sessions that live; ``judges`` says whether this master may judge a batch with such facts."""
        self._records = records
        self._batches = batches
        self._living = living
        self._judges = judges

    def busy(self, minion_id: str) -> bool:
        """Return whether a living call works on the node; a node without a record is nobody's."""
        record = self._records.get(minion_id)
        return record is not None and record.session in self._living

    def batch_lives(self, batch: str) -> bool:
        """Return whether the session of a batch lives."""
        return batch in self._batches and _session_of(self._batches[batch]) in self._living

    def dead_batches(self) -> dict[str, dict[str, Any]]:
        """Return the batches whose sessions are dead, as far as this master can judge them."""
        return {
            batch: dict(facts)
            for batch, facts in self._batches.items()
            if _session_of(facts) not in self._living and self._judges(facts)
        }


class Files:
    """
    The files of this machine that say which sessions have a living process: each locks its own.

    A file has the names of the leases that its session took, or was about to take, one per line.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._machine = ""
        #: the names in the file of the session that this process has
        self._noted: set[str] = set()

    @property
    def machine(self) -> str:
        """What the names of all sessions of this machine, and of no other, begin with."""
        if not self._machine:
            flocks.make_directory(self._directory)
            self._machine = machine.running_machine(self._directory)
        return self._machine

    @contextmanager
    def alive(self, name: str) -> Iterator[None]:
        """Lock the file of a session. Only a process that takes it for that of a dead one can have it, for a moment."""
        self._noted.clear()
        with flocks.held(self._path(name), wait=True):
            yield

    def note(self, name: str, lease: str) -> None:
        """Write the name of a lease into the file of a session, before the session takes it."""
        path = self._path(name)
        if lease in self._noted or not path.exists():
            return
        with suppress(OSError), path.open("a") as file:  # without a note, its time must pass after a crash
            file.write(f"\n{lease}")
            self._noted.add(lease)

    def is_dead(self, name: str) -> bool:
        """Return whether a session is of this machine and its process has died."""
        if not name.startswith(f"{self.machine}-"):
            return False
        try:
            return not flocks.is_held(self._path(name))
        except EnvironmentFault:  # the file of another user: its lease decides
            return False

    def free_dead(self, free: Callable[[Collection[str], str], None]) -> bool:
        """
        Free the leases of the dead sessions of this machine and remove their files; return whether there were any.

        ``free`` gets the names of the leases that a session may have, and the session. If it fails, the file stays.
        """
        found = False
        for path in self._directory.glob(f"{self.machine}-*{ALIVE}"):
            with flocks.abandoned(path) as names:
                if names:
                    free(names, path.name.removesuffix(ALIVE))
                    found = True
        return found

    def clear(self) -> None:
        """Remove the files of dead sessions."""
        for path in self._directory.glob(f"*{ALIVE}"):
            with flocks.abandoned(path):
                pass

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{ALIVE}"


def _of_session(name: str) -> str:
    return plain(f"hart/session/{name}")


def _session_of(facts: Mapping[str, Any]) -> str:
    return str(facts.get("session") or "")
