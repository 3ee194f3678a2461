"""
What a crash left behind: which things nothing living has a use for. Pure.

Kept in any case: what carries another master's tag or none (drivers never list it), what a living operation on this
machine works on, what was kept with ``keep_failed``, what an import that was cut short had in hand, what is younger
than the grace period unless its operation is known to be dead, every minion that still answers, every node that became
ready as long as its instance is there, and what cannot be told apart.

Records are a cache of what the cloud's tags say. That one is missing says nothing of an instance whose minion's key is
accepted: its record is written anew (``inventory/rebuild.py``). Where many are missing at once, nothing is removed at
all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hart_salt.base.names import batch_time
from hart_salt.inventory import rebuild
from hart_salt.inventory.identity import Found, Unknown, is_batch, shown
from hart_salt.inventory.records import IMPORTING, READY, Record
from hart_salt.inventory.snapshot import Snapshot
from hart_salt.master.keys import ACCEPTED
from hart_salt.model import Instance, Leftover

GRACE = 3600.0  #: seconds; longer than any operation takes that is still going to succeed


@dataclass(frozen=True)
class Orphan:
    """One thing that nothing living has a use for."""

    #: ``instance``, ``node`` (a record with all that it names), or a driver's word for something temporary
    kind: str
    name: str
    provider: str
    why: str
    instance: Instance | None = None
    record: Record | None = None
    leftover: Leftover | None = None

    @property
    def is_missing(self) -> bool:
        """Whether it is a node that was ready and whose instance is gone."""
        return self.record is not None and self.instance is None and self.record.stage == READY

    def facts(self) -> dict[str, Any]:
        """For people."""
        region = next((it.region for it in (self.instance, self.record, self.leftover) if it is not None), None)
        return {"kind": self.kind, "name": self.name, "provider": self.provider, "region": region, "why": self.why}


@dataclass(frozen=True)
class Scene:
    """Everything that is needed to decide."""

    snapshot: Snapshot
    #: what is temporary at the providers that answered
    leftovers: Sequence[tuple[str, Leftover]]
    #: whether a living process works on a node, or on a batch
    busy: Callable[[str], bool]
    batch_lives: Callable[[str], bool]
    #: batches of operations that died on this machine
    dead: Mapping[str, Mapping[str, Any]]
    now: float
    grace: float
    #: True: only what belongs to ``dead``
    only_dead: bool = False
    #: whose instances were looked for
    owner: str = ""
    #: True: this machine has no master's key, so every node that it made is a salt-master
    masterless: bool = False
    #: True: remove also where the records seem to be lost
    force: bool = False


@dataclass
class Decision:
    """What is to go, what only looks like it, with the reason why it stays, and what is to be put right."""

    orphans: list[Orphan] = field(default_factory=list)
    kept: list[Orphan] = field(default_factory=list)
    #: instances whose record is to be written anew
    rebuild: list[Orphan] = field(default_factory=list)
    #: nodes that became ready and were never sealed
    unsealed: list[Orphan] = field(default_factory=list)
    #: why the records seem to be lost, in a sentence; empty: they do not
    lost: str = ""


def decide(scene: Scene) -> Decision:
    """Find the orphans, and what is to be put right. Nothing is touched."""
    decision = Decision()
    for found in scene.snapshot.found:
        _judge_instance(scene, found, decision)
    for unknown in scene.snapshot.unknown:
        _judge_unknown(scene, unknown, decision)
    for record in scene.snapshot.records.values():
        _judge_record(scene, record, decision)
    for provider, leftover in scene.leftovers:
        _judge_leftover(scene, provider, leftover, decision)
    decision.lost = rebuild.lost(scene.snapshot, scene.busy, scene.batch_lives, scene.dead)
    if decision.lost and not scene.force:
        held = "the records seem to be lost, so nothing is removed without force=True"
        decision.kept += [_because(orphan, f"{orphan.why}, but {held}") for orphan in decision.orphans]
        decision.orphans.clear()
    return decision


def _judge_instance(scene: Scene, found: Found, decision: Decision) -> None:
    """An instance that belongs to no record; that of a record goes or stays with it."""
    instance = found.instance
    name = instance.minion_id
    if name in scene.snapshot.records or scene.busy(name) or scene.batch_lives(instance.batch):
        return
    orphan = Orphan("instance", name, found.provider.name, "no record of it", instance=instance)
    dead = _is_dead(scene, instance.batch)
    if name in scene.snapshot.broken:
        decision.kept.append(_because(orphan, scene.snapshot.broken[name]))
    elif ACCEPTED in scene.snapshot.keys.get(name, ()):
        if dead or not scene.only_dead:
            decision.rebuild.append(_because(orphan, "its record was missing, and its key is accepted"))
    elif dead:
        decision.orphans.append(_because(orphan, "its operation died"))
    elif scene.only_dead:
        return
    elif scene.masterless:
        # Crashes on this machine leave a claim, and no other has its owner.
        why = f"there is no record of it, but it is a salt-master made here: salt-run hart.destroy {name} removes it"
        decision.kept.append(_because(orphan, why))
    else:
        _by_age(scene, orphan, instance.created or batch_time(instance.batch), decision)


def _judge_unknown(scene: Scene, unknown: Unknown, decision: Decision) -> None:
    """What cannot be told apart is reported, and left alone; but for the second instance of an operation that died."""
    instance = unknown.instance
    if unknown.double and (scene.busy(instance.minion_id) or scene.batch_lives(instance.batch)):
        return
    orphan = Orphan("instance", unknown.name, unknown.provider.name, unknown.why, instance=instance)
    if unknown.double and _is_dead(scene, instance.batch):
        decision.orphans.append(_because(orphan, "its operation died"))
    elif not scene.only_dead:
        decision.kept.append(replace(orphan, instance=None))


def _judge_record(scene: Scene, record: Record, decision: Decision) -> None:
    """A node that never became ready, or whose instance is gone."""
    if record.provider not in scene.snapshot.asked or record.kept:
        return
    if scene.busy(record.minion_id) or scene.batch_lives(record.batch):
        return
    if record.stage == IMPORTING:
        _keep_import(scene, record, decision)
        return
    there = scene.snapshot.instance_of(record)
    ready = is_ready(record)
    if record.stage == READY and there is not None:
        if not ready:
            _judge_unsealed(scene, record, there, decision)
        return
    why = "its instance is gone" if record.stage == READY else f"it was left at {record.stage}"
    orphan = Orphan("node", record.minion_id, record.provider, why, record=record)
    if scene.owner not in ("", record.owner):
        # Its instance carries another tag than those that were looked for, and may well be there.
        decision.kept.append(_because(orphan, "it was created by another master, or under this one's former key"))
        return
    if record.minion_id in (scene.snapshot.present or ()):
        if not scene.only_dead or _is_dead(scene, record.batch):
            decision.kept.append(_because(orphan, _lives(record, why)))
    elif record.stage != READY and _is_dead(scene, record.batch):
        decision.orphans.append(orphan)
    elif not scene.only_dead:
        _by_age(scene, orphan, record.created, decision)


def _lives(record: Record, why: str) -> str:
    """Why a minion stays that answers, and what to do about it."""
    if record.stage == READY:
        return f"{why}, but its minion answers"
    return (
        f"{why}, but its minion answers: it is not finished (its script and security upgrades may not have run); "
        f"salt-run hart.destroy {record.minion_id} removes it"
    )


def _judge_unsealed(scene: Scene, record: Record, there: Instance, decision: Decision) -> None:
    """It became ready, and was reported so: whatever its minion says now, it stays, and its sealing is finished."""
    orphan = Orphan("node", record.minion_id, record.provider, "it was never sealed", instance=there, record=record)
    if _is_dead(scene, record.batch):
        decision.unsealed.append(orphan)
    elif not scene.only_dead:
        waiting = Decision()
        _by_age(scene, orphan, record.created, waiting)
        decision.unsealed += waiting.orphans
        decision.kept += waiting.kept


def _keep_import(scene: Scene, record: Record, decision: Decision) -> None:
    """The machine of an import that was cut short was there before hart, whatever its tags say by now."""
    if not scene.only_dead:
        why = f"its import was cut short: salt-run hart.import_minion {record.minion_id} brings it to an end"
        decision.kept.append(Orphan("node", record.minion_id, record.provider, why, record=record))


def _judge_leftover(scene: Scene, provider: str, leftover: Leftover, decision: Decision) -> None:
    if not is_batch(leftover.batch):
        if not scene.only_dead:
            why = f"its batch {shown(leftover.batch)!r} is none that hart gives: remove it at the provider"
            decision.kept.append(Orphan(leftover.kind, shown(leftover.name), provider, why))
        return
    if scene.batch_lives(leftover.batch):
        return
    if any(record.batch == leftover.batch and scene.busy(name) for name, record in scene.snapshot.records.items()):
        return
    orphan = Orphan(leftover.kind, leftover.name, provider, "its batch is over", leftover=leftover)
    if _is_dead(scene, leftover.batch):
        decision.orphans.append(orphan)
    elif not scene.only_dead:
        _by_age(scene, orphan, leftover.created or batch_time(leftover.batch), decision)


def _is_dead(scene: Scene, batch: str) -> bool:
    return bool(batch) and batch in scene.dead


def _by_age(scene: Scene, orphan: Orphan, created: float | None, decision: Decision) -> None:
    """Another master with these records and this key, on another machine, may be at work on what is young."""
    age = None if created is None else scene.now - created
    if age is not None and age < scene.grace:
        young = f"{orphan.why}, but it is younger than the grace period of {scene.grace:g} s"
        decision.kept.append(_because(orphan, young))
    else:
        decision.orphans.append(orphan)


def _because(orphan: Orphan, why: str) -> Orphan:
    return replace(orphan, why=why)


def is_ready(record: Record) -> bool:
    """Whether a record is that of a node that became a sealed minion."""
    return record.stage == READY and record.sealed
