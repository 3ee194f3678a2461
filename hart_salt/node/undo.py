"""Roll back a node that failed or was cancelled. The undo itself cannot be cancelled."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from hart_salt.base import faults
from hart_salt.base.concurrency import uninterrupted
from hart_salt.base.errors import AuthError, DriverError, EnvironmentFault, LeaseLost, NodeFailed, Protected
from hart_salt.model import Instance, Node
from hart_salt.node.batch import Batch, NodeState

UNDO_ATTEMPTS = 4  #: attempts to find and terminate an instance before its record is left for sweep
UNDO_INTERVAL = 2.0  #: seconds between them; some clouds list an instance only after a second or two


class Undo:
    """
    Removes what one node has, according to ``state``.

    ``show`` reports that the node failed, with ``error`` and ``left``.
    """

    def __init__(self, node: Node, batch: Batch, state: NodeState, show: Callable[..., None]) -> None:
        self._node = node
        self._batch = batch
        self._state = state
        self._show = show
        #: the volumes that stayed when the instance was terminated
        self._kept: list[str] = []
        #: what is left on purpose of its key
        self._notes: list[str] = []
        #: what is left beside the node, a sentence each
        self.beside: list[str] = []

    @asynccontextmanager
    async def on_failure(self) -> AsyncIterator[None]:
        """
        Undo the node if the block fails or is cancelled.

        Raises ``NodeFailed`` in place of a failure, and a cancellation unchanged, in both cases after the undo.
        """
        try:
            yield
        except BaseException as error:
            if self._state.sealed:  # it failed while the session was closed: the node is a minion and stays one
                raise
            reason = self._batch.progress.gate.error(_reason(error))
            keep = self._node.settings.keep_failed and isinstance(error, Exception)
            await uninterrupted(self._undo(reason, keep))
            if isinstance(error, Exception):
                raise NodeFailed("; ".join([reason, *self._state.left])) from error
            raise

    async def _undo(self, reason: str, keep: bool) -> None:
        """
        Remove what the node had: the instance, its key, its record.

        The instance goes before its key: otherwise a minion that still runs would submit its key again. What cannot be
        removed is reported in ``left``; then the record stays, for ``hart.destroy`` and for sweep.
        """
        minion_id, calls, store, state = self._node.minion_id, self._batch.calls, self._batch.store, self._state
        state.undoing = True
        self._batch.progress.line(minion_id, f"hart: {reason}")
        if other := await self._taken_over():
            state.left = [other]
            self._show("failed", error=reason, left=state.left)
            return
        remedy = f"salt-run hart.destroy {minion_id} removes it"
        left = state.left = [f"the instance was kept because of keep_failed; {remedy}"] if keep else []
        if not keep:
            left += await _attempt(self.remove_instance(), "the instance could not be removed")
        left += [*await self._delete_keys(), *self.beside]
        if left:
            left += [] if keep else [remedy]
            state.record = dataclasses.replace(state.record, stage="failed", error=reason, kept=keep, protected=False)
            left += await _attempt(calls.salt(store.put, state.record), "its record could not be written")
        else:
            left += await _attempt(calls.salt(store.remove, minion_id), "its record could not be removed")
        provider = self._node.provider
        left += [f"the volume {name} stays at {provider}: delete it there if you do not need it" for name in self._kept]
        left += self._notes
        self._show("failed", error=reason, left=left)

    async def end(self) -> None:
        """
        Remove a node that has done what it was made for: the instance, its key, its record.

        Raises ``NodeFailed`` if something could not be removed.
        """
        await self._batch.calls.salt(self._batch.locks.check_mine, self._node.minion_id)
        self._state.undoing = True
        left = await _attempt(self.remove_instance(), "the instance could not be removed")
        left += await self._delete_keys()
        if left:
            raise NodeFailed("; ".join(left))
        await self._batch.calls.salt(self._batch.store.remove, self._node.minion_id)

    async def _delete_keys(self) -> list[str]:
        """Delete the node's key on this master and on the others; return what could not be deleted."""
        key = self._state.key
        if not key:
            return []
        left = await _attempt(self._delete_key(key), "the key could not be deleted")
        if self._state.on_peers:
            left += await _attempt(self._delete_on_peers(key), "the key could not be deleted on another master")
        return left

    async def _taken_over(self) -> str:
        """Return why another call may have the node by now, which then removes it; empty if it is still this call's."""
        try:
            await self._batch.calls.salt(self._batch.locks.check_mine, self._node.minion_id)
        except LeaseLost as error:
            return str(error)
        except EnvironmentFault as error:
            return f"the node was left for salt-run hart.sweep, because its record could not be read: {error}"
        return ""

    def _delete_key(self, key: str) -> Awaitable[None]:
        return self._batch.enrolment.delete(self._node.minion_id, key, connected=self._state.minion_started)

    async def _delete_on_peers(self, key: str) -> None:
        notes = await self._batch.peer_keys.delete(self._node.minion_id, key)
        self._notes += notes

    async def remove_instance(self) -> None:
        """
        Terminate the instance, even if only the provider knows of it because the answer to its create call was lost.

        Such an instance is found by its minion id and its batch, both of which were in the create call.
        """
        if not self._state.launched:
            return
        calls, driver = self._batch.calls, self._batch.driver
        for attempt in range(UNDO_ATTEMPTS):
            if attempt:
                await calls.sleep(UNDO_INTERVAL)
            try:
                self._state.instance = self._state.instance or await self._find()
                if self._state.instance is not None:
                    kept = await self._kept_volumes(self._state.instance)
                    await calls.driver(driver.terminate, self._state.instance)
                    self._kept += kept
                    return
            except DriverError as error:
                if attempt == UNDO_ATTEMPTS - 1 or isinstance(error, AuthError | Protected):
                    raise

    async def _kept_volumes(self, instance: Instance) -> Sequence[str]:
        """Return the volumes that will stay because a failed sealing kept them; usually none does."""
        if not getattr(self._node.options, "keep_volumes", False):
            return ()
        try:
            return await self._batch.calls.driver(self._batch.driver.kept_volumes, instance)
        except DriverError as error:
            self._batch.progress.line(self._node.minion_id, f"hart: volumes that stay could not be listed: {error}")
            return ()

    async def _find(self) -> Instance | None:
        node = self._node
        for instance in await self._batch.calls.driver(self._batch.driver.instances_of, node.batch, node.region):
            if instance.minion_id == node.minion_id and instance.batch == node.batch:
                return instance
        return None


def _reason(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "interrupted"
    return faults.reason(error)


async def _attempt(work: Awaitable[Any], failure: str) -> list[str]:
    """Do one part of the undo; if it fails, return why, and the other parts go on."""
    try:
        await work
    except Exception as error:
        return [f"{failure}: {faults.as_fault(error) or error}"]
    return []
