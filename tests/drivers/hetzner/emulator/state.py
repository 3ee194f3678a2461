"""The project as it stands: what the emulated Hetzner Cloud remembers, and the switches of its behaviour."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.emulation.backend import Addresses, Machines
from tests.emulation.faults import NO_FAULT, Faults, MachineFault

NEVER = math.inf


@dataclass
class Settings:
    """Switches; they may be changed at any time. Times are seconds."""

    #: from create until ``running``: a half of it ``initializing``, then off for a moment, then ``starting``
    running_after: float = 0.2
    #: from create until the private address is there
    attached_after: float = 0.0
    #: from create for so long, a delete is refused: another action is under way
    locked_for: float = 0.0
    #: from delete until it answers 404; a second delete in between is refused as locked
    gone_after: float = 0.0
    server_limit: int = 25
    #: calls that a project may make at once; one more each second. None: no limit
    burst: int | None = 3600
    #: whether a 429 has Retry-After
    tells_retry_after: bool = False
    #: pages are not longer than this, whatever is asked for
    page_cap: int | None = None
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
class Server:
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
    addresses: Addresses
    created: float
    running_at: float
    fault: MachineFault = NO_FAULT
    deleted_at: float | None = None
    #: what it is reported as, whatever the times say
    status: str = ""
    protected: bool = False
    #: what is left of the fault's numbers
    hidden_lists: int = 0
    refuse_delete: int = 0
    ignore_delete: int = 0
    address_lists: int = 0


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
        return {
            "servers": sorted(it.name for it in self.servers.values()),
            "SSH keys": sorted(it.name for it in self.keys.values()),
            "networks": sorted(it.name for it in self.networks.values()),
            "firewalls": sorted(it.name for it in self.firewalls.values()),
            "mails": list(self.mails),
        }


@dataclass
class World:
    """What the handlers of calls work on."""

    state: State
    settings: Settings
    machines: Machines
    faults: Faults
    clock: Callable[[], float]
    chance: random.Random
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(4711))

    def tick(self) -> None:
        """Bring the state up to now: what was deleted goes."""
        now = self.clock()
        for server in list(self.state.servers.values()):
            if server.deleted_at is not None and now >= server.deleted_at + self.settings.gone_after:
                del self.state.servers[server.id]

    def remove(self, server: Server) -> None:
        """Begin to delete it."""
        server.deleted_at = self.clock()
        self.machines.kill(str(server.id), server.addresses)
        self.tick()

    def act(self, command: str, server: int, lasts: float) -> Action:
        """Begin an action."""
        now = self.clock()
        made = Action(next(self.ids), command, server, now, now + lasts)
        self.state.actions[made.id] = made
        return made

    def secret(self) -> str:
        """Something that must not come out; remembered, for tests to look for."""
        value = f"{self.chance.getrandbits(96):024x}"
        self.state.secrets.append(value)
        return value
