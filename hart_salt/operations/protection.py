"""
Protect nodes against hart itself, and remove the protection.

A node is protected if its record says it, or its instance at the provider: a lost record and another master's change
are safe. That is why a change marks the record first and the instance second, and removes both in the other order.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from hart_salt.base import concurrency, faults
from hart_salt.base.concurrency import Calls
from hart_salt.base.errors import BrokenRecord, HartError, Interrupted, NotFound, Refused
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.journal import entry
from hart_salt.inventory.protected import is_protected, sentence
from hart_salt.inventory.records import READY, UNKNOWN, Record, instance_of
from hart_salt.inventory.side_by_side import ask_each
from hart_salt.model import Instance

#: from this number of nodes at a provider on, its list is cheaper than a call for each node
SEVERAL = 3
PROTECT, UNPROTECT = "protect", "unprotect"
SIDE_BY_SIDE = 16  #: nodes that are changed at the same time


# before nodes are destroyed


def refuse(records: Mapping[str, Record], drivers: Mapping[str, Driver]) -> dict[str, str]:
    """
    Look for protection in the records and at the providers, with one call for a node or one list for several.

    Returns, by minion id, why it is not known whether a node is protected: its provider does not answer.

    Raises ``Refused``, with a sentence for each protected node.
    """
    there, unsure = _instances(records, drivers)
    found = [minion_id for minion_id, record in records.items() if is_protected(record, there.get(minion_id))]
    if found:
        raise Refused("\n".join(map(sentence, found)))
    return unsure


def _instances(
    records: Mapping[str, Record], drivers: Mapping[str, Driver]
) -> tuple[dict[str, Instance], dict[str, str]]:
    """Return the instances of nodes by minion id, and why those of others could not be looked up."""
    by_provider: dict[str, list[Record]] = {}
    for record in records.values():
        by_provider.setdefault(record.provider, []).append(record)
    there: dict[str, Instance] = {}
    unsure: dict[str, str] = {}
    asked = {name: drivers[name] for name in by_provider}
    for name, answer in ask_each(asked, lambda driver: _look(driver, by_provider[driver.provider.name])).items():
        if isinstance(answer, HartError):
            why = f"nothing was done, because it is not known whether the node is protected: {answer}"
            unsure |= {record.minion_id: why for record in by_provider[name]}
        else:
            there |= answer
    return there, unsure


def _look(driver: Driver, records: Sequence[Record]) -> dict[str, Instance]:
    """Return the instances of one provider's nodes by minion id."""
    if len(records) < SEVERAL and all(record.instance_id for record in records):
        return _each(driver, records)
    try:
        regions = {record.region if record.instance_id else None for record in records}
        listed = driver.instances(regions.pop() if len(regions) == 1 else None)
    except HartError:
        if not all(record.instance_id for record in records):
            raise
        return _each(driver, records)  # the right to list may be lacking, or a page of the list fails
    by_id = {instance.instance_id: instance for instance in listed}
    by_name = {instance.minion_id: instance for instance in listed if instance.protected}
    both = {record.minion_id: by_id.get(record.instance_id or "") or _named(record, by_name) for record in records}
    return {minion_id: instance for minion_id, instance in both.items() if instance is not None}


def _each(driver: Driver, records: Sequence[Record]) -> dict[str, Instance]:
    known = {record.minion_id: instance_of(record) for record in records}
    found = {minion_id: driver.instance(it) for minion_id, it in known.items() if it is not None}
    return {minion_id: instance for minion_id, instance in found.items() if instance is not None}


def _named(record: Record, by_name: Mapping[str, Instance]) -> Instance | None:
    """Return a protected instance with the name of a node whose record names none."""
    return None if record.instance_id else by_name.get(record.minion_id)


# the changes


def _planned(records: Mapping[str, Record], drivers: Mapping[str, Driver], *, on: bool) -> dict[str, Any]:
    """Return what a change would do, as plain data: ``action`` is ``protect``, ``unprotect`` or ``none``."""
    there, unsure = _instances(records, drivers)
    data: dict[str, Any] = {}
    for minion_id, record in records.items():
        instance = there.get(minion_id)
        same = record.protected == on and (instance is None or instance.protected == on)
        action = "none" if same else PROTECT if on else UNPROTECT
        data[minion_id] = {"result": None, "action": action, "protected": is_protected(record, instance)}
        if minion_id in unsure:
            data[minion_id] = {"result": False, "error": unsure[minion_id]}
    return data


def _refuse_unready(records: Mapping[str, Record]) -> None:
    """Raise ``Refused`` if one of the nodes is not ready: a node that failed must stay removable."""
    problems = [
        f"{minion_id} is not a ready node, so it cannot be protected; salt-run hart.show {minion_id} shows its state"
        for minion_id, record in records.items()
        if record.stage not in (READY, UNKNOWN)
    ]
    if problems:
        raise Refused("\n".join(problems))


def change(
    records: Mapping[str, Record], drivers: Mapping[str, Driver], context: Context, *, on: bool, test: bool = False
) -> tuple[dict[str, Any], int | None]:
    """
    Protect nodes, or remove their protection; the failure of one node does not affect the others.

    Returns the outcome of each node by minion id, with ``test`` what would be done, and the number of the signal that
    interrupted the work, or None.

    Raises ``Refused``, with nothing done, if one of the nodes is not ready and is to be protected.
    """
    if on:
        _refuse_unready(records)
    if test:
        return _planned(records, drivers, on=on), None
    data: dict[str, Any] = {}
    interrupted = None
    with Calls() as calls:
        work = _Change(records, drivers, context, calls, on, data)
        try:
            concurrency.run(work.all, context.locks.stop)
        except Interrupted as signal:
            interrupted = signal.signum
    again = {"result": False, "error": f"interrupted; call hart.{PROTECT if on else UNPROTECT} again"}
    return {minion_id: data.get(minion_id, again) for minion_id in records}, interrupted


@dataclasses.dataclass(frozen=True)
class _Change:
    records: Mapping[str, Record]
    drivers: Mapping[str, Driver]
    context: Context
    calls: Calls
    on: bool
    data: dict[str, Any]

    async def all(self) -> None:
        some = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(record: Record) -> None:
            async with some:
                await concurrency.uninterrupted(self._one(record))

        for error in await asyncio.gather(*map(one, self.records.values()), return_exceptions=True):
            if error is not None:
                raise error

    async def _one(self, record: Record) -> None:
        """Change one node, whose outcome is known even if a signal comes: once begun, it is ended."""
        try:
            changed = await self._changed(record)
            outcome: dict[str, Any] = {"result": True, "changed": changed, "protected": self.on}
        except Exception as error:  # even a defect of a driver is only this node's failure
            outcome = {"result": False, "error": faults.reason(error)}
        self.data[record.minion_id] = outcome
        if outcome.get("changed", True):
            action, failed = PROTECT if self.on else UNPROTECT, str(outcome.get("error", ""))
            self.context.journal.write(entry(action, record, result=not failed, error=failed))

    async def _changed(self, record: Record) -> bool:
        """Change the record and the instance in the safe order, and return whether one of them was different."""
        driver, calls = self.drivers[record.provider], self.calls
        async with concurrency.entered(calls.salt, self.context.locks.claim(record.minion_id)):
            instance = await calls.driver(_find, driver, record)
            was = instance is not None and instance.protected
            written = await calls.salt(self._write, record.minion_id) if self.on else False
            if instance is not None:
                await calls.driver(lambda: driver.protect(instance, on=self.on))
            elif self.on:
                raise NotFound(f"{record.provider} has no instance of {record.minion_id}")
            if not self.on:
                written = await calls.salt(self._write, record.minion_id)
            return written or was != self.on

    def _write(self, minion_id: str) -> bool:
        """Write the change into the record, if there is one, and return whether it was different."""
        try:
            found = self.context.store.get(minion_id)
        except BrokenRecord:
            return False  # the instance's mark counts
        if found is None or found.protected == self.on:
            return False
        self.context.store.put(dataclasses.replace(found, protected=self.on))
        return True


def _find(driver: Driver, record: Record) -> Instance | None:
    """Return the instance of a record as the provider reports it."""
    known = instance_of(record)
    if known is not None:
        return driver.instance(known)
    return next(iter(driver.instances_called(record.minion_id)), None)
