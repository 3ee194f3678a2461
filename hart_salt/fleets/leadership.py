"""
Which of several masters with the same nodes runs the engine.

The leader is named in the record store, beside a number that grows with each of its looks. Another master takes over
once it has seen the same number for ``MISSED`` intervals. It measures that with its own clock, so the clocks of the
masters need not agree. Whoever looks holds the lock of the engine, so a look that takes long is never overtaken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hart_salt.fleets.engine_state import EngineState

#: intervals without a look after which another master becomes the leader
MISSED = 3


@dataclass(frozen=True)
class EngineHost:
    """A master that runs the engine: its id, and the machine that it runs on."""

    master: str
    machine: str


@dataclass(frozen=True)
class Seen:
    """What a master that does not lead has seen of the leader, and since when, by its own clock."""

    leader: str
    machine: str
    looks: int
    since: float


def leads(state: EngineState | None, me: EngineHost, seen: Seen | None, now: float) -> tuple[bool, Seen | None]:
    """
    Return whether this master leads, and what it has seen of the other leader otherwise.

    ``seen`` is what the last call returned, ``now`` the time of a clock of this machine, in seconds.
    """
    if state is None or not state.leader or (state.leader, state.machine) == (me.master, me.machine):
        return True, None
    current = Seen(state.leader, state.machine, state.looks, now)
    if seen is None or (seen.leader, seen.machine, seen.looks) != (current.leader, current.machine, current.looks):
        return False, current
    return now - seen.since >= MISSED * state.interval, seen


def seen_of(data: Any) -> Seen | None:
    """Return what ``written`` made of it; None for anything else."""
    if not isinstance(data, Mapping):
        return None
    try:
        return Seen(str(data["leader"]), str(data["machine"]), int(data["looks"]), float(data["since"]))
    except (KeyError, TypeError, ValueError):
        return None


def written(seen: Seen | None) -> dict[str, Any] | None:
    """Return it as plain data."""
    return None if seen is None else asdict(seen)
