"""
How many nodes a fleet should have by its load. Pure: numbers in, a number and its reason out.

The algorithm is that of Kubernetes' HorizontalPodAutoscaler, as its page "Horizontal Pod Autoscaling" documents it
under "Algorithm details" and "Configurable scaling behavior"
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/):

- The number is ``ceil(nodes * average / target)``. Within ``tolerance`` of the target, nothing changes.
- A node without a usable answer counts as at the target if the fleet would shrink, and as 0 if it would grow. A node
  that is not ready yet, or younger than ``warm_up``, counts as 0 if the fleet would grow. If that turns the direction,
  nothing changes.
- The fleet shrinks to the largest number of the last ``down_after`` seconds at most, and grows to the smallest of the
  last ``up_after`` seconds at most.
- One step at most doubles the number of nodes, or adds 4 if that is more.

It differs in these points:

- One step removes at most half of the nodes: the HorizontalPodAutoscaler would go to the minimum at once.
- If more than a third of the nodes are silent, and more than one, nothing changes: then the network is probably at
  fault.
- The load never removes the last node, because then nothing could be measured any more.
- A recommendation holds until the next one, so a time in which nobody looked is no reason to remove nodes. Without a
  past, the number at the first look counts as recommended.
- ``cooldown`` and scheduled minimums do not exist there.

What one minion that lies can do: with three or more answers, the highest and the lowest count as their neighbours (a
winsorized mean), so a false number counts at most as the highest or the lowest honest one. With one or two answers,
nothing can show which one is false: the minion can move the fleet step by step up to its maximum, or down as far as the
honest answer permits. A minion that does not answer slows changes, and if it is the only one, it stops them. No minion
can move the number out of the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from hart_salt.config.autoscale import Autoscale
from hart_salt.config.durations import words

UP_NODES = 4  #: a step can add so many nodes, also to a fleet of which this is more than the double
FEW_SILENT = 1  #: so many silent nodes are never a reason to change nothing
PIECES = 100  #: recommendations of less than this part of the longest window are remembered as one
MOST_KEPT = 2 * PIECES  #: recommendations that are read back; more are an error of whoever wrote them
MOST_NODES = 1_000_000  #: a number above it is an error of whoever wrote it
MOST_LOAD = 1e12  #: a larger answer is no load
ROUNDING = 1e-9  #: what 0.1 + 0.2 - 0.3 leaves must not ask for one more node


@dataclass(frozen=True)
class Recommended:
    """What the load asked for, from one moment until the next entry; the two numbers differ if entries were joined."""

    at: float
    least: int
    most: int


@dataclass(frozen=True)
class Change:
    """A change of the number, which may still be under way."""

    at: float
    before: int
    wanted: int


@dataclass(frozen=True)
class Past:
    """What must be remembered between two decisions; plain data, bounded in size."""

    recommended: tuple[Recommended, ...] = ()
    change: Change | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as data that JSON can hold."""
        recommended = [[one.at, one.least, one.most] for one in self.recommended]
        change = [self.change.at, self.change.before, self.change.wanted] if self.change else None
        return {"recommended": recommended, "change": change}

    @classmethod
    def from_dict(cls, data: Any) -> Past:
        """Return what ``as_dict`` returned; whatever is not usable in it is left out."""
        data = data if isinstance(data, Mapping) else {}
        rows = data.get("recommended")
        kept = [row for row in map(_row, rows if isinstance(rows, list | tuple) else ()) if row is not None]
        recommended = [
            Recommended(at, min(one, other), max(one, other)) for at, one, other in sorted(kept, key=itemgetter(0))
        ]
        change = _row(data.get("change"))
        return cls(tuple(recommended[-MOST_KEPT:]), Change(*change) if change else None)


def _row(value: Any) -> tuple[float, int, int] | None:
    """Return a time and two numbers of nodes, if ``value`` is these three."""
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    at, *numbers = value
    if not all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= MOST_NODES for one in numbers):
        return None
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at <= 1e12:
        return None
    return float(at), numbers[0], numbers[1]


@dataclass(frozen=True)
class Decision:
    """How many nodes there should be, and why."""

    wanted: int
    #: a phrase for people
    reason: str
    #: what to remember for the next decision
    past: Past
    #: sentences to know
    notes: tuple[str, ...] = ()
    #: the average of the answers, in the unit of the metric; None without any
    mean: float | None = None
    #: whether the load was known well enough for a decision
    known: bool = True


def decide(
    settings: Autoscale, low: int, high: int, have: int, readings: Mapping[str, float | None], past: Past, now: float
) -> Decision:
    """
    Return how many nodes the fleet should have.

    ``low`` and ``high`` are its bounds. ``have`` is the number of its nodes, those that are not ready yet included.
    ``readings`` has the answer of each node that is warm or silent: a number, or None if it did not answer or its
    answer is not usable; any other value counts as None. ``past`` is that of the decision before, ``now`` is in seconds
    since the epoch.
    """
    past = _not_later(past, now)
    have = max(have, len(readings))
    before = _current(have, past)
    floor, why_floor = bottom(settings, low, high, now)
    if not have:
        past = _changed(past, have, before, floor, now)
        return Decision(floor, f"there is no node to measure; {why_floor}", past, known=False)
    load = _Load.of(readings, have, settings)
    number, reason = _recommendation(load)
    known = number is not None
    number = max(have, before) if number is None else number
    recommended = _with(past.recommended, number, have, before, now)
    wanted, reasons = number, [reason]
    if known:
        for limit in (
            _stabilized(before, number, recommended, settings, now),
            _stepped(have),
            _cooled(before, past.change, settings, now),
        ):
            wanted, why = limit(wanted)
            reasons.append(why)
    if wanted < floor:
        wanted, reasons = floor, [*reasons, why_floor]
    if wanted > max(low, high):
        wanted, reasons = max(low, high), [*reasons, f"max is {high}"]
    past = replace(past, recommended=_joined(recommended, settings, now))
    past = _changed(past, have, before, wanted, now)
    return Decision(wanted, "; ".join(filter(None, reasons)), past, load.notes(), load.mean, known)


def usable(value: Any) -> float | None:
    """Return a reading as a number; None if it is none, or is negative, not finite, or absurdly large."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_LOAD:
        return None
    return float(value)


def bottom(settings: Autoscale, low: int, high: int, now: float) -> tuple[int, str]:
    """Return the least number of nodes at this moment, and a phrase that says where it comes from."""
    scheduled = min(settings.scheduled(now), high)
    if scheduled > low:
        return scheduled, f"the scheduled minimum is {scheduled}"
    return low, f"min is {low}"


def winsorized(values: Sequence[float]) -> float:
    """Return the mean, for which the highest and the lowest of three or more count as their neighbours."""
    ordered = sorted(values)
    if len(ordered) >= 3:
        ordered = [ordered[1], *ordered[1:-1], ordered[-2]]
    return math.fsum(ordered) / len(ordered)


# what the load asks for


@dataclass(frozen=True)
class _Load:
    """The answers of one moment."""

    answers: Mapping[str, float]
    #: how many nodes have no usable answer
    silent: int
    #: how many nodes are not ready yet, or not warm
    starting: int
    settings: Autoscale

    @classmethod
    def of(cls, readings: Mapping[str, float | None], have: int, settings: Autoscale) -> _Load:
        values = {name: usable(value) for name, value in readings.items()}
        answers = {name: value for name, value in values.items() if value is not None}
        return cls(answers, len(readings) - len(answers), have - len(readings), settings)

    @property
    def mean(self) -> float | None:
        return winsorized(list(self.answers.values())) if self.answers else None

    def notes(self) -> tuple[str, ...]:
        """Return a note about an answer that is far above all others: its node may lie, or be in trouble."""
        *_, second, highest = [0.0, 0.0, *sorted(self.answers.values())]
        if len(self.answers) < 3 or highest - second <= self.settings.target:
            return ()
        name = max(self.answers, key=lambda one: self.answers[one])
        return (f"{name} reports {highest:.3g}, far above the others; it counts as {second:.3g}",)


def _recommendation(load: _Load) -> tuple[int | None, str]:
    """Return the number that the load asks for, None if it is not known, and a phrase about it."""
    ready = len(load.answers) + load.silent
    if load.mean is None and not load.silent:
        return None, "no node is ready and old enough to be measured (warm_up): no change"
    if load.mean is None or load.silent > max(FEW_SILENT, ready // 3):
        return None, f"{load.silent} of {ready} nodes did not answer, more than a third: no change"
    target, tolerance = load.settings.target, load.settings.tolerance
    phrase = f"the average is {load.mean:.3g}, the target {target:.3g}"
    ratio = load.mean / target
    known = ratio * len(load.answers)
    if ratio < 1:
        count, loaded = ready, known + load.silent
    else:
        count, loaded = ready + load.starting, known
    share = loaded / count
    if abs(share - 1) <= tolerance + ROUNDING or (share < 1) != (ratio < 1):
        return ready + load.starting, f"{phrase}: no change"
    number = min(max(1, math.ceil(loaded - ROUNDING)), MOST_NODES)
    return number, f"{phrase}: it takes {number} node{'' if number == 1 else 's'}"


# what limits a change: each returns the number that it lets through, and a phrase if that is another one

_Limit = Callable[[int], tuple[int, str]]


def _stabilized(
    before: int, number: int, recommended: Sequence[Recommended], settings: Autoscale, now: float
) -> _Limit:  # fmt: skip
    """Keep to what was recommended within the two windows."""
    up = min(one.least for one in _in_force(recommended, settings.up_after, now))
    down = max(one.most for one in _in_force(recommended, settings.down_after, now))
    steady = min(max(before, up), down)

    def limit(_: int) -> tuple[int, str]:
        if steady > number:
            return steady, f"{steady} within the last {words(settings.down_after)} (down_after)"
        if steady < number:
            return steady, f"{steady} within the last {words(settings.up_after)} (up_after)"
        return number, ""

    return limit


def _stepped(have: int) -> _Limit:
    """Let one step at most double the nodes or add ``UP_NODES``, and at most remove half of them."""
    most, least = max(2 * have, have + UP_NODES), have - have // 2

    def limit(number: int) -> tuple[int, str]:
        if number > most:
            return most, f"one step goes to {most} at most"
        if number < least:
            return least, "one step removes half of the nodes at most"
        return number, ""

    return limit


def _cooled(before: int, change: Change | None, settings: Autoscale, now: float) -> _Limit:
    """Let nothing change until the cooldown is over."""

    def limit(number: int) -> tuple[int, str]:
        if number == before or change is None or now - change.at >= settings.cooldown:
            return number, ""
        return before, f"cooldown: the last change was {words(now - change.at)} ago"

    return limit


# what is remembered


def _not_later(past: Past, now: float) -> Past:
    """Return the past without times in the future, which a clock that was set back leaves."""
    recommended = tuple(replace(one, at=min(one.at, now)) for one in past.recommended)
    change = replace(past.change, at=min(past.change.at, now)) if past.change else None
    return Past(recommended, change)


def _current(have: int, past: Past) -> int:
    """Return the number that is wanted so far: that of the last change, if it may still be under way, or ``have``."""
    change = past.change
    if change and min(change.before, change.wanted) <= have <= max(change.before, change.wanted):
        return change.wanted
    return have


def _changed(past: Past, have: int, before: int, wanted: int, now: float) -> Past:
    return past if wanted == before else replace(past, change=Change(now, have, wanted))


def _with(
    recommended: Sequence[Recommended], number: int, have: int, before: int, now: float
) -> tuple[Recommended, ...]:  # fmt: skip
    """Return what was recommended so far, and the number of now. Without a past, the present number counts as one."""
    first = Recommended(now, min(have, before), max(have, before))
    return (*(recommended or [first]), Recommended(now, number, number))


def _in_force(recommended: Sequence[Recommended], seconds: float, now: float) -> Sequence[Recommended]:
    """Return what was recommended at some time of the last ``seconds``: each entry holds until the next one."""
    begun = [number for number, one in enumerate(recommended) if one.at <= now - seconds]
    return recommended[begun[-1] if begun else 0 :]


def _joined(recommended: Sequence[Recommended], settings: Autoscale, now: float) -> tuple[Recommended, ...]:
    """
    Return what the windows need, in at most about ``PIECES`` entries: joined ones keep the least and the most.

    The last entry stays as it is.
    """
    window = max(settings.up_after, settings.down_after)
    *former, last = _in_force(recommended, window, now)
    kept: list[Recommended] = []
    for one in former:
        before = kept[-1] if kept else None
        if before and (one.at - before.at < window / PIECES or _alike(one, before)):
            kept[-1] = Recommended(before.at, min(one.least, before.least), max(one.most, before.most))
        else:
            kept.append(one)
    return tuple(kept if kept and _alike(last, kept[-1]) else [*kept, last])


def _alike(one: Recommended, other: Recommended) -> bool:
    return (one.least, one.most) == (other.least, other.most)
