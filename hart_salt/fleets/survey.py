"""From what clouds, records, key store and minions say to the scene of each fleet. It changes nothing."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base import signals
from hart_salt.base.errors import ConfigError, DriverError, Refused
from hart_salt.base.names import batch_time
from hart_salt.config.loader import Config
from hart_salt.drivers.contract import Driver
from hart_salt.fleets import interruptions, memory
from hart_salt.fleets.autoscale import Decision, Past, decide
from hart_salt.fleets.baking import bake_of
from hart_salt.fleets.diff import FEW_SILENT, network_fault
from hart_salt.fleets.image_look import ImageLook, bakes
from hart_salt.fleets.interruptions import Notice, Notices
from hart_salt.fleets.measure import measure
from hart_salt.fleets.memory import Memory
from hart_salt.fleets.scene import COMING, GONE, READY, SILENT, STOPPED, Member, Room, Scene, Spec, Target
from hart_salt.inventory import misses
from hart_salt.inventory.context import Context
from hart_salt.inventory.ends import end_of
from hart_salt.inventory.identity import Found
from hart_salt.inventory.locks import Look
from hart_salt.inventory.protected import is_protected
from hart_salt.inventory.records import READY as RECORDED_READY
from hart_salt.inventory.records import Record
from hart_salt.inventory.snapshot import Snapshot, record_of, take_snapshot
from hart_salt.master.keys import ACCEPTED
from hart_salt.model import Instance, Node, Price
from hart_salt.operations import limits, listing, prices
from hart_salt.operations.baked_images import BakedImages
from hart_salt.operations.drift import Drift, Example
from hart_salt.operations.leaks import GRACE
from hart_salt.operations.prices import Offer
from hart_salt.planning import preflight

NO_RECORD = "no record"
#: what a status of the list means for a fleet; another one is of an instance that does not run
STATE_OF: Mapping[str, str] = {
    "ready": READY, "unsealed": READY, "in progress": COMING, "unreachable": SILENT, "no key": SILENT,
    "pending": SILENT, NO_RECORD: COMING, listing.NO_INSTANCE: GONE,
}  # fmt: skip
#: statuses of what is not one of the nodes that a fleet counts
NOT_COUNTED = frozenset({
    listing.ELSEWHERE, listing.NOT_OURS, listing.BAD_ID, listing.BROKEN, "failed", "unknown",
})  # fmt: skip
MOST_NAMES = 5  #: of nodes in a note
#: seconds after which a wait looks for a signal
GLANCE = 0.2
WHY: Mapping[str, str] = {SILENT: "its minion has not answered", GONE: "its instance is gone"}


def pause(seconds: float) -> None:
    """Wait. Raises ``Interrupted`` if a signal arrived."""
    until = time.monotonic() + seconds
    while (rest := until - time.monotonic()) > 0:
        signals.check()
        time.sleep(min(rest, GLANCE))


@dataclass(frozen=True)
class Sight:
    """What a survey looks with."""

    config: Config
    context: Context
    driver: Callable[[str], Driver]
    #: returns a node of a role as it would be created now at a provider in a region
    example: Example
    #: returns what a baked image of such a node would be made from
    image_digest: Callable[[Node], str]
    sleep: Callable[[float], None] = pause
    now: Callable[[], float] = time.time


@dataclass(frozen=True)
class Load:
    """The load of one fleet at one moment."""

    readings: Mapping[str, float | None]
    decision: Decision


@dataclass(frozen=True)
class View:
    """All fleets at one moment."""

    #: seconds since the epoch
    now: float
    scenes: Mapping[str, Scene] = field(default_factory=dict)
    #: what was remembered of each fleet before
    memories: Mapping[str, Memory] = field(default_factory=dict)
    #: the records of all nodes, by minion id
    records: Mapping[str, Record] = field(default_factory=dict)
    #: by fleet, what its nodes answered to the metric of its autoscaling, and the decision
    loads: Mapping[str, Load] = field(default_factory=dict)


@dataclass(frozen=True)
class _Facts:
    """What all sources say at one moment."""

    seen: Snapshot
    #: every node as ``listing.nodes`` describes it
    entries: Mapping[str, dict[str, Any]]
    #: ids of nodes whose instances are surely gone
    gone: frozenset[str]
    locks: Look
    now: float


def look(sight: Sight, specs: Sequence[Spec], *, priced: bool) -> View:
    """
    Return the scene of each fleet.

    With ``priced``, prices are looked up for all fleets, otherwise only for those with a limit of the price.

    Raises ``EnvironmentFault`` if the record store or the locks cannot be used.
    """
    return _Survey(sight, specs).view(priced=priced)


class _Survey:
    def __init__(self, sight: Sight, specs: Sequence[Spec]) -> None:
        self._sight = sight
        self._context = sight.context
        self._specs = specs
        images = BakedImages(sight.driver, sight.context.info)
        self._drift = Drift(sight.example, images)
        self._images = ImageLook(sight.config, sight.example, sight.image_digest, images)
        #: why the images of some fleets are not known, by fleet
        self._unknown: dict[str, list[str]] = {}

    def view(self, *, priced: bool) -> View:
        context, now = self._context, self._sight.now()
        keys = {spec.name: memory.key_of(spec.name, context.info.owner) for spec in self._specs}
        memories = {name: memory.recall(context.store, key) for name, key in keys.items()}
        claims = context.locks.living_batches() if self._sight.config.limits else {}
        seen = self._snapshot()
        self._drift.ask_only(seen.asked)
        self._unknown = {spec.name: self._unknown_images(spec, seen) for spec in self._specs}
        records = self._records(seen)
        own = {spec.name: [one for one in records.values() if _is_of(spec, one)] for spec in self._specs}
        facts = self._facts(seen, [one for group in own.values() for one in group], now)
        notices = {name: self._notices(facts, group) for name, group in own.items()}
        members = {
            spec.name: self._members(spec, own[spec.name], facts, memories[spec.name], notices[spec.name].found)
            for spec in self._specs
        }
        fault = everywhere([one for group in members.values() for one in group])
        scenes: dict[str, Scene] = {}
        loads: dict[str, Load] = {}
        for spec in self._specs:
            name = spec.name
            scene = Scene(
                spec, members[name], problems=self._problems(spec, facts.seen), held=memories[name].held(name),
                changes=memories[name].changes, network=fault,
                room=self._room(spec.role, spec.provider, facts.seen, claims),
                notes=[
                    *_notes(own[name], members[name], facts.entries), *notices[name].notes,
                    *([] if self._needs_images(spec) else self._unknown[name]),
                ],
            )  # fmt: skip
            if (load := self._load(scene, memories[name], now)) is not None:
                loads[name], scene = load, _scaled(scene, load.decision)
            if spec.settings.bake_after is not None and not scene.problems:
                scene = self._with_bake(scene, records, facts, self._room(None, spec.provider, facts.seen, claims))
            scenes[name] = self._priced(scene, own[name], force=priced)
        return View(now, scenes, memories, records, loads)

    def _facts(self, seen: Snapshot, own: Sequence[Record], now: float) -> _Facts:
        """Return what all sources say of the fleets' nodes ``own``; their minions are pinged."""
        context = self._context
        batches = {one.instance.batch for one in seen.found if one.instance.minion_id not in seen.records}
        batches |= self._images.batches(self._baking(seen))
        locks = context.locks.look(seen.records, batches)
        seen = self._pinged(seen, [one.minion_id for one in own])
        entries = listing.nodes(seen, locks.busy, context.info, context.locks.elsewhere)
        return _Facts(seen, entries, self._gone(seen, own, entries), locks, now)

    def _load(self, scene: Scene, remembered: Memory, now: float) -> Load | None:
        """Ask the ready nodes of a fleet for their load; None if the fleet does not scale by itself, or not now."""
        settings = scene.spec.settings
        autoscale, most = settings.autoscale, settings.max
        if autoscale is None or most is None or scene.problems or scene.network or network_fault(scene.members):
            return None
        alive = [one for one in scene.members if one.state != GONE and not one.has_ended(now)]
        warm = [one for one in alive if one.created is None or now - one.created >= autoscale.warm_up]
        ready = [one.minion_id for one in warm if one.state == READY]
        measured = measure(self._context.master.minions, autoscale.metric, ready)
        readings = {**dict.fromkeys((one.minion_id for one in warm if one.state == SILENT), None), **measured.readings}
        past = Past.from_dict(remembered.past)
        decision = decide(autoscale, settings.low, most, len(alive), readings, past, now)
        return Load(readings, dataclasses.replace(decision, notes=(*measured.notes, *decision.notes)))

    def _snapshot(self) -> Snapshot:
        providers = dict.fromkeys(spec.provider for spec in self._specs)
        return self._of_providers(list(providers))

    def _of_providers(self, providers: Collection[str]) -> Snapshot:
        drivers = [self._sight.driver(name) for name in providers]
        return take_snapshot(drivers, self._context.store, self._context.master)

    def _records(self, seen: Snapshot) -> dict[str, Record]:
        """Return all records, and for instances without one the record that they would have."""
        found = {
            one.instance.minion_id: record_of(one.instance, one.provider, self._context.info) for one in seen.found
        }
        return {**found, **seen.records}

    def _pinged(self, seen: Snapshot, minion_ids: Sequence[str]) -> Snapshot:
        accepted = sorted(one for one in minion_ids if ACCEPTED in seen.keys.get(one, ()))
        return dataclasses.replace(seen, present=self._context.master.minions.present(accepted))

    def _notices(self, facts: _Facts, own: Sequence[Record]) -> Notices:
        """Return which nodes of a fleet their provider takes away."""
        names = {one.minion_id for one in own}
        found = [one for one in facts.seen.found if one.instance.minion_id in names]
        minions = self._context.master.minions
        return interruptions.look(minions, self._sight.driver, found, facts.seen.present or frozenset(), facts.now)

    def _gone(
        self, seen: Snapshot, own: Sequence[Record], entries: Mapping[str, dict[str, Any]]
    ) -> frozenset[str]:  # fmt: skip
        """Return the ids of the nodes whose instances are surely gone; one list that misses them is not enough."""
        missing = [
            one
            for one in own
            if entries[one.minion_id]["status"] == listing.NO_INSTANCE and one.stage == RECORDED_READY
        ]
        found = misses.gone(missing, self._of_providers, self._sight.driver, self._sight.sleep)
        # A minion that answers has an instance, whatever an account says: it may be another one.
        return frozenset(one.minion_id for one in found) - (seen.present or frozenset())

    def _members(
        self, spec: Spec, own: Sequence[Record], facts: _Facts, remembered: Memory, notices: Mapping[str, Notice]
    ) -> list[Member]:  # fmt: skip
        found = []
        for record in own:
            status = str(facts.entries[record.minion_id]["status"])
            instance = facts.seen.instance_of(record)
            state = _state(status, record, facts.gone, facts.seen)
            if status == NO_RECORD:
                state = _without_record(record, instance, facts.seen, facts.locks, facts.now)
            if state is None:
                continue
            member = Member(
                record.minion_id, record.region, (instance.size if instance else None) or record.size, record.created,
                state, _why(state, status), protected=is_protected(record, instance),
                busy=facts.locks.busy(record.minion_id) or state == COMING, ends=end_of(record, instance),
                drift=(*_moved(spec, record), *self._drift.of(record, instance)),
                interrupted=notices[record.minion_id].ends if record.minion_id in notices and instance else None,
            )  # fmt: skip
            found.append(member)
        silent = memory.observe(remembered, found, facts.now)
        return [dataclasses.replace(one, silent_since=silent.get(one.minion_id)) for one in found]

    def _problems(self, spec: Spec, seen: Snapshot) -> list[str]:
        """Return why a fleet could not be seen whole."""
        if spec.provider in seen.asked:
            tagged = {one.instance.minion_id: one for one in seen.found}
            broken = [why for minion_id, why in seen.broken.items() if _can_have(spec, tagged.get(minion_id))]
            return [*broken, *(self._unknown[spec.name] if self._needs_images(spec) else [])]
        return [one for one in seen.problems if one.startswith(f"{spec.provider}:")] or list(seen.problems)

    # images

    def _needs_images(self, spec: Spec) -> bool:
        """Return whether a fleet would do something because of the images of its role."""
        return spec.settings.drift == "replace" or spec.settings.bake_after is not None

    def _unknown_images(self, spec: Spec, seen: Snapshot) -> list[str]:
        """Return why it is not known which image the nodes of a fleet boot now, a sentence each."""
        if spec.provider not in seen.asked:
            return []
        found = [self._drift.problem(spec.role, spec.provider, region) for region in spec.regions]
        return list(dict.fromkeys(filter(None, found)))

    def _baking(self, seen: Snapshot) -> list[Spec]:
        """Return the fleets that bake their images, and whose images are known."""
        return [
            spec
            for spec in self._specs
            if spec.settings.bake_after is not None and spec.provider in seen.asked and not self._unknown[spec.name]
        ]

    def _with_bake(
        self, scene: Scene, records: Mapping[str, Record], facts: _Facts, room: Room | None
    ) -> Scene:  # fmt: skip
        """Return the scene of a fleet that bakes, with what is known of the images of its role."""
        spec, after = scene.spec, scene.spec.settings.bake_after or 0.0
        last = memory.failed_bake(self._context.store, spec.role, spec.provider, self._context.info.owner)
        try:
            running = self._images.running(spec, bakes(records.values()), facts.locks)
            images = dataclasses.replace(self._images.images(spec), last=last, running=running, room=room)
        except (ConfigError, DriverError, Refused) as error:
            return dataclasses.replace(scene, problems=[str(error)])
        bake = bake_of(images, spec.role, after, facts.now)
        if bake.due:
            node = self._sight.example(spec.role, spec.provider, bake.region)
            bake = dataclasses.replace(bake, wrong="; ".join(preflight.unknown_bake_states(node, self._context)))
        return dataclasses.replace(scene, bake=bake)

    def _room(
        self, role: str | None, provider: str, seen: Snapshot, claims: Mapping[str, Mapping[str, Any]]
    ) -> Room | None:  # fmt: skip
        bounds = limits.applying(self._sight.config.limits, role, provider)
        found = limits.room(bounds, seen, claims) if bounds else None
        return None if found is None else Room(max(0, found[0]), found[1])

    def _priced(self, scene: Scene, own: Sequence[Record], *, force: bool) -> Scene:
        spec = scene.spec
        if not (force or spec.settings.limits.monthly_price is not None) or scene.problems:
            return scene
        try:
            offers = {region: self._offer(spec, region) for region in spec.regions}
        except Refused as error:
            return dataclasses.replace(scene, problems=[str(error)])
        there = {one.minion_id: Offer(spec.provider, one.region, one.size) for one in scene.members}
        looked = prices.look_up({*offers.values(), *there.values()}, self._sight.driver)
        recorded = {one.minion_id: prices.recorded_price(one) for one in own}
        new: dict[str, Price] = {region: looked.known[it] for region, it in offers.items() if it in looked.known}
        members = [
            dataclasses.replace(one, price=looked.known.get(there[one.minion_id]) or recorded.get(one.minion_id))
            for one in scene.members
        ]
        return dataclasses.replace(scene, members=members, prices=new)

    def _offer(self, spec: Spec, region: str) -> Offer:
        node = self._sight.example(spec.role, spec.provider, region)
        return Offer(node.provider, node.region, node.size)


def _scaled(scene: Scene, decision: Decision) -> Scene:
    notes = [*scene.notes, *decision.notes]
    return dataclasses.replace(scene, target=Target(decision.wanted, decision.reason), notes=notes)


def everywhere(members: Sequence[Member]) -> str:
    """
    Return why the network seems to be at fault, over all fleets: too many minions are silent, or all of them.

    One node by itself does not count: its new node must come up before it goes.
    """
    running = [one for one in members if one.state in (READY, SILENT)]
    if len(running) > FEW_SILENT and all(one.state == SILENT for one in running):
        return f"no minion of the {len(running)} nodes that run answers: the network or the master is probably at fault"
    return network_fault(members)


def _can_have(spec: Spec, found: Found | None) -> bool:
    """Return whether a node with a broken record can be the fleet's; ``found`` is its instance, if it has one."""
    return found is None or spec.has(found.instance.role, found.provider.name, found.instance.region)


def _is_of(spec: Spec, record: Record) -> bool:
    return record.kind == "minion" and spec.has(record.role, record.provider, record.region)


def _state(status: str, record: Record, gone: frozenset[str], seen: Snapshot) -> str | None:
    """Return the state of a member; None for what is not one: what a call left that died is the sweep's."""
    if status in NOT_COUNTED or status.startswith("left at"):
        return None
    state = STATE_OF.get(status, STOPPED)
    if state == COMING:
        return COMING
    if record.stage != RECORDED_READY:
        return None  # it was never ready, so it is the sweep's
    if state == GONE:
        # A list can miss an instance.
        return GONE if record.minion_id in gone else _answering(record, seen)
    if state == STOPPED or status == "pending":
        # What a provider says can be old; of a minion that answers, the instance runs.
        return READY if _answering(record, seen) == READY else state
    return state


def _answering(record: Record, seen: Snapshot) -> str:
    return READY if seen.present is not None and record.minion_id in seen.present else SILENT


def _without_record(
    record: Record, instance: Instance | None, seen: Snapshot, locks: Look, now: float
) -> str | None:  # fmt: skip
    """
    Return the state of an instance whose record is lost.

    Without an accepted key, a call may be bringing it up, perhaps on another machine; an old one is the sweep's.
    """
    if ACCEPTED in seen.keys.get(record.minion_id, ()):
        return _answering(record, seen)
    if locks.batch_lives(record.batch):
        return COMING
    created = (instance.created if instance is not None else None) or batch_time(record.batch)
    is_old = created is not None and now - created >= GRACE
    return None if is_old or record.batch in locks.dead_batches() else COMING


def _why(state: str, status: str) -> str:
    wrong = state == STOPPED or (state == SILENT and status == "pending")
    return f"its instance is {status}" if wrong else WHY.get(state, "")


def _moved(spec: Spec, record: Record) -> tuple[str, ...]:
    return () if record.region in spec.regions else ("region",)


def _notes(
    own: Sequence[Record], members: Sequence[Member], entries: Mapping[str, dict[str, Any]]
) -> list[str]:  # fmt: skip
    """Return what the fleet does not count although it looks like one of its nodes, and the reverse, in sentences."""
    status = {one.minion_id: str(entries[one.minion_id]["status"]) for one in own}
    counted = {one.minion_id: one.state for one in members}
    out = {minion_id: word for minion_id, word in status.items() if minion_id not in counted}
    left = [minion_id for minion_id, word in out.items() if word not in NOT_COUNTED - {"failed"}]
    elsewhere = [minion_id for minion_id, word in out.items() if word == listing.ELSEWHERE]
    alive = [it for it, state in counted.items() if state == READY and status[it] == listing.NO_INSTANCE]
    notes = []
    unrecorded = [minion_id for minion_id in counted if status[minion_id] == NO_RECORD and counted[minion_id] != COMING]
    if unrecorded:
        notes.append(f"counted, but without a record: {_some(unrecorded)}; salt-run hart.sweep rebuilds it")
    if alive:
        notes.append(f"their minions answer, but their provider has no such instances: {_some(alive)}")
    if left:
        notes.append(f"not counted, because a call left them unfinished: {_some(left)}; see salt-run hart.sweep")
    if elsewhere:
        notes.append(f"not counted, because only another master can change them: {_some(elsewhere)}")
    return notes


def _some(minion_ids: Sequence[str]) -> str:
    """Return the first few of many ids, and how many more there are."""
    names = ", ".join(minion_ids[:MOST_NAMES])
    return names if len(minion_ids) <= MOST_NAMES else f"{names} and {len(minion_ids) - MOST_NAMES} more"
