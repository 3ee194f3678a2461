"""The project as it stands: what the emulated Hetzner Cloud remembers, and the switches of its behaviour."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.emulation import world
from tests.emulation.world import NEVER as NEVER


@dataclass
class Settings(world.Settings):
    """Beside those that all have."""

    #: from create until ``running``: a half of it ``initializing``, then off for a moment, then ``starting``
    running_after: float = 0.2
    #: from create until the private address is there
    attached_after: float = 0.0
    server_limit: int = 25
    #: calls that a project may make at once; one more each second. None: no limit
    burst: int | None = 3600
    #: whether a 429 has Retry-After
    sends_retry_after: bool = False
    #: server types that are out of stock everywhere, as lists say and as creates find out
    sold_out: tuple[str, ...] = ()
    #: that as only creates find out
    no_host_for: tuple[str, ...] = ()
    #: labels are not filtered: whatever is asked for, all servers come
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
    """A private network. ``zones`` are those of its subnets."""

    id: int
    name: str
    zones: list[str]
    created: float


@dataclass
class Firewall:
    """A firewall. Nothing is filtered: who is in it is all that counts here."""

    id: int
    name: str
    created: float


@dataclass
class Snapshot:
    """An image of the project's own."""

    id: int
    description: str
    architecture: str
    created: float
    status: str = "available"


@dataclass
class Action:
    """Something that takes time."""

    id: int
    command: str
    server: int
    started: float
    done_at: float


@dataclass
class Server(world.Machine):
    """A server. What it reports of itself follows from the times."""

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
    #: what it is reported as, whatever the times say
    status: str = ""
    protected: bool = False


@dataclass
class State:
    """Everything that the project has."""

    servers: dict[int, Server] = field(default_factory=dict)
    keys: dict[int, Key] = field(default_factory=dict)
    networks: dict[int, Network] = field(default_factory=dict)
    firewalls: dict[int, Firewall] = field(default_factory=dict)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    actions: dict[int, Action] = field(default_factory=dict)
    #: names of the servers of which somebody was sent root's password
    mails: list[str] = field(default_factory=list)
    #: how many servers there ever were
    made: int = 0
    #: passwords that there ever were
    secrets: list[str] = field(default_factory=list)

    def left(self) -> dict[str, list[str]]:
        """What somebody made, by name: to be compared before and after."""
        made: dict[str, dict[int, Any]] = {
            "servers": self.servers, "SSH keys": self.keys, "networks": self.networks, "firewalls": self.firewalls,
        }  # fmt: skip
        left = {kind: sorted(it.name for it in things.values()) for kind, things in made.items()}
        return {**left, "mails": list(self.mails)}


@dataclass
class World(world.World):
    """What the handlers of calls work on."""

    state: State
    settings: Settings
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(4711))

    def tick(self) -> None:
        """Bring the state up to now: what was deleted goes."""
        for server in self.over(self.state.servers):
            del self.state.servers[server.id]

    def act(self, command: str, server: int, lasts: float) -> Action:
        """Begin an action."""
        now = self.clock()
        made = Action(next(self.ids), command, server, now, now + lasts)
        self.state.actions[made.id] = made
        return made
