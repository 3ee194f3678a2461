"""
Locks: what a living call is working on, and what a dead call left unfinished.

``flocks.py`` has those of one machine, ``leases.py`` those that several masters share.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from hart_salt.base.errors import Refused
from hart_salt.base.stopping import Stop
from hart_salt.inventory.records import LOCAL, Record


@dataclass
class BatchClaim:
    """The claim of a batch while its nodes come up."""

    #: True: something of the batch could not be rolled back, so the claim stays for the sweep
    keep: bool = False


class Look(Protocol):
    """Who works on what, seen with the records of one snapshot: nothing is looked up twice."""

    def busy(self, minion_id: str) -> bool:
        """Return whether a living call works on the node."""

    def batch_lives(self, batch: str) -> bool:
        """Return whether a living call has the batch."""

    def dead_batches(self) -> dict[str, dict[str, Any]]:
        """Return the batches of calls that died, each with the facts of its claim."""

    def living_batches(self) -> dict[str, dict[str, Any]]:
        """Return the batches of calls that live, of all masters, each with the facts of its claim."""


class Locks(Look, Protocol):
    """
    The locks of one call.

    Every method raises ``EnvironmentFault`` if the files or the server cannot be used, and ``Interrupted`` once the
    call has lost its lease.
    """

    #: where the locks are, for messages
    words: str
    #: ends the work of this call when its lease is lost
    stop: Stop

    @property
    def session(self) -> str | None:
        """The name of this call in records; None: records need no name of it."""

    @property
    def machine(self) -> str | None:
        """The name of this machine in records of nodes that only this machine has; None: records need none."""

    # nodes

    def claim(self, minion_id: str, new: Record | None = None) -> AbstractContextManager[bool]:
        """
        Hold a node during an operation on it.

        ``new`` is the record of a node that is about to be created. Where other masters only see records, it is written
        at once, and what is yielded is True; the caller removes it if nothing comes of it.

        Raises ``Refused`` if another call works on the node, or if ``new`` is written and there is a record.
        """

    def look(self, records: Mapping[str, Record], batches: Collection[str] = ()) -> Look:
        """
        Return who works on what; ``records`` are those of a snapshot, by minion id.

        ``batches`` are those of resources without a record, which are looked up at once. A batch can live although the
        store has lost its claim.
        """

    def elsewhere(self, record: Record) -> str:
        """
        Return why only another master can judge and change the node, in a sentence; empty if this one can.

        That is a process of another machine, or an instance with the mark of another master.
        """

    def check_mine(self, minion_id: str, *, creating: bool = False) -> None:
        """
        Check that the node is still this call's, which holds its claim, right before its instance is changed.

        ``creating`` says that the change would make an instance. After the loss of the lease none is made, but a node
        that no other call has taken can still be rolled back.

        Raises ``LeaseLost`` if it is not.
        """

    def check_alive(self) -> None:
        """Raise ``LeaseLost`` if the lease of this call has ended; this asks nobody."""

    # batches

    def batch(self, batch: str, facts: Mapping[str, Any]) -> AbstractContextManager[BatchClaim]:
        """
        Hold the claim of a batch: while it is held, everything with the batch's name belongs to a living call.

        A claim that exists but is not held belongs to a dead call. ``facts`` say where the sweep must look.
        """

    @property
    def restores(self) -> float | None:
        """After how many seconds to call ``restore`` again; None: claims cannot be lost."""

    def restore(self, batch: str, records: Iterable[Record]) -> list[str]:
        """
        Write the claim of a batch of this call again if the store has lost it, and the records that it has lost, too.

        ``records`` are those of the batch's nodes that have or may have an instance. Returns the ids whose records were
        written again.
        """

    def forget_batch(self, batch: str) -> None:
        """Remove the claim of a dead batch of which nothing is left."""

    # roles and the sweep

    def role(self, role: str, *, wait: bool) -> AbstractContextManager[bool]:
        """
        Hold the lock of a role; yield whether it is held.

        ``wait`` says whether to wait for the holder; without it, False is yielded if another call holds the lock.
        """

    def sweep(self, *, wait: float) -> AbstractContextManager[bool]:
        """Hold the lock of the sweep, for which the call waits up to ``wait`` seconds; yield whether it is held."""

    def engine(self) -> AbstractContextManager[bool]:
        """Hold the lock of the engine while it looks, without waiting for it; yield whether it is held."""

    def clear(self) -> None:
        """Remove what a dead process left and nothing needs."""

    def check(self) -> str:
        """Return where the locks are, in words. Raises ``EnvironmentFault`` if they cannot be used."""


def is_own(facts: Mapping[str, Any], owner: str) -> bool:
    """Return whether the claim of a batch has the mark ``owner``; a claim or a master without a mark matches any."""
    written = facts.get("owner")
    return not owner or not isinstance(written, str) or written == owner


def machine_of(driver: str, locks: Locks) -> str | None:
    """Return the name of this machine for the records of a driver whose nodes are its processes; None for others."""
    return locks.machine if driver == LOCAL else None


def at_work(minion_id: str) -> Refused:
    """Return the refusal of a node that another call works on."""
    return Refused(f"{minion_id} is being worked on by another operation: wait for it to end")


def known(minion_id: str) -> Refused:
    """Return the refusal to create a node that exists."""
    return Refused(f"{minion_id}: a node with that id exists; salt-run hart.list_minions shows it")
