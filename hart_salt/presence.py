"""
Which of the minions that are waited for have started, and which answer.

One question goes out for all that wait at a moment, and each answer counts when it comes: never one job for each
minion, and none that does not answer holds up another.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

ASK_AGAIN = 5.0  #: seconds until a minion that did not answer is asked again


class Presence:
    """
    Made on the event loop; ``started`` and ``answered`` are told by the thread that hears Salt's bus.

    new_question
        returns a new id for a question, by which its answers are known
    ask
        asks these minions for an answer, under this id; it may raise anything, and is then called again later
    interval
        seconds until a minion that did not answer is asked again (default 5)
    """

    def __init__(
        self,
        new_question: Callable[[], str],
        ask: Callable[[str, Sequence[str]], Awaitable[None]],
        interval: float = ASK_AGAIN,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._new_question = new_question
        self._ask = ask
        self._interval = interval
        self._starts: dict[str, asyncio.Event] = {}
        self._answers: dict[str, asyncio.Event] = {}
        self._due: set[str] = set()
        #: of all questions, also earlier ones: a late answer is an answer
        self._questions: set[str] = set()
        self._asker: asyncio.Task[None] | None = None
        #: why the last question could not be asked; empty when it could
        self.problem = ""

    def start_of(self, minion_id: str) -> asyncio.Event:
        """The event of a minion's start, to be asked for before it is started."""
        return self._starts.setdefault(minion_id, asyncio.Event())

    async def answer_of(self, minion_id: str) -> None:
        """Return when the minion has answered; it is asked again until then, also when asking fails."""
        answer = self._answers[minion_id] = asyncio.Event()
        try:
            while not answer.is_set():
                self._due.add(minion_id)
                if self._asker is None or self._asker.done():
                    self._asker = asyncio.create_task(self._ask_all())
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(answer.wait(), self._interval)
        finally:
            del self._answers[minion_id]
            self._due.discard(minion_id)

    async def close(self) -> None:
        """Ask no more."""
        if self._asker is not None:
            self._asker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asker

    def started(self, minion_id: str) -> None:
        """Called in the listening thread, for every minion of this master."""
        self._tell(self._starts, minion_id)

    def answered(self, question: str, minion_id: str) -> None:
        """Called in the listening thread, for every answer that comes to this master."""
        if question in self._questions:
            self._tell(self._answers, minion_id)

    def _tell(self, events: dict[str, asyncio.Event], minion_id: str) -> None:
        def tell() -> None:
            if minion_id in events:
                events[minion_id].set()

        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(tell)

    async def _ask_all(self) -> None:
        """One question after another, each to all who came to wait meanwhile."""
        while self._due:
            minion_ids, question = sorted(self._due), self._new_question()
            self._due.clear()
            # Before it is asked: the answer may be here before the asking has come back.
            self._questions.add(question)
            try:
                await self._ask(question, minion_ids)
            except Exception as error:  # the master may be restarting; whoever waits is asked again
                self.problem = str(error) or type(error).__name__
            else:
                self.problem = ""
