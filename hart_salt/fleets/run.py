"""The waves of one call that makes fleets what their declarations say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hart_salt.base.errors import HartError
from hart_salt.fleets import actions as do
from hart_salt.fleets import report
from hart_salt.fleets.actions import Plan
from hart_salt.fleets.reconcile import Operations, Wave, Work
from hart_salt.fleets.scene import Spec
from hart_salt.fleets.survey import View
from hart_salt.result import Result

#: further waves of one call, besides two for each node: a guard against work without an end
EXTRA_WAVES = 10


class Run:
    """Looks, carries out what can be done now, and looks again, until nothing is left."""

    def __init__(
        self, wanted: Sequence[Spec], look: Callable[[], tuple[View, Mapping[str, Plan]]],
        operations_of: Callable[[Spec], Operations], changed: Callable[[str, int], None],
    ) -> None:  # fmt: skip
        """
        Keep the functions that it needs.

        ``look`` looks at the fleets and plans; ``changed`` gets the name of a fleet and how many of its nodes a wave
        is about to change.
        """
        self._wanted = {spec.name: spec for spec in wanted}
        self._look = look
        self._operations_of = operations_of
        self._changed = changed
        self._work = {name: Work() for name in self._wanted}
        #: ids of nodes that a wave has removed or replaced
        self._taken: dict[str, set[str]] = {name: set() for name in self._wanted}
        #: ids of nodes that were created before the last bake: the new image can replace them
        self._before_bake: set[str] = set()
        #: roles and providers that were baked since the last look, and those that another call bakes
        self._baked: set[tuple[str, str]] = set()
        self._elsewhere: set[tuple[str, str]] = set()
        self._view = View(0.0)
        self._plans: Mapping[str, Plan] = {}
        #: why no further look was possible
        self._stopped = Work()

    @property
    def interrupted(self) -> int | None:
        """The number of the signal that ended the work; None: no signal did."""
        works = [*self._work.values(), self._stopped]
        return next((work.interrupted for work in works if work.interrupted is not None), None)

    def waves(self, most: int | None) -> None:
        """
        Look and carry out, until nothing is left that can be done now, or ``most`` waves are done.

        Raises ``HartError`` if the first look fails; after a change, the failure of a look is in the result.
        """
        number = 0
        while self._wanted:
            try:
                self._view, self._plans = self._look()
            except HartError as error:
                if not number:
                    raise
                self._stopped.stop(error)
                return
            self._baked = set(self._elsewhere)
            todo = [name for name in self._plans if self._to_do(name).actions and not self._work[name].failed]
            if not todo or number >= self._limit(most):
                return
            for name in todo:
                self._carry_out(name)
                if self.interrupted is not None:
                    return
            number += 1

    def _limit(self, most: int | None) -> int:
        nodes = sum(max(plan.wanted, sum(plan.counts.values())) for plan in self._plans.values())
        return 2 * nodes + EXTRA_WAVES if most is None else most

    def _carry_out(self, name: str) -> None:
        work, plan = self._work[name], self._to_do(name)
        going = {one.minion_id for one in plan.actions if one.minion_id}
        if again := sorted(self._taken[name] & going):
            work.problem = f"{', '.join(again)} was removed and is still there; see salt-run hart.show {again[0]}"
            return
        fresh = work.changes.created.keys() - self._before_bake
        if futile := [one for one in plan.actions if one.minion_id in fresh and one.cause != do.MANY]:
            names = ", ".join(str(one.minion_id) for one in futile[:3])
            work.problem = f"this call created {names}, and would remove it again: {futile[0].reason}"
            return
        try:
            # Before the wave: a call that is killed in it must not be free to change as much again.
            self._changed(name, sum(one.cause not in (do.VANISHED, do.IMAGE) for one in plan.actions))
        except HartError as error:
            work.stop(error)
            return
        Wave(plan, self._view.records, self._operations_of(self._wanted[name]), work).run()
        self._taken[name] |= going & set(work.changes.destroyed)
        if any(one.kind == do.BAKE for one in plan.actions):
            self._has_baked(name)

    def _has_baked(self, name: str) -> None:
        """Note the bake of a wave: it is not repeated before the next look, or at all if another call makes it."""
        work, spec = self._work[name], self._wanted[name]
        self._baked.add((spec.role, spec.provider))
        if any(entry.get("result") for entry in work.bakes.values()):
            self._before_bake.update(*(one.changes.created for one in self._work.values()))
        elif not work.bake_problems:
            self._elsewhere.add((spec.role, spec.provider))

    def _to_do(self, name: str) -> Plan:
        """Return the plan of a fleet without the bake of a role that another fleet or another call bakes."""
        plan, spec = self._plans[name], self._wanted[name]
        if (spec.role, spec.provider) not in self._baked:
            return plan
        return dataclasses.replace(plan, actions=[one for one in plan.actions if one.kind != do.BAKE])

    def result(self, busy: Sequence[Spec], outside: Work) -> Result:
        """
        Return what was done, and what is left.

        ``busy`` are the fleets that another call changes, ``outside`` the work on nodes that are in no fleet.
        """
        data = {name: report.of_plan(plan, self._view.scenes[name]) for name, plan in self._plans.items()}
        works = [*self._work.values(), self._stopped, outside]
        nodes = {minion_id: entry for work in works for minion_id, entry in _nodes(work).items()}
        notes = [f"{spec.name}: another call is changing this fleet" for spec in busy]
        notes += [f"{name}: {plan.why}" for name, plan in self._plans.items() if self._is_noted(name, plan)]
        if self.interrupted is not None:
            notes.append("the fleets are shown as they were before the last wave; hart.apply completes it")
        problems = [*self._problems(), *filter(None, [self._stopped.reason, outside.reason])]
        bakes = self._bakes()
        ok = not problems and not any(work.failed for work in works)
        signal = self.interrupted if self.interrupted is not None else outside.interrupted
        more = {"nodes": nodes, **({"bakes": bakes} if bakes else {})}
        return Result(data, ok, signal, problems=problems, notes=notes, more=more)

    def _is_noted(self, name: str, plan: Plan) -> bool:
        """Return whether a note says what a fleet waits for; of a bake that failed now, a problem says it."""
        return plan.state == do.STEADY and bool(plan.why) and not self._work[name].bake_problems

    def _bakes(self) -> dict[str, Any]:
        """Return the outcome of each bake, by role; a role that was baked at two providers has both names."""
        found: dict[str, Any] = {}
        for name, work in self._work.items():
            for role, entry in work.bakes.items():
                found[role if role not in found else f"{role} at {self._wanted[name].provider}"] = entry
        return found

    def _problems(self) -> list[str]:
        """Return why fleets are not what they should be, a sentence for each fleet."""
        found = []
        for name, plan in self._plans.items():
            role = self._wanted[name].role
            found += [f"{name}: the bake of the role {role} failed: {why}" for why in self._work[name].bake_problems]
            if problem := self._work[name].reason:
                found.append(f"{name}: {problem}")
            elif plan.state in (do.BLOCKED, do.HELD):
                found.append(f"{name} is blocked: {plan.why}" if plan.state == do.BLOCKED else f"{name}: {plan.why}")
        return found


def _nodes(work: Work) -> dict[str, Any]:
    """Return the outcome of each node, with what was done with it: ``create``, ``destroy`` or ``keep``."""
    changes = work.changes
    created = {name: {"action": "create", **entry} for name, entry in changes.created.items()}
    destroyed = {
        name: {"action": "destroy", "reason": work.reasons.get(name), **entry}
        for name, entry in changes.destroyed.items()
    }
    kept = {name: {"action": "keep", "result": False, "error": why} for name, why in changes.kept.items()}
    return {**created, **destroyed, **kept}
