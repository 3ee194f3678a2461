"""
Decide what a crash left behind: the orphans. Nothing here has side effects.

These are never orphans: resources with the tag of another master or without a tag (drivers do not list them), resources
of a living operation on this machine, nodes that ``keep_failed`` kept, machines of an interrupted import, resources
younger than the grace period unless their operation is known to be dead, minions that still answer, nodes that became
ready and have their instance, and instances that cannot be identified for certain.

Records are a cache of the tags in the cloud. If an instance has no record but the key of its minion is accepted, the
record is rebuilt (``inventory/rebuild.py``). If many records are missing at once, nothing is removed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hart_salt.base.names import batch_time, is_bake_id
from hart_salt.inventory import rebuild
from hart_salt.inventory.identity import Found, Unknown, is_batch, shown
from hart_salt.inventory.protected import is_protected, sentence
from hart_salt.inventory.records import BAKE, IMPORTING, READY, Record
from hart_salt.inventory.snapshot import Snapshot
from hart_salt.master.keys import ACCEPTED
from hart_salt.model import Instance, Leftover

GRACE = 3600.0  #: seconds; longer than any operation takes that can still succeed

#: kinds of leftovers that only bakes make
OF_BAKES = frozenset(["image", "image snapshot"])


@dataclass(frozen=True)
class Orphan:
    """One orphan: a resource that no living operation and no ready node uses."""

    #: ``instance``, ``node`` (a record with all that it names), or a driver's word for a temporary resource
    kind: str
    name: str
    provider: str
    why: str
    instance: Instance | None = None
    record: Record | None = None
    leftover: Leftover | None = None

    @property
    def is_missing(self) -> bool:
        """Whether this is a node that was ready and has lost its instance."""
        return self.record is not None and self.instance is None and self.record.stage == READY

    @property
    def is_of_bake(self) -> bool:
        """Whether this is a node that existed only for an image: it goes even if its minion answers."""
        return is_bake_id(self.name) if self.record is None else self.record.kind == BAKE

    def facts(self) -> dict[str, Any]:
        """Return the facts for a report."""
        region = next((it.region for it in (self.instance, self.record, self.leftover) if it is not None), None)
        return {"kind": self.kind, "name": self.name, "provider": self.provider, "region": region, "why": self.why}


@dataclass(frozen=True)
class Scene:
    """Everything that the decision needs."""

    snapshot: Snapshot
    #: temporary resources at the providers that answered
    leftovers: Sequence[tuple[str, Leftover]]
    #: return whether a living process works on a node, or on a batch
    busy: Callable[[str], bool]
    batch_lives: Callable[[str], bool]
    #: batches of operations that died on this machine
    dead: Mapping[str, Mapping[str, Any]]
    now: float
    grace: float
    #: consider only resources of ``dead``
    only_dead: bool = False
    #: the owner in the tags of the listed instances
    owner: str = ""
    #: this machine has no master key, so every node that it created is a salt-master
    masterless: bool = False
    #: remove orphans even if the records seem to be lost
    force: bool = False
    #: return why only another master can judge a node; empty if this one can
    elsewhere: Callable[[Record], str] = lambda _: ""


@dataclass
class Decision:
    """What to remove, what looks like an orphan but stays, with the reason, and what to repair."""

    orphans: list[Orphan] = field(default_factory=list)
    kept: list[Orphan] = field(default_factory=list)
    #: instances whose records must be rebuilt
    rebuild: list[Orphan] = field(default_factory=list)
    #: nodes that became ready and were never sealed
    unsealed: list[Orphan] = field(default_factory=list)
    #: why the records seem to be lost, in a sentence; empty if they do not
    lost: str = ""


def decide(scene: Scene) -> Decision:
    """Find the orphans and what to repair, without changing anything."""
    # Thousands of nodes share few batches, and each node is asked about more than once.
    scene = replace(scene, busy=functools.cache(scene.busy), batch_lives=functools.cache(scene.batch_lives))
    decision = Decision()
    for found in scene.snapshot.found:
        _judge_instance(scene, found, decision)
    for unknown in scene.snapshot.unknown:
        _judge_unknown(scene, unknown, decision)
    for record in scene.snapshot.records.values():
        _judge_record(scene, record, decision)
    for provider, leftover in scene.leftovers:
        _judge_leftover(scene, provider, leftover, decision)
    _keep_protected(scene, decision)
    decision.lost = rebuild.lost(scene.snapshot, scene.busy, scene.batch_lives, scene.dead)
    if decision.lost and not scene.force:
        held = "the records seem to be lost, and nothing is removed without force=True"
        decision.kept += [_because(orphan, f"{orphan.why}, but {held}") for orphan in decision.orphans]
        decision.orphans.clear()
    return decision


def _keep_protected(scene: Scene, decision: Decision) -> None:
    """Keep the protected nodes among the orphans, also one that has lost its instance: a person decides about it."""
    going = []
    for orphan in decision.orphans:
        instance = orphan.instance or (scene.snapshot.instance_of(orphan.record) if orphan.record else None)
        if not is_protected(orphan.record, instance):
            going.append(orphan)
        elif not scene.only_dead:
            decision.kept.append(_because(orphan, f"{orphan.why}, but {sentence(orphan.name)}"))
    decision.orphans = going


def batches(seen: Snapshot, leftovers: Sequence[tuple[str, Leftover]]) -> set[str]:
    """Return the batches of which the decision needs to know whether they live, beside those of living calls."""
    found = {one.instance.batch for one in seen.found if one.instance.minion_id not in seen.records}
    found |= {one.instance.batch for one in seen.unknown if one.double}
    found |= {record.batch for record in seen.records.values() if not is_ready(record)}
    return found | {leftover.batch for _, leftover in leftovers}


def _judge_instance(scene: Scene, found: Found, decision: Decision) -> None:
    """Decide about an instance without a record; any other instance goes or stays with its record."""
    instance = found.instance
    name = instance.minion_id
    if name in scene.snapshot.records or scene.busy(name) or scene.batch_lives(instance.batch):
        return
    orphan = Orphan("instance", name, found.provider.name, "no record of it", instance=instance)
    dead = _is_dead(scene, instance.batch)
    if name in scene.snapshot.broken:
        decision.kept.append(_because(orphan, scene.snapshot.broken[name]))
    elif ACCEPTED in scene.snapshot.keys.get(name, ()) and not is_bake_id(name):
        if dead or not scene.only_dead:
            decision.rebuild.append(_because(orphan, "its record was missing, and its key is accepted"))
    elif dead:
        decision.orphans.append(_because(orphan, "its operation died"))
    elif scene.only_dead:
        return
    elif scene.masterless:
        # A crash on this machine leaves a claim, and no other machine has this owner.
        why = f"it has no record, but it is a salt-master created here: salt-run hart.destroy {name} removes it"
        decision.kept.append(_because(orphan, why))
    else:
        _by_age(scene, orphan, instance.created or batch_time(instance.batch), decision)


def _judge_unknown(scene: Scene, unknown: Unknown, decision: Decision) -> None:
    """Report an instance that cannot be identified; only a duplicate of an operation that died is an orphan."""
    instance = unknown.instance
    if unknown.double and (scene.busy(instance.minion_id) or scene.batch_lives(instance.batch)):
        return
    orphan = Orphan("instance", unknown.name, unknown.provider.name, unknown.why, instance=instance)
    if unknown.double and _is_dead(scene, instance.batch):
        decision.orphans.append(_because(orphan, "its operation died"))
    elif not scene.only_dead:
        decision.kept.append(replace(orphan, instance=None))


def _judge_record(scene: Scene, record: Record, decision: Decision) -> None:
    """Decide about a node that never became ready, was never sealed, or has lost its instance."""
    if record.provider not in scene.snapshot.asked or record.kept or scene.elsewhere(record):
        return
    there = scene.snapshot.instance_of(record)
    ready = is_ready(record)
    if ready and there is not None:  # as of nearly every record: whether its batch lives need not be asked
        return
    if scene.busy(record.minion_id) or scene.batch_lives(record.batch):
        return
    if record.stage == IMPORTING:
        _keep_import(scene, record, decision)
        return
    if record.stage == READY and there is not None:
        _judge_unsealed(scene, record, there, decision)
        return
    why = "its instance is gone" if record.stage == READY else f"it was left at {record.stage}"
    orphan = Orphan("node", record.minion_id, record.provider, why, record=record)
    if scene.owner not in ("", record.owner):
        # Its instance has the tag of another owner, which was not listed, and may exist.
        decision.kept.append(_because(orphan, "it was created by another master, or with this master's former key"))
        return
    if record.minion_id in (scene.snapshot.present or ()) and record.kind != BAKE:
        if not scene.only_dead or _is_dead(scene, record.batch):
            decision.kept.append(_because(orphan, _lives(record, why)))
    elif record.stage != READY and _is_dead(scene, record.batch):
        decision.orphans.append(orphan)
    elif not scene.only_dead:
        _by_age(scene, orphan, record.created, decision)


def _lives(record: Record, why: str) -> str:
    """Return why a minion that answers stays, and what to do about it."""
    if record.stage == READY:
        return f"{why}, but its minion answers"
    return (
        f"{why}, but its minion answers: it is not complete (its script and security upgrades may not have run); "
        f"salt-run hart.destroy {record.minion_id} removes it"
    )


def _judge_unsealed(scene: Scene, record: Record, there: Instance, decision: Decision) -> None:
    """Decide about a node that was reported as ready: it stays in any case, and its sealing is completed."""
    orphan = Orphan("node", record.minion_id, record.provider, "it was never sealed", instance=there, record=record)
    if _is_dead(scene, record.batch):
        decision.unsealed.append(orphan)
    elif not scene.only_dead:
        waiting = Decision()
        _by_age(scene, orphan, record.created, waiting)
        decision.unsealed += waiting.orphans
        decision.kept += waiting.kept


def _keep_import(scene: Scene, record: Record, decision: Decision) -> None:
    """Keep the machine of an interrupted import: it existed before hart, whatever its tags say by now."""
    if not scene.only_dead:
        why = f"its import was interrupted: salt-run hart.import_minion {record.minion_id} completes it"
        decision.kept.append(Orphan("node", record.minion_id, record.provider, why, record=record))


def _judge_leftover(scene: Scene, provider: str, leftover: Leftover, decision: Decision) -> None:
    if not is_batch(leftover.batch):
        if not scene.only_dead:
            why = f"its batch {shown(leftover.batch)!r} is not one of hart's: remove it at the provider"
            decision.kept.append(Orphan(leftover.kind, shown(leftover.name), provider, why))
        return
    if leftover.keep:
        _report_kept_volume(scene, provider, leftover, decision)
        return
    if scene.batch_lives(leftover.batch):
        return
    if any(map(scene.busy, scene.snapshot.of_batch(leftover.batch))):
        return
    why = "the bake that made it has ended" if leftover.kind in OF_BAKES else "its batch is over"
    orphan = Orphan(leftover.kind, leftover.name, provider, why, leftover=leftover)
    if _is_dead(scene, leftover.batch):
        decision.orphans.append(orphan)
    elif not scene.only_dead:
        _by_age(scene, orphan, leftover.created or batch_time(leftover.batch), decision)


def _report_kept_volume(scene: Scene, provider: str, leftover: Leftover, decision: Decision) -> None:
    """Report a volume that outlived its node because of ``keep_volumes``; only its user decides when it goes."""
    if not scene.only_dead:
        why = "the setting keep_volumes keeps it: delete it at the provider if you do not need it"
        decision.kept.append(Orphan(leftover.kind, leftover.name, provider, why))


def _is_dead(scene: Scene, batch: str) -> bool:
    return bool(batch) and batch in scene.dead


def _by_age(scene: Scene, orphan: Orphan, created: float | None, decision: Decision) -> None:
    """Keep a young resource: a master on another machine with the same records and key may be working on it."""
    age = None if created is None else scene.now - created
    if age is not None and age < scene.grace:
        young = f"{orphan.why}, but it is younger than the grace period of {scene.grace:g} s"
        decision.kept.append(_because(orphan, young))
    else:
        decision.orphans.append(orphan)


def _because(orphan: Orphan, why: str) -> Orphan:
    return replace(orphan, why=why)


def is_ready(record: Record) -> bool:
    """Return whether the record is that of a sealed node."""
    return record.stage == READY and record.sealed
