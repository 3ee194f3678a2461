"""
Poll a provider once for all instances that hart waits for, and never once for each instance.

One list without an instance proves nothing. If several lists miss it for a while, hart looks up this one by its id.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from hart_salt.base import concurrency
from hart_salt.base.errors import AuthError, DriverError, NodeFailed
from hart_salt.model import Instance

#: states from which an instance does not come back by itself
DEAD = ("stopped", "gone")
MISSES = 3  #: consecutive lists without an instance until it counts as missing
GAP = 15.0  #: least seconds between the first and the last of them

#: looks up one instance by its id; None if there is none
Look = Callable[[], Awaitable["Instance | None"]]


@dataclass
class _Waiter:
    wanted: Callable[[Instance], bool]
    found: asyncio.Future[Instance]
    look: Look | None = None
    seen: bool = False
    misses: int = 0
    #: time of the first miss
    since: float = 0.0


class Watcher:
    """Polls a provider as long as somebody waits for an instance."""

    def __init__(
        self,
        list_instances: Callable[[], Awaitable[list[Instance]]],
        interval: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        looks: Sequence[float] = (0.0,),
    ) -> None:
        """
        ``looks`` are the times of the first lists, in seconds after the first wait and in order (default: the first
        list comes at once). After them, ``interval`` is the number of seconds between two lists.
        """
        self._looks = looks
        #: seconds from the first wait until a list showed the first instance as wanted; None if none did yet
        self.ran_after: float | None = None
        #: whether that was the first of all lists
        self.ran_at_once = False
        self._lists = 0
        self._began = 0.0
        self._list = list_instances
        self._interval = interval
        self._sleep = sleep
        self._clock = clock
        self._waiters: dict[str, _Waiter] = {}
        self._poller: asyncio.Task[None] | None = None
        self._last_error = ""

    async def wait(
        self, instance_id: str, wanted: Callable[[Instance], bool], timeout: float, look: Look | None = None
    ) -> Instance:
        """
        Return the instance as soon as a list shows it as ``wanted``.

        An instance that is not listed yet may still appear: the lists of some clouds lag behind, and tags may appear
        later than the instance. An instance that was seen and then stopped or disappeared has failed. It has
        disappeared if at least ``MISSES`` lists over ``GAP`` seconds miss it and the lookup by its id finds nothing.

        ``timeout`` is in seconds; ``look`` looks up this instance by its id, whatever its tags (default: only lists
        decide).

        Raises ``NodeFailed`` if the instance fails or the timeout passes.
        """
        waiter = _Waiter(wanted, asyncio.get_running_loop().create_future(), look)
        self._waiters[instance_id] = waiter
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll(timeout / 2))
            self._began = self._began or self._clock()
        try:
            return await concurrency.within(waiter.found, timeout)
        except asyncio.TimeoutError as error:
            reason = f" (the provider's last error: {self._last_error})" if self._last_error else ""
            raise NodeFailed(f"the instance was not running within {timeout:g} s{reason}") from error
        finally:
            self._waiters.pop(instance_id, None)

    async def close(self) -> None:
        """Stop polling."""
        if self._poller is not None:
            self._poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poller

    async def _poll(self, longest: float) -> None:
        """List until nobody waits. No list of ``looks`` comes later than ``longest`` seconds after the first wait."""
        if not self._lists and (first := min(self._looks[0], longest)):
            await self._sleep(first)
        while self._waiters:
            self._lists += 1
            try:
                listed = {instance.instance_id: instance for instance in await self._list()}
            except AuthError as error:
                self._fail_all(str(error))
                return
            except DriverError as error:
                # The driver has retried already; one failed list is no reason to give up the instances.
                self._last_error = str(error)
            except Exception as error:  # a defect: report it now and not at the deadline
                self._fail_all(f"the provider could not be queried: {error!r}")
                return
            else:
                waiters = list(self._waiters.items())
                await asyncio.gather(*(self._judge(waiter, listed.get(name)) for name, waiter in waiters))
            await self._sleep(self._pause(longest))

    def _pause(self, longest: float) -> float:
        """Return the seconds until the next list."""
        if self._lists >= len(self._looks):
            return self._interval
        return max(0.0, min(self._looks[self._lists], longest) - (self._clock() - self._began))

    async def _judge(self, waiter: _Waiter, instance: Instance | None) -> None:
        """Decide about one instance by what a list shows of it; None if the list misses it."""
        if instance is None and self._is_missing(waiter):
            instance = await self._by_id(waiter)
        if instance is not None:
            _judge(waiter, instance)
            if self.ran_after is None and _is_served(waiter):
                self.ran_after, self.ran_at_once = self._clock() - self._began, self._lists == 1

    def _is_missing(self, waiter: _Waiter) -> bool:
        """Count one more miss, and return whether the instance counts as missing."""
        if not waiter.misses:
            waiter.since = self._clock()
        waiter.misses += 1
        return waiter.misses >= MISSES and self._clock() - waiter.since >= GAP

    async def _by_id(self, waiter: _Waiter) -> Instance | None:
        """Look up an instance that lists miss; it has failed if it was seen before and the lookup finds nothing."""
        waiter.misses = 0
        try:
            instance = await waiter.look() if waiter.look else None
        except DriverError as error:
            self._last_error = str(error)
            return None
        except Exception as error:  # a defect, as above
            _fail(waiter, f"the provider could not be queried: {error!r}")
            return None
        if instance is None and waiter.seen:
            _fail(waiter, "the instance disappeared")
        return instance

    def _fail_all(self, reason: str) -> None:
        for waiter in self._waiters.values():
            _fail(waiter, reason)


def _is_served(waiter: _Waiter) -> bool:
    return waiter.found.done() and not waiter.found.cancelled() and waiter.found.exception() is None


def _fail(waiter: _Waiter, reason: str) -> None:
    if not waiter.found.done():
        waiter.found.set_exception(NodeFailed(reason))


def _judge(waiter: _Waiter, instance: Instance) -> None:
    if waiter.found.done():
        return
    waiter.seen, waiter.misses = True, 0
    if instance.state in DEAD or instance.problem:
        reason = f": {instance.problem}" if instance.problem else ""
        _fail(waiter, f"the instance is {instance.state}{reason}")
    elif waiter.wanted(instance):
        waiter.found.set_result(instance)
