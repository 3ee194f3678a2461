"""Delivery to a reader that may be slow, stuck or gone, without ever waiting for it."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

LIMIT = 1000  #: items that wait at the same time; further items are dropped
STALL_SECONDS = 1.0  #: at the end: if nothing was delivered for this long, the rest is dropped
END_SECONDS = 10.0  #: at the end: the longest wait in total


class Outbox(Generic[T]):
    """
    Delivers items in order, in a daemon thread.

    ``put`` never waits and never raises: an item that finds no room is dropped. It takes no lock, so a signal in the
    middle of it does no harm.
    """

    def __init__(
        self, deliver: Callable[[T], object], finish: Callable[[], object] = lambda: None, *, limit: int = LIMIT
    ) -> None:
        """
        Start the thread.

        ``deliver`` is called with each item; an exception drops that item. ``finish`` is called in the same thread
        after the last one (default: nothing). ``limit`` is how many items can wait at the same time (default: 1000).
        """
        self._deliver = deliver
        self._finish = finish
        self._limit = limit
        #: an empty tuple marks the end
        self._waiting: queue.SimpleQueue[tuple[T, ...]] = queue.SimpleQueue()
        self._delivered = 0
        self._thread = threading.Thread(target=self._work, name="hart-outbox", daemon=True)
        self._thread.start()

    def put(self, thing: T) -> None:
        """Queue an item for delivery, or drop it."""
        if self._waiting.qsize() < self._limit:
            self._waiting.put((thing,))

    def close(self, stall: float = STALL_SECONDS, total: float = END_SECONDS) -> bool:
        """
        Wait until everything is delivered, unless the reader takes nothing any more.

        ``stall`` is the number of seconds without progress after which the rest is dropped, ``total`` the number of
        seconds after which it is dropped in any case.

        Returns whether everything was delivered.
        """
        self._waiting.put(())
        deadline = time.monotonic() + total
        before = -1
        while self._thread.is_alive() and before != self._delivered and time.monotonic() < deadline:
            before = self._delivered
            self._thread.join(stall)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while things := self._waiting.get():
            for thing in things:
                with contextlib.suppress(Exception):
                    self._deliver(thing)
            self._delivered += 1
        with contextlib.suppress(Exception):
            self._finish()
