"""The data of a batch: what its nodes share, what each node becomes, and the state of each node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base.concurrency import Calls
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.journal import CREATE
from hart_salt.inventory.locks import Locks
from hart_salt.inventory.records import Record, Store
from hart_salt.master.client import Master
from hart_salt.model import Access, Instance, MasterInfo
from hart_salt.node import bootstrap, ssh
from hart_salt.node.enrolment import Enrolment
from hart_salt.node.pacing import Handshakes
from hart_salt.node.peer_keys import PeerKeys
from hart_salt.node.progress import Progress
from hart_salt.node.readiness import Readiness
from hart_salt.node.watcher import Watcher


@dataclass(frozen=True)
class NodeKind:
    """What a node becomes after its bootstrap."""

    #: the value of ``kind`` in the record
    name: str
    #: called with the node's ``Lifecycle``, its session and the result of its bootstrap
    become: Callable[..., Awaitable[None]]
    #: what the bootstrap installs for a salt-master; None for a minion
    spec: bootstrap.InstallSpec | None = None
    #: called with the ``Lifecycle`` in place of everything that makes a node that stays; None: it is to stay
    course: Callable[..., Awaitable[None]] | None = None
    #: the word for it in the journal
    action: str = CREATE
    #: the role for the journal, where the node itself has none
    role: str | None = None
    #: the word for a node that has ended well
    goal: str = "ready"

    @property
    def enrols(self) -> bool:
        """Whether the node becomes a minion of this master, if only for a while."""
        return self.spec is None


@dataclass(frozen=True)
class Batch:
    """The objects that the nodes of one call at one provider share."""

    master: Master
    info: MasterInfo
    store: Store
    locks: Locks
    driver: Driver
    watcher: Watcher
    access: Access
    client_key: ssh.Key
    progress: Progress
    readiness: Readiness
    calls: Calls
    kind: NodeKind
    enrolment: Enrolment
    peer_keys: PeerKeys
    #: called with the id of a node for which only its states remain to be applied
    applying: Callable[[str], None] = lambda minion_id: None
    handshakes: Handshakes = field(default_factory=Handshakes)
    #: who called hart; empty: unknown
    by: str = ""


@dataclass
class NodeState:
    """What one node has so far; the undo removes what is in it."""

    record: Record
    launched: bool = False
    instance: Instance | None = None
    key: str | None = None
    #: True once the other masters may have the key
    on_peers: bool = False
    #: True once hart has asked salt-minion to start: from then on the key may have been used
    minion_started: bool = False
    #: True once the rollback has begun
    undoing: bool = False
    #: True once the node is a sealed minion: from then on nothing undoes it
    sealed: bool = False
    notes: list[str] = field(default_factory=list)
    #: what the undo could not remove, a sentence each
    left: list[str] = field(default_factory=list)
    #: problems of ``apply``, which do not undo the node
    problems: list[str] = field(default_factory=list)
    #: why the provider does not protect a sealed node that its settings protect; empty if nothing failed
    unprotected: str = ""
    #: what came of a node that was not to stay, for the result; None: it was
    outcome: dict[str, Any] | None = None
    #: why the node failed, in a sentence; empty if it did not fail or a signal stopped it
    error: str = ""
