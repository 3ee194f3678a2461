"""Plain data that the parts of hart exchange. Nothing here has behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hart_salt.config.settings import Section, Settings


@dataclass(frozen=True)
class MinionTerms:
    """What the configuration of a salt-master requires of its minions."""

    #: settings of a minion that follow from the master's; the user's ``minion_config`` overrides them
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: settings that only the user's ``minion_config`` can contain, and why they are required
    required: Mapping[str, str] = field(default_factory=dict)
    #: settings of the master with which no minion can connect, and what to do
    refusals: Mapping[str, str] = field(default_factory=dict)
    #: whether the master signs its public key
    signs_key: bool = False
    #: PEM of the public key that verifies this signature, and its name; empty if it is not on the master
    signing_key: str = field(default="", repr=False)
    signing_key_name: str = "master_sign"
    #: whether the master signs what it publishes
    signs_publications: bool = True
    #: the algorithm with which the master verifies signed messages of minions; empty if it cannot
    message_algorithm: str = ""
    #: minions with an older authentication protocol are turned away
    minimum_auth_version: int = 0


@dataclass(frozen=True)
class MasterInfo:
    """The facts about this salt-master that nodes, drivers and the bootstrap need."""

    master_id: str
    #: identifies this master in tags and records: 16 hex digits of its public key's SHA-256
    owner: str
    public_key: str
    #: such as ``3008.3``
    salt_version: str
    #: the address where minions on this machine reach the master
    local_address: str
    publish_port: int
    return_port: int
    cachedir: str
    #: the directory of each node's log, for the whole call
    log_dir: str
    #: why that is not next to the master's own log; empty if it is
    log_note: str = ""
    #: where the logs of other calls may be; None: nowhere else
    other_log_dir: str | None = None
    #: what its configuration requires of minions
    terms: MinionTerms = MinionTerms()
    #: the cluster of masters that it belongs to; empty if it belongs to none
    cluster_id: str = ""


OK, UNKNOWN, PROBLEM = "ok", "unknown", "problem"


@dataclass(frozen=True)
class Check:
    """One thing that ``hart.check`` looked at."""

    name: str
    #: ``OK``, ``UNKNOWN`` if only a change would show it, otherwise a problem: ``PROBLEM`` or a more exact word
    result: str
    sentence: str


@dataclass(frozen=True)
class Place:
    """The location of the records, for messages and for what Salt's cache does not report."""

    #: such as ``redis at db.example.com:6379, database 0``
    words: str = "the store that the master is configured with"
    #: the directory of Salt's ``localfs``; None if the records are not files of this machine
    directory: Path | None = None
    #: whether other masters can use the same records
    shared: bool = False


#: the last second of the year 9999: no later time can be written as a date
LAST_SECOND = 253_402_300_799


@dataclass(frozen=True)
class NodePlace:
    """The place and size of a node; results, events, plans and naming schemes use these names."""

    provider: str
    region: str
    zone: str | None
    size: str


#: the names of its fields, in the order in which they are reported
PLACE = tuple(one.name for one in fields(NodePlace))


@dataclass(frozen=True)
class Node:
    """A wanted node: everything that is decided before anything is changed."""

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
    #: identifies the call that creates it; a driver tags temporary resources with it
    batch: str = ""
    #: the price of its size, before tax, and the currency; None if unknown
    monthly_price: float | None = None
    currency: str | None = None
    #: what it is made from, as ``planning/digest.py`` writes it; empty for a salt-master
    digest: str = ""
    #: when it is due to be destroyed, in whole seconds since the epoch; None: never
    ends: float | None = None
    #: the id of the baked image that it boots, which ``settings.image`` also holds; None: it boots a plain image
    baked: str | None = None
    #: what the user needs to know about how it is planned, a sentence each
    notes: tuple[str, ...] = ()
    #: the paths of the settings that name its image and its base image, for messages
    image_set_by: str = "image"
    base_image_set_by: str = "base_image"

    @property
    def place(self) -> NodePlace:
        """The place of the node."""
        return NodePlace(self.provider, self.region, self.zone, self.size)


@dataclass(frozen=True)
class Instance:
    """An instance as its provider reports it. Addresses are None until they are assigned."""

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
    #: why the provider gave the instance up, in words; empty if it did not
    problem: str = ""
    #: what it was made from, and when it is due to be destroyed, as its tags say: see ``Node``; None: they do not say
    digest: str | None = None
    ends: float | None = None
    #: whether it has hart's mark of a protected node, or, where lists show it, the provider's own deletion protection
    protected: bool = False
    #: whether its provider may take it away at any time
    spot: bool = False


#: kinds of additional addresses: a reserved one of the account, one that the provider picks and bills, and one in a
#: private network
RESERVED, ADDITIONAL, PRIVATE = "reserved", "additional", "private"


@dataclass(frozen=True)
class AddressRequest:
    """A request for an additional address of a running node."""

    #: ``reserved``, ``additional`` or ``private``
    kind: str
    #: the address, if it is a reserved one
    ip: str | None = None
    #: id of the private network; None: the only network
    vpc: str | None = None


@dataclass(frozen=True)
class IpAddress:
    """An additional IPv4 address of an instance, or one that it could get."""

    kind: str
    #: empty until the address is known
    ip: str
    #: identifies it for the driver: the id of a reserved address or of a network
    handle: str = ""
    #: whether the provider has assigned it to the instance
    there: bool = True
    #: False: the provider forwards its traffic, or has configured it; nothing needs to be done on the node
    on_node: bool = True
    #: the interface that it belongs to: by an address that the interface has, or by its hardware address
    beside: str = ""
    mac: str = ""
    prefix: int = 32
    mtu: int | None = None
    #: whether assigning and removing it restarts the instance
    restarts: bool = False
    #: a sentence that the user needs to know about it
    note: str = ""


@dataclass(frozen=True)
class Candidate:
    """An instance, of any owner, that may be the machine of a minion which hart did not create."""

    instance: Instance
    #: its name at the provider, for people
    name: str
    #: the owner in its tags, which may be another master; None: no master of hart's
    owner: str | None = None


@dataclass(frozen=True)
class Access:
    """
    What a batch shares while it boots.

    The private half of ``client_key`` never leaves the process. ``handle`` belongs to the driver (the id of a temporary
    key or firewall).
    """

    batch: str
    #: OpenSSH public key line that can log in during the bootstrap
    client_public_key: str
    handle: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Leftover:
    """A temporary resource that a batch created at a provider, and that may have outlived it."""

    #: its type, for people: ``SSH key``, ``security group``
    kind: str
    name: str
    #: the driver removes it by this
    handle: str
    batch: str
    region: str | None = None
    #: seconds since the epoch; None if the provider does not report it
    created: float | None = None
    #: whether it is a volume that the setting ``keep_volumes`` keeps; it is reported and never removed
    keep: bool = False


@dataclass(frozen=True)
class Region:
    """A region as ``hart.list_regions`` shows it."""

    name: str
    description: str = ""
    zones: tuple[str, ...] = ()
    available: bool = True


@dataclass(frozen=True)
class Size:
    """A size as ``hart.list_sizes`` shows it. ``monthly_price`` is in ``currency``, before tax; None if unknown."""

    name: str
    memory_mb: int
    cpus: float
    disk_gb: float | None = None
    monthly_price: float | None = None
    available: bool = True
    description: str = ""
    #: three letters as in ISO 4217
    currency: str = "USD"
    #: ``amd64`` or ``arm64``, as Debian names them; empty if unknown
    arch: str = ""


@dataclass(frozen=True)
class Price:
    """A price per month, before tax; ``currency`` is as for ``Size``."""

    amount: float
    currency: str = "USD"


#: states of a baked image at its provider
IMAGE_PENDING, IMAGE_AVAILABLE, IMAGE_FAILED = "pending", "available", "failed"


@dataclass(frozen=True)
class NewImage:
    """What a new image of an instance is called, and what its tags say."""

    #: unique, of letters, digits and hyphens, at most 63 characters: ``hart-<role>-<time>-<batch>``
    name: str
    role: str
    #: the call that makes it
    batch: str
    #: what it is made from, as ``planning/digest.py`` writes it
    digest: str
    #: the version of Salt in it, such as ``3008.3``
    release: str
    #: the region of the instance
    region: str
    #: ``amd64`` or ``arm64``; empty if unknown
    arch: str = ""


@dataclass(frozen=True)
class BakedImage:
    """An image that hart made of a node, as its provider reports it."""

    #: the value for the setting ``image``
    image_id: str
    name: str
    #: ``pending``, ``available`` or ``failed``
    state: str
    #: whether it has the mark of ``finish_image``; one without it is half made, and no node is made of it
    complete: bool = False
    role: str | None = None
    batch: str = ""
    digest: str | None = None
    release: str | None = None
    #: ``amd64`` or ``arm64``; empty if unknown
    arch: str = ""
    #: where instances can be made of it; empty: in every region
    regions: tuple[str, ...] = ()
    #: seconds since the epoch
    created: float | None = None
    #: what the provider bills, in GB; None if it does not report it
    size_gb: float | None = None
    #: the smallest disk of an instance that is made of it, in GB; None if the provider does not report it
    disk_gb: float | None = None
    #: why the provider gave it up, in words; empty if it did not
    problem: str = ""


@dataclass(frozen=True)
class Image:
    """An image as ``hart.list_images`` shows it; ``setting`` is the value for the setting ``image``."""

    setting: str
    description: str = ""
    available: bool = True
