"""
What a crash left behind: which things nothing living has a use for. Pure.

Spared in any case: what carries another master's tag or none (drivers never list it), what a living operation on this
machine works on, what was kept with ``keep_failed``, what an import that was cut short had in hand, what is younger
than the grace period unless its operation is known to be dead, and every minion that still answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hart_salt.model import Instance, Leftover
from hart_salt.naming import batch_time
from hart_salt.store import IMPORTING, READY, Record
from hart_salt.survey import Found, Survey

GRACE = 3600.0  #: seconds; longer than any operation takes that is still going to succeed


@dataclass(frozen=True)
class Stray:
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
        return self.record is not None and is_ready(self.record)

    def facts(self) -> dict[str, Any]:
        """For people."""
        region = next((it.region for it in (self.instance, self.record, self.leftover) if it is not None), None)
        return {"kind": self.kind, "name": self.name, "provider": self.provider, "region": region, "why": self.why}


@dataclass(frozen=True)
class Scene:
    """Everything that is needed to decide."""

    survey: Survey
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


@dataclass
class Decision:
    """What is to go, and what only looks like it, with the reason why it stays."""

    strays: list[Stray] = field(default_factory=list)
    spared: list[Stray] = field(default_factory=list)


def decide(scene: Scene) -> Decision:
    """Find the strays. Nothing is touched."""
    decision = Decision()
    for found in scene.survey.found:
        _judge_instance(scene, found, decision)
    for record in scene.survey.records.values():
        _judge_record(scene, record, decision)
    for provider, leftover in scene.leftovers:
        _judge_leftover(scene, provider, leftover, decision)
    return decision


def _judge_instance(scene: Scene, found: Found, decision: Decision) -> None:
    """An instance that belongs to no record; that of a record goes or stays with it."""
    instance = found.instance
    record = scene.survey.records.get(instance.minion_id)
    if record is not None and scene.survey.instance_of(record) is instance:
        return
    stray = Stray("instance", instance.minion_id, found.provider.name, "no record of it", instance=instance)
    if scene.busy(instance.minion_id) or scene.batch_lives(instance.batch):
        return
    if record is None and instance.minion_id in (scene.survey.present or ()):
        spared = "there is no record of it, but its minion answers: salt-run hart.destroy removes it"
        decision.spared.append(_because(stray, spared))
    elif _is_dead(scene, instance.batch):
        decision.strays.append(_because(stray, "its operation died"))
    elif not scene.only_dead:
        _by_age(scene, stray, instance.created or batch_time(instance.batch), decision)


def _judge_record(scene: Scene, record: Record, decision: Decision) -> None:
    """A node that never became ready, or whose instance is gone."""
    if record.provider not in scene.survey.asked or record.kept:
        return
    if scene.busy(record.minion_id) or scene.batch_lives(record.batch):
        return
    if record.stage == IMPORTING:
        _spare_import(scene, record, decision)
        return
    there = scene.survey.instance_of(record)
    ready = is_ready(record)
    if ready and there is not None:
        return
    why = "its instance is gone" if ready else f"it was left at {record.stage}"
    stray = Stray("node", record.minion_id, record.provider, why, record=record)
    if scene.owner not in ("", record.owner):
        # Its instance carries another tag than those that were looked for, and may well be there.
        decision.spared.append(_because(stray, "it was created by another master, or under this one's former key"))
        return
    if record.minion_id in (scene.survey.present or ()) and (ready or there is None):
        decision.spared.append(_because(stray, f"{why}, but its minion answers"))
    elif not ready and _is_dead(scene, record.batch):
        decision.strays.append(stray)
    elif not scene.only_dead:
        _by_age(scene, stray, record.created, decision)


def _spare_import(scene: Scene, record: Record, decision: Decision) -> None:
    """The machine of an import that was cut short was there before hart, whatever its tags say by now."""
    if not scene.only_dead:
        why = f"its import was cut short: salt-run hart.import_minion {record.minion_id} brings it to an end"
        decision.spared.append(Stray("node", record.minion_id, record.provider, why, record=record))


def _judge_leftover(scene: Scene, provider: str, leftover: Leftover, decision: Decision) -> None:
    if scene.batch_lives(leftover.batch):
        return
    if any(record.batch == leftover.batch and scene.busy(name) for name, record in scene.survey.records.items()):
        return
    stray = Stray(leftover.kind, leftover.name, provider, "its batch is over", leftover=leftover)
    if _is_dead(scene, leftover.batch):
        decision.strays.append(stray)
    elif not scene.only_dead:
        _by_age(scene, stray, leftover.created or batch_time(leftover.batch), decision)


def _is_dead(scene: Scene, batch: str) -> bool:
    return bool(batch) and batch in scene.dead


def _by_age(scene: Scene, stray: Stray, created: float | None, decision: Decision) -> None:
    """Another master with these records and this key, on another machine, may be at work on what is young."""
    age = None if created is None else scene.now - created
    if age is not None and age < scene.grace:
        young = f"{stray.why}, but it is younger than the grace period of {scene.grace:g} s"
        decision.spared.append(_because(stray, young))
    else:
        decision.strays.append(stray)


def _because(stray: Stray, why: str) -> Stray:
    return replace(stray, why=why)


def is_ready(record: Record) -> bool:
    """Whether a record is that of a node that became a sealed minion."""
    return record.stage == READY and record.sealed
