"""What the nodes of one call share, what each of them becomes, and what it has so far."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hart_salt.base.concurrency import Calls
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.records import Record, Store
from hart_salt.master.client import Master
from hart_salt.model import Access, Instance, MasterInfo
from hart_salt.node import bootstrap, ssh
from hart_salt.node.progress import Progress
from hart_salt.node.readiness import Readiness
from hart_salt.node.watcher import Watcher


@dataclass(frozen=True)
class NodeKind:
    """What a node becomes once its bootstrap is through."""

    #: as its record has it
    name: str
    #: called with its ``Lifecycle``, its session and the result of its bootstrap
    become: Callable[..., Awaitable[None]]
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
    readiness: Readiness
    calls: Calls
    kind: NodeKind


@dataclass
class NodeState:
    """What one node has so far; the undo goes by it."""

    record: Record
    launched: bool = False
    instance: Instance | None = None
    key: str | None = None
    #: True once salt-minion was asked to start: from then on the key may have been used
    minion_started: bool = False
    #: True once it is a sealed minion: from then on nothing undoes it
    sealed: bool = False
    notes: list[str] = field(default_factory=list)
    #: what the undo could not take back, in words
    left: list[str] = field(default_factory=list)
    #: problems of ``apply``, which do not undo the node
    problems: list[str] = field(default_factory=list)
    #: why its way ended early, in a sentence; empty: it did not, or a signal ended it
    error: str = ""
