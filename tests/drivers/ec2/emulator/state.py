"""What the emulated EC2 remembers of its instances beside moto, and the switches of its behaviour."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.emulation import world
from tests.emulation.backend import Machines
from tests.emulation.faults import Faults
from tests.emulation.world import NEVER as NEVER

#: length and letters of the vendor's own; nothing else about them is real
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "eu-west-1"
#: seconds for which an instance that ended is still listed: "usually less than one hour"
SHOWN_AFTER_END = 3600.0


@dataclass
class Settings(world.Settings):
    """Beside those that all have."""

    #: from create until ``running``
    active_after: float = 0.2
    #: for which a new group is not known yet to calls that name it
    groups_hidden_for: float = 0.0
    vcpu_limit: int = 100
    #: zones without room, and sizes that a zone does not have
    full_zones: tuple[str, ...] = ()
    #: calls that the credentials do not permit, by the names that policies have: ``ec2:RunInstances``
    denied: tuple[str, ...] = ()
    #: regions in which nothing is permitted, as an organisation may order it
    denied_regions: tuple[str, ...] = ()
    #: hold every answer against botocore's models too
    check_answers: bool = True


@dataclass
class Life(world.Machine):
    """One instance on its way from create to end; moto's own object has everything else."""

    instance_id: str
    region: str
    name: str
    user_data: bytes
    active_at: float
    #: when a stop was asked for
    stopped: bool = False
    #: when its end was asked for, or when EC2 gave it up
    ended_at: float | None = None
    #: when it was ended, and what of it was removed then
    gone: bool = False
    reason: str = ""

    def is_hidden(self, now: float) -> bool:
        """Whether EC2 does not know it yet."""
        return self.hidden_lists > 0 or now < self.created + self.fault.hidden_for

    def state(self, now: float, settings: Settings) -> tuple[str, int]:
        """EC2's word and number for how it is."""
        if self.ended_at is not None:
            over = now >= self.ended_at + (0 if self.reason else settings.gone_after)
            return ("terminated", 48) if over else ("shutting-down", 32)
        if self.stopped:
            return "stopped", 80
        return ("running", 16) if now >= self.active_at else ("pending", 0)

    def shows_address(self, now: float, settings: Settings) -> bool:
        """Return whether its public address is shown."""
        running = self.state(now, settings)[0] == "running"
        return running and now >= self.active_at + settings.address_after and self.address_lists <= 0


@dataclass
class World:
    """What the patched moto works on."""

    account: str
    settings: Settings
    machines: Machines
    faults: Faults
    clock: Callable[[], float]
    lives: dict[str, Life] = field(default_factory=dict)
    #: those of instances that the account may give to its own
    profiles: set[str] = field(default_factory=set)
    #: instances that there ever were
    made: int = 0
    #: ``ClientToken`` by region, with what was asked for and the reservation's id
    tokens: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    #: credits that were asked for, by instance
    credits: dict[str, str] = field(default_factory=dict)
    #: when groups were made
    groups: dict[str, float] = field(default_factory=dict)
    #: the names of snapshots, by the image that was made of each
    snapshots: dict[str, str] = field(default_factory=dict)


def plain(user_data: bytes) -> bytes:
    """What cloud-init makes of user-data: it takes compressed ones as well."""
    return gzip.decompress(user_data) if user_data.startswith(b"\x1f\x8b") else user_data
