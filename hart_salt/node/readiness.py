"""
Which of the minions that are waited for answer.

Any accepted minion can fire any event, also another one's start, and can answer in another one's name: Salt's master
takes the returns of a syndic from any minion. So neither is believed. Each node gets a code with its configuration,
over the session that is verified, and its answer is that code, which nobody else knows. A start event only makes hart
ask at once.

One question goes out for all that are to be asked at a moment, and each answer counts when it comes: never one job for
each minion, and none that does not answer holds up another.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from hart_salt.base import concurrency

ASK_AGAIN = 5.0  #: seconds until a minion that did not answer is asked again, also when it was not heard to start
LEAST_GAP = 0.25  #: seconds between two questions to one minion, however many start events are fired


@dataclass
class _Waiting:
    """What is known of one minion; the events are set on the loop."""

    code: str = field(default_factory=lambda: secrets.token_hex(16))
    started: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    heard: bool = False


class Readiness:
    """
    Made on the event loop; ``started`` and ``answered`` are called by the thread that hears Salt's bus.

    ask
        asks these minions for their codes; it may raise anything, and is then called again later
    interval
        seconds until a minion that did not answer is asked again (default 5)
    gap
        seconds at least between two questions to one minion (default 0.25)
    """

    def __init__(
        self,
        ask: Callable[[Sequence[str]], Awaitable[None]],
        interval: float = ASK_AGAIN,
        gap: float = LEAST_GAP,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ask = ask
        self._interval = interval
        self._gap = gap
        self._waiting: dict[str, _Waiting] = {}
        self._due: set[str] = set()
        self._asker: asyncio.Task[None] | None = None
        #: why the last question could not be asked; empty when it could
        self.problem = ""

    def expect(self, minion_id: str) -> str:
        """Return the code that the minion is to answer with; called before it is started."""
        self._waiting[minion_id] = _Waiting()
        return self._waiting[minion_id].code

    def heard(self, minion_id: str) -> bool:
        """Whether a start event came for the minion: a hint for error texts, since others can fire it."""
        return self._waiting[minion_id].heard

    async def answer_of(self, minion_id: str) -> None:
        """
        Return when the minion has answered with its code.

        It is asked at each start event of it, and now and then without one: an event may be lost.
        """
        minion = self._waiting[minion_id]
        try:
            while not minion.answered.is_set():
                await _wait(minion.started, self._interval)
                minion.started.clear()
                if not minion.answered.is_set():
                    self._ask_for(minion_id)
                    await _wait(minion.answered, self._gap)
        finally:
            self._due.discard(minion_id)

    def _ask_for(self, minion_id: str) -> None:
        self._due.add(minion_id)
        if self._asker is None or self._asker.done():
            self._asker = asyncio.create_task(self._ask_all())

    async def close(self) -> None:
        """Ask no more."""
        if self._asker is not None:
            self._asker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asker

    def started(self, minion_id: str) -> None:
        """Called in the listening thread, for every start event."""

        def hear(minion: _Waiting) -> None:
            minion.heard = True
            minion.started.set()

        self._tell(minion_id, hear)

    def answered(self, minion_id: str, code: str) -> None:
        """Called in the listening thread, for everything that is said to be a minion's answer."""

        def hear(minion: _Waiting) -> None:
            if hmac.compare_digest(minion.code.encode(), code.encode(errors="replace")):
                minion.answered.set()
                minion.started.set()  # whoever waits for it is woken as well

        self._tell(minion_id, hear)

    def _tell(self, minion_id: str, hear: Callable[[_Waiting], None]) -> None:
        def tell() -> None:
            if minion_id in self._waiting:
                hear(self._waiting[minion_id])

        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(tell)

    async def _ask_all(self) -> None:
        """One question after another, each to all who came to wait meanwhile."""
        while self._due:
            minion_ids = sorted(self._due)
            self._due.clear()
            try:
                await self._ask(minion_ids)
            except Exception as error:  # the master may be restarting; whoever waits is asked again
                self.problem = str(error) or type(error).__name__
            else:
                self.problem = ""


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Until the event, or the end of the time."""
    with contextlib.suppress(asyncio.TimeoutError):
        await concurrency.within(event.wait(), seconds)
