"""One poll of a provider for all instances that are waited for: never one poll per instance."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hart_salt.errors import AuthError, DriverError, NodeFailed
from hart_salt.model import Instance

#: states from which an instance does not come back by itself
DEAD = ("stopped", "gone")


@dataclass
class _Waiter:
    wanted: Callable[[Instance], bool]
    found: asyncio.Future[Instance]
    seen: bool = False


class Watcher:
    """Polls while somebody waits, and only then."""

    def __init__(
        self,
        list_instances: Callable[[], Awaitable[list[Instance]]],
        interval: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._list = list_instances
        self._interval = interval
        self._sleep = sleep
        self._waiters: dict[str, _Waiter] = {}
        self._poller: asyncio.Task[None] | None = None
        self._last_error = ""

    async def wait(self, instance_id: str, wanted: Callable[[Instance], bool], timeout: float) -> Instance:
        """
        Return the instance as soon as a list call shows it as ``wanted``.

        An instance that is not listed yet is waited for: lists of some clouds lag behind. One that was
        seen and is then gone or stopped has failed.

        timeout
            seconds until it is given up

        Raises ``NodeFailed``.
        """
        waiter = _Waiter(wanted, asyncio.get_running_loop().create_future())
        self._waiters[instance_id] = waiter
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            return await asyncio.wait_for(waiter.found, timeout)
        except asyncio.TimeoutError as error:
            reason = f" (the provider's last error: {self._last_error})" if self._last_error else ""
            raise NodeFailed(f"the instance was not up within {timeout:g} s{reason}") from error
        finally:
            self._waiters.pop(instance_id, None)

    async def close(self) -> None:
        """Stop polling."""
        if self._poller is not None:
            self._poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poller

    async def _poll(self) -> None:
        while self._waiters:
            try:
                listed = {instance.instance_id: instance for instance in await self._list()}
            except AuthError as error:
                self._fail_all(str(error))
                return
            except DriverError as error:
                # The driver has done its retries; one failed look is no reason to give up on the instances.
                self._last_error = str(error)
            except Exception as error:  # a defect: whoever waits must not wait for the deadline to learn it
                self._fail_all(f"looking at the provider failed: {error!r}")
                return
            else:
                for instance_id, waiter in list(self._waiters.items()):
                    _judge(waiter, listed.get(instance_id))
            await self._sleep(self._interval)

    def _fail_all(self, reason: str) -> None:
        for waiter in self._waiters.values():
            if not waiter.found.done():
                waiter.found.set_exception(NodeFailed(reason))


def _judge(waiter: _Waiter, instance: Instance | None) -> None:
    if waiter.found.done():
        return
    if instance is None:
        if waiter.seen:
            waiter.found.set_exception(NodeFailed("the instance disappeared"))
        return
    waiter.seen = True
    if instance.state in DEAD or instance.problem:
        reason = f": {instance.problem}" if instance.problem else ""
        waiter.found.set_exception(NodeFailed(f"the instance is {instance.state}{reason}"))
    elif waiter.wanted(instance):
        waiter.found.set_result(instance)
