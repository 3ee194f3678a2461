"""
Find out which new minions answer the master.

Any accepted minion can fire any event, including the start event of another minion, and can answer in the name of
another minion: Salt's master accepts the returns of a syndic from any minion. hart therefore believes neither. Each
node gets a code with its configuration, over the verified session, and answers with that code, which nobody else
knows. A start event only makes hart ask at once.

hart asks all minions that are due with one job, and each answer counts when it arrives: there is never one job for
each minion, and a minion that does not answer does not delay another.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from hart_salt.base import concurrency

ASK_AGAIN = 5.0  #: seconds until hart asks a minion again that did not answer, even without a start event
#: seconds between two questions for each minion that waits: of many, more become due in the meantime
PAUSE = 0.003
LEAST_GAP = 0.25  #: least seconds between two questions to one minion, however many start events arrive


@dataclass
class _Waiting:
    """The state of one minion; its events are set on the loop."""

    code: str = field(default_factory=lambda: secrets.token_hex(16))
    started: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    heard: bool = False


class Readiness:
    """
    Waits for minions to answer with their codes.

    It is created on the event loop; the thread that listens to Salt's bus calls ``started`` and ``answered``.

    ``ask`` asks the minions with these ids for their codes; if it raises an exception, it is called again later.
    ``interval`` is the number of seconds until a minion that did not answer is asked again (default 5). ``gap`` is the
    least number of seconds between two questions to one minion (default 0.25). ``pause`` is the number of seconds
    between two questions to any minions, for each minion that waits (default 0.003); ``sleep`` waits for them.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[str]], Awaitable[None]],
        interval: float = ASK_AGAIN,
        gap: float = LEAST_GAP,
        pause: float = PAUSE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ask = ask
        self._interval = interval
        self._gap = gap
        self._pause = pause
        self._sleep = sleep
        self._waiting: dict[str, _Waiting] = {}
        self._due: set[str] = set()
        self._asker: asyncio.Task[None] | None = None
        #: why the last question failed; empty if it did not
        self.problem = ""

    def expect(self, minion_id: str) -> str:
        """Return the code that the minion must answer with; call this before the minion starts."""
        self._waiting[minion_id] = _Waiting()
        return self._waiting[minion_id].code

    def heard(self, minion_id: str) -> bool:
        """Return whether a start event of the minion arrived: only a hint for errors, since others can fire it."""
        return self._waiting[minion_id].heard

    async def answer_of(self, minion_id: str) -> None:
        """
        Wait until the minion has answered with its code.

        hart asks it at each of its start events, and every ``interval`` seconds without one, since events can be lost.
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
        """Stop asking."""
        if self._asker is not None:
            self._asker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asker

    def started(self, minion_id: str) -> None:
        """Note a start event; called in the listening thread."""

        def hear(minion: _Waiting) -> None:
            minion.heard = True
            minion.started.set()

        self._notify(minion_id, hear)

    def answered(self, minion_id: str, code: str) -> None:
        """Check something that claims to be a minion's answer; called in the listening thread."""

        def hear(minion: _Waiting) -> None:
            if hmac.compare_digest(minion.code.encode(), code.encode(errors="replace")):
                minion.answered.set()
                minion.started.set()  # wakes answer_of if it waits for a start event

        self._notify(minion_id, hear)

    def _notify(self, minion_id: str, hear: Callable[[_Waiting], None]) -> None:
        def notify() -> None:
            if minion_id in self._waiting:
                hear(self._waiting[minion_id])

        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(notify)

    async def _ask_all(self) -> None:
        """
        Ask until nobody is due, each time all minions that became due since the last question.

        The more minions wait, the longer is the pause between two questions: each question is a job of the master.
        """
        while self._due:
            minion_ids = sorted(self._due)
            self._due.clear()
            try:
                await self._ask(minion_ids)
            except Exception as error:  # the master may be restarting; the minions are asked again
                self.problem = str(error) or type(error).__name__
            else:
                self.problem = ""
            await self._sleep(self._pause * sum(not one.answered.is_set() for one in self._waiting.values()))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, at most ``seconds``."""
    with contextlib.suppress(asyncio.TimeoutError):
        await concurrency.within(event.wait(), seconds)
