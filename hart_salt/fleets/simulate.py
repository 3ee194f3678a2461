"""
What autoscaling would have done over a recorded time. Pure.

The loop is closed: the recorded load is divided among the nodes that are ready in the simulation. A node that is added
takes its share once it has booted, and is measured once it is as old as ``warm_up``. Where the answers of nodes were
recorded, node number i of n has that of the recorded node i modulo m, times m / n for m recorded nodes; so nodes that
were silent and nodes that lied stay so.

Only autoscaling is simulated: a node that is added boots, and one that is removed is gone at once. The limits of a
fleet, such as ``changes_per_hour`` and ``at_once``, do not count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from hart_salt.base.errors import Refused
from hart_salt.config.autoscale import Autoscale
from hart_salt.fleets.autoscale import Decision, Past, decide
from hart_salt.fleets.samples import Sample

MOST_STEPS = 500_000


@dataclass(frozen=True)
class Setup:
    """What is simulated."""

    settings: Autoscale
    low: int
    high: int
    #: seconds until a new node is ready
    boot: float = 60.0
    #: seconds between two looks
    interval: float = 60.0


@dataclass(frozen=True)
class Row:
    """One look at which something changed."""

    at: float
    #: the recorded load of the whole fleet; None for silence
    load: float | None
    #: what the nodes answered on average; None if none did
    average: float | None
    wanted: int
    ready: int
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "time": iso(self.at), "load": _rounded(self.load), "average": _rounded(self.average),
            "wanted": self.wanted, "ready": self.ready, "reason": self.reason,
        }  # fmt: skip


@dataclass
class Totals:
    """The sums over the whole time."""

    seconds: float = 0.0
    node_seconds: float = 0.0
    #: of the nodes that were recorded; 0 if only loads were
    recorded_node_seconds: float = 0.0
    #: in which the average was above the target and its tolerance
    overloaded_seconds: float = 0.0
    #: in which too many nodes were silent, or none was ready
    blind_seconds: float = 0.0
    highest: int = 0
    lowest: int = 0
    changes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, in hours."""
        recorded = {"recorded_node_hours": _hours(self.recorded_node_seconds)} if self.recorded_node_seconds else {}
        return {
            "hours": _hours(self.seconds), "node_hours": _hours(self.node_seconds), **recorded,
            "overloaded_hours": _hours(self.overloaded_seconds), "blind_hours": _hours(self.blind_seconds),
            "highest": self.highest, "lowest": self.lowest, "changes": self.changes,
        }  # fmt: skip


@dataclass(frozen=True)
class Simulated:
    """The rows and the totals; ``notes`` are sentences to know, each once."""

    rows: tuple[Row, ...]
    totals: Totals
    notes: tuple[str, ...] = ()


def simulate(setup: Setup, samples: Sequence[Sample]) -> Simulated:
    """
    Return what would have been done.

    ``samples`` are in the order of their times; each holds until the next one. Raises ``Refused`` if the time is too
    long for the interval.
    """
    steps = int((samples[-1].at - samples[0].at) // setup.interval) + 1
    if steps > MOST_STEPS:
        raise Refused(f"the recorded time has {steps} looks, and at most {MOST_STEPS} are possible: raise interval")
    run = _Run(setup, _beginning(setup, samples))
    place = 0
    for step in range(steps):
        now = samples[0].at + step * setup.interval
        while place + 1 < len(samples) and samples[place + 1].at <= now:
            place += 1
        run.look(samples[place], now, min(setup.interval, samples[-1].at - now))
    return Simulated(tuple(run.rows), run.totals, tuple(run.notes))


def _beginning(setup: Setup, samples: Sequence[Sample]) -> int:
    """Return how many nodes there are at the beginning: those that were recorded, or as many as the load needs."""
    first = samples[0]
    number = len(first.values)
    if first.load is not None:
        number = math.ceil(first.load / setup.settings.target)
    return min(max(number, setup.low), setup.high)


@dataclass
class _Run:
    """The state of a simulation."""

    setup: Setup
    beginning: int
    rows: list[Row] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    notes: dict[str, None] = field(default_factory=dict)
    past: Past = Past()

    def __post_init__(self) -> None:
        #: when each node was created, in this order
        self.nodes = [-math.inf] * self.beginning
        self.totals.highest = self.totals.lowest = self.beginning

    def look(self, sample: Sample, now: float, seconds: float) -> None:
        """Decide at one moment, carry it out, and let ``seconds`` pass."""
        setup = self.setup
        ready = sum(at + setup.boot <= now for at in self.nodes)
        warm = sum(at + max(setup.boot, setup.settings.warm_up) <= now for at in self.nodes)
        readings = dict(list(divided(sample, ready).items())[:warm])
        before = len(self.nodes)
        decision = decide(setup.settings, setup.low, setup.high, before, readings, self.past, now)
        self.past = decision.past
        self.notes |= dict.fromkeys(decision.notes[: 10 - len(self.notes)])
        self.nodes = [*self.nodes[: decision.wanted], *[now] * (decision.wanted - before)]
        row = Row(now, total(sample), decision.mean, decision.wanted, ready, decision.reason)
        last = self.rows[-1] if self.rows else None
        if last is None or (last.wanted, last.ready) != (row.wanted, row.ready):
            self.rows.append(row)
        self._count(sample, decision, changed=decision.wanted != before, seconds=seconds)

    def _count(self, sample: Sample, decision: Decision, *, changed: bool, seconds: float) -> None:
        totals, settings = self.totals, self.setup.settings
        totals.changes += changed
        totals.highest = max(totals.highest, len(self.nodes))
        totals.lowest = min(totals.lowest, len(self.nodes))
        totals.seconds += seconds
        totals.node_seconds += len(self.nodes) * seconds
        totals.recorded_node_seconds += len(sample.values) * seconds
        if not decision.known:
            totals.blind_seconds += seconds
        elif decision.mean is not None and decision.mean > settings.target * (1 + settings.tolerance):
            totals.overloaded_seconds += seconds


def divided(sample: Sample, ready: int) -> Mapping[str, float | None]:
    """Return what each ready node would answer."""
    if sample.load is not None:
        return {f"node {number}": sample.load / ready for number in range(1, ready + 1)}
    recorded = sample.values or (None,)
    share = len(recorded) / max(1, ready)
    values = [recorded[number % len(recorded)] for number in range(ready)]
    return {f"node {number}": None if value is None else value * share for number, value in enumerate(values, 1)}


def total(sample: Sample) -> float | None:
    """Return the load of the whole fleet; None if nothing of it is known."""
    answers = [value for value in sample.values if value is not None]
    return math.fsum(answers) if answers else sample.load


def iso(seconds: float) -> str:
    """Return a time in ISO 8601, in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def _hours(seconds: float) -> float:
    return round(seconds / 3600, 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
