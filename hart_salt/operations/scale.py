"""Scale the nodes of a role to a number, and replace them, one call at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base.errors import EnvironmentFault, Refused
from hart_salt.base.streams import print_stderr
from hart_salt.config.settings import Settings
from hart_salt.drivers.contract import Driver
from hart_salt.inventory import misses, rebuild
from hart_salt.inventory.context import Context
from hart_salt.inventory.identity import Found
from hart_salt.inventory.locks import Locks, Look
from hart_salt.inventory.protected import is_protected, sentence
from hart_salt.inventory.records import READY, Record
from hart_salt.inventory.snapshot import Snapshot, record_of
from hart_salt.operations.drain import drain_all
from hart_salt.operations.fleet import Changes, FleetActions, Outcomes, TargetSize, by_age, check_remove, renew, victims
from hart_salt.operations.leaks import GRACE, is_ready
from hart_salt.planning import plan
from hart_salt.result import Result


@dataclass(frozen=True)
class Order:
    """Which fleet to change, and how."""

    role: str
    provider: str | None = None
    region: str | None = None
    #: remove nodes even if their ``drain`` fails
    force: bool = False
    test: bool = False
    #: settings of new nodes, from the arguments of the call
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: what the function that was called takes besides settings; see ``resolve.resolve``
    takes: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """The outcome; ``interrupted`` is the number of the signal that interrupted the work, or None."""

    data: dict[str, Any]
    ok: bool = True
    interrupted: int | None = None


@contextmanager
def alone_with(role: str, locks: Locks, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a role's nodes, and say so if the call has to wait for it; yield whether it is held."""
    with locks.role(role, wait=False) as held:
        if held or not wait:
            yield held
            return
    print_stderr(f"hart: another call is changing the fleet of {role}; waiting for it")
    with locks.role(role, wait=True) as held:
        yield held


class Scaling:
    """One call that changes a fleet."""

    def __init__(
        self,
        order: Order,
        context: Context,
        take_snapshot: Callable[[str | None], Snapshot],
        make: Callable[[int, bool], Outcomes],
        end: Callable[[Sequence[Record]], Outcomes],
        settings_of: Callable[[Record], Settings],
        start: Callable[[], None],
        restore: Callable[[Sequence[Found], bool], Sequence[Record]],
        driver: Callable[[str], Driver],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Keep the functions that the call needs.

        ``take_snapshot`` takes a snapshot of one provider, or of all. ``make`` creates a number of nodes, or with True
        only plans them; ``end`` destroys nodes. ``settings_of`` returns the settings of a node of the fleet.
        ``start`` is called before the first change; it waits for a slot and removes what dead operations left.
        ``restore`` writes records for instances that have none, or with True only returns them. ``driver`` returns the
        driver of a provider.
        """
        self._order = order
        self._context = context
        self._take_snapshot = take_snapshot
        self._make = make
        self._end = end
        self._settings_of = settings_of
        self._start = start
        self._restore = restore
        self._driver = driver
        self._sleep = sleep
        #: the number of nodes of the role that only other masters can change
        self._elsewhere = 0
        #: ids of nodes whose records were rebuilt
        self._rebuilt: list[str] = []
        #: ids of the role's nodes that are protected
        self._protected: set[str] = set()

    def scale(self, wanted: TargetSize, *, remove: str, cooldown: float, wait: bool) -> Outcome:
        """
        Create or remove nodes until the role has the wanted number; if it has, nothing is changed.

        ``remove`` is which nodes go first: ``newest``, ``oldest``, or ids. ``cooldown`` is the number of seconds after
        a change during which nothing is changed. With ``wait`` the call waits for another call that changes the role's
        fleet; without, it changes nothing and reports that, which is not an error.

        Raises ``Refused`` before anything is changed.
        """
        wanted.check()
        with alone_with(self._order.role, self._context.locks, wait=wait) as alone:
            if not alone:
                return self._unchanged("another call is changing this fleet")
            if rest := self._rest(cooldown):
                return self._unchanged(
                    f"it was scaled less than {cooldown:g} s ago; the cooldown lasts for {rest:.0f} s more"
                )
            self._begin()
            ready, coming = self._fleet()
            have = len(ready) + len(coming)
            target = wanted.target(have)
            check_remove(ready, remove)
            leaving = victims(ready, have - target, remove, self._protected) if target < have else []
            if self._order.test:
                return self._planned(have, target, leaving)
            changes = Changes()
            if target > have:
                changes.add(self._actions, target - have)
            if leaving:
                changes.take(self._actions, leaving)
            return self._changed(have, changes)

    def replace(self, batch: int, *, wait: bool, check: Callable[[Sequence[Record]], None]) -> Outcome:
        """
        Replace all nodes by new ones, ``batch`` at a time; see ``fleet.renew``.

        ``check`` gets the nodes in the order in which they are replaced; it raises ``Refused`` if they must not be.
        """
        with alone_with(self._order.role, self._context.locks, wait=wait) as alone:
            if not alone:
                return self._unchanged("another call is changing this fleet")
            self._begin()
            ready, _ = self._fleet()
            self._check_found(ready)
            leaving = [one for one in ready if one.minion_id not in self._protected]
            if ready and not leaving:
                raise Refused("\n".join(sentence(one.minion_id) for one in ready))
            check(by_age(leaving))
            if self._order.test:
                return self._stayed(self._planned(len(ready), len(ready), leaving))
            return self._stayed(self._changed(len(ready), renew(leaving, batch, self._actions)))

    def _check_found(self, ready: Sequence[Record]) -> None:
        """Raise ``Refused`` if the call names a region in which no node of the role is ready."""
        order = self._order
        if order.region is not None and not ready:
            raise Refused(
                f"role {order.role} has no ready node at {order.provider} in region {order.region}; "
                f"see salt-run hart.list_minions role={order.role}"
            )

    def _begin(self) -> None:
        if not self._order.test:
            self._start()

    def _rest(self, cooldown: float) -> float:
        last = self._context.store.last_scaled(self._order.role)
        # If the clock was set back, the wait is still never longer than the cooldown.
        return min(cooldown, max(0.0, cooldown - (time.time() - last))) if last is not None else 0.0

    def _fleet(self) -> tuple[list[Record], list[Record]]:
        """
        Return the nodes that are ready, including stopped ones, and the nodes that living operations bring up.

        The tags in the cloud decide: an instance whose record was lost counts too, and gets its record again. If a list
        misses an instance, it is looked up again.
        """
        seen = self._take_snapshot(self._order.provider)
        every = self._of_role(seen.records.values())
        records = [record for record in every if not self._context.locks.elsewhere(record)]
        self._elsewhere = len(every) - len(records)
        # A node that another call is sealing at this moment is still coming.
        batches = {one.instance.batch for one in seen.found if one.instance.minion_id not in seen.records}
        look = self._context.locks.look(seen.records, batches)
        coming = [one for one in records if not is_ready(one) and look.busy(one.minion_id)]
        ready = _without([one for one in records if one.stage == READY], coming)
        there = [one for one in ready if seen.instance_of(one) is not None]
        missing = _without(ready, there)
        gone = misses.gone(missing, lambda _: self._take_snapshot(self._order.provider), self._driver, self._sleep)
        lost, young = self._without_record(seen, look)
        restored = list(self._restore(lost, self._order.test)) if lost else []
        self._rebuilt = [one.minion_id for one in restored]
        there += _without(missing, gone) + restored
        self._protected = {one.minion_id for one in there if is_protected(one, seen.instance_of(one))}
        return there, coming + young

    def _of_role(self, records: Iterable[Record]) -> list[Record]:
        order = self._order
        return [
            record
            for record in records
            if record.role == order.role
            and order.provider in (None, record.provider)
            and order.region in (None, record.region)
        ]

    def _without_record(self, seen: Snapshot, look: Look) -> tuple[list[Found], list[Record]]:
        """Return the role's instances without a record: nodes, and instances that another machine may bring up."""
        lost, young = [], []
        dead = look.dead_batches()
        for found in rebuild.without_record(seen, look.busy, lambda _: False):
            record = record_of(found.instance, found.provider, self._context.info)
            if not self._of_role([record]):
                continue
            if look.batch_lives(record.batch):
                young.append(record)  # the store has lost the record, which the call writes again
            elif rebuild.is_enrolled(seen, found):
                lost.append(found)
            elif record.batch not in dead and time.time() - record.created < GRACE:
                young.append(record)
        return lost, young

    @property
    def _actions(self) -> FleetActions:
        return FleetActions(lambda count: self._make(count, False), self._drain, self._end)

    def _drain(self, records: Sequence[Record]) -> Mapping[str, str]:
        found = {record.minion_id: self._settings_of(record) for record in records}
        wanted = {minion_id: settings for minion_id, settings in found.items() if settings.drain}
        if wanted:
            self._context.slot.release()  # what drains a node may call hart
        problems = drain_all(wanted, self._context.master) if wanted else {}
        return {} if self._order.force else problems

    # the outcome

    def _unchanged(self, note: str) -> Outcome:
        return Outcome({"role": self._order.role, "changed": False, "note": note})

    def _restored(self) -> dict[str, Any]:
        if not self._rebuilt:
            return {}
        return {"would_rebuild" if self._order.test else "rebuilt": sorted(self._rebuilt)}

    def _not_counted(self) -> dict[str, str]:
        """Return a note about the nodes of other masters."""
        if not self._elsewhere:
            return {}
        return {
            "note": f"nodes of this role that only another master can change do not count: {self._elsewhere}; "
            "salt-run hart.list_minions status=elsewhere shows them"
        }

    def _stayed(self, outcome: Outcome) -> Outcome:
        """Return the outcome of a replacement with the protected nodes that it leaves out, which is no failure."""
        if self._protected:
            stay = {minion_id: sentence(minion_id) for minion_id in sorted(self._protected)}
            outcome.data["kept"] = {**stay, **outcome.data.get("kept", {})}
        return outcome

    def _planned(self, have: int, target: int, leaving: Sequence[Record]) -> Outcome:
        data: dict[str, Any] = {"role": self._order.role, "before": have, "after": target}
        data |= self._restored() | self._not_counted()
        new = max(0, target - have + (len(leaving) if target == have else 0))
        if new:
            data["created"] = dict(self._make(new, True).data)
        if leaving:
            data["destroyed"] = plan.destruction({record.minion_id: record for record in leaving})
        return Outcome(data)

    def _changed(self, before: int, changes: Changes) -> Outcome:
        problem = self._remember() if changes.any else None
        data: dict[str, Any] = {
            "role": self._order.role, "before": before, "after": before + changes.number, "changed": changes.any,
            "created": changes.created, "destroyed": changes.destroyed, **self._restored(),
            **self._not_counted(),
        }  # fmt: skip
        if changes.kept:
            data["kept"] = changes.kept
        if changes.problem or problem:
            data["error"] = changes.problem or problem
        return Outcome(data, changes.ok and problem is None, changes.interrupted)

    def _remember(self) -> str | None:
        """Store when the role was scaled, and return the problem if that fails."""
        try:
            self._context.store.scaled(self._order.role, time.time())
        except EnvironmentFault as error:
            return f"the fleet was changed, but the time could not be stored, so cooldown ignores this change: {error}"
        return None


def result(outcome: Outcome) -> Result:
    """Return the outcome as a result by node, each with what was done with it: ``create``, ``destroy`` or ``keep``."""
    data = dict(outcome.data)
    nodes = {
        minion_id: {"action": action, **entry}
        for word, action in (("created", "create"), ("destroyed", "destroy"))
        for minion_id, entry in data.pop(word, {}).items()
    }
    for minion_id, why in data.pop("kept", {}).items():
        nodes[minion_id] = {"action": "keep", "result": False, "error": why}
    problem, note = data.pop("error", None), data.pop("note", None)
    return Result(
        nodes, outcome.ok, outcome.interrupted, problems=[problem] if problem else [], notes=[note] if note else [],
        more=data,
    )  # fmt: skip


def _without(records: Sequence[Record], others: Iterable[Record]) -> list[Record]:
    """Return the records of the nodes that ``others`` does not have."""
    ids = {record.minion_id for record in others}
    return [record for record in records if record.minion_id not in ids]
