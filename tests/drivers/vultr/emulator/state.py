"""The state of the account that the emulated Vultr keeps, and the switches of its behaviour."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from tests.emulation import world
from tests.emulation.backend import Addresses
from tests.emulation.world import NEVER as NEVER


@dataclass
class Settings(world.Settings):
    """Vultr's switches, in addition to those of all clouds."""

    #: seconds from create until ``active``
    active_after: float = 0.2
    #: seconds from ``active`` until ``server_status`` is ok
    ok_after: float = 0.0
    #: status of the refusal of a second delete; the real one is not known
    pending_status: int = 500
    #: a reserved address cannot be detached until the instance is restarted (vultr/terraform-provider-vultr#348)
    stuck: bool = False
    #: seconds for which a VPC cannot be deleted after its servers are gone (tent, 3.5: 4 to 73)
    vpc_busy_for: float = 0.0
    #: seconds from the create of an additional address until lists show it
    ipv4_after: float = 0.0
    #: maximum number of additional addresses of an instance
    ipv4_limit: int = 2
    instance_limit: int = 25
    #: maximum number of calls a second for each client address; None: no limit
    second_limit: int | None = 30
    #: the access control list of the key's user
    acls: tuple[str, ...] = ("subscriptions", "subscriptions_view", "provisioning", "firewall")
    #: client addresses that may use the key; None: all
    allowed: tuple[str, ...] | None = None
    #: plans that are out of stock everywhere
    sold_out: tuple[str, ...] = ()
    #: filter tags case-sensitively, while Vultr ignores case
    case_matters: bool = False
    #: characters of a snapshot's description that are kept, if longer ones are truncated as names are; None: all
    description_limit: int | None = None
    #: a snapshot cannot be deleted until it is complete
    keeps_pending: bool = False
    #: accept an ``os_id`` that is a string. The description does not allow it; a widely used client sends it.
    tolerate_text: bool = False


@dataclass
class Key:
    """An SSH key of the account."""

    id: str
    name: str
    ssh_key: str
    created: float


@dataclass
class Script:
    """A startup script of the account."""

    id: str
    name: str
    type: str
    script: str
    created: float


@dataclass
class Snapshot:
    """An image of the account."""

    id: str
    description: str
    os_id: int
    created: float
    #: GB of its disk
    disk: int = 10
    status: str = "complete"
    #: the instance that it is made of, and when that is done
    instance_id: str = ""
    done_at: float = 0.0


@dataclass
class Vpc:
    """A private network of a region."""

    id: str
    region: str
    description: str
    v4_subnet: str
    v4_subnet_mask: int
    created: float
    #: ids of the VPC's NAT gateways
    gateways: list[str] = field(default_factory=list)
    #: address of its last server, and when that server was deleted
    freed: tuple[str, float] = ("", -math.inf)


@dataclass
class Reserved:
    """A reserved address."""

    id: str
    region: str
    subnet: str
    label: str
    #: empty if no instance has it
    instance_id: str = ""


@dataclass
class Group:
    """A firewall group that filters nothing; the tests check only which instances it applies to."""

    id: str
    description: str
    created: float
    rules: dict[int, dict[str, Any]] = field(default_factory=dict)
    next_rule: int = 1


@dataclass
class Instance(world.Machine):
    """An instance, whose reported state follows from its times."""

    id: str
    label: str
    hostname: str
    plan: str
    region: str
    os_id: int
    snapshot: Snapshot | None
    user_data: str
    tags: list[str]
    key_ids: list[str]
    vpc_ids: list[str]
    vpc_only: bool
    ipv6: bool
    #: whether the instance has a public IPv4 address
    ipv4: bool
    firewall_group_id: str
    backups: bool
    user_scheme: str
    active_at: float
    #: secrets that nobody may see after the create
    password: str = field(repr=False)
    console: str = field(repr=False)
    deleted_at: float | None = None
    powered: bool = True
    #: additional address → when lists show it
    additional: dict[str, float] = field(default_factory=dict)
    #: hardware address in the private network, as the API reports it
    vpc_mac: int = 98964710703335
    #: number of restarts for an address
    restarts: int = 0

    def is_active(self, now: float) -> bool:
        """Return whether its creation is complete."""
        return now >= self.active_at


@dataclass
class State:
    """Everything that the account has."""

    instances: dict[str, Instance] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    scripts: dict[str, Script] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    vpcs: dict[str, Vpc] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    reserved: dict[str, Reserved] = field(default_factory=dict)
    #: labels of the instances for which the account's owner got a mail
    mails: list[str] = field(default_factory=list)
    #: number of instances that were ever created
    made: int = 0
    #: passwords and console addresses that ever existed
    secrets: list[str] = field(default_factory=list)

    def left(self) -> dict[str, list[str]]:
        """Return what users created, by kind and name, to be compared before and after."""
        return {
            "instances": sorted(it.label for it in self.instances.values()),
            "SSH keys": sorted(it.name for it in self.keys.values()),
            "images": sorted(it.description for it in self.snapshots.values() if it.instance_id),
            "startup scripts": sorted(it.name for it in self.scripts.values()),
            "VPCs": sorted(it.description for it in self.vpcs.values()),
            "firewall groups": sorted(it.description for it in self.groups.values()),
            "additional addresses": sorted(ip for it in self.instances.values() for ip in it.additional),
            "attached addresses": sorted(it.subnet for it in self.reserved.values() if it.instance_id),
            "mails": list(self.mails),
        }


@dataclass
class World(world.World):
    """The state and parts that the handlers of calls work on."""

    state: State
    settings: Settings

    def tick(self) -> None:
        """Update the state to the current time: remove deleted instances."""
        now = self.clock()
        self.happen(self.state.instances)
        for snapshot in self.state.snapshots.values():
            if snapshot.instance_id and snapshot.status == "pending" and now >= snapshot.done_at:
                # No status of a failure is documented.
                snapshot.status = "failed" if self.settings.fails_image else "complete"
        for instance in self.over(self.state.instances):
            del self.state.instances[instance.id]
            for one in self.state.reserved.values():
                one.instance_id = "" if one.instance_id == instance.id else one.instance_id
            for vpc_id in instance.vpc_ids:
                if vpc_id in self.state.vpcs:
                    self.state.vpcs[vpc_id].freed = (instance.addresses.private, now)

    def remove(self, it: Instance, *more: Addresses) -> None:
        """Begin to delete an instance, and release its additional addresses."""
        super().remove(it, *more, *(Addresses(ip, "") for ip in it.additional))
