"""
Wait until the minions of nodes that were started or restarted answer.

A minion answers if it returns a ``test.ping``, which Salt's master attributes to it. Its start event only makes hart
ask at once: any minion can fire it. After a restart, an answer can still come from the system that is shutting down. So
hart asks for the mark of the system's boot before and after, which is different after a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from hart_salt.base import concurrency
from hart_salt.base.concurrency import Calls
from hart_salt.base.errors import NodeFailed
from hart_salt.master.client import Master
from hart_salt.node.readiness import Readiness

ASK_AGAIN = 5.0  #: seconds until hart asks a minion again, even without a start event
PING_TIMEOUT = 5.0  #: seconds for a minion to answer before a restart
#: prints the mark of the boot: the kernel's, and for a node of the driver local, that of its machine process
MARK = """cat /proc/sys/kernel/random/boot_id || exit 1
if [ -n "$1" ]; then cat "$1/run/machine.json"; fi
"""


@dataclass(frozen=True)
class Boot:
    """The boot of a node's system before it was restarted."""

    #: whether the minion answered then; if not, any answer comes from another boot
    answered: bool = False
    #: the mark of the boot; empty if the minion did not say it
    mark: str = ""


class Answering:
    """The minions of one call that are waited for; created on the event loop."""

    def __init__(self, master: Master, calls: Calls) -> None:
        self._minions = master.minions
        self._master = master
        self._calls = calls
        self._readiness = Readiness(self._ask, ASK_AGAIN)
        #: by minion id: the code that stands for its answer, the boot before, and the machine's root directory
        self._expected: dict[str, tuple[str, Boot, str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def events(self) -> AbstractContextManager[Any]:
        """Return a context manager that listens for start events."""
        return self._master.events(self._readiness.started, _ignore)

    async def boot_of(self, minion_id: str, root: str) -> Boot:
        """Return the boot of the node's system now; ``root`` is as for ``Driver.root``."""
        if not await self._calls.aside(self._minions.ping, minion_id, PING_TIMEOUT):
            return Boot()
        return Boot(True, await self._mark(minion_id, root))

    def expect(self, minion_id: str, before: Boot, root: str) -> None:
        """Expect an answer of the minion after another boot than ``before``; call this before the change."""
        self._expected[minion_id] = (self._readiness.expect(minion_id), before, root)

    async def answer_of(self, minion_id: str, timeout: float) -> None:
        """
        Wait until the minion answers, at most ``timeout`` seconds.

        Raises ``NodeFailed`` if it does not.
        """
        try:
            await concurrency.within(self._readiness.answer_of(minion_id), timeout)
        except asyncio.TimeoutError as error:
            why = f" (the last question failed: {self._readiness.problem})" if self._readiness.problem else ""
            raise NodeFailed(f"{minion_id} did not answer within {timeout:g} s{why}") from error

    async def close(self) -> None:
        """Stop asking."""
        await self._readiness.close()
        await concurrency.ended(list(self._tasks))

    async def _ask(self, minion_ids: Sequence[str]) -> None:
        """Ask the minions at once, and do not wait: one that does not answer must not delay the others."""
        task = asyncio.ensure_future(self._ping(minion_ids))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ping(self, minion_ids: Sequence[str]) -> None:
        try:
            for minion_id in await self._calls.aside(self._minions.present, minion_ids):
                if await self._is_new(minion_id):
                    self._readiness.answered(minion_id, self._expected[minion_id][0])
        except Exception as error:  # the master may be restarting; the minions are asked again
            self._readiness.problem = str(error) or type(error).__name__

    async def _is_new(self, minion_id: str) -> bool:
        """Return whether a minion that answers runs on a system that has booted since."""
        _, before, root = self._expected[minion_id]
        if not before.answered:
            return True
        if not before.mark:
            return self._readiness.heard(minion_id)
        mark = await self._mark(minion_id, root)
        return bool(mark) and mark != before.mark

    async def _mark(self, minion_id: str, root: str) -> str:
        answer = await self._calls.aside(self._minions.shell, minion_id, MARK, [root] if root else [])
        return answer[1] if answer is not None and answer[0] == 0 else ""


def _ignore(minion_id: str, answer: str) -> None:
    """Ignore the answer of a new minion."""
