"""
Carry out the plans of fleets, one wave after the other, through the operations that a person would call.

Each wave begins with a new look at everything, so a call that was interrupted anywhere is completed by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base.errors import HartError, Interrupted
from hart_salt.config.settings import Settings
from hart_salt.fleets import actions as do
from hart_salt.fleets.actions import Action, Plan
from hart_salt.inventory.records import Record
from hart_salt.operations.fleet import Changes, FleetActions, Outcomes

#: seconds before a provider takes an instance away at which it must be drained
MARGIN = 10.0
#: seconds of drain for a node that its provider takes away very soon
SHORTEST = 5.0
#: causes for which a node is removed without a drain: its minion does not answer
UNDRAINED = frozenset({do.VANISHED, do.BROKEN})
#: a node of these causes goes even if its drain failed: it goes anyway
REGARDLESS = frozenset({do.INTERRUPTED})


@dataclass(frozen=True)
class Operations:
    """The operations on nodes."""

    #: creates a number of nodes of the fleet in a region
    create: Callable[[str, int], Outcomes]
    #: drains nodes, each with its settings; returns why some of them must stay
    drain: Callable[[Mapping[str, Settings]], Mapping[str, str]]
    destroy: Callable[[Sequence[Record]], Outcomes]
    #: the settings of an existing node
    settings_of: Callable[[Record], Settings]
    now: Callable[[], float]
    #: bakes the role of the fleet
    bake: Callable[[], Outcomes]
    #: adds details to what the journal says of nodes in a block, by minion id, "" for all others
    explaining: Callable[[Mapping[str, Mapping[str, str]]], AbstractContextManager[None]]


@dataclass
class Work:
    """What was done with one fleet."""

    changes: Changes = field(default_factory=Changes)
    #: the number of actions that were begun
    begun: int = 0
    #: why the work on it ended early, in words
    problem: str = ""
    #: why nodes were removed, by minion id
    reasons: dict[str, str] = field(default_factory=dict)
    #: the outcomes of bakes, by role
    bakes: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: why bakes failed, in words. The fleet goes on with the image that it has.
    bake_problems: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether something failed, so that the same is not tried again at once."""
        return not self.changes.ok or bool(self.problem) or self.interrupted is not None

    @property
    def interrupted(self) -> int | None:
        """The number of the signal that interrupted it; None: no signal did."""
        return self.changes.interrupted

    @property
    def reason(self) -> str:
        """Why the work ended early, in words; empty if it did not."""
        return self.problem or self.changes.problem

    def stop(self, error: HartError) -> None:
        """Note an error that ended the work."""
        self.problem = str(error)
        if isinstance(error, Interrupted):
            self.changes.ok, self.changes.interrupted = False, error.signum

    def bake(self, do_bake: Callable[[], Outcomes]) -> None:
        """Bake, and note the outcome. A bake that fails is no reason to leave the nodes as they are."""
        try:
            done = do_bake()
        except Interrupted:
            raise
        except HartError as error:
            self.bake_problems.append(str(error))
            return
        self.bakes.update(done.data)
        if done.interrupted is not None:
            self.changes.ok, self.changes.interrupted = False, done.interrupted
        elif not done.ok:
            self.bake_problems += reasons(done)

    def add(self, other: Work) -> None:
        """Add what was done with other nodes."""
        mine, theirs = self.changes, other.changes
        mine.created.update(theirs.created)
        mine.destroyed.update(theirs.destroyed)
        mine.kept.update(theirs.kept)
        mine.ok = mine.ok and not other.failed
        mine.interrupted = theirs.interrupted if mine.interrupted is None else mine.interrupted
        self.begun += other.begun
        self.reasons.update(other.reasons)
        self.problem = self.reason or other.reason


class Wave:
    """What a plan does now, carried out."""

    def __init__(self, plan: Plan, records: Mapping[str, Record], operations: Operations, work: Work) -> None:
        self._plan = plan
        self._records = records
        self._operations = operations
        self._work = work
        #: whether a node could not be created
        self._lacking = False

    def run(self) -> None:
        """
        Carry out the plan's actions, in the order in which no limit is exceeded.

        A node that cannot be removed does not keep the others from being repaired; after a node could not be created,
        no further one is tried, but a bake is. What was done, and why it ended early, is in the work.
        """
        steps = [
            lambda: self._take(self._chosen(do.DESTROY, cause=do.VANISHED)),
            lambda: self._take(self._chosen(do.DESTROY, cause=do.ENDED)),
            lambda: self._add_all(self._chosen(do.CREATE)),
            self._renew,
            lambda: self._take(self._chosen(do.DESTROY, cause=do.MANY)),
            self._renew_in_place,
        ]
        self._attempt(steps)
        self._attempt([self._bake])

    def _attempt(self, steps: Sequence[Callable[[], None]]) -> None:
        """Take steps, and none after one that raises."""
        try:
            for step in steps:
                if self._work.interrupted is None:
                    step()
        except HartError as error:
            self._work.stop(error)

    def _chosen(self, kind: str, *, cause: str | None = None, surge: bool | None = None) -> list[Action]:
        found = [
            one
            for one in self._plan.actions
            if one.kind == kind and cause in (None, one.cause) and surge in (None, one.surge)
        ]
        self._work.begun += len(found)
        return found

    def _renew(self) -> None:
        """Replace nodes by new ones, which are ready before the old ones go; those that end first come first."""
        actions = sorted(self._chosen(do.REPLACE, surge=True), key=lambda one: one.deadline or float("inf"))
        for region, some in sorted(_by_region(actions).items()):
            up = self._add(region, some)
            if self._work.interrupted is None:
                self._take(some[:up])

    def _renew_in_place(self) -> None:
        """Replace nodes for which there is no room beside their new ones, unless no new ones come."""
        actions = self._chosen(do.REPLACE, surge=False)
        if self._lacking:
            return
        self._take(actions)
        gone = set(Outcomes(self._work.changes.destroyed).good())
        self._add_all([one for one in actions if one.minion_id in gone])

    def _bake(self) -> None:
        """
        Bake the role, at the end because urgent changes do not wait for it.

        It comes even if nodes could not be created or removed: they may need the new image.
        """
        actions = self._chosen(do.BAKE)
        if not actions:
            return
        with self._operations.explaining({"": self._details(actions[0].reason)}):
            self._work.bake(self._operations.bake)

    def _add_all(self, actions: Sequence[Action]) -> None:
        """Create a node for each action."""
        for region, some in sorted(_by_region(actions).items()):
            self._add(region, some)

    def _add(self, region: str, actions: Sequence[Action]) -> int:
        """Create a node for each action in a region, and return how many came up."""
        if self._work.interrupted is not None or self._lacking:
            return 0
        reasons = dict.fromkeys(one.reason if one.kind == do.CREATE else f"for {one.minion_id}" for one in actions)

        def create(count: int) -> Outcomes:
            return self._operations.create(region, count)

        hands = FleetActions(create, lambda _: {}, self._operations.destroy)
        with self._operations.explaining({"": self._details("; ".join(reasons))}):
            up = len(self._work.changes.add(hands, len(actions)))
        self._lacking = up < len(actions)
        return up

    def _details(self, reason: str) -> dict[str, str]:
        return {"fleet": self._plan.fleet, "reason": reason} if self._plan.fleet else {"reason": reason}

    def _take(self, actions: Sequence[Action]) -> None:
        """Drain and destroy nodes."""
        if not actions:
            return
        causes = {one.minion_id: one for one in actions if one.minion_id}

        def drain(records: Sequence[Record]) -> Mapping[str, str]:
            wanted = {
                one.minion_id: self._drain_settings(one, causes[one.minion_id])
                for one in records
                if causes[one.minion_id].cause not in UNDRAINED
            }
            stay = self._operations.drain(wanted) if wanted else {}
            return {name: why for name, why in stay.items() if not _goes_regardless(causes[name])}

        records = [self._records[name] for name in causes]
        hands = FleetActions(lambda _: Outcomes(), drain, self._operations.destroy)
        self._work.reasons.update({name: one.reason for name, one in causes.items()})
        with self._operations.explaining({name: self._details(one.reason) for name, one in causes.items()}):
            self._work.changes.take(hands, records)

    def _drain_settings(self, record: Record, action: Action) -> Settings:
        """Return the settings of a node, with no more time to drain it than its provider leaves."""
        settings = self._operations.settings_of(record)
        if action.deadline is None:
            return settings
        left = max(SHORTEST, action.deadline - self._operations.now() - MARGIN)
        return settings.model_copy(update={"drain_timeout": min(settings.drain_timeout, left)})


def reasons(done: Outcomes) -> list[str]:
    """Return why a bake failed, in words."""
    return [*done.problems] or [str(one.get("error") or "it failed") for one in done.data.values()]


def _goes_regardless(action: Action) -> bool:
    """Return whether a node goes even if its drain failed: it goes anyway, or its minion did not answer before."""
    return action.cause in REGARDLESS or not action.answers


def _by_region(actions: Iterable[Action]) -> dict[str, list[Action]]:
    found: dict[str, list[Action]] = {}
    for one in actions:
        found.setdefault(one.region, []).append(one)
    return found
