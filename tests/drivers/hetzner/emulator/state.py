"""The state of the project that the emulated Hetzner Cloud keeps, and the switches of its behaviour."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.emulation import world
from tests.emulation.world import NEVER as NEVER


@dataclass
class Settings(world.Settings):
    """Hetzner's switches, in addition to those of all clouds."""

    #: seconds from create until ``running``: half of it ``initializing``, then ``off`` for a moment, then ``starting``
    running_after: float = 0.2
    #: seconds that a change of a server's protection takes
    protected_after: float = 0.0
    #: seconds from create until the private address is attached
    attached_after: float = 0.0
    server_limit: int = 25
    #: calls that a project can make at once; each second allows one more. None: no limit
    burst: int | None = 3600
    #: whether a 429 has Retry-After
    sends_retry_after: bool = False
    #: a snapshot cannot be deleted until it is available
    keeps_creating: bool = False
    #: server types that are out of stock everywhere, in lists and in creates
    sold_out: tuple[str, ...] = ()
    #: server types that are out of stock only in creates
    no_host_for: tuple[str, ...] = ()
    #: whether label selectors are ignored, so that every list has all servers
    ignores_selectors: bool = False


@dataclass
class Key:
    """An SSH key of the project."""

    id: int
    name: str
    public_key: str
    labels: dict[str, str]
    created: float


@dataclass
class Network:
    """A private network; ``zones`` are the network zones of its subnets."""

    id: int
    name: str
    zones: list[str]
    created: float


@dataclass
class Firewall:
    """A firewall that filters nothing; the tests check only which servers it applies to."""

    id: int
    name: str
    created: float


@dataclass
class Snapshot:
    """An image of the project."""

    id: int
    description: str
    architecture: str
    created: float
    status: str = "available"
    labels: dict[str, str] = field(default_factory=dict)
    #: GB of its disk
    disk: int = 5
    #: the server that it is made of, and when that is done
    server: tuple[int, str] | None = None
    done_at: float = 0.0
    #: whether it cannot be deleted
    protected: bool = False


@dataclass
class Action:
    """An operation that takes time."""

    id: int
    command: str
    server: int
    started: float
    done_at: float
    #: its code and message if it fails
    error: tuple[str, str] | None = None


@dataclass
class Server(world.Machine):
    """A server, whose reported state follows from its times."""

    id: int
    name: str
    server_type: str
    location: str
    image: dict[str, Any]
    user_data: str
    labels: dict[str, str]
    key_ids: list[int]
    network_ids: list[int]
    firewall_ids: list[int]
    volumes: list[int]
    ipv4: bool
    ipv6: bool
    running_at: float
    deleted_at: float | None = None
    #: the status to report, if it must not follow from the times
    status: str = ""
    #: the protection against deletion: as it is from a time on, and as it was before
    protected: bool = False
    was_protected: bool = False
    protection_at: float = 0.0
    #: GB of its disk, which a change of the type can leave as it is
    disk: int = 0

    def is_protected(self, now: float) -> bool:
        """Return whether the server cannot be deleted."""
        return self.protected if now >= self.protection_at else self.was_protected


@dataclass
class State:
    """Everything that the project has."""

    servers: dict[int, Server] = field(default_factory=dict)
    keys: dict[int, Key] = field(default_factory=dict)
    networks: dict[int, Network] = field(default_factory=dict)
    firewalls: dict[int, Firewall] = field(default_factory=dict)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    actions: dict[int, Action] = field(default_factory=dict)
    #: names of the servers whose root password was mailed
    mails: list[str] = field(default_factory=list)
    #: number of servers ever created
    made: int = 0
    #: every password ever created
    secrets: list[str] = field(default_factory=list)

    def left(self) -> dict[str, list[str]]:
        """Return what users created, by kind and name, to be compared before and after."""
        made: dict[str, dict[int, Any]] = {
            "servers": self.servers, "SSH keys": self.keys, "networks": self.networks, "firewalls": self.firewalls,
        }  # fmt: skip
        left = {kind: sorted(it.name for it in things.values()) for kind, things in made.items()}
        images = sorted(it.description for it in self.snapshots.values() if it.server)
        return {**left, "images": images, "mails": list(self.mails)}


@dataclass
class World(world.World):
    """The state and parts that the handlers of calls work on."""

    state: State
    settings: Settings
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(4711))

    def tick(self) -> None:
        """Bring the state up to date: remove servers whose deletion is over."""
        self.happen(self.state.servers)
        for snapshot in self.state.snapshots.values():
            if snapshot.server and snapshot.status == "creating" and self.clock() >= snapshot.done_at:
                snapshot.status = "unavailable" if self.settings.fails_image else "available"
        for server in self.over(self.state.servers):
            del self.state.servers[server.id]

    def act(self, command: str, server: int, lasts: float) -> Action:
        """Start an action and return it."""
        now = self.clock()
        made = Action(next(self.ids), command, server, now, now + lasts)
        self.state.actions[made.id] = made
        return made
