"""The master's side of every operation, in one object."""

from __future__ import annotations

from dataclasses import dataclass, field

from hart_salt.base.caller import Caller
from hart_salt.base.gate import Gate
from hart_salt.config.cluster import Cluster
from hart_salt.inventory.choose_locks import locks_of
from hart_salt.inventory.journal import Journal, journal_of
from hart_salt.inventory.locks import Locks
from hart_salt.inventory.other_masters import OtherMasters, other_masters_of
from hart_salt.inventory.records import Store
from hart_salt.inventory.slots import Slot, own
from hart_salt.master.client import Master
from hart_salt.model import MasterInfo


@dataclass(frozen=True)
class Context:
    """This master: access to Salt, facts, settings, records, locks, the output's gate, and the other masters."""

    master: Master
    info: MasterInfo
    store: Store
    locks: Locks
    gate: Gate
    #: the other masters of the same nodes
    others: OtherMasters = field(default_factory=OtherMasters)
    #: the settings of hart on this master as a whole
    cluster: Cluster = field(default_factory=Cluster)
    #: of the call that this context belongs to
    slot: Slot = field(default_factory=own)
    #: what becomes of the nodes; it also knows who called hart
    journal: Journal = field(default_factory=lambda: Journal(None, Gate()))


def context_of(
    master: Master, info: MasterInfo, cluster: Cluster, gate: Gate, caller: Caller | None = None
) -> Context:  # fmt: skip
    """Return the context of a call with these settings; ``caller`` is who called hart (default: unknown)."""
    store = Store(master.cache(), master.record_place())
    locks = locks_of(cluster, store, info.cachedir, info.owner)
    others = other_masters_of(cluster, master, info.master_id, locks)
    journal = journal_of(info, gate, caller or Caller())
    return Context(master, info, store, locks, gate, others, cluster, journal=journal)
