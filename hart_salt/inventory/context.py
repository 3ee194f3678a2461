"""The master's side of every operation, in one object."""

from __future__ import annotations

from dataclasses import dataclass

from hart_salt.base.gate import Gate
from hart_salt.inventory.locks import Locks
from hart_salt.inventory.records import Store
from hart_salt.master.client import Master
from hart_salt.model import MasterInfo


@dataclass(frozen=True)
class Context:
    """This master: its access to Salt, its facts, the records, the locks, and the gate for all output."""

    master: Master
    info: MasterInfo
    store: Store
    locks: Locks
    gate: Gate
