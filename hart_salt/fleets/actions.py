"""What a plan for a fleet consists of. Plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from hart_salt.model import Price

CREATE, DESTROY, REPLACE, BAKE = "create", "destroy", "replace", "bake"
#: why something is done: there are too few or too many nodes, an instance is gone, a node's ttl has ended, its provider
#: takes it away, it is broken, it gets too old, it differs from the configuration; of a bake, there is no image that is
#: new enough and made of the present configuration
FEW, MANY, VANISHED, ENDED, INTERRUPTED, BROKEN, AGE, DRIFT, IMAGE = (
    "few", "many", "gone", "ttl", "interrupted", "repair", "age", "drift", "image",
)  # fmt: skip
#: states of a fleet
STEADY, CHANGING, BLOCKED, HELD = "steady", "changing", "blocked", "held"
FLEET_STATES = (STEADY, CHANGING, BLOCKED, HELD)


@dataclass(frozen=True)
class Action:
    """One change of a fleet, or a bake of its role, which changes no node."""

    #: ``create``, ``destroy``, ``replace`` or ``bake``
    kind: str
    #: one of the causes
    cause: str
    #: the cause in words
    reason: str
    #: where a new node goes, where the node is, or where the image is made
    region: str
    #: the node that goes; None: none goes
    minion_id: str | None = None
    #: of a replacement: whether the new node is ready before the old one goes
    surge: bool = True
    #: whether the minion of the node that goes answers, so that it can be drained
    answers: bool = True
    #: when the old node ends by itself, in seconds since the epoch; None: it does not
    deadline: float | None = None
    #: what the node that goes costs in a month, and the one that comes; None: unknown, or there is none
    before: Price | None = None
    after: Price | None = None


@dataclass(frozen=True)
class Later:
    """An action that is not done now."""

    action: Action
    why: str
    #: from when on it can be done, in seconds since the epoch; None: not known
    since: float | None = None


@dataclass(frozen=True)
class Plan:
    """What is to be done with a fleet."""

    fleet: str
    state: str
    #: why it is in this state, in words
    why: str = ""
    #: how many nodes there should be
    wanted: int = 0
    #: how many nodes are in which state
    counts: Mapping[str, int] = field(default_factory=dict)
    #: what is done now, in this order
    actions: Sequence[Action] = ()
    #: what the same call does after that, when these nodes are ready
    following: Sequence[Action] = ()
    #: what has to wait, and for what
    later: Sequence[Later] = ()
    notes: Sequence[str] = ()

    @property
    def anything(self) -> bool:
        """Whether anything differs from the declaration."""
        return bool(self.actions or self.following or self.later) or self.state == BLOCKED


def clock(seconds: float) -> str:
    """Return a time for people, in UTC."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M} UTC"
