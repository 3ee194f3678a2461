"""
A simulated week of a fleet of up to 500 nodes, under the planner and autoscaling of ``hart_salt/fleets``.

The load goes up and down with the day. Instances vanish, stop, or fall silent; the provider takes spot instances away;
nodes get too old; on Thursday the image of the role changes; on Wednesday half of the minions do not answer for 90
minutes, because of the network. A second fleet has nodes with a ttl, which a call creates each working day.

Time is simulated, and the same seed gives the same week.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone

from hart_salt.config.autoscale import Autoscale
from hart_salt.config.fleets import Fleet, share_of
from hart_salt.fleets import actions as do
from hart_salt.fleets.actions import Plan
from hart_salt.fleets.autoscale import Past, decide
from hart_salt.fleets.diff import network_fault, plan
from hart_salt.fleets.scene import COMING, GONE, READY, SILENT, STOPPED, Member, Scene, Spec, Target
from hart_salt.model import Price

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
START = datetime(2026, 11, 30, tzinfo=timezone.utc).timestamp()  #: a Monday
TICK = 10 * MINUTE  #: the time between two looks
BOOT = 90.0  #: seconds until a new node is ready
SOON = 60.0  #: seconds from a notice of the provider to a look
NOTICE = 4 * MINUTE  #: seconds from the notice to the end of a spot instance
PRICE = Price(6.0)
REGIONS = ("nyc3", "fra1", "ams3")
FIRST = 240  #: nodes at the beginning
OLDEST = 5 * DAY  #: the age of the oldest one of them
#: how many nodes vanish, stop, fall silent and get a notice in a week, of each that is there
VANISH, STOP, SILENCE, NOTICES = 0.04, 0.03, 0.05, 0.12
OUTAGE = (2 * DAY + 14 * HOUR, 2 * DAY + 15.5 * HOUR)
NEW_IMAGE = 3 * DAY + 10 * HOUR
SPIKE = (4 * DAY + 11 * HOUR, 4 * DAY + 15 * HOUR)
WINDOWS = (1, 5)  #: hours of each day
TTL_NODES, TTL = 20, 8 * HOUR
SEED = 17

MONTHLY_PRICE = 2880.0
AUTOSCALE = {"metric": {"function": "status.loadavg"}, "target": 0.6, "down_after": "30m"}
WEB: dict[str, object] = {
    "role": "app", "min": 200, "max": 500, "expire_after": "6d", "repair_after": "10m", "drift": "replace",
    "disruption": {"at_once": "5%", "windows": ["01:00-05:00 UTC"]}, "limits": {"monthly_price": MONTHLY_PRICE},
    "autoscale": AUTOSCALE,
}  # fmt: skip
CI: dict[str, object] = {"role": "runner", "count": 0, "max": TTL_NODES, "ttl": TTL}


@dataclass(frozen=True)
class Moment:
    """What the fleet is at one look."""

    #: seconds since Monday 00:00
    at: float
    #: the number of nodes that the load takes at the target
    load: float
    wanted: int
    ready: int
    #: what its nodes cost in a month
    price: float
    #: how many of the ready nodes the plan removed, other than those that their provider takes away
    disturbed: int
    network: bool


@dataclass
class Week:
    """What happened in the week."""

    moments: list[Moment] = field(default_factory=list)
    #: the number of actions by cause, and of faults
    causes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    #: the largest number of instances and the highest price per month at any time, and the greatest age at removal
    most: int = 0
    dearest: float = 0.0
    oldest: float = 0.0
    #: how long after its ttl a node lived at most
    overtime: float = 0.0
    #: spot instances that were taken away before their successors were ready
    too_late: int = 0
    #: actions during the outage of the network
    during_outage: int = 0
    #: what the week has cost
    spent: float = 0.0
    #: the nodes of both fleets at its end
    left: list[Member] = field(default_factory=list)


def load_at(at: float) -> float:
    """Return the number of nodes that the load takes, ``at`` seconds after Monday 00:00."""
    day, hour = divmod(at / HOUR, 24)
    busy = 110.0 if day >= 5 else 205.0
    wave = max(0.0, math.sin(math.pi * (hour - 6.0) / 16.0))
    spike = 150.0 if SPIKE[0] <= at < SPIKE[1] else 0.0
    return 225.0 + busy * wave * math.sqrt(wave) + spike + 6.0 * math.sin(at / HOUR * 2.7)


def spec(name: str, values: dict[str, object]) -> Spec:
    """Return a fleet of this week."""
    settings = Fleet.model_validate(values)
    return Spec(name, settings.role, "do", REGIONS, settings)


class _Simulation:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a simulation
        self.week = Week()
        self.web, self.ci = spec("web", WEB), spec("ci", CI)
        self.autoscale = Autoscale.model_validate(AUTOSCALE)
        self.nodes: dict[str, dict[str, Member]] = {"web": {}, "ci": {}}
        self.made = 0
        self.past = Past()
        #: what happens later: the time, a number that keeps the order, and what
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.now = START
        self.unreachable: set[str] = set()
        for number in range(FIRST):
            self._node("web", REGIONS[number % 3], START - OLDEST * number / FIRST, READY)

    def run(self, days: int) -> Week:
        """Live through the first days of the week and return them."""
        for tick in range(int(days * DAY / TICK)):
            until = START + tick * TICK
            while self.events and self.events[0][0] <= until:
                self.now, _, happen = self.events.pop(0)
                happen()
            self.now = until
            self._happen()
            self._look()
            self.week.spent += sum(map(len, self.nodes.values())) * PRICE.amount * TICK / (365 * DAY / 12)
        self.week.left = [one for nodes in self.nodes.values() for one in nodes.values()]
        return self.week

    # the world

    @property
    def at(self) -> float:
        return self.now - START

    def _later(self, seconds: float, happen: Callable[[], None]) -> None:
        self.made += 1
        self.events.append((self.now + seconds, self.made, happen))
        self.events.sort(key=lambda one: one[:2])

    def _node(self, fleet: str, region: str, created: float, state: str, ends: float | None = None) -> str:
        self.made += 1
        name = f"{fleet}-{self.made:05}"
        busy = state == COMING
        self.nodes[fleet][name] = Member(name, region, "small", created, state, ends=ends, busy=busy, price=PRICE)
        there = sum(one.state != GONE for one in self.nodes["web"].values())
        self.week.most = max(self.week.most, there)
        self.week.dearest = max(self.week.dearest, there * PRICE.amount)
        return name

    def _set(self, name: str, **values: object) -> None:
        if name in self.nodes["web"]:
            self.nodes["web"][name] = dataclasses.replace(self.nodes["web"][name], **values)  # type: ignore[arg-type]

    def _happen(self) -> None:
        """Let faults happen, and what has its time."""
        for rate, fault in (
            (VANISH, self._vanish), (STOP, self._stop), (SILENCE, self._silence), (NOTICES, self._notice)
        ):  # fmt: skip
            free = [name for name, one in self.nodes["web"].items() if one.state == READY and one.interrupted is None]
            expected = rate * len(free) * TICK / (7 * DAY)
            for _ in range(int(expected + self.random.random())):
                name = free[int(self.random.random() * len(free))]
                self.week.faults[fault.__name__.strip("_")] += 1
                fault(name)
        if abs(self.at - NEW_IMAGE) < TICK / 2:
            for name in self.nodes["web"]:
                self._set(name, drift=("image",))
        day, hour = divmod(self.at / HOUR, 24)
        if day < 5 and hour == 9:
            for number in range(TTL_NODES):
                self._node("ci", REGIONS[number % 3], self.now, READY, self.now + TTL)
        out = OUTAGE[0] <= self.at < OUTAGE[1]
        if out and not self.unreachable:
            self.unreachable = set(sorted(self.nodes["web"])[::2])
        if not out:
            self.unreachable = set()

    def _vanish(self, name: str) -> None:
        self._set(name, state=GONE, why="its instance is gone")

    def _stop(self, name: str) -> None:
        self._set(name, state=STOPPED, why="its instance is off")

    def _silence(self, name: str) -> None:
        self._set(name, state=SILENT, why="its minion has not answered", silent_since=self.now)

    def _notice(self, name: str) -> None:
        self._set(name, interrupted=self.now + NOTICE)
        self._later(SOON, self._look)
        self._later(NOTICE, lambda: self._taken(name))

    def _taken(self, name: str) -> None:
        """Let the provider take an instance away, unless it was replaced before."""
        one = self.nodes["web"].get(name)
        if one is not None and one.interrupted is not None:
            self.week.too_late += 1
            self._set(name, state=GONE, busy=False, why="its instance is gone")

    # what the master does

    def _seen(self, name: str, one: Member) -> Member:
        """Return a node as the master sees it."""
        if name not in self.unreachable or one.state != READY:
            return one
        since = START + OUTAGE[0]
        return dataclasses.replace(one, state=SILENT, why="its minion has not answered", silent_since=since)

    def _look(self) -> None:
        """Look at both fleets and do what the plans say."""
        members = [self._seen(name, one) for name, one in self.nodes["web"].items()]
        network = bool(network_fault(members))
        target = None if network else self._target(members)
        prices = dict.fromkeys(REGIONS, PRICE)
        found = plan(Scene(self.web, members, prices, target=target), self.now)
        ready = sum(one.state == READY for one in members)
        before = self._serving()
        self._carry_out("web", found)
        price = sum(one.state != GONE for one in self.nodes["web"].values()) * PRICE.amount
        disturbed = before - self._serving() - sum(one.cause == do.INTERRUPTED for one in found.actions)
        if self.at % TICK == 0:
            moment = Moment(self.at, load_at(self.at), found.wanted, ready, price, disturbed, network)
            self.week.moments.append(moment)
        if network:
            self.week.during_outage += len(found.actions) + len(found.following)
        self._carry_out("ci", plan(Scene(self.ci, list(self.nodes["ci"].values()), prices), self.now))

    def _serving(self) -> int:
        return sum(one.state == READY for one in self.nodes["web"].values())

    def _target(self, members: list[Member]) -> Target:
        ready = [one.minion_id for one in members if one.state == READY]
        alive = sum(one.state != GONE for one in members)
        autoscale = self.autoscale
        each = load_at(self.at) * autoscale.target / max(1, len(ready))
        readings = {name: each * (0.9 + 0.2 * self.random.random()) for name in ready}
        settings = self.web.settings
        decision = decide(autoscale, settings.low, settings.high or 0, alive, readings, self.past, self.now)
        self.past = decision.past
        return Target(decision.wanted, decision.reason)

    def _carry_out(self, fleet: str, found: Plan) -> None:
        """Carry out what is done now; new nodes are ready after ``BOOT``, and only then old ones go."""
        for action in found.actions:
            self.week.causes[action.cause] += 1
            goes = action.minion_id
            if action.kind == do.REPLACE and goes is not None and action.surge:
                self._set(goes, busy=True)
            elif goes is not None:
                self._remove(fleet, goes)
            if action.kind != do.DESTROY:
                name = self._node(fleet, action.region, self.now, COMING)
                later = goes if action.surge else None
                self._later(BOOT, lambda name=name, later=later: self._arrive(fleet, name, later))  # type: ignore[misc]

    def _arrive(self, fleet: str, name: str, old: str | None) -> None:
        self.nodes[fleet][name] = dataclasses.replace(self.nodes[fleet][name], state=READY, busy=False)
        if old is not None:
            self._remove(fleet, old)

    def _remove(self, fleet: str, name: str) -> None:
        one = self.nodes[fleet].pop(name, None)
        if one is None:
            return
        if one.state != GONE and one.ends is None:
            self.week.oldest = max(self.week.oldest, self.now - one.created)
        if one.ends is not None:
            self.week.overtime = max(self.week.overtime, self.now - one.ends)


def live(seed: int = SEED, days: int = 7) -> Week:
    """Return a simulated week, or only its first days."""
    return _Simulation(seed).run(days)


def at_once(wanted: int) -> int:
    """Return how many of so many nodes the fleet lets go at the same time."""
    return share_of(spec("web", WEB).settings.disruption.at_once, wanted)
