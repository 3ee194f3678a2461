"""
Carry out the plans of fleets, one wave after the other, through the operations that a person would call.

Each wave begins with a new look at everything, so a call that was interrupted anywhere is completed by the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

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


@dataclass
class Work:
    """What was done with one fleet."""

    changes: Changes = field(default_factory=Changes)
    #: the number of actions that were begun
    begun: int = 0
    #: why the work on it ended early, in words
    problem: str = ""

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

    def add(self, other: Work) -> None:
        """Add what was done with other nodes."""
        mine, theirs = self.changes, other.changes
        mine.created.update(theirs.created)
        mine.destroyed.update(theirs.destroyed)
        mine.kept.update(theirs.kept)
        mine.ok = mine.ok and not other.failed
        mine.interrupted = theirs.interrupted if mine.interrupted is None else mine.interrupted
        self.begun += other.begun
        self.problem = self.reason or other.reason


class Wave:
    """What a plan does now, carried out."""

    def __init__(self, plan: Plan, records: Mapping[str, Record], operations: Operations, work: Work) -> None:
        self._plan = plan
        self._records = records
        self._operations = operations
        self._work = work

    def run(self) -> None:
        """
        Carry out the plan's actions, in the order in which no limit is exceeded, and stop at the first failure.

        What was done, and why it ended early, is in the work.
        """
        steps = [
            lambda: self._destroy(do.VANISHED),
            lambda: self._destroy(do.ENDED),
            self._create,
            self._renew,
            lambda: self._destroy(do.MANY),
            self._renew_in_place,
        ]
        try:
            for step in steps:
                if not step():
                    return
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

    def _destroy(self, cause: str) -> bool:
        return self._take(self._chosen(do.DESTROY, cause=cause))

    def _create(self) -> bool:
        wanted = Counter(one.region for one in self._chosen(do.CREATE))
        return self._add_all(wanted)

    def _renew(self) -> bool:
        """Replace nodes by new ones, which are ready before the old ones go; those that end first come first."""
        actions = self._chosen(do.REPLACE, surge=True)
        by_region: dict[str, list[Action]] = {}
        for one in sorted(actions, key=lambda it: it.deadline or float("inf")):
            by_region.setdefault(one.region, []).append(one)
        done = True
        for region, some in sorted(by_region.items()):
            up = self._add(region, len(some))
            if self._work.interrupted is not None:
                return False
            done = (not up or self._take(some[:up])) and up == len(some) and done
        return done

    def _renew_in_place(self) -> bool:
        """Replace nodes for which there is no room beside their new ones."""
        actions = self._chosen(do.REPLACE, surge=False)
        if not self._take(actions):
            return False
        wanted = Counter(one.region for one in actions)
        return self._add_all(wanted)

    def _add_all(self, wanted: Mapping[str, int]) -> bool:
        """Create nodes in several regions, in all of them even if one fails; return whether all came up."""
        up = {region: self._add(region, number) for region, number in sorted(wanted.items())}
        return up == dict(wanted)

    def _add(self, region: str, number: int) -> int:
        """Create nodes and return how many came up."""
        if self._work.interrupted is not None:
            return 0

        def create(count: int) -> Outcomes:
            return self._operations.create(region, count)

        return len(self._work.changes.add(FleetActions(create, lambda _: {}, self._operations.destroy), number))

    def _take(self, actions: Sequence[Action]) -> bool:
        """Drain and destroy nodes; return whether all of them are gone."""
        if not actions:
            return True
        causes = {one.minion_id: one for one in actions if one.minion_id}

        def drain(records: Sequence[Record]) -> Mapping[str, str]:
            wanted = {
                one.minion_id: self._drain_settings(one, causes[one.minion_id])
                for one in records
                if causes[one.minion_id].cause not in UNDRAINED
            }
            stay = self._operations.drain(wanted) if wanted else {}
            return {name: why for name, why in stay.items() if causes[name].cause not in REGARDLESS}

        records = [self._records[name] for name in causes]
        hands = FleetActions(lambda _: Outcomes(), drain, self._operations.destroy)
        return self._work.changes.take(hands, records)

    def _drain_settings(self, record: Record, action: Action) -> Settings:
        """Return the settings of a node, with no more time to drain it than its provider leaves."""
        settings = self._operations.settings_of(record)
        if action.deadline is None:
            return settings
        left = max(SHORTEST, action.deadline - self._operations.now() - MARGIN)
        return settings.model_copy(update={"drain_timeout": min(settings.drain_timeout, left)})
