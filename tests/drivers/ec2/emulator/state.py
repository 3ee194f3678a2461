"""The state of instances that the emulated EC2 keeps besides moto, and the switches of its behaviour."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from tests.drivers.ec2.emulator import metadata
from tests.emulation import world
from tests.emulation.backend import Machines
from tests.emulation.faults import Faults
from tests.emulation.world import NEVER as NEVER

#: have the length and letters of the vendor's keys; nothing else about them is real
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "eu-west-1"
#: seconds for which an instance that ended is still listed: "usually less than one hour"
SHOWN_AFTER_END = 3600.0
#: seconds from the notice until a spot instance is taken away
NOTICE = 120.0


@dataclass
class Settings(world.Settings):
    """EC2's switches, in addition to those of all clouds."""

    #: seconds from create until ``running``
    active_after: float = 0.2
    #: seconds during which calls that name a new group do not find it
    groups_hidden_for: float = 0.0
    vcpu_limit: int = 100
    #: zones without capacity
    full_zones: tuple[str, ...] = ()
    #: regions in which nothing is permitted, as an organisation's policy can require
    denied_regions: tuple[str, ...] = ()
    #: seconds during which calls do not find a new image
    images_hidden_for: float = 0.0
    #: seconds during which a deregistered image is still listed
    deregistered_for: float = 0.0
    #: whether a pending image cannot be deregistered
    keeps_pending_images: bool = False
    #: whether every answer is checked against botocore's models too
    check_answers: bool = True


@dataclass
class Life(world.Machine):
    """One instance from create to end; moto's own object has everything else."""

    instance_id: str
    region: str
    name: str
    user_data: bytes
    active_at: float
    #: whether a stop was requested, and when it is done
    stopped: bool = False
    stopped_at: float = 0.0
    #: when termination was requested, or when EC2 gave the instance up
    ended_at: float | None = None
    #: whether the instance ended and its interface and volumes were removed
    gone: bool = False
    reason: str = ""
    #: when EC2 announced that it takes the spot instance away, and what it does then
    marked_at: float | None = None
    action: str = "terminate"
    #: when EC2 said that this has become more likely
    rebalance_at: float | None = None

    @property
    def id(self) -> str:
        """The instance's id, as the machines of other clouds have it."""
        return self.instance_id

    def is_hidden(self, now: float) -> bool:
        """Return whether EC2 does not show the instance yet."""
        return self.hidden_lists > 0 or now < self.created + self.fault.hidden_for

    def state(self, now: float, settings: Settings) -> tuple[str, int]:
        """Return EC2's name and code of the instance's state."""
        if self.ended_at is not None:
            over = now >= self.ended_at + (0 if self.reason else settings.gone_after)
            return ("terminated", 48) if over else ("shutting-down", 32)
        if self.stopped:
            return ("stopped", 80) if now >= self.stopped_at else ("stopping", 64)
        return ("running", 16) if now >= self.active_at else ("pending", 0)

    def spot_status(self) -> tuple[str, float]:
        """Return the code of the spot request's status, and the time of its last change."""
        marked = self.marked_at
        if marked is None:
            ended = self.ended_at
            return ("fulfilled", self.created) if ended is None else ("instance-terminated-by-user", ended)
        if self.ended_at is None:
            return "marked-for-termination" if self.action == "terminate" else "marked-for-stop", marked
        return "instance-terminated-no-capacity", self.ended_at

    def notices(self) -> dict[str, Any]:
        """Return the metadata that announce it."""
        ends = None if self.marked_at is None else self.marked_at + NOTICE
        hint = "" if self.rebalance_at is None else when(self.rebalance_at)
        return metadata.notices("" if ends is None else self.action, when(ends or 0.0), hint)

    def shows_address(self, now: float, settings: Settings) -> bool:
        """Return whether its public address is shown."""
        running = self.state(now, settings)[0] == "running"
        return running and now >= self.active_at + settings.address_after and self.address_lists <= 0


@dataclass
class Made:
    """An image that a user made; moto's own object has everything else."""

    ami: str
    region: str
    #: the name of its disk in the back end; a copy has that of its source
    disk: str
    #: when it is available, and when calls find it
    available_at: float
    shown_at: float
    fails: bool
    #: whether it was deregistered, and when it is listed no more
    is_gone: bool = False
    gone_at: float | None = None


@dataclass
class World:
    """The state and parts that the patched moto works on."""

    account: str
    settings: Settings
    machines: Machines
    faults: Faults
    clock: Callable[[], float]
    lives: dict[str, Life] = field(default_factory=dict)
    #: names of the account's instance profiles
    profiles: set[str] = field(default_factory=set)
    #: number of instances ever created
    made: int = 0
    #: by region and ``ClientToken``, the digest of the request and the reservation's id
    tokens: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    #: requested credits by instance
    credits: dict[str, str] = field(default_factory=dict)
    #: creation times of groups
    groups: dict[str, float] = field(default_factory=dict)
    #: names of snapshots, by the image made from each
    snapshots: dict[str, str] = field(default_factory=dict)
    #: images that users made of instances, and their copies, by id
    images: dict[str, Made] = field(default_factory=dict)


def when(moment: float) -> str:
    """Return a time as the metadata have it."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def plain(user_data: bytes) -> bytes:
    """Return user-data as cloud-init uses it; it also accepts compressed user-data."""
    return gzip.decompress(user_data) if user_data.startswith(b"\x1f\x8b") else user_data
