"""
The import of minions that hart did not create: found, tagged, recorded; or left as they were.

At no moment may a crash make the machine of a living minion look like an orphan. So the record comes first, with the
stage ``importing``: the sweep never deletes such a machine, whatever its tags say. Then come the tags. The record
becomes ready when the provider's own list shows the instance as this master's.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base import concurrency, faults
from hart_salt.base.concurrency import Calls
from hart_salt.base.errors import EnvironmentFault, HartError, Interrupted, Refused
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.journal import IMPORT, entry
from hart_salt.inventory.records import IMPORTING, READY, Record, is_same
from hart_salt.inventory.snapshot import record_of
from hart_salt.master.keys import ACCEPTED
from hart_salt.migration.match import GRAINS, ImportRequest, Known, Match, match, refuse_minion
from hart_salt.model import PLACE, Candidate, Instance
from hart_salt.node.reporting import Fire, open_events
from hart_salt.operations.create import facts
from hart_salt.planning import plan

EVENT = "imported"
#: how often to list a provider's instances until a new tag shows, and the seconds in between
LOOKS, LOOK_INTERVAL = 6, 2.0


@dataclass
class Outcome:
    """The outcome for one minion."""

    record: Record | None = None
    notes: list[str] = field(default_factory=list)
    changed: bool = False
    #: why it is not imported, and whether nothing had been changed by then
    error: str = ""
    refused: bool = False

    def data(self, test: bool) -> dict[str, Any]:
        """Return the outcome as plain data for the result."""
        if self.error or self.record is None:
            return {"result": False, "error": self.error or "it was not started"}
        if test and self.changed:
            return plan.importation(self.record, self.notes)
        said = [] if self.changed else ["it is already imported; nothing was changed"]
        return {"result": True, "changed": self.changed, **facts(self.record), "notes": [*said, *self.notes]}


@dataclass
class _Taken:
    """A minion whose record was written, with what the undo needs."""

    request: ImportRequest
    match: Match
    before: Record | None
    record: Record
    driver: Driver
    #: whether new tags may be on the instance
    tagging: bool = False
    error: str = ""
    ready: bool = False


class Importing:
    """One call that imports some minions."""

    def __init__(
        self, requests: Sequence[ImportRequest], drivers: Mapping[str, Driver], context: Context,
        roles: Collection[str], *, test: bool,
    ) -> None:  # fmt: skip
        """
        Prepare the import.

        ``requests`` has one entry for each minion id. ``drivers`` are by the provider's name. ``roles`` are those of
        the configuration. ``test`` only reports what would be done.
        """
        self._requests = requests
        self._drivers = drivers
        self._context = context
        self._roles = roles
        self._test = test
        self._send: Fire
        self._taken: list[_Taken] = []
        #: by provider and instance, the minion that has the machine in this call
        self._machines: dict[tuple[str, str], str] = {}
        self.outcomes: dict[str, Outcome] = {request.minion_id: Outcome() for request in requests}

    def run(self) -> int | None:
        """
        Import the minions; ``outcomes`` holds the results.

        Returns the number of the signal that ended the call early, if any.
        """
        with Calls() as calls, open_events(self._context) as self._send:
            try:
                concurrency.run(lambda: self._all(calls), self._context.locks.stop)
            except Interrupted as signal:
                for outcome in self.outcomes.values():
                    if outcome.record is None:
                        outcome.error = outcome.error or f"{signal}; it is unchanged"
                return signal.signum
        return None

    async def _all(self, calls: Calls) -> None:
        known = await calls.salt(self._known)
        with ExitStack() as stack:
            try:
                await _every(self._begin(request, known[request.minion_id], calls, stack) for request in self._requests)
                await _every(self._confirm(name, calls) for name in self._drivers)
            finally:
                for taken in self._taken:
                    if not taken.ready:
                        await concurrency.uninterrupted(self._undo(taken, calls))

    def _known(self) -> dict[str, Known]:
        """Return everything that this master knows, queried for all minions at once."""
        context, states = self._context, self._context.master.keys.states()
        records = context.store.all()
        by_id = {record.minion_id: record for record in records}
        machines = {(it.provider, it.instance_id): it.minion_id for it in records if it.instance_id}
        accepted = [request.minion_id for request in self._requests if ACCEPTED in states.get(request.minion_id, ())]
        grains = context.master.minions.grains(accepted, GRAINS)
        return {
            name: Known(
                context.info.owner, context.info.master_id, self._roles, states.get(name, ()), grains.get(name),
                by_id.get(name), machines,
            )
            for name in (request.minion_id for request in self._requests)
        }  # fmt: skip

    # one minion

    async def _begin(self, request: ImportRequest, known: Known, calls: Calls, stack: ExitStack) -> None:
        """Find the instance, write the record, and tag the instance. A failure affects only this minion."""
        outcome = self.outcomes[request.minion_id]
        try:
            refuse_minion(request, known)
            found = match(request, await calls.driver(self._candidates, request), known)
            self._refuse_twice(request, found)
            record = await calls.salt(self._record, request, found, known.record)
            if found.done or self._test:
                outcome.record, outcome.changed, outcome.notes = record, not found.done, found.notes
                return
            take = calls.salt(self._take, request, found, known.record, record, stack)
            taken = await concurrency.uninterrupted(take)
        except HartError as error:
            begun = [it for it in self._taken if it.request is request]
            for taken in begun:
                taken.error = str(error)
            outcome.error, outcome.refused = str(error), not begun
            return
        await self._tag(taken, calls)

    def _candidates(self, request: ImportRequest) -> list[Candidate]:
        """Return the candidates for a request; if a noted id is not found, the name counts."""
        driver, noted = self._drivers[request.provider], request.noted
        if request.instance_id or not (noted and noted.instance_id):
            return driver.candidates(request.minion_id, request.instance_id, request.region)
        found = driver.candidates(request.minion_id, noted.instance_id, request.region)
        return found or driver.candidates(request.minion_id, None, request.region)

    def _refuse_twice(self, request: ImportRequest, found: Match) -> None:
        """Refuse an instance that is the match of two minions."""
        instance_id = found.instance.instance_id
        other = self._machines.setdefault((request.provider, instance_id), request.minion_id)
        if other != request.minion_id:
            raise Refused(f"{instance_id} matches {other} as well; name the instance of each, with instance_id=")

    def _record(self, request: ImportRequest, found: Match, before: Record | None) -> Record:
        """Return the future node's record; other facts of an earlier record stay."""
        new = record_of(found.instance, self._drivers[request.provider].provider, self._context.info)
        new = dataclasses.replace(
            new, minion_id=request.minion_id, role=found.role, stage=READY, sealed=True, batch="",
            minion_key_finger=self._context.master.keys.accepted_finger(request.minion_id),
        )  # fmt: skip
        if before is None:
            return dataclasses.replace(new, by=self._context.journal.by or None)
        seen = ("region", "zone", "size", "role", "stage", "sealed", "instance_id", "public_ip", "private_ip")
        return dataclasses.replace(before, **{name: getattr(new, name) for name in seen})

    def _take(
        self, request: ImportRequest, found: Match, before: Record | None, record: Record, stack: ExitStack
    ) -> _Taken:
        """Take the lock, check the record again under it, and claim the instance."""
        store = self._context.store
        stack.enter_context(self._context.locks.claim(request.minion_id))
        if not is_same(store.get(request.minion_id), before):
            raise Refused("another operation has changed its record in the meantime")
        record = dataclasses.replace(record, session=self._context.locks.session)
        taken = _Taken(request, found, before, record, self._drivers[request.provider])
        self._taken.append(taken)
        store.put(dataclasses.replace(record, stage=IMPORTING))
        # After the record is written: of two parallel imports of one machine, at least one sees the other.
        there = (record.provider, record.instance_id)
        others = [it.minion_id for it in store.all() if (it.provider, it.instance_id) == there]
        if others != [request.minion_id]:
            raise Refused(f"{record.instance_id} is the machine of {' and '.join(set(others) - {request.minion_id})}")
        return taken

    async def _tag(self, taken: _Taken, calls: Calls) -> None:
        request, instance = taken.request, taken.match.instance
        if taken.match.tagged:
            return
        taken.tagging = True
        try:
            adoption = calls.driver(taken.driver.adopt, instance, request.minion_id, taken.match.role)
            await concurrency.uninterrupted(adoption)
        except Exception as error:  # even a defect of a driver is a failure of this minion only
            taken.error = _reason(error)

    # all of a provider

    async def _confirm(self, provider: str, calls: Calls) -> None:
        """Wait until the provider's list shows the instances as this master's, as the sweep will see them."""
        waiting = [it for it in self._taken if it.request.provider == provider and not it.error]
        problem = f"{provider} does not list it as this master's after tagging it"
        for look in range(LOOKS if waiting else 0):
            if look:
                await calls.sleep(LOOK_INTERVAL)
            try:
                listed = await calls.driver(self._drivers[provider].instances)
            except HartError as error:  # one failed query is no reason to give up
                problem = str(error)
                continue
            seen = [it for it in waiting if _is_there(it, listed)]
            waiting = [it for it in waiting if it not in seen]
            await _every(self._finish(taken, calls) for taken in seen)
            if not waiting:
                return
        for taken in waiting:
            taken.error = problem

    async def _finish(self, taken: _Taken, calls: Calls) -> None:
        try:
            record = dataclasses.replace(taken.record, session=None)
            await concurrency.uninterrupted(calls.salt(self._context.store.put, record))
        except EnvironmentFault as error:
            taken.error = str(error)
            return
        taken.ready = True
        outcome = self.outcomes[taken.request.minion_id]
        outcome.record, outcome.changed, outcome.notes = taken.record, True, taken.match.notes
        self._fire(taken.record)
        self._context.journal.write(entry(IMPORT, taken.record))

    def _fire(self, record: Record) -> None:
        names = ("minion_id", "role", *PLACE, "public_ip", "private_ip")
        facts = {name: getattr(record, name) for name in names}
        data = self._context.gate.data({**facts, "by": self._context.journal.by or None})
        self._send(f"hart/{record.minion_id}/{EVENT}", data)

    async def _undo(self, taken: _Taken, calls: Calls) -> None:
        """Roll back: the tags go first, because the record must say that it is an import while they may exist."""
        outcome, minion_id = self.outcomes[taken.request.minion_id], taken.request.minion_id
        reason = taken.error or outcome.error or "it was interrupted"
        try:
            if taken.tagging:
                await calls.salt(self._untag, taken)
            await calls.salt(self._put_back, taken)
            outcome.error = f"{reason}; it is unchanged"
        except Exception as error:
            outcome.error = (
                f"{reason}; it could not be rolled back ({_reason(error)}): its record says {IMPORTING}, and sweep "
                f"does not touch it; complete the import with salt-run hart.import_minion {minion_id}"
            )
        self._context.journal.write(entry(IMPORT, taken.record, result=False, error=outcome.error))

    def _untag(self, taken: _Taken) -> None:
        """Restore the tags of an instance that was this master's before; the record does not say ready during that."""
        self._context.store.put(dataclasses.replace(taken.record, stage=IMPORTING))
        instance = taken.match.instance
        if taken.match.owned:
            taken.driver.adopt(instance, instance.minion_id, instance.role)
        else:
            taken.driver.release(instance)

    def _put_back(self, taken: _Taken) -> None:
        """Restore the previous record, unless it belongs to an earlier import whose tags are gone as well."""
        before = taken.before
        if before is None or (before.stage == IMPORTING and not taken.match.owned):
            self._context.store.remove(taken.request.minion_id)
        else:
            self._context.store.put(before)


def _is_there(taken: _Taken, listed: Sequence[Instance]) -> bool:
    wanted = (taken.match.instance.instance_id, taken.request.minion_id, taken.match.role)
    return any((it.instance_id, it.minion_id, it.role) == wanted for it in listed)


def _reason(error: Exception) -> str:
    return faults.reason(error)


async def _every(work: Any) -> None:
    """Wait for all of them, even if the first one failed or was cancelled."""
    for error in await asyncio.gather(*work, return_exceptions=True):
        if error is not None:
            raise error
