"""
What is remembered of a fleet between calls, in the record store.

It is a help, and never a reason to remove something by its absence. Without it, silence is counted from the next look
on, and no change counts for the limit of an hour. It is read with suspicion: it may be of another version of hart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hart_salt.fleets.actions import clock
from hart_salt.fleets.baking import Attempt, attempt_of
from hart_salt.fleets.purse import HOUR
from hart_salt.fleets.scene import READY, Member
from hart_salt.inventory.records import CHANGES, FLEETS, HOLDS, Store

MOST = 10_000  #: the most changes that are remembered
LATEST = 1e11  #: a time after this, some 3000 years from now, is nonsense
#: seconds between two looks after which a minion that does not answer counts as silent only from the second one on
FRESH = 36 * HOUR


@dataclass(frozen=True)
class Memory:
    """What is remembered of one fleet. Times are seconds since the epoch."""

    #: since when minions have not answered, by minion id
    silent: Mapping[str, float] = field(default_factory=dict)
    #: when this was seen for the last time; None: nobody looked
    looked: float | None = None
    #: when nodes were changed
    changes: tuple[float, ...] = ()
    #: who holds it: ``by`` and ``at``; empty if nobody does
    hold: Mapping[str, Any] = field(default_factory=dict)
    #: what autoscale remembers
    past: Mapping[str, Any] = field(default_factory=dict)

    def held(self, fleet: str) -> str:
        """Return who holds the fleet of this name, and how that ends, in words; empty if nobody does."""
        if not self.hold:
            return ""
        by, at = self.hold.get("by"), self.hold.get("at")
        who = f" by {by}" if isinstance(by, str) and by else ""
        since = f" since {clock(float(at or 0))}" if _is_time(at) else ""
        return f"held{who}{since}: salt-run hart.unhold {fleet} ends it"


def key_of(fleet: str, owner: str) -> str:
    """
    Return under which name a fleet is remembered; the functions here call it ``fleet``.

    ``owner`` is the mark of the master: two masters with different marks can share a store, and each has its own nodes.
    """
    return f"{fleet}-{owner}" if owner else fleet


def recall(store: Store, fleet: str) -> Memory:
    """Return what is remembered of a fleet. Raises ``EnvironmentFault`` if the store cannot be used."""
    seen = store.recall(FLEETS, fleet)
    silent, past = seen.get("silent"), seen.get("past")
    times = store.recall(CHANGES, fleet).get("times")
    looked = seen.get("looked")
    return Memory(
        {str(name): at for name, at in silent.items() if _is_time(at)} if isinstance(silent, Mapping) else {},
        looked if _is_time(looked) else None,
        tuple(at for at in times if _is_time(at)) if isinstance(times, list) else (),
        store.recall(HOLDS, fleet),
        dict(past) if isinstance(past, Mapping) else {},
    )


def observe(memory: Memory, members: Iterable[Member], now: float) -> dict[str, float]:
    """
    Return since when minions have not answered, by minion id, after another look at ``now``.

    A time in the future, from before the clock was set back, counts as now. A look that is older than ``FRESH`` counts
    for nothing: what was silent then and is silent now need not have been so in between.
    """
    fresh = memory.looked is not None and now - memory.looked <= FRESH
    since = memory.silent if fresh else {}
    return {
        one.minion_id: min(since.get(one.minion_id, now), now) for one in members if one.state != READY and not one.busy
    }


def keep_seen(
    store: Store, fleet: str, before: Memory, silent: Mapping[str, float], past: Mapping[str, Any], now: float
) -> None:  # fmt: skip
    """Write what was seen at ``now``, if a node is silent, or if it differs from what is remembered."""
    if silent or (dict(silent), dict(past)) != (dict(before.silent), dict(before.past)):
        data = {"silent": dict(silent), "looked": now, "past": dict(past)}
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


def failed_bake(store: Store, role: str, provider: str, owner: str) -> Attempt | None:
    """Return the last bake of a role at a provider if it failed. Raises ``EnvironmentFault`` as ``recall`` does."""
    return attempt_of(store.recall(FLEETS, _bake_key(role, provider, owner)))


def keep_failed_bake(store: Store, role: str, provider: str, owner: str, failed: Attempt | None) -> None:
    """Remember a bake that failed; None: the last one did not. All fleets of the role at the provider share this."""
    store.remember(FLEETS, _bake_key(role, provider, owner), failed.as_dict() if failed else {})


def _bake_key(role: str, provider: str, owner: str) -> str:
    return f"_bake-{role}@{provider}-{owner}"  # no fleet can have such a name


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LATEST
