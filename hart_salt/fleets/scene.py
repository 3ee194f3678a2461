"""What the planner sees of one fleet at one moment. Plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hart_salt.config.fleets import Fleet
from hart_salt.model import Price

#: states of a member: its minion answers; a call works on it; its instance runs but its minion does not answer; its
#: instance does not run; its instance does not exist any more
READY, COMING, SILENT, STOPPED, GONE = "ready", "coming", "silent", "stopped", "gone"
STATES = (READY, COMING, SILENT, STOPPED, GONE)


@dataclass(frozen=True)
class Spec:
    """A declared fleet with everything that the configuration says of it."""

    name: str
    role: str
    provider: str
    #: where its nodes go
    regions: tuple[str, ...]
    settings: Fleet
    #: whether all nodes of this role and provider are its nodes, in whichever region
    alone: bool = True

    def has(self, role: str | None, provider: str, region: str | None) -> bool:
        """Return whether a node of this role in this place is one of the fleet's."""
        return (role, provider) == (self.role, self.provider) and (self.alone or region in self.regions)


@dataclass(frozen=True)
class Member:
    """One node of a fleet. Times are seconds since the epoch."""

    minion_id: str
    region: str
    size: str
    created: float
    #: one of ``STATES``
    state: str = READY
    #: what is wrong with it, in words; empty if it is ready
    why: str = ""
    #: since when its minion has not answered, as far as it is known
    silent_since: float | None = None
    #: when it ends by its ttl; None: never
    ends: float | None = None
    #: when its provider takes the instance away; None: no notice
    interrupted: float | None = None
    #: what of it differs from the configuration
    drift: tuple[str, ...] = ()
    protected: bool = False
    #: whether a living call works on it
    busy: bool = False
    #: what it costs in a month; None: unknown
    price: Price | None = None

    @property
    def free(self) -> bool:
        """Whether a plan can remove or replace it."""
        return not (self.protected or self.busy)

    def has_ended(self, now: float) -> bool:
        """Return whether its ttl has ended."""
        return self.ends is not None and self.ends <= now


@dataclass(frozen=True)
class Target:
    """The number of nodes that autoscale wants, and why."""

    wanted: int
    reason: str


@dataclass(frozen=True)
class Room:
    """How many more nodes the limits of the configuration allow, and which limit that is."""

    nodes: int
    why: str


@dataclass(frozen=True)
class Bake:
    """What is known of the baked images of a fleet that bakes them by itself."""

    #: why a new image is due, in words; empty: none is
    due: str = ""
    #: where it is made
    region: str = ""
    #: what the limits of the configuration allow for the node that is made an image of: it is none of the role's nodes
    room: Room | None = None
    #: whether another call bakes the role at this moment
    running: bool = False
    #: what is wrong with its settings, so that it would fail, in words; empty: nothing that is known
    wrong: str = ""
    #: why a new attempt has to wait, in words, and until when, in seconds since the epoch; empty: it does not
    waits: str = ""
    since: float | None = None
    #: why no node can be created before it is made, in words, by region; a region where one can is absent
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """A fleet, its nodes, and what is known beside them."""

    spec: Spec
    members: Sequence[Member] = ()
    #: what a new node costs in a month, by region; a price that is not known is absent
    prices: Mapping[str, Price] = field(default_factory=dict)
    #: why it could not be seen whole, a sentence each
    problems: Sequence[str] = ()
    #: who holds the fleet, in words; empty: nobody
    held: str = ""
    #: when nodes of the fleet were changed, in seconds since the epoch
    changes: Sequence[float] = ()
    #: what autoscale wants; None: the fleet does not scale by itself
    target: Target | None = None
    #: why the network seems to be at fault, over all fleets; empty if it does not
    network: str = ""
    #: None: no limit
    room: Room | None = None
    #: the images of its role; None: the fleet does not bake them
    bake: Bake | None = None
    #: sentences that the user needs to know
    notes: Sequence[str] = ()
