"""Plain data that the parts of hart hand to each other. Nothing here does anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hart_salt.config.settings import Section, Settings


@dataclass(frozen=True)
class MasterInfo:
    """The facts about this salt-master that nodes, drivers and the bootstrap need."""

    master_id: str
    #: names this master in tags and records: 16 hex digits of its public key's SHA-256
    owner: str
    public_key: str
    #: such as ``3008.3``
    salt_version: str
    #: where minions on this machine reach the master
    local_address: str
    publish_port: int
    return_port: int
    cachedir: str
    #: where each node's log goes, for the whole of a call
    log_dir: str
    #: why that is not beside the master's own log; empty: it is
    log_note: str = ""


@dataclass(frozen=True)
class Place:
    """Where the records are, for messages and for what Salt's cache does not tell."""

    #: such as ``redis at db.example.com``
    words: str = "the one that the master is set to"
    #: where Salt's ``localfs`` has them; None: they are no files of this machine
    directory: Path | None = None


@dataclass(frozen=True)
class NodePlace:
    """Where a node is, and how large: what results, events, plans and naming schemes tell of it, by these names."""

    provider: str
    region: str
    zone: str | None
    size: str


#: the names of its fields, in the order in which they are told
PLACE = tuple(one.name for one in fields(NodePlace))


@dataclass(frozen=True)
class Node:
    """A node as it is wanted: everything that is decided before anything is touched."""

    minion_id: str
    role: str | None
    provider: str
    driver: str
    region: str
    zone: str | None
    size: str
    settings: Settings
    options: Section
    #: the complete minion configuration: ``id``, ``master``, grains, and the user's own
    minion_config: Mapping[str, Any] = field(repr=False)
    #: names the call that creates it; a driver tags temporary things with it
    batch: str = ""

    @property
    def place(self) -> NodePlace:
        """Where it is to be."""
        return NodePlace(self.provider, self.region, self.zone, self.size)


@dataclass(frozen=True)
class Instance:
    """An instance as its provider reports it. Addresses are None until there are any."""

    instance_id: str
    minion_id: str
    #: ``pending``, ``running``, ``stopped`` or ``gone``
    state: str
    role: str | None = None
    batch: str = ""
    region: str | None = None
    zone: str | None = None
    size: str | None = None
    public_ip: str | None = None
    private_ip: str | None = None
    ssh_port: int = 22
    #: seconds since the epoch
    created: float | None = None
    #: why the provider gave it up, in words; empty as long as it did not
    problem: str = ""


#: kinds of further addresses: one of the account's own, one that the provider picks and bills, one in a private network
RESERVED, ADDITIONAL, PRIVATE = "reserved", "additional", "private"


@dataclass(frozen=True)
class AddressRequest:
    """A further address that a running node is to have."""

    #: ``reserved``, ``additional`` or ``private``
    kind: str
    #: which one, of reserved ones
    ip: str | None = None
    #: id of the private network; None: the only one that there is
    vpc: str | None = None


@dataclass(frozen=True)
class IpAddress:
    """A further IPv4 address of an instance, or one that it could get."""

    kind: str
    #: empty until there is one
    ip: str
    #: what the driver knows it by: the id of a reserved address or of a network
    handle: str = ""
    #: whether the provider has given it to the instance
    there: bool = True
    #: False: the provider hands on what arrives for it, or has configured it; the node has nothing to do
    on_node: bool = True
    #: the interface that it belongs on: by an address that this has already, or by its hardware address
    beside: str = ""
    mac: str = ""
    prefix: int = 32
    mtu: int | None = None
    #: whether giving and taking it restarts the instance
    restarts: bool = False
    #: what a person has to know about it, in a sentence
    note: str = ""


@dataclass(frozen=True)
class Candidate:
    """An instance that may be the machine of a minion which hart did not create, whoever it belongs to."""

    instance: Instance
    #: what it is called at the provider, for people
    name: str
    #: the owner that its tags name: another master's, if there is one; None: no master of hart's
    owner: str | None = None


@dataclass(frozen=True)
class Access:
    """
    What a batch shares while it boots.

    The private half of ``client_key`` never leaves the process; ``handle`` is the driver's own (the id of a
    temporary key or firewall).
    """

    batch: str
    #: OpenSSH public key line that may log in while the bootstrap lasts
    client_public_key: str
    handle: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Leftover:
    """Something temporary that a batch made at a provider, and that may have outlived it."""

    #: what it is, for people: ``SSH key``, ``security group``
    kind: str
    name: str
    #: by which the driver removes it
    handle: str
    batch: str
    region: str | None = None
    #: seconds since the epoch; None: the provider does not tell
    created: float | None = None


@dataclass(frozen=True)
class Region:
    """A region as ``hart.list_regions`` shows it."""

    name: str
    description: str = ""
    zones: tuple[str, ...] = ()
    available: bool = True


@dataclass(frozen=True)
class Size:
    """A size as ``hart.list_sizes`` shows it. ``monthly_price`` is in ``currency``, before tax; None: not known."""

    name: str
    memory_mb: int
    cpus: float
    disk_gb: float | None = None
    monthly_price: float | None = None
    available: bool = True
    description: str = ""
    #: in three letters, as ISO 4217 has them
    currency: str = "USD"


@dataclass(frozen=True)
class Image:
    """An image as ``hart.list_images`` shows it; ``setting`` is what to write as ``image``."""

    setting: str
    description: str = ""
    available: bool = True
