"""The state of the account that the emulated DigitalOcean keeps, and the switches of its behaviour."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.drivers.do.emulator import catalog as catalogue
from tests.emulation import world
from tests.emulation.backend import Addresses
from tests.emulation.world import NEVER as NEVER


@dataclass
class Settings(world.Settings):
    """DigitalOcean's switches, in addition to those of all clouds."""

    #: seconds from create until ``active``
    active_after: float = 0.2
    #: effect of a delete on a ``new`` droplet: ``done``, ``refused`` (422, pending event), or ``ignored`` (204 without
    #: effect). Users reported both of the latter in 2014 and 2015; the behaviour today is not known.
    delete_new: str = "done"
    #: seconds from the call that assigns or unassigns a reserved address until the change takes effect
    assign_after: float = 0.0
    #: number of those calls that are refused because the droplet has a pending event
    pending_events: int = 0
    droplet_limit: int = 25
    #: the vendor's limits of calls an hour, calls a minute, and lists of keys a minute; None disables a limit
    hourly_limit: int | None = 5000
    minute_limit: int | None = 250
    key_lists_limit: int | None = 10
    full_regions: tuple[str, ...] = ()
    sold_out_sizes: tuple[str, ...] = ()
    #: accept null for an optional field. The description does not allow it; two widely used clients always send it.
    tolerate_nulls: bool = True
    #: show ``networks: {}`` instead of empty lists while there are no addresses, as older answers did
    bare_networks: bool = False
    #: leave ``links.actions`` out of the answer to a create
    no_action_links: bool = False


@dataclass
class Key:
    """An SSH key of the account."""

    id: int
    name: str
    public_key: str
    fingerprint: str


@dataclass
class Image:
    """A distribution image or a snapshot; a snapshot has no slug."""

    id: int
    name: str
    slug: str | None
    distribution: str
    type: str
    public: bool
    regions: list[str]
    min_disk_size: int
    created: float
    tags: list[str] = field(default_factory=list)
    size_gigabytes: float = 0.57
    #: whether a call of a client made it
    made: bool = False
    #: what happens to it later: the times, and the effects
    later: list[tuple[float, Callable[[], object]]] = field(default_factory=list)


@dataclass
class Volume:
    """A block storage volume."""

    id: str
    name: str
    size: int
    region: str
    created: float
    description: str = ""
    tags: list[str] = field(default_factory=list)
    droplet_ids: list[int] = field(default_factory=list)


@dataclass
class Firewall:
    """A cloud firewall that filters nothing; the tests check only which droplets it applies to."""

    id: str
    name: str
    created: float
    inbound_rules: list[Any]
    outbound_rules: list[Any]
    droplet_ids: list[int]
    tags: list[str]


@dataclass
class Vpc:
    """A private network."""

    id: str
    name: str
    region: str
    ip_range: str
    created: float
    description: str = ""
    default: bool = False


@dataclass
class Reserved:
    """A reserved address. Until the time ``changed``, it is being moved from ``before`` to ``droplet_id``."""

    ip: str
    region: str
    droplet_id: int | None = None
    #: the droplet that has it until then
    before: int | None = None
    changed: float = 0.0

    def change(self, droplet_id: int | None, moment: float) -> None:
        """Assign the address to a droplet, or to none, at that time."""
        self.before, self.droplet_id, self.changed = self.droplet_id, droplet_id, moment

    def is_locked(self, now: float) -> bool:
        """Return whether the address is being changed."""
        return now < self.changed

    def holder(self, now: float) -> int | None:
        """Return the id of the droplet that has the address."""
        return self.before if self.is_locked(now) else self.droplet_id


@dataclass
class Action:
    """An operation on a droplet or an image that takes time. ``done`` is its end; infinity means never."""

    id: int
    type: str
    #: the droplet's or the image's
    resource_id: int
    region: str
    started: float
    done: float
    resource_type: str = "droplet"
    failed: bool = False


@dataclass
class Droplet(world.Machine):
    """A droplet, whose status follows from its times."""

    id: int
    name: str
    size: str
    image: Image
    region: str
    vpc_uuid: str
    tags: list[str]
    user_data: str
    ipv6: bool
    monitoring: bool
    backups: bool
    #: None: the agent is installed, and an error of the installation is ignored
    with_droplet_agent: bool | None
    public_networking: bool
    volume_ids: list[str]
    key_ids: list[int]
    active_at: float
    #: without a key the vendor mails a root password
    password_mailed: bool
    deleted_at: float | None = None
    powered: bool = True
    #: GB of its disk, which a resize can leave as it is
    disk: int = 0

    def status(self, now: float) -> str:
        """Return ``new``, ``active`` or ``off``."""
        if now < self.active_at:
            return "new"
        return "active" if self.powered else "off"


@dataclass
class State:
    """Everything that the account has."""

    droplets: dict[int, Droplet] = field(default_factory=dict)
    keys: dict[int, Key] = field(default_factory=dict)
    #: name in lower case → the first spelling, which is canonical
    tags: dict[str, str] = field(default_factory=dict)
    firewalls: dict[str, Firewall] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    vpcs: dict[str, Vpc] = field(default_factory=dict)
    images: dict[int, Image] = field(default_factory=dict)
    actions: dict[int, Action] = field(default_factory=dict)
    reserved: dict[str, Reserved] = field(default_factory=dict)
    #: names of the droplets whose create call mailed a root password
    passwords_mailed: list[str] = field(default_factory=list)

    def left(self) -> dict[str, list[str]]:
        """Return what users created, by kind and name, to be compared before and after."""
        return {
            "droplets": sorted(droplet.name for droplet in self.droplets.values()),
            "keys": sorted(key.name for key in self.keys.values()),
            "tags": sorted(self.tags.values()),
            "firewalls": sorted(firewall.name for firewall in self.firewalls.values()),
            "assigned": sorted(it.ip for it in self.reserved.values() if it.droplet_id is not None),
            "attached": sorted(volume.name for volume in self.volumes.values() if volume.droplet_ids),
            "images": sorted(image.name for image in self.images.values() if image.made),
        }


@dataclass
class World(world.World):
    """The state and parts that the handlers of calls work on; ``chance`` orders the addresses."""

    state: State
    settings: Settings
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(412_000_001, 7))

    def tick(self) -> None:
        """Update the state to the current time: remove deleted droplets."""
        self.happen(self.state.droplets)
        self.happen(self.state.images)
        for droplet in self.over(self.state.droplets):
            self._forget(droplet)

    def _forget(self, droplet: Droplet) -> None:
        del self.state.droplets[droplet.id]
        for one in self.state.reserved.values():
            if one.droplet_id == droplet.id:
                one.change(None, self.clock())
        for volume in self.state.volumes.values():
            volume.droplet_ids = [number for number in volume.droplet_ids if number != droplet.id]
        for firewall in self.state.firewalls.values():
            firewall.droplet_ids = [number for number in firewall.droplet_ids if number != droplet.id]

    def remove(self, it: Droplet, *more: Addresses) -> None:
        """Begin to delete a droplet, which is an action."""
        self.act("destroy", it, self.clock() + self.settings.gone_after)
        super().remove(it, *more)

    def act(self, kind: str, droplet: Droplet, done: float) -> Action:
        """Record an action of a droplet and return it."""
        return self.record(Action(next(self.ids), kind, droplet.id, droplet.region, self.clock(), done))

    def record(self, action: Action) -> Action:
        """Record an action and return it."""
        self.state.actions[action.id] = action
        return action

    def name_tag(self, name: str) -> str:
        """Return the tag's canonical spelling. Creates the tag if it does not exist."""
        return self.state.tags.setdefault(name.lower(), name)

    def region_vpc(self, region: str) -> Vpc:
        """Return the default VPC of a region, which is created with the first resource there."""
        for vpc in self.state.vpcs.values():
            if vpc.default and vpc.region == region:
                return vpc
        number = catalogue.OPEN_REGIONS.index(region)
        vpc = Vpc(self.uuid(), f"default-{region}", region, f"10.{120 + number}.0.0/20", self.clock(), default=True)
        self.state.vpcs[vpc.id] = vpc
        return vpc


def new_state(now: float) -> State:
    """Return an account that has only the vendor's images."""
    images = {
        number: Image(number, name, slug, distribution, "base", True, list(catalogue.OPEN_REGIONS), disk, now)
        for number, slug, distribution, name, disk in catalogue.images()
    }
    return State(images=images)
