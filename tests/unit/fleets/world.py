"""
A small world of instances for the tests of the planner.

The waves that carry plans out are the real ones of ``hart_salt/fleets/reconcile.py``; only the operations on nodes are
simulated. Each step of them can fail, and the call can be killed in it. After each step the world checks what must
never happen.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hart_salt.base.errors import EnvironmentFault, Refused
from hart_salt.config.fleets import share_of
from hart_salt.config.settings import Settings
from hart_salt.fleets import actions as do
from hart_salt.fleets import baking
from hart_salt.fleets.actions import Plan
from hart_salt.fleets.baking import Attempt
from hart_salt.fleets.diff import plan
from hart_salt.fleets.reconcile import Operations, Wave, Work
from hart_salt.fleets.scene import COMING, GONE, READY, Bake, Member, Room, Scene, Spec, Target
from hart_salt.inventory.records import READY as RECORDED_READY
from hart_salt.inventory.records import Record
from hart_salt.model import BakedImage, Price
from hart_salt.operations.fleet import Outcomes
from tests.unit.fleets.scenes import HOUR

OK, FAILS, BREAKS, KILLED, KILLED_HALF_WAY = "ok", "fails", "breaks", "killed", "killed half-way"
STEP = 10.0  #: seconds that each step takes


class Killed(BaseException):
    """The call was killed."""


@dataclass
class Images:
    """The baked images of the role of a fleet that bakes them, by number; 0 is the plain image."""

    newest: int = 0
    created: float = 0.0
    #: the configuration that the newest one was made from, and the present one
    made_from: int = 1
    configured: int = 1
    #: by minion id, what each node runs from; a node that is not there runs from the plain image
    of_node: dict[str, int] = field(default_factory=dict)
    last: Attempt | None = None
    #: whether the role needs one: ``image: baked!``
    required: bool = False
    #: until when another call bakes
    other: float = 0.0
    #: how many were made in all
    made: int = 0


def digest_of(configuration: int) -> str:
    """Return the digest of an image that is made from this configuration."""
    return f"1-00000000-11111111-22222222-33333333-{configuration:08x}-44444444"


@dataclass
class World:
    """The nodes of one fleet, of another fleet with the same role, and of another owner."""

    spec: Spec
    now: float
    nodes: dict[str, Member]
    others: dict[str, Member] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)
    target: Target | None = None
    most: int | None = None  #: the limit of the configuration
    images: Images = field(default_factory=Images)
    #: how each of the next steps ends
    faults: Iterator[str] = iter(())
    changes: list[float] = field(default_factory=list)
    #: instances that a call left that was killed, which no look counts
    left: dict[str, Member] = field(default_factory=dict)
    made: int = 0
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._count = max(self.instances, self.spec.settings.max or 0)
        self._cost = self._costs()
        self.protect()

    def protect(self) -> None:
        """Note which nodes nothing may change from now on."""
        self._safe = {one.minion_id for one in self.nodes.values() if not one.free}

    # what there is

    @property
    def instances(self) -> int:
        """The number of instances that exist."""
        return len(self.left) + sum(one.state != GONE for one in self.nodes.values())

    @property
    def serving(self) -> int:
        """The number of nodes that are ready and that their provider leaves."""
        return sum(one.state == READY and one.interrupted is None for one in self.nodes.values())

    def _costs(self) -> Counter[str]:
        costs: Counter[str] = Counter()
        for one in [*self.nodes.values(), *self.left.values()]:
            if one.state != GONE and one.price is not None:
                costs[one.price.currency] += round(one.price.amount)
        return costs

    def scene(self) -> Scene:
        """Return what a survey would see, in an order that says nothing."""
        seen = sorted(self.nodes.values(), key=lambda one: one.minion_id[::-1])
        bake = self.bake()
        if bake is not None:
            seen = [
                one if self.is_newest(one) else dataclasses.replace(one, drift=(*one.drift, "image")) for one in seen
            ]
        changes = list(self.changes)
        return Scene(self.spec, seen, self.prices, changes=changes, target=self.target, room=self.room(), bake=bake)

    def room(self) -> Room | None:
        """Return what the limits of the configuration allow."""
        return None if self.most is None else Room(self.most - self.instances, f"hart:max_nodes is {self.most}")

    def is_newest(self, member: Member) -> bool:
        """Return whether a node runs from the newest image."""
        return self.images.of_node.get(member.minion_id, 0) == self.images.newest

    def bake(self) -> Bake | None:
        """Return what a survey would see of the images; None if the fleet does not bake."""
        after, own = self.spec.settings.bake_after, self.images
        if after is None:
            return None
        there = BakedImage(f"image-{own.newest}", "image", "available", True, "app", digest=digest_of(own.made_from))
        newest = dataclasses.replace(there, created=own.created) if own.newest else "there is none"
        seen = baking.Images(
            "nyc3", dict.fromkeys(self.spec.regions, newest), digest_of(own.configured),
            frozenset(self.spec.regions if own.required else ()), own.last, self.now < own.other, self.room(),
        )  # fmt: skip
        return baking.bake_of(seen, "app", after, self.now)

    # what a call does

    def apply(self, *, force: bool = False) -> Plan:
        """Plan and carry out one wave; return the plan."""
        found = plan(self.scene(), self.now, force=force)
        self._check_plan(found, force)
        with contextlib.suppress(Killed):
            self._carry_out(found)
        return found

    def _carry_out(self, found: Plan) -> None:
        ready = self.serving
        # Changes count before they are made, as ``run.py`` does it.
        self.changes += [self.now] * sum(one.cause not in (do.VANISHED, do.IMAGE) for one in found.actions)
        records = {name: _record(one) for name, one in self.nodes.items()}
        Wave(found, records, self.operations(), Work()).run()
        self._check_floor(found, ready)

    def operations(self) -> Operations:
        """Return the operations on the nodes of the fleet."""
        return Operations(
            self._create, self._drain, self._destroy, lambda _: Settings.model_construct(drain_timeout=60.0),
            lambda: self.now, self._bake, lambda _: contextlib.nullcontext(),
        )  # fmt: skip

    def _create(self, region: str, number: int) -> Outcomes:
        """Create nodes, all at the same time."""
        if self.images.required and not self.images.newest:
            raise Refused("image is baked!, but there is none")
        self.left.clear()  # a call that creates sweeps first
        names = [f"new-{self.made + count}" for count in range(number)]
        self.made += number
        for name in names:
            self.left[name] = Member(name, region, "small", self.now, COMING, price=self.prices.get(region))
        self.check()
        data = {}
        for name in names:
            fault = self._fault()
            came = self.left.pop(name)
            if fault == OK:
                self.nodes[name] = dataclasses.replace(came, state=READY)
                self.images.of_node[name] = self.images.newest
            data[name] = {"result": fault == OK}
        return Outcomes(data, all(one["result"] for one in data.values()))

    def _bake(self) -> Outcomes:
        """Make an image, of a node that exists until then."""
        seen = self.bake()
        if seen is None or not seen.due or seen.running or seen.waits:
            self.problems.append(f"it bakes although no image is to be made: {seen}")
        own = self.images
        try:
            fault = FAILS if self.most is not None and self.instances >= self.most else self._fault()
        except EnvironmentFault:
            own.last = baking.next_attempt(own.last, digest_of(own.configured), "it breaks", self.now)
            raise
        if fault == OK:
            own.made += 1
            own.newest, own.created, own.made_from, own.last = 1000 + own.made, self.now, own.configured, None
        else:
            own.last = baking.next_attempt(own.last, digest_of(own.configured), "it fails", self.now)
        return Outcomes({"app": {"result": fault == OK, "error": fault}}, fault == OK)

    def _drain(self, wanted: Mapping[str, Settings]) -> Mapping[str, str]:
        return {name: "it has work" for name in wanted if self.nodes[name].state != READY or self._fault() != OK}

    def _destroy(self, records: Sequence[Record]) -> Outcomes:
        data = {}
        for record in records:
            fault = self._fault(self.nodes.get(record.minion_id))
            if fault == OK:
                self._end(record.minion_id)
            data[record.minion_id] = {"result": fault == OK}
            self.check()
        return Outcomes(data, all(one["result"] for one in data.values()))

    def _end(self, minion_id: str) -> None:
        if minion_id in self._safe or minion_id in self.others or minion_id not in self.nodes:
            self.problems.append(f"{minion_id} was destroyed")
        self.nodes.pop(minion_id, None)

    def _fault(self, going: Member | None = None) -> str:
        self.now += STEP
        fault = next(self.faults, OK)
        if fault == KILLED_HALF_WAY and going is not None and going.minion_id not in self._safe:
            self.nodes[going.minion_id] = dataclasses.replace(going, state=GONE, why="its instance is gone")
        if fault in (KILLED, KILLED_HALF_WAY):
            raise Killed
        if fault == BREAKS:
            raise EnvironmentFault("the provider cannot be asked")
        return fault

    # what must never happen

    def check(self) -> None:
        """Note what must not be."""
        if self.spec.settings.max is not None and self.instances > self._count:
            self.problems.append(f"{self.instances} instances, and max is {self.spec.settings.max}")
        for currency, cost in self._costs().items():
            most = self.spec.settings.limits.amount(currency)
            if most is not None and cost > max(most, self._cost[currency]):
                self.problems.append(f"{cost} {currency} a month, and monthly_price is {most}")
        if self.most is not None and self.instances > max(self.most, self._count):
            self.problems.append(f"{self.instances} instances, and the configuration allows {self.most}")

    def _check_plan(self, found: Plan, force: bool) -> None:
        own = {one.minion_id: one for one in self.nodes.values()}
        every = [*found.actions, *found.following]
        for one in every:
            if one.minion_id is not None and (one.minion_id not in own or not own[one.minion_id].free):
                self.problems.append(f"{one.minion_id} is not the fleet's to change")
        bakes = [one for one in every if one.kind == do.BAKE]
        renewed = [one for one in found.actions if one.cause in (do.AGE, do.DRIFT)]
        seen = self.bake()
        if len(bakes) > 1 or (renewed and seen and (seen.due or seen.running)):
            self.problems.append("nodes are renewed before the new image is there")
        if bakes and self.most is not None and self.instances + len(self._coming(found)) >= self.most:
            self.problems.append("there is no room for the node of a bake")
        created = [one for one in found.actions if one.kind in (do.CREATE, do.REPLACE)]
        if seen and any(one.region in seen.missing for one in created):
            self.problems.append("a node is created although no image is there")
        names = [one.minion_id for one in every if one.minion_id]
        if len(names) != len(set(names)):
            self.problems.append("a node has two actions")
        gone = sum(one.cause == do.MANY for one in every)
        alive = sum(one.state != GONE and not (one.has_ended(self.now) and one.free) for one in own.values())
        if gone * 2 > alive and not force:
            self.problems.append(f"{gone} of {alive} nodes are removed, more than half")
        at_once = share_of(self.spec.settings.disruption.at_once, found.wanted)
        going = [one for one in found.actions if one.cause in (do.BROKEN, do.MANY, do.AGE, do.DRIFT)]
        if sum(own[str(one.minion_id)].interrupted is None for one in going) > at_once:
            self.problems.append(f"{len(going)} nodes are taken away at once, and at_once is {at_once}")
        self._check_changes(found)

    def _coming(self, found: Plan) -> list[do.Action]:
        """Return the nodes that a plan creates for good."""
        return [one for one in found.actions if one.kind == do.CREATE]

    def _check_changes(self, found: Plan) -> None:
        most = self.spec.settings.limits.changes_per_hour
        recent = [at for at in self.changes if at > self.now - HOUR]
        counted = sum(one.cause not in (do.VANISHED, do.IMAGE) for one in found.actions)
        if most is not None and counted and counted + len(recent) > most:
            self.problems.append(f"{counted} changes after {len(recent)} in the hour, and {most} are allowed")

    def _check_floor(self, found: Plan, ready: int) -> None:
        """A wave leaves enough nodes ready, if the world does not take them and no step fails."""
        at_once = share_of(self.spec.settings.disruption.at_once, found.wanted)
        ended = sum(one.cause in (do.ENDED, do.INTERRUPTED) for one in found.actions)
        refused = sum(it.action.kind == do.CREATE and it.since is None for it in found.later)
        if self.serving < min(ready, found.wanted - refused - at_once) - ended:
            self.problems.append(f"{self.serving} nodes are ready of {found.wanted}, and at_once is {at_once}")


def _record(member: Member) -> Record:
    return Record(
        minion_id=member.minion_id, provider="do", driver="do", region=member.region, size=member.size,
        stage=RECORDED_READY, owner="master", batch="b0123456789ab", created=member.created, role="app",
    )  # fmt: skip
