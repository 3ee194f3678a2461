"""
When nodes are replaced for their age, so that none gets too old. Pure.

A fleet whose nodes are all of the same age cannot replace them all on the last day, and outside of its windows it
cannot replace any. Each node gets a latest time for its replacement, counted back from the youngest one: a turn before
that of the next younger one, and in the time in which windows are open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hart_salt.config.fleets import Fleet
from hart_salt.config.week import Window
from hart_salt.fleets.purse import HOUR
from hart_salt.fleets.scene import Member

#: the part of ``expire_after``, and the most seconds, by which a node is replaced before it is too old
LEAD_PART, LEAD = 0.1, 86400.0
#: seconds that one replacement is expected to take, with the drain
TURN = 600.0
#: no node is replaced before this part of ``expire_after``, however many there are
LEAST_PART = 0.5


@dataclass(frozen=True)
class _Span:
    """A time in which nodes can be replaced."""

    begin: float
    end: float


def expiring(members: Sequence[Member], settings: Fleet, at_once: int, now: float) -> list[Member]:
    """Return the nodes that are replaced for their age now, or in the next window, the oldest first."""
    after = settings.expire_after
    if after is None:
        return []
    in_order = sorted(members, key=lambda one: (one.created, one.minion_id))
    turn = max(TURN / at_once, HOUR / (settings.limits.changes_per_hour or math.inf))
    spans = _spans(settings.disruption.windows or (), now, turn * len(in_order))
    left = spans[0].end - now if settings.disruption.windows and spans[0].begin == now else 0.0
    latest, due = math.inf, []
    for one in reversed(in_order):
        latest = min(_open_until(one.created + after - min(after * LEAD_PART, LEAD), spans, now), latest - turn)
        if latest <= left and now - one.created >= after * LEAST_PART:
            due.append(one)
    return due[::-1]


def opening(windows: Sequence[Window] | None, now: float) -> float | None:
    """Return when the next window opens; None if one is open, or there are none."""
    if not windows or any(one.is_open(now) for one in windows):
        return None
    return min(one.opens(now) for one in windows)


def _spans(windows: Sequence[Window], now: float, needed: float) -> list[_Span]:
    """Return the times from now on in which nodes can be replaced, with ``needed`` seconds and more after the first."""
    if not windows:
        return [_Span(now, math.inf)]
    spans: list[_Span] = []
    at, later = now, 0.0
    while later <= needed:
        begin = min(one.opens(at) for one in windows)
        at = max(one.end(begin) for one in windows if one.is_open(begin))
        later += at - begin if spans else 0.0
        spans.append(_Span(begin, at))
    return spans


def _open_until(at: float, spans: Sequence[_Span], now: float) -> float:
    """Return how many of the seconds until ``at`` windows are open; below 0 if ``at`` is past."""
    if at <= now:
        return at - now
    return math.fsum(max(0.0, min(at, one.end) - one.begin) for one in spans)
