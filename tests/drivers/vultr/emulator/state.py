"""The account as it stands: what the emulated Vultr remembers, and the switches of its behaviour."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from tests.emulation import world
from tests.emulation.backend import Addresses
from tests.emulation.world import NEVER as NEVER


@dataclass
class Settings(world.Settings):
    """Beside those that all have."""

    #: from create until ``active``
    active_after: float = 0.2
    #: from ``active`` until ``server_status`` is ok
    ok_after: float = 0.0
    #: the status with which a second delete is refused is not known
    pending_status: int = 500
    #: a reserved address cannot be detached before the instance was restarted (vultr/terraform-provider-vultr#348)
    stuck: bool = False
    #: after its servers are gone, for so long a VPC cannot be deleted (tent, 3.5: 4 to 73)
    vpc_busy_for: float = 0.0
    #: from the create of an additional address until lists show it
    ipv4_after: float = 0.0
    #: additional addresses that an instance may have
    ipv4_limit: int = 2
    instance_limit: int = 25
    #: calls a second for each address; None: no limit
    second_limit: int | None = 30
    #: addresses that may use the key; None: all
    allowed: tuple[str, ...] | None = None
    #: plans that are out of stock everywhere
    sold_out: tuple[str, ...] = ()
    #: tags are filtered as written: Vultr takes no notice of case
    case_matters: bool = False
    #: take an ``os_id`` that is text. The description says no; a widely used client sends it so.
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
    status: str = "complete"


@dataclass
class Vpc:
    """A private network of a region."""

    id: str
    region: str
    description: str
    v4_subnet: str
    v4_subnet_mask: int
    created: float
    #: ids of its NAT gateways
    gateways: list[str] = field(default_factory=list)
    #: what its last server had as an address, and when that went
    freed: tuple[str, float] = ("", -math.inf)


@dataclass
class Reserved:
    """A reserved address."""

    id: str
    region: str
    subnet: str
    label: str
    #: empty: nothing has it
    instance_id: str = ""


@dataclass
class Group:
    """A firewall group. Nothing is filtered: who is in it is all that counts here."""

    id: str
    description: str
    created: float
    rules: dict[int, dict[str, Any]] = field(default_factory=dict)
    next_rule: int = 1


@dataclass
class Instance(world.Machine):
    """An instance. What it reports of itself follows from the times."""

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
    #: whether it has a public IPv4 address
    ipv4: bool
    firewall_group_id: str
    backups: bool
    user_scheme: str
    active_at: float
    #: what nobody may ever see again
    password: str = field(repr=False)
    console: str = field(repr=False)
    deleted_at: float | None = None
    powered: bool = True
    #: additional addresses, and when each shows up in lists
    additional: dict[str, float] = field(default_factory=dict)
    #: hardware address in its private network, as the API reports it
    vpc_mac: int = 98964710703335
    #: how often it was restarted for an address
    restarts: int = 0

    def is_active(self, now: float) -> bool:
        """Whether it is made."""
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
    #: labels of the instances of which the account's owner got a mail
    mails: list[str] = field(default_factory=list)
    #: how many instances there ever were
    made: int = 0
    #: passwords and console addresses that there ever were
    secrets: list[str] = field(default_factory=list)

    def left(self) -> dict[str, list[str]]:
        """What somebody made, by name: to be compared before and after."""
        return {
            "instances": sorted(it.label for it in self.instances.values()),
            "SSH keys": sorted(it.name for it in self.keys.values()),
            "startup scripts": sorted(it.name for it in self.scripts.values()),
            "VPCs": sorted(it.description for it in self.vpcs.values()),
            "firewall groups": sorted(it.description for it in self.groups.values()),
            "additional addresses": sorted(ip for it in self.instances.values() for ip in it.additional),
            "attached addresses": sorted(it.subnet for it in self.reserved.values() if it.instance_id),
            "mails": list(self.mails),
        }


@dataclass
class World(world.World):
    """What the handlers of calls work on."""

    state: State
    settings: Settings

    def tick(self) -> None:
        """Bring the state up to now: what was deleted goes."""
        now = self.clock()
        for instance in self.over(self.state.instances):
            del self.state.instances[instance.id]
            for one in self.state.reserved.values():
                one.instance_id = "" if one.instance_id == instance.id else one.instance_id
            for vpc_id in instance.vpc_ids:
                if vpc_id in self.state.vpcs:
                    self.state.vpcs[vpc_id].freed = (instance.addresses.private, now)

    def remove(self, it: Instance, *more: Addresses) -> None:
        """Its additional addresses go with it."""
        super().remove(it, *more, *(Addresses(ip, "") for ip in it.additional))
