"""
What is remembered of a fleet between calls, in the record store.

It is a help, and never a reason to remove something by its absence. Without it, silence is counted from the next look
on, and no change counts for the limit of an hour. It is read with suspicion: it may be of another version of hart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hart_salt.fleets.purse import HOUR
from hart_salt.fleets.scene import READY, Member
from hart_salt.inventory.journal import iso
from hart_salt.inventory.records import CHANGES, FLEETS, HOLDS, Store

MOST = 10_000  #: the most changes that are remembered
LATEST = 1e11  #: a time after this, some 3000 years from now, is nonsense


@dataclass(frozen=True)
class Memory:
    """What is remembered of one fleet. Times are seconds since the epoch."""

    #: since when minions have not answered, by minion id
    silent: Mapping[str, float] = field(default_factory=dict)
    #: when nodes were changed
    changes: tuple[float, ...] = ()
    #: who holds it: ``by`` and ``at``; empty if nobody does
    hold: Mapping[str, Any] = field(default_factory=dict)
    #: what autoscale remembers
    past: Mapping[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> str:
        """Who holds the fleet, in words; empty if nobody does."""
        if not self.hold:
            return ""
        by, at = self.hold.get("by"), self.hold.get("at")
        who = f" by {by}" if isinstance(by, str) and by else ""
        since = f" since {iso(float(at or 0), 'seconds')}" if _is_time(at) else ""
        return f"held{who}{since}"


def recall(store: Store, fleet: str) -> Memory:
    """Return what is remembered of a fleet. Raises ``EnvironmentFault`` if the store cannot be used."""
    seen = store.recall(FLEETS, fleet)
    silent, past = seen.get("silent"), seen.get("past")
    times = store.recall(CHANGES, fleet).get("times")
    return Memory(
        {str(name): at for name, at in silent.items() if _is_time(at)} if isinstance(silent, Mapping) else {},
        tuple(at for at in times if _is_time(at)) if isinstance(times, list) else (),
        store.recall(HOLDS, fleet),
        dict(past) if isinstance(past, Mapping) else {},
    )


def observe(memory: Memory, members: Iterable[Member], now: float) -> dict[str, float]:
    """
    Return since when minions have not answered, by minion id, after another look at ``now``.

    A time in the future, from before the clock was set back, counts as now.
    """
    return {
        one.minion_id: min(memory.silent.get(one.minion_id, now), now)
        for one in members
        if one.state != READY and not one.busy
    }


def keep_seen(store: Store, fleet: str, before: Memory, silent: Mapping[str, float], past: Mapping[str, Any]) -> None:
    """Write what was seen, if it differs from what is remembered."""
    if (dict(silent), dict(past)) != (dict(before.silent), dict(before.past)):
        data = {"silent": dict(silent), "past": dict(past)}
        store.remember(FLEETS, fleet, data if silent or past else {})


def keep_changes(store: Store, fleet: str, number: int, now: float) -> None:
    """Remember that so many nodes were changed. The caller holds the lock of the fleet's role."""
    times = [at for at in recall(store, fleet).changes if now - HOUR < at <= now]
    store.remember(CHANGES, fleet, {"times": [*times, *[now] * number][-MOST:]})


def hold(store: Store, fleet: str, by: str, now: float) -> None:
    """Hold a fleet: nothing is changed until ``unhold``."""
    store.remember(HOLDS, fleet, {"by": by, "at": now})


def unhold(store: Store, fleet: str) -> None:
    """End the hold."""
    store.remember(HOLDS, fleet, {})


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LATEST
