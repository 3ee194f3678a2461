"""
Outages of a record store on a server: they end a call neither at once nor never.

A server that restarts, or that does not answer for a while, is waited for, because a call that gave up at once would
roll back every node that it is creating. What has failed for ``LIMIT`` is given up, and then fails at once for the rest
of the call, with one attempt every ``PAUSE``: so a thousand nodes do not wait one after another.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

#: seconds to wait for a store that has answered this call before; also the timeout of one answer
LIMIT = 60.0
INTERVAL = 1.0  #: seconds between two attempts
PAUSE = 5.0  #: seconds without an attempt at a store that was given up


class StoreOutage:
    """
    Calls a store.

    ``probe`` is a small request. If it works, the store answers, and a request that failed cannot work.
    """

    def __init__(
        self,
        probe: Callable[[], Any],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._probe = probe
        self._clock = clock
        self._sleep = sleep
        self._answered = False
        #: why the store was given up, and when
        self._given_up: tuple[Exception, float] | None = None

    def call(self, work: Callable[[], T]) -> T:
        """
        Do ``work``, which must be repeatable, and return its result.

        Raises what it raises, if need be after a wait for the store.
        """
        began = self._clock()
        if self._given_up is not None and began - self._given_up[1] < PAUSE:
            raise self._given_up[0].with_traceback(None)
        try:
            result = work()
        except Exception as error:
            self._wait(error, began)
            result = work()
        self._answered, self._given_up = True, None
        return result

    def _wait(self, error: Exception, began: float) -> None:
        """Wait until the store answers. Raises ``error`` if it does not, or never did so far."""
        while not self._answers(began):
            if not self._answered or self._given_up is not None or self._clock() - began >= LIMIT:
                self._given_up = (error, self._clock())
                raise error
            self._sleep(INTERVAL)
        self._answered, self._given_up = True, None

    def _answers(self, began: float) -> bool:
        if self._clock() - began < LIMIT:  # otherwise the request itself took as long as an answer may take
            with contextlib.suppress(Exception):
                self._probe()
                return True
        return False
