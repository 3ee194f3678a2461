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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from hart_salt.base import machine
from hart_salt.base.errors import BrokenRecord, EnvironmentFault, HartError, LeaseLost
from hart_salt.base.stopping import Stop
from hart_salt.coordination.contract import Engine, Lease, plain
from hart_salt.inventory import flocks, session
from hart_salt.inventory.lease_look import LeaseLook, session_of
from hart_salt.inventory.locks import BatchClaim, at_work, is_own, known
from hart_salt.inventory.records import LOCAL, UNKNOWN, Record, Store
from hart_salt.inventory.session import Session, Times
from hart_salt.inventory.session_files import Files


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
        #: nodes that this call has claimed; if there is no record, with the short lease, which is kept then
        self._claimed: dict[str, Lease | None] = {}
        #: the facts of the batches that this call has
        self._batches: dict[str, Mapping[str, Any]] = {}
        #: whether a record of a claim that does not count could not be taken back
        self._left_behind = False

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
        with self._held_name(plain(f"hart/check/{self.session}"), self._times.taking, 0) as lease:
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
            # For as long as the lease of the call: without a record it is kept and renewed like that.
            name, times = _of_node(minion_id), self._times
            lease = self._taken(name, times.lease, times.patient, times.attempt, brief=True)
            if lease is None:
                raise at_work(minion_id)
            stack.callback(_release, lease)
            if minion_id in self._claimed:
                raise at_work(minion_id)
            recorded = self._take(minion_id, new, lease)
            stack.pop_all()
            if not recorded:
                opened.add(lease)
                stack.callback(opened.drop, lease)
            self._claimed[minion_id] = None if recorded else lease
            try:
                yield new is not None
            finally:
                del self._claimed[minion_id]

    def _take(self, minion_id: str, new: Record | None, lease: Lease) -> bool:
        """
        Write the session into the record and give the short lease back; return whether there is a record now.

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
        try:
            self._store.put(dataclasses.replace(record, session=self.session))
            # The write may have waited for the store, and a connection may have ended: the lease decides.
            held = lease.release()
        except EnvironmentFault:
            _release(lease)
            self._take_back(minion_id, found)
            raise
        if not held:
            self._take_back(minion_id, found)
            self._check_quick(minion_id, begun, self._times.taking)
            raise EnvironmentFault(f"{self.words} lost the lease for the claim of {minion_id}; call again")
        return True

    def _take_back(self, minion_id: str, before: Record | None) -> None:
        """
        Undo the write of a claim that does not count, unless another call has written the record since.

        If that fails, the next sweep does it: the claims of this call's batches stay for it.
        """
        with suppress(HartError), self._held_name(_of_node(minion_id), self._times.lease, 0) as lease:
            record = self._store.get(minion_id) if lease is not None else None
            if record is not None and record.session == self.session:
                self._store.remove(minion_id) if before is None else self._store.put(before)
            if lease is not None:
                return
        self._left_behind = True

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

    def look(self, records: Mapping[str, Record], batches: Collection[str] = ()) -> LeaseLook:
        """
        Return who works on what; the sessions of all records, and the leases of batches without a claim, are looked up
        at once.
        """
        claims = self._store.batches()
        sessions = {record.session for record in records.values()} | {session_of(facts) for facts in claims.values()}
        asked = {batch for batch in batches if batch and batch not in claims}
        living = self._living({one for one in sessions if one}, asked)
        leased = {batch: _of_batch(batch) in living for batch in asked}
        return LeaseLook(records, claims, living, leased, self._is_leased, self._judges)

    def check_mine(self, minion_id: str, *, creating: bool = False) -> None:
        """Check that the record still names this call's session; see ``Locks``."""
        lost = self._lost()
        lease = self._claimed.get(minion_id)
        if lost and (creating or lease is not None or minion_id not in self._claimed):
            raise LeaseLost(lost)
        if lease is not None:
            if not lease.renew():
                raise LeaseLost(f"{minion_id} is no longer this call's: {self.words} no longer has its lease")
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
            why = (
                "the record store has lost its record"
                if record is None
                else "another call has taken it over, and hart leaves its instance to that call"
            )
            raise LeaseLost(f"{minion_id} is no longer this call's: {why}")

    # sessions

    def _lives(self, name: str | None) -> bool:
        return bool(name) and name in self._living({str(name)})

    def _is_leased(self, batch: str) -> bool:
        return _of_batch(batch) in self._engine.living({_of_batch(batch)})

    def _living(self, sessions: Collection[str], batches: Collection[str] = ()) -> frozenset[str]:
        """
        Return the sessions that live, and the names of the leases of those batches that a call has.

        A session of this machine whose process has died does not live, whatever the server says.
        """
        possible = {_of_session(name): name for name in sessions if not self._files.is_dead(name)}
        found = self._engine.living([*possible, *map(_of_batch, batches)])
        return frozenset(possible.get(name, name) for name in found)

    # batches

    @contextmanager
    def batch(self, batch: str, facts: Mapping[str, Any]) -> Iterator[BatchClaim]:
        """
        Write the claim of a batch beside the records, and hold a lease of it; see ``Locks``.

        The claim says where a sweep must look if the call dies. The lease says that the batch lives, even if the store
        has lost the claim and the records.
        """
        with self._long(_of_batch(batch), 0) as held:
            if not held:
                raise EnvironmentFault(f"{self.words} has the lease of this batch already; call again")
            self._batches[batch] = {**facts, "session": self.session}
            self._store.put_batch(batch, self._batches[batch])
            claim = BatchClaim()
            try:
                yield claim
            finally:
                del self._batches[batch]
                if not claim.keep and not self._left_behind:
                    # If it stays, the next sweep finds nothing of it and removes it.
                    with suppress(EnvironmentFault):
                        self._store.remove_batch(batch)

    @property
    def restores(self) -> float:
        """After how many seconds the claim of a batch is looked up again: with each renewal of the leases."""
        return self._times.interval

    def restore(self, batch: str, records: Iterable[Record]) -> list[str]:
        """Write the claim of a batch and its records again if the store has lost the claim; see ``Locks``."""
        if batch not in self._batches or self._store.has_batch(batch) or self._lost():
            return []
        self._store.put_batch(batch, self._batches[batch])
        return [record.minion_id for record in records if self._put_again(record)]

    def _put_again(self, record: Record) -> bool:
        """Write a record if there is none. Under its lease: another call may be creating the node."""
        with self._held_name(_of_node(record.minion_id), self._times.lease, 0) as lease:
            if lease is None or self._lost() or self._store.get(record.minion_id) is not None:
                return False
            self._store.put(record)
            return True

    def batch_lives(self, batch: str) -> bool:
        """Return whether the session of a batch lives."""
        return self.look({}, [batch]).batch_lives(batch)

    def dead_batches(self) -> dict[str, dict[str, Any]]:
        """Return the batches whose sessions are dead."""
        return self.look({}).dead_batches()

    def living_batches(self) -> dict[str, dict[str, Any]]:
        """Return the batches whose sessions live."""
        return self.look({}).living_batches()

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
        with self._long(plain(f"hart/role/{role}"), float("inf") if wait else 0) as held:
            yield held

    @contextmanager
    def sweep(self, *, wait: float) -> Iterator[bool]:
        """Hold the lease of the sweep; see ``Locks``."""
        with self._long("hart/sweep", wait) as held:
            yield held

    @contextmanager
    def engine(self) -> Iterator[bool]:
        """Hold the lease of the engine of the masters with this mark; see ``Locks``."""
        with self._long(plain(f"hart/engine/{self._owner}"), 0) as held:
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
                _release(lease)

    def _taken(self, name: str, seconds: float, wait: float, pause: float, *, brief: bool = False) -> Lease | None:
        """
        Take a lease, for which the call waits up to ``wait`` seconds.

        It does not wait for a call of this machine whose process has died.
        """
        until = self._clock() + wait
        self._files.note(self.session, name)
        while True:
            lease = self._engine.take(name, seconds, brief=brief, holder=self.session)
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


def _of_session(name: str) -> str:
    return plain(f"hart/session/{name}")


def _of_batch(batch: str) -> str:
    return plain(f"hart/batch/{batch}")


def _of_node(minion_id: str) -> str:
    return plain(f"hart/node/{minion_id}")


def _release(lease: Lease) -> None:
    """Give a lease back; if that fails, its time passes."""
    with suppress(EnvironmentFault):
        lease.release()
