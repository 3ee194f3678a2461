"""
Add further addresses to nodes that are minions, and remove them.

The provider assigns the address first, since it chooses it; then the script ``address.sh`` configures it on the node
over Salt. A call that fails or is interrupted is rolled back. After a crash, the same call continues: it does not
request an address again that the instance has.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from hart_salt.base import concurrency
from hart_salt.base.concurrency import Calls
from hart_salt.base.errors import DriverError, HartError, Interrupted, NodeFailed, Refused, TemporaryFailure
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.journal import entry
from hart_salt.inventory.records import Record, addresses_of
from hart_salt.model import AddressRequest, Instance, IpAddress

SCRIPT = Path(__file__).with_name("address.sh")
PING_TIMEOUT = 15.0  #: seconds for a minion to answer a ping
RESTART_TIMEOUT = 300.0  #: seconds for a node to restart with its new interface
RESTART_INTERVAL = 3.0  #: seconds between two checks of that
NO_INTERFACE = 3  #: the script's exit code if the node does not have the interface, or not yet


def find(record: Record, instance: Instance, request: AddressRequest, driver: Driver) -> IpAddress:
    """
    Return the requested address, as it is or as it would be.

    An address that the node was created with needs no configuration on the node.
    """
    address = driver.find_address(instance, request)
    is_first = address.ip in (record.public_ip, record.private_ip)
    return dataclasses.replace(address, on_node=False) if is_first else address


def find_there(record: Record, instance: Instance, ip: str, driver: Driver) -> IpAddress | None:
    """
    Return the further address ``ip`` of the instance or of its record, or None if neither has it.

    Raises ``Refused`` if the node was created with ``ip``.
    """
    if ip in (record.public_ip, record.private_ip):
        raise Refused(f"{record.minion_id}: the node was created with {ip}, which only hart.destroy removes")
    known = [*driver.addresses(instance), *addresses_of(record)]
    return next((one for one in known if one.ip == ip), None)


def plan(record: Record, address: IpAddress, context: Context) -> dict[str, Any]:
    """
    Return what adding the address would do, as plain data, and change nothing.

    ``action`` is ``add``, ``configure`` for an address that is not completely configured on the node, or ``none``.
    """
    action = "none" if address.there else "add"
    if address.there and address.on_node:
        _require_answer(record, context)
        answer = context.master.minions.shell(record.minion_id, SCRIPT.read_text(), _arguments("check", address))
        action = "none" if answer and answer[0] == 0 else "configure"
    return {"result": None, "action": action, **_facts(address), "restarts": address.restarts and not address.there}


def refuse_unready(record: Record, address: IpAddress, context: Context, *, reboot: bool, adding: bool) -> None:
    """
    Check that the address can be added (``adding``) or removed.

    Raises ``Refused`` if the provider restarts the node for it and ``reboot`` is False, or if the address is configured
    on the node and its minion does not answer.
    """
    if address.restarts and not reboot and not (adding and address.there):
        raise Refused(f"{record.minion_id}: {record.provider} restarts the node for that: allow it with reboot=True")
    if address.on_node:
        _require_answer(record, context)


def _require_answer(record: Record, context: Context) -> None:
    if not context.master.minions.ping(record.minion_id, PING_TIMEOUT):
        raise Refused(
            f"{record.minion_id}: the minion does not answer, but the address must be configured on it: check that it "
            "runs, and try again"
        )


def add(
    record: Record, instance: Instance, address: IpAddress, driver: Driver, context: Context
) -> tuple[dict[str, Any], int | None]:
    """
    Add the address that ``Driver.find_address`` found to the node.

    If the address is there and configured already, nothing is written and the call succeeds.

    Returns the outcome, and the number of the signal that interrupted the call, or None; then it was rolled back.
    """
    return _run("add_ip", lambda work: work.add(), _Work(record, instance, address, driver, context))


def remove(
    record: Record, instance: Instance, address: IpAddress, driver: Driver, context: Context
) -> tuple[dict[str, Any], int | None]:
    """
    Remove an address from the node and then from the instance; the call is idempotent.

    Returns the same as ``add``.
    """
    return _run("remove_ip", lambda work: work.remove(), _Work(record, instance, address, driver, context))


def _run(
    action: str, main: Callable[[_Work], Coroutine[Any, Any, None]], work: _Work
) -> tuple[dict[str, Any], int | None]:
    began = time.monotonic()
    data, interrupted = _done(main, work)
    if data.get("changed") or not data["result"]:
        work.write(action, time.monotonic() - began, data.get("error", ""))
    return data, interrupted


def _done(main: Callable[[_Work], Coroutine[Any, Any, None]], work: _Work) -> tuple[dict[str, Any], int | None]:
    error = interrupted = None
    with work.calls:
        try:
            concurrency.run(lambda: main(work), work.stop)
        except Interrupted as signal:
            error, interrupted = str(signal), signal.signum
        except HartError as failure:
            error = str(failure)
    facts = {"result": error is None, **_facts(work.address)}
    if error is not None:
        return {**facts, "error": "; ".join([error, *(work.left or [work.outcome])])}, interrupted
    notes = [work.address.note] if work.address.note else []
    return {**facts, "changed": work.changed, "interface": work.interface, "notes": notes}, None


class _Work:
    def __init__(
        self, record: Record, instance: Instance, address: IpAddress, driver: Driver, context: Context
    ) -> None:
        self.calls = Calls()
        self.address = address
        self.changed = False
        self.interface: str | None = None
        #: the state after a failure, for the error
        self.outcome = "nothing was changed"
        #: what could not be undone, a sentence each
        self.left: list[str] = []
        self._record = record
        self._instance = instance
        self._driver = driver
        self._master = context.master
        self._store = context.store
        self._journal = context.journal
        self.stop = context.locks.stop
        #: what may have to be rolled back
        self._asked = False
        self._configured = False

    async def add(self) -> None:
        try:
            if not self.address.there:
                await concurrency.uninterrupted(self._assign())
            if self.address.on_node:
                await self._configure()
        except BaseException:
            await concurrency.uninterrupted(self._undo())
            raise

    def write(self, action: str, seconds: float, error: str) -> None:
        """Write the outcome to the journal."""
        details = {"kind": self.address.kind, "ip": self.address.ip}
        self._journal.write(
            entry(action, self._record, result=not error, seconds=round(seconds, 3), details=details, error=error)
        )

    async def _assign(self) -> None:
        # From here on the instance may have it: roll it back even if the answer is uncertain.
        self._asked = True
        try:
            self.address = await self.calls.driver(self._driver.add_address, self._instance, self.address)
        except DriverError as error:
            self._asked = isinstance(error, TemporaryFailure) and error.uncertain
            raise
        self.changed, self.outcome = True, "it was undone"
        await self._remember([*self._others(), _kept(self.address)])

    def _others(self) -> list[dict[str, str]]:
        return [_kept(one) for one in addresses_of(self._record) if not _same(one, self.address)]

    async def _remember(self, addresses: list[dict[str, str]]) -> None:
        self._record = dataclasses.replace(self._record, addresses=addresses)
        await self.calls.salt(self._store.put, self._record)

    async def _configure(self) -> None:
        """Configure the address on the node, after its restart if the provider restarted it for a new interface."""
        loop = asyncio.get_running_loop()
        restarts = self._asked and self.address.restarts
        deadline = loop.time() + (RESTART_TIMEOUT if restarts else 0.0)
        while True:
            if restarts and not await self._answers() and loop.time() <= deadline:
                continue
            self._configured = True  # until the node says that it is not
            answer = await concurrency.uninterrupted(self._script("add"))
            self._configured = answer is None or answer[0] == 0
            if answer is not None and answer[0] == 0:
                word, _, self.interface = answer[1].partition(" ")
                self.changed = self.changed or word == "changed"
                return
            if loop.time() > deadline or (answer is not None and answer[0] != NO_INTERFACE):
                raise NodeFailed(_said(self._record.minion_id, answer))
            await self.calls.sleep(RESTART_INTERVAL)

    async def _answers(self) -> bool:
        """Return whether the minion answers a ping, which takes less time than a script."""
        there: bool = await self.calls.aside(self._master.minions.ping, self._record.minion_id, PING_TIMEOUT)
        if not there:
            await self.calls.sleep(RESTART_INTERVAL)
        return there

    def _script(self, what: str) -> Any:
        arguments = _arguments(what, self.address)
        return self.calls.aside(self._master.minions.shell, self._record.minion_id, SCRIPT.read_text(), arguments)

    async def _undo(self) -> None:
        """Roll the address back, unless the instance had it before; then the same call completes it."""
        if not self._asked:
            self.left += ["call hart.add_ip again"] if self._configured else []
            return
        if self._configured:
            answer = await self._script("remove")
            if answer is None or answer[0] != 0:
                self.left.append(f"the node may have it configured: {_said(self._record.minion_id, answer)}")
        await self._unassign()

    async def _unassign(self) -> None:
        if not (self.address.ip or self.address.handle):
            self.left.append("if the address appears later, hart.add_ip configures it and hart.remove_ip removes it")
            return
        try:
            await self.calls.driver(self._driver.remove_address, self._instance, self.address)
            await self._remember(self._others())
        except DriverError as problem:
            self.left.append(f"the instance may still have it: {problem}; hart.remove_ip removes it")

    async def remove(self) -> None:
        """Remove the address; an interruption waits, since a half-removed address would be worse."""
        self.outcome = "call hart.remove_ip again"
        await concurrency.uninterrupted(self._remove())

    async def _remove(self) -> None:
        if self.address.on_node:
            answer = await self._script("remove")
            if answer is None or answer[0] != 0:
                raise NodeFailed(_said(self._record.minion_id, answer))
        await self.calls.driver(self._driver.remove_address, self._instance, self.address)
        self.changed = True
        await self._remember(self._others())


def _arguments(what: str, address: IpAddress) -> list[str]:
    place = f"mac={address.mac}" if address.mac else f"beside={address.beside}"
    return [what, f"{address.ip}/{address.prefix}", place, *([str(address.mtu)] if address.mtu else [])]


def _said(minion_id: str, answer: tuple[int, str] | None) -> str:
    if answer is None:
        return f"{minion_id} gave no answer"
    return f"{minion_id} says: {answer[1] or f'exit code {answer[0]}'}"


def _facts(address: IpAddress) -> dict[str, Any]:
    return {"kind": address.kind, "ip": address.ip or None}


def _kept(address: IpAddress) -> dict[str, str]:
    return {"kind": address.kind, "ip": address.ip, "handle": address.handle}


def _same(one: IpAddress, other: IpAddress) -> bool:
    return (one.kind, one.ip) == (other.kind, other.ip)
