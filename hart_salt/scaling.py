"""Making the number of a role's nodes what it is to be, and renewing them, one call at a time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hart_salt import plan
from hart_salt.drain import drain_all
from hart_salt.fleet import Changes, Goal, Hands, Outcomes, renew, victims
from hart_salt.home import Home
from hart_salt.settings import Settings
from hart_salt.store import Record
from hart_salt.strays import is_ready
from hart_salt.survey import Survey


@dataclass(frozen=True)
class Order:
    """Which fleet is meant, and how it may be changed."""

    role: str
    provider: str | None = None
    region: str | None = None
    #: remove nodes also where ``drain`` failed on them
    force: bool = False
    test: bool = False
    #: settings of new nodes, from the call
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Outcome:
    """What is returned; ``interrupted``: the number of the signal that ended the work."""

    data: dict[str, Any]
    ok: bool = True
    interrupted: int | None = None


class Scaling:
    """One call that changes a fleet."""

    def __init__(
        self,
        order: Order,
        home: Home,
        survey: Callable[[str | None], Survey],
        make: Callable[[int, bool], Outcomes],
        end: Callable[[Sequence[Record]], Outcomes],
        settings_of: Callable[[Record], Settings],
        sweep_dead: Callable[[], None],
    ) -> None:
        """
        Keep what is needed.

        survey
            looks at a provider, or at all
        make
            creates a number of nodes, or plans them
        end
            destroys nodes
        settings_of
            the settings of a node of the fleet
        sweep_dead
            removes what dead operations left
        """
        self._order = order
        self._home = home
        self._survey = survey
        self._make = make
        self._end = end
        self._settings_of = settings_of
        self._sweep_dead = sweep_dead

    def scale(self, goal: Goal, *, remove: str, cooldown: float, wait: bool) -> Outcome:
        """
        Make the number what it is to be. Already so is success, and nothing is asked to change.

        remove
            which go first: ``newest``, ``oldest``, or ids
        cooldown
            seconds after a change in which nothing is changed again
        wait
            whether to wait for another call that changes the role's fleet; without, that is told and is no error

        Raises ``Refused`` before anything is touched.
        """
        goal.check()
        with self._alone(wait) as alone:
            if not alone:
                return self._unchanged("another call changes its fleet at this moment")
            if rest := self._rest(cooldown):
                return self._unchanged(f"it was scaled less than {cooldown:g} s ago; it rests for {rest:.0f} s")
            self._begin()
            ready, coming = self._fleet()
            have = len(ready) + len(coming)
            target = goal.target(have)
            leaving = victims(ready, have - target, remove) if target < have else []
            if self._order.test:
                return self._planned(have, target, leaving)
            changes = Changes()
            if target > have:
                changes.add(self._hands, target - have)
            if leaving:
                changes.take(self._hands, leaving)
            return self._changed(have, changes)

    def replace(self, batch: int, *, wait: bool) -> Outcome:
        """Replace all nodes by new ones, ``batch`` at a time; see ``fleet.renew``."""
        with self._alone(wait) as alone:
            if not alone:
                return self._unchanged("another call changes its fleet at this moment")
            self._begin()
            ready, _ = self._fleet()
            if self._order.test:
                return self._planned(len(ready), len(ready), ready)
            return self._changed(len(ready), renew(ready, batch, self._hands))

    @contextmanager
    def _alone(self, wait: bool) -> Iterator[bool]:
        locks, role = self._home.locks, self._order.role
        with locks.role(role, wait=False) as held:
            if held or not wait:
                yield held
                return
        print(f"hart: another call changes the fleet of {role}; waiting for it", file=sys.stderr, flush=True)
        with locks.role(role, wait=True) as held:
            yield held

    def _begin(self) -> None:
        if not self._order.test:
            self._sweep_dead()

    def _rest(self, cooldown: float) -> float:
        last = self._home.store.last_scaled(self._order.role)
        return max(0.0, cooldown - (time.time() - last)) if last is not None else 0.0

    def _fleet(self) -> tuple[list[Record], list[Record]]:
        """The nodes that are ready, stopped ones too, and those that living operations bring up."""
        order, seen = self._order, self._survey(self._order.provider)
        of_role = [
            record
            for record in seen.records.values()
            if record.role == order.role
            and order.provider in (None, record.provider)
            and order.region in (None, record.region)
        ]
        ready = [one for one in of_role if is_ready(one) and seen.instance_of(one) is not None]
        coming = [one for one in of_role if not is_ready(one) and self._home.locks.busy(one.minion_id)]
        return ready, coming

    @property
    def _hands(self) -> Hands:
        return Hands(lambda count: self._make(count, False), self._drain, self._end)

    def _drain(self, records: Sequence[Record]) -> Mapping[str, str]:
        found = {record.minion_id: self._settings_of(record) for record in records}
        wanted = {minion_id: settings for minion_id, settings in found.items() if settings.drain}
        problems = drain_all(wanted, self._home.master) if wanted else {}
        return {} if self._order.force else problems

    # what is told

    def _unchanged(self, note: str) -> Outcome:
        return Outcome({"role": self._order.role, "changed": False, "note": note})

    def _planned(self, have: int, target: int, leaving: Sequence[Record]) -> Outcome:
        data: dict[str, Any] = {"role": self._order.role, "before": have, "after": target}
        new = max(0, target - have + (len(leaving) if target == have else 0))
        if new:
            data["created"] = dict(self._make(new, True).data)
        if leaving:
            data["destroyed"] = plan.destruction({record.minion_id: record for record in leaving})
        return Outcome(data)

    def _changed(self, before: int, changes: Changes) -> Outcome:
        if changes.any:
            self._home.store.scaled(self._order.role, time.time())
        data: dict[str, Any] = {
            "role": self._order.role, "before": before, "after": before + changes.number, "changed": changes.any,
            "created": changes.created, "destroyed": changes.destroyed,
        }  # fmt: skip
        if changes.kept:
            data["kept"] = changes.kept
        if changes.problem:
            data["error"] = changes.problem
        return Outcome(data, changes.ok, changes.interrupted)
