"""Destroy nodes: their instances concurrently, then all their keys at once, then the records."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from hart_salt.base import concurrency, descriptors, faults
from hart_salt.base.concurrency import Calls
from hart_salt.base.errors import BrokenRecord, EnvironmentFault, HartError, Interrupted, NotFound
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.journal import DESTROY, SWEEP, entry
from hart_salt.inventory.locks import at_work
from hart_salt.inventory.protected import is_protected, sentence
from hart_salt.inventory.records import READY, UNKNOWN, Record, addresses_of, instance_of, is_same
from hart_salt.inventory.snapshot import is_of
from hart_salt.master.keys import ACCEPTED
from hart_salt.master.public_keys import has_fingerprint
from hart_salt.model import PLACE, RESERVED, Instance
from hart_salt.node.progress import FINAL_STAGES, Expected, Progress
from hart_salt.node.remaining import FormerTimes
from hart_salt.node.reporting import open_progress

T = TypeVar("T")

#: open files of a node while it is destroyed: its log, its lock, and one of the driver for a moment
DESTROYING = 3


def destroy_all(
    records: Mapping[str, Record], by_provider: Mapping[str, Driver], context: Context, *, own_keys: bool = False,
    unsure: Mapping[str, str] = MappingProxyType({}),
) -> tuple[dict[str, Any], int | None]:  # fmt: skip
    """
    Destroy the nodes; the failure of one node does not affect the others.

    The instance goes first: a running minion whose key is deleted would submit its key again. All keys are deleted in
    one call, which makes the master rotate its AES key once. The record goes last, because an interrupted destroy can
    be repeated as long as the record exists.

    With ``own_keys`` a key is deleted only if the record says that it was the node's, and a node is skipped if another
    operation works on it or has changed it. That is for sweep, whose decision may be outdated (default False: the
    caller named the nodes). ``unsure`` has nodes that stay, by minion id, with the reason; see ``protection.refuse``.

    Returns the outcome of each node by minion id, and the number of the signal that interrupted the work, or None.
    """
    errors = dict(unsure)
    sure = {minion_id: record for minion_id, record in records.items() if minion_id not in unsure}
    passed_over: dict[str, str] = {}
    gone: set[str] = set()
    interrupted = None
    with Calls() as calls, open_progress(context) as progress:
        former = FormerTimes(context.info.cachedir, f"destroy {' '.join(sorted(by_provider))}")
        progress.expect(Expected(list(records), "destroyed", former))
        foreign = passed_over if own_keys else None
        work = _Destroying(sure, by_provider, context, progress, calls, errors, foreign, gone)
        try:
            concurrency.run(work.all, context.locks.stop)
        except Interrupted as signal:
            interrupted = signal.signum
            errors.update({i: errors.get(i, f"{signal}; call hart.destroy again") for i in records if i not in gone})
        except HartError as error:  # some nodes are gone, so this is not a refusal
            errors.update({i: errors.get(i, f"{error}; call hart.destroy again") for i in records if i not in gone})
    left = {name: {"result": None, "note": note} for name, note in passed_over.items()}
    outcomes = {name: _outcome(record, errors.get(name), work.notes.get(name)) for name, record in records.items()}
    return {**outcomes, **left}, interrupted


def _outcome(record: Record, error: str | None, notes: list[str] | None) -> dict[str, Any]:
    data: dict[str, Any] = {"result": error is None, "provider": record.provider, "instance_id": record.instance_id}
    data |= {"error": error} if error is not None else {}
    return data | ({"notes": notes} if notes else {})


class _Destroying:
    def __init__(
        self, records: Mapping[str, Record], by_provider: Mapping[str, Driver], context: Context, progress: Progress,
        calls: Calls, errors: dict[str, str], passed_over: dict[str, str] | None, gone: set[str],
    ) -> None:  # fmt: skip
        """Keep the arguments; for sweep, ``passed_over`` is not None and gets the skipped nodes with the reason."""
        self._records = records
        self._drivers = by_provider
        self._master = context.master
        self._store = context.store
        self._locks = context.locks
        self._others = context.others
        self._journal = context.journal
        self._progress = progress
        self._calls = calls
        self._errors = errors
        self._gone = gone
        self._passed_over = passed_over
        self._ended: list[str] = []
        self._shared: dict[str, asyncio.Future[Any]] = {}
        #: by minion id, what is left of a node on purpose
        self.notes: dict[str, list[str]] = {}

    async def all(self) -> None:
        room = descriptors.places(DESTROYING)
        minion_ids = list(self._records)
        for start in range(0, len(minion_ids), room):
            await self._some(minion_ids[start : start + room])

    async def _some(self, minion_ids: list[str]) -> None:
        """Destroy as many nodes as can have their logs and locks open at the same time."""
        self._ended, self._shared = [], {}
        async with contextlib.AsyncExitStack() as stack:
            claimed = [i for i in minion_ids if await self._claim(stack, i)]
            try:
                # With return_exceptions, gather waits for all of them, even if the first was cancelled.
                ends = await asyncio.gather(*(self._terminate(i) for i in claimed), return_exceptions=True)
                for error in ends:
                    if error is not None:
                        raise error
            finally:
                # Even if interrupted: when an instance is gone, its key and its record must go too.
                if self._ended:
                    await concurrency.uninterrupted(self._forget(self._ended))

    async def _claim(self, stack: contextlib.AsyncExitStack, minion_id: str) -> bool:
        """Claim a node in a thread: that can wait for another call, a server or the store."""
        try:
            await stack.enter_async_context(concurrency.entered(self._calls.salt, self._locks.claim(minion_id)))
        except EnvironmentFault as error:
            self._errors[minion_id] = str(error)
            return False
        except HartError as error:
            (self._errors if self._passed_over is None else self._passed_over)[minion_id] = str(error)
            return False
        if await self._calls.salt(self._is_coming, minion_id):
            self._errors[minion_id] = str(at_work(minion_id))
            return False
        if self._passed_over is not None and await self._calls.salt(self._is_changed, minion_id):
            self._passed_over[minion_id] = "another operation has changed it since sweep decided"
            return False
        if await self._calls.salt(self._is_protected, minion_id):
            (self._errors if self._passed_over is None else self._passed_over)[minion_id] = sentence(minion_id)
            return False
        return True

    def _is_protected(self, minion_id: str) -> bool:
        """Return whether the node's record says by now that it is protected. A broken record says nothing."""
        try:
            return is_protected(self._store.get(minion_id), None)
        except BrokenRecord:
            return False

    def _is_coming(self, minion_id: str) -> bool:
        """Return whether a living call creates the node although the store has lost its record."""
        record = self._records[minion_id]
        return record.stage == UNKNOWN and bool(record.batch) and self._locks.batch_lives(record.batch)

    def _is_changed(self, minion_id: str) -> bool:
        try:
            return not is_same(self._store.get(minion_id), self._records[minion_id])
        except EnvironmentFault:  # a record that cannot be read counts as changed
            return True

    async def _terminate(self, minion_id: str) -> None:
        record = self._records[minion_id]
        driver = self._drivers[record.provider]
        self._show(minion_id, "destroying")
        try:
            await concurrency.uninterrupted(self._end_instances(record, driver))
        except Exception as error:  # even a defect of a driver is only this node's failure
            reason = faults.reason(error)
            self._errors[minion_id] = reason
            self._progress.line(minion_id, f"hart: {reason}")
            self._show(minion_id, "failed", error=reason)

    async def _end_instances(self, record: Record, driver: Driver) -> None:
        for instance in await self._instances_of(record, driver):
            await self._keep_volumes(record, driver, instance)
            released = await self._release(record, driver, instance)
            kept = await self._kept_volumes(record, driver, instance)
            try:
                await self._calls.salt(self._locks.check_mine, record.minion_id)
                await self._calls.driver(driver.terminate, instance)
            except HartError:
                self._note_released(record, released)
                raise
            self._note_kept(record, kept)
        self._ended.append(record.minion_id)

    async def _keep_volumes(self, record: Record, driver: Driver, instance: Instance) -> None:
        """
        Make the volumes of a minion that was never sealed stay, if its settings keep them: sealing would have done it.

        If that fails, the instance is not terminated, because its volumes would go with it.
        """
        if record.stage != READY or record.sealed:
            return
        with contextlib.suppress(NotFound):  # the instance is gone already
            await self._calls.driver(driver.keep_volumes, instance)

    async def _kept_volumes(self, record: Record, driver: Driver, instance: Instance) -> Sequence[str]:
        """Return the volumes that will stay. Without an answer, the node is destroyed all the same."""
        try:
            return await self._calls.driver(driver.kept_volumes, instance)
        except HartError as error:
            self._progress.line(record.minion_id, f"hart: volumes that stay could not be listed: {error}")
            return ()

    def _note_kept(self, record: Record, kept: Sequence[str]) -> None:
        for volume in kept:
            note = f"the volume {volume} stays at {record.provider}: delete it there if you do not need it"
            self.notes.setdefault(record.minion_id, []).append(note)
            self._progress.line(record.minion_id, f"hart: {note}")

    def _note_released(self, record: Record, released: Sequence[str]) -> None:
        """Note the addresses that an instance lost although it stays."""
        for ip in released:
            note = f"{ip} was detached before: salt-run hart.add_ip {record.minion_id} kind=reserved ip={ip} adds it"
            self.notes.setdefault(record.minion_id, []).append(note)
            self._progress.line(record.minion_id, f"hart: {note}")

    async def _release(self, record: Record, driver: Driver, instance: Instance) -> list[str]:
        """
        Detach reserved addresses, which belong to the account and can then be used again at once, and return them.

        If that fails, the provider detaches them when the instance is gone. Other further addresses go with the
        instance.
        """
        released = []
        for address in addresses_of(record):
            if address.kind != RESERVED:
                continue
            try:
                await self._calls.driver(driver.remove_address, instance, address)
                released.append(address.ip)
            except HartError as error:
                self._progress.line(record.minion_id, f"hart: {address.ip} is released with the instance: {error}")
        return released

    async def _instances_of(self, record: Record, driver: Driver) -> list[Instance]:
        """
        Return the instance of the record; if it does not exist, all instances with this minion id.

        An instance that the record of another node names belongs to that node, whatever its tags say, and is not
        returned. For sweep, only instances of the record's own batch are returned, since sweep decided only about them.
        """
        if known := instance_of(record):
            return [known]
        listed = await self._listed(record.provider, driver)
        owners = await self._owners()
        free = [it for it in listed if not owners.get((record.driver, it.instance_id), set()) - {record.minion_id}]
        if self._passed_over is not None:
            return [instance for instance in free if is_of(instance, record)]
        return [instance for instance in free if instance.minion_id == record.minion_id]

    def _listed(self, provider: str, driver: Driver) -> Awaitable[list[Instance]]:
        """Return the provider's instances: one list for all nodes that need it."""
        return self._once(provider, lambda: self._calls.driver(driver.instances))

    def _owners(self) -> Awaitable[dict[tuple[str, str | None], set[str]]]:
        """Return the minion ids of the records of each instance, by driver and instance id; read once as well."""

        async def read() -> dict[tuple[str, str | None], set[str]]:
            owners: dict[tuple[str, str | None], set[str]] = {}
            for record in await self._calls.salt(self._store.all):
                owners.setdefault((record.driver, record.instance_id), set()).add(record.minion_id)
            return owners

        return self._once("owners of instances", read)

    def _once(self, name: str, ask: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """Return the answer that all nodes of ``_some`` share; the nodes are locked by then."""
        if name not in self._shared:
            self._shared[name] = asyncio.ensure_future(ask())
        return self._shared[name]

    async def _forget(self, minion_ids: list[str]) -> None:
        try:
            failed = await self._delete_keys(minion_ids)
        except Exception as error:
            for minion_id in minion_ids:
                await self._report_left(minion_id, error)
            return
        for minion_id in minion_ids:
            if minion_id in failed:
                await self._report_left(minion_id, failed[minion_id])
                continue
            try:
                await self._calls.salt(self._store.remove, minion_id)
            except Exception as error:
                await self._report_left(minion_id, error)
            else:
                self._gone.add(minion_id)
                self._show(minion_id, "destroyed")

    async def _delete_keys(self, minion_ids: list[str]) -> dict[str, Exception]:
        """Delete the keys on this master, then on the others; return why keys there may be left, by minion id."""
        elsewhere = await self._calls.salt(self._keys_elsewhere, minion_ids) if self._others else {}
        if self._passed_over is not None:
            own = {minion_id: self._records[minion_id].minion_key_finger for minion_id in minion_ids}
            await self._calls.salt(self._master.keys.delete_own, own)
        else:
            await self._calls.salt(self._master.keys.delete, minion_ids)
        every = self._passed_over is None
        outcomes = await self._calls.driver(self._others.delete, elsewhere, every) if elsewhere else {}
        for minion_id, outcome in outcomes.items():
            for note in outcome.notes:
                self._note(minion_id, note)
        return {minion_id: outcome.error for minion_id, outcome in outcomes.items() if outcome.error is not None}

    def _keys_elsewhere(self, minion_ids: list[str]) -> dict[str, str]:
        """Return the keys of nodes as other masters know them: the key itself, or its fingerprint in the record."""
        found = {}
        for minion_id in minion_ids:
            record = self._records[minion_id]
            finger = record.minion_key_finger or ""
            accepted = self._master.keys.stored(minion_id).get(ACCEPTED, [])
            if record.kind != "master":
                found[minion_id] = next((pem for pem in accepted if has_fingerprint(finger, pem)), finger)
        return found

    def _note(self, minion_id: str, note: str) -> None:
        self.notes.setdefault(minion_id, []).append(note)
        self._progress.line(minion_id, f"hart: {note}")

    async def _report_left(self, minion_id: str, error: Exception) -> None:
        """
        Report a node whose key or record is left; it can be destroyed again.

        Its record says from now on that it is no ready node: ``hart.sync_keys`` would restore the key of such a node.
        """
        self._errors[minion_id] = (
            f"the instance is gone, but its key or record could not be removed: {faults.reason(error)}; "
            f"salt-run hart.destroy {minion_id} removes them"
        )
        self._show(minion_id, "failed", error=self._errors[minion_id])
        with contextlib.suppress(HartError):
            await self._calls.salt(self._mark_failed, minion_id)

    def _mark_failed(self, minion_id: str) -> None:
        record = self._store.get(minion_id)
        if record is not None:
            self._store.put(dataclasses.replace(record, stage="failed", error=self._errors[minion_id]))

    def _show(self, minion_id: str, stage: str, **more: Any) -> None:
        record = self._records[minion_id]
        names = ("role", *PLACE, "public_ip", "private_ip")
        self._progress.stage(minion_id, stage, {**{name: getattr(record, name) for name in names}, **more})
        if stage in FINAL_STAGES:
            action = DESTROY if self._passed_over is None else SWEEP
            seconds = round(sum(self._progress.seconds(minion_id).values()), 3)
            self._journal.write(entry(action, record, result="error" not in more, seconds=seconds, **more))
