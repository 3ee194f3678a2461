"""Declared fleets: what differs, doing it, and holding a fleet."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hart_salt.base.errors import ConfigError, Fault, HartError, Refused
from hart_salt.config.settings import Settings
from hart_salt.fleets import actions as do
from hart_salt.fleets import memory, recording, report, survey
from hart_salt.fleets.actions import Action, Plan
from hart_salt.fleets.diff import plan as plan_of
from hart_salt.fleets.reconcile import Operations, Wave, Work
from hart_salt.fleets.run import Run
from hart_salt.fleets.scene import Spec
from hart_salt.fleets.spec import specs
from hart_salt.fleets.survey import Sight, View
from hart_salt.inventory.ends import end_of
from hart_salt.inventory.protected import is_protected
from hart_salt.inventory.records import READY, UNKNOWN, Record, instance_of
from hart_salt.operations.drain import drain_all
from hart_salt.operations.fleet import Outcomes, outcomes
from hart_salt.planning.resolve import AS_ARGUMENT
from hart_salt.result import Result
from hart_salt.use_cases.bakes import Bakes
from hart_salt.use_cases.offers import Offers
from hart_salt.use_cases.parts import Calls, Parts
from hart_salt.use_cases.role_locks import RoleLocks
from hart_salt.use_cases.simulation import Simulation

log = logging.getLogger(__name__)

#: the exit code of a plan with something to do
SOMETHING = 3


class Fleets:
    """The use cases of ``Service`` for declared fleets."""

    def __init__(self, parts: Parts, offers: Offers, calls: Calls) -> None:
        self._parts = parts
        self._offers = offers
        self._calls = calls
        self.simulation = Simulation(parts)
        self._bakes = Bakes(parts, self._sight, calls)
        self._held = RoleLocks(parts)

    # looking

    def plan(self, names: Sequence[str], code: int = SOMETHING, *, force: bool = False) -> Result:
        """
        Return what differs from the declarations of these fleets, or of all, and what would be done; ``force`` is that
        of ``apply``.

        The result has the exit code ``code`` if there is anything to do; with 0, that is a success. Nothing is changed.
        """
        wanted = self._specs(names)
        view = survey.look(self._sight(), wanted, priced=True)
        plans = self._plans(view, force=force)
        ended, stay = self._ended_outside(view.now) if not names else ([], [])
        anything = bool(ended) or any(one.anything for one in plans.values())
        return Result(
            self._data(plans, view), not (anything and code), code=code, notes=[*stay, *_none_declared(wanted)],
            more={"outside": _outside(ended)} if ended else {},
        )  # fmt: skip

    def observe(self) -> tuple[Mapping[str, Plan], bool]:
        """
        Look at all fleets, and remember what was seen.

        Returns their plans, and whether a node outside of fleets has reached the end of its ttl.
        """
        view, plans = self._look(self._specs(()), force=False)
        return plans, bool(self._ended_outside(view.now)[0])

    def states(self, names: Sequence[str]) -> Result:
        """Return the state of these fleets, or of all."""
        wanted = self._specs(names)
        view = survey.look(self._sight(), wanted, priced=True)
        data = self._data(self._plans(view, force=False), view)
        return Result(data, notes=_none_declared(wanted))

    # changing

    def apply(self, names: Sequence[str], *, force: bool, waves: int | None, wait: bool) -> Result:
        """
        Make fleets what their declarations say, wave after wave, until nothing is left that can be done now.

        ``waves`` is the most waves (None: as many as are needed). With ``wait`` the call waits for another call that
        changes one of the fleets; without, it leaves out that fleet. With ``force``, more than half of the nodes of a
        fleet may be removed.
        """
        wanted = self._specs(names)
        self._parts.changes(test=True)
        with self._alone(wanted, wait=wait) as (free, busy):
            self._begin(free)
            run = Run(free, functools.partial(self._look, free, force), self._operations, self._changed)
            run.waves(waves)
            outside = self._end_outside() if not names and run.interrupted is None else Work()
        result = run.result(busy, outside)
        return dataclasses.replace(result, notes=[*result.notes, *_none_declared(wanted)])

    def _begin(self, wanted: Sequence[Spec]) -> None:
        """Get ready to change fleets whose locks are held: a call that waits for them must not keep a slot."""
        self._parts.changes()
        self._parts.master.require_running()
        for provider in dict.fromkeys(spec.provider for spec in wanted):
            self._calls.sweep_dead(provider)

    def hold(self, name: str) -> Result:
        """Hold a fleet: neither the engine nor ``hart.apply`` changes it until ``unhold``."""
        (spec,) = self._specs([name])
        journal = self._parts.context.journal
        memory.hold(self._parts.context.store, self._key(spec.name), journal.by or "", time.time())
        return Result({spec.name: {"result": True, "state": do.HELD}})

    def unhold(self, name: str) -> Result:
        """End the hold of a fleet; a fleet that is not held is a success."""
        (spec,) = self._specs([name])
        held = bool(memory.recall(self._parts.context.store, self._key(spec.name)).hold)
        memory.unhold(self._parts.context.store, self._key(spec.name))
        return Result({spec.name: {"result": True, "changed": held}})

    # parts of them

    def _specs(self, names: Sequence[str]) -> list[Spec]:
        config = self._parts.config
        if not names and not config.fleets:
            return []
        return specs(config, names, self._region_of)

    def _region_of(self, role: str, provider: str) -> str:
        """Return the region of new nodes. Raises ``ConfigError`` that names the settings of a fleet, not arguments."""
        try:
            return self._offers.example(role, provider, None).region
        except ConfigError as error:
            argument, words = AS_ARGUMENT.format("region"), "as regions of the fleet"
            raise ConfigError([Fault(it.path, it.problem.replace(argument, words)) for it in error.faults]) from error

    def _sight(self) -> Sight:
        parts = self._parts
        return Sight(parts.config, parts.context, parts.driver, self._offers.example, parts.image_digest)

    def _plans(self, view: View, *, force: bool) -> dict[str, Plan]:
        return {name: plan_of(scene, view.now, force=force) for name, scene in view.scenes.items()}

    def _data(self, plans: Mapping[str, Plan], view: View) -> dict[str, Any]:
        return {name: report.of_plan(plan, view.scenes[name]) for name, plan in plans.items()}

    def _look(self, wanted: Sequence[Spec], force: bool) -> tuple[View, Mapping[str, Plan]]:
        """Look at fleets, remember what was seen, and plan."""
        view = survey.look(self._sight(), wanted, priced=False)
        self._keep(view)
        return view, self._plans(view, force=force)

    def _changed(self, name: str, number: int) -> None:
        memory.keep_changes(self._parts.context.store, self._key(name), number, time.time())

    def _key(self, name: str) -> str:
        return memory.key_of(name, self._parts.info.owner)

    def _keep(self, view: View) -> None:
        """Remember what was seen, and record the load for ``hart.simulate``."""
        info, store = self._parts.info, self._parts.context.store
        for name, scene in view.scenes.items():
            before, load = view.memories[name], view.loads.get(name)
            silent = memory.observe(before, scene.members, view.now)
            past = before.past if load is None else load.decision.past.as_dict()
            memory.keep_seen(store, self._key(name), before, silent, past, view.now)
            if load is not None and (problem := recording.record(info.log_dir, name, view.now, load.readings)):
                log.warning("hart: %s", problem)

    @contextmanager
    def _alone(self, wanted: Sequence[Spec], *, wait: bool) -> Iterator[tuple[list[Spec], list[Spec]]]:
        """Hold the locks of the fleets' roles; yield the fleets that are free, and those that another call changes."""
        with self._held:
            held = {role: self._held.take(role, wait=wait) for role in sorted({spec.role for spec in wanted})}
            yield [one for one in wanted if held[one.role]], [one for one in wanted if not held[one.role]]

    def _operations(self, spec: Spec | None) -> Operations:
        """Return the operations on the nodes of a fleet; without one, nothing is created."""
        create = functools.partial(self._create, spec) if spec is not None else lambda _region, _count: Outcomes()
        bake = functools.partial(self._bake, spec) if spec is not None else Outcomes
        settings_of = self._parts.settings_of if spec is not None else self._settings_outside
        return Operations(
            create, self._drain, self._destroy, settings_of, time.time, bake,
            self._parts.context.journal.explaining,
        )  # fmt: skip

    def _create(self, spec: Spec, region: str, count: int) -> Outcomes:
        return outcomes(
            self._calls.create(None, role=spec.role, count=count, provider=spec.provider, region=region, settings={})
        )

    def _bake(self, spec: Spec) -> Outcomes:
        """Bake the role of a fleet, without its lock: nodes can be repaired and created in the meantime."""
        with self._held.apart(spec.role):
            return self._bakes.bake(spec)

    def _destroy(self, records: Sequence[Record]) -> Outcomes:
        """Destroy nodes, but not those that another call has destroyed or replaced since they were seen."""
        now = {one.minion_id: self._parts.context.store.get(one.minion_id) for one in records}
        same = [one.minion_id for one in records if _is_same(one, now[one.minion_id], time.time())]
        found = outcomes(self._calls.destroy(same)) if same else Outcomes()
        others = {one.minion_id: _passed_over(one, now[one.minion_id]) for one in records if one.minion_id not in same}
        ok = found.ok and all(entry["result"] for entry in others.values())
        return dataclasses.replace(found, data={**found.data, **others}, ok=ok)

    def _drain(self, wanted: Mapping[str, Settings]) -> Mapping[str, str]:
        having = {minion_id: settings for minion_id, settings in wanted.items() if settings.drain}
        if not having:
            return {}
        store = self._parts.context.store
        recorded = {minion_id for minion_id in having if store.get(minion_id) is not None}
        self._parts.context.slot.release()  # what drains a node may call hart
        problems = drain_all(having, self._parts.context.master)
        # Another call may have destroyed a node in the meantime: then nobody was there to be drained.
        return {name: why for name, why in problems.items() if name not in recorded or store.get(name) is not None}

    # nodes outside of fleets

    def _ended_outside(self, now: float) -> tuple[list[Record], list[str]]:
        """Return the nodes that are in no fleet and whose ttl has ended, and why others must stay, a sentence each."""
        ended, problems = [], []
        for record in self._maybe_ended_outside(now):
            try:
                if self._has_surely_ended(record, now):
                    ended.append(record)
            except HartError as error:
                problems.append(f"{record.minion_id} stays although its ttl has ended: {error}")
        return ended, problems

    def _maybe_ended_outside(self, now: float) -> list[Record]:
        """Return the nodes that are in no fleet, and whose ttl has ended by their records."""
        every, context = self._specs(()), self._parts.context
        records = [one for one in context.store.all() if one.stage == READY and not one.protected]
        ended = [one for one in records if one.ends is not None and one.ends <= now]
        look = context.locks.look({one.minion_id: one for one in ended})
        return [
            one
            for one in ended
            if not any(spec.has(one.role, one.provider, one.region) for spec in every)
            and not context.locks.elsewhere(one)
            and not look.busy(one.minion_id)
        ]

    def _end_outside(self) -> Work:
        """Destroy the nodes that are in no fleet and whose ttl has ended; each by itself, so that one fails alone."""
        work = Work()
        try:
            ended, problems = self._ended_outside(time.time())
        except HartError as error:  # what was done with fleets must not be lost
            work.stop(error)
            return work
        work.problem = "\n".join(problems)
        for record in ended:
            action = Action(do.DESTROY, do.ENDED, "its ttl has ended", record.region, record.minion_id)
            plan, alone = Plan("", do.CHANGING, actions=[action]), Work()
            Wave(plan, {record.minion_id: record}, self._operations(None), alone).run()
            work.add(alone)
            if work.interrupted is not None:
                break
        return work

    def _settings_outside(self, record: Record) -> Settings:
        """Return the settings of a node; those without any role if its role is not configured any more."""
        try:
            return self._parts.settings_of(record)
        except Refused:
            return Settings()

    def _has_surely_ended(self, record: Record, now: float) -> bool:
        """Return whether the instance has neither a mark of a later end, as after a crash, nor one of protection."""
        known = instance_of(record)
        instance = None if known is None else self._parts.driver(record.provider).instance(known)
        end = end_of(record, instance)
        return end is not None and end <= now and not is_protected(record, instance)


def _is_same(seen: Record, now: Record | None, time: float) -> bool:
    """
    Return whether the record of a node still names the instance that was seen, and its end was not moved.

    A node without a record still has none.
    """
    if now is None:
        return seen.stage == UNKNOWN
    has_ended = seen.ends is not None and seen.ends <= time
    is_extended = has_ended and (now.ends is None or now.ends > time)
    return seen.instance_id == now.instance_id and not is_extended


def _passed_over(seen: Record, now: Record | None) -> dict[str, Any]:
    """Return the outcome of a node that was not destroyed because another call has changed it."""
    facts: dict[str, Any] = {"provider": seen.provider, "instance_id": seen.instance_id}
    if now is None:
        return {"result": True, **facts, "notes": ["another call destroyed it"]}
    if seen.instance_id == now.instance_id:
        return {"result": False, **facts, "error": "another call has moved its end: call hart.apply again"}
    return {"result": False, **facts, "error": "another call has replaced it with a new node of this name"}


def _outside(ended: Sequence[Record]) -> dict[str, Any]:
    return {
        one.minion_id: {"action": "destroy", "role": one.role, "provider": one.provider, "reason": "its ttl has ended"}
        for one in ended
    }


def _none_declared(wanted: Sequence[Spec]) -> list[str]:
    return [] if wanted else ["no fleet is declared: declare one under hart:fleets"]
