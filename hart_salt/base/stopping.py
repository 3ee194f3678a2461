"""
The end of a call that something other than a signal decides, such as a lost lease.

It works in every thread: in a reactor a call does not run in the main thread and receives no signals.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hart_salt.base.errors import Interrupted

#: the signal that such an end counts as, which decides the exit code: a connection that is lost is a hang-up
COUNTS_AS = int(signal.SIGHUP)


class Stop:
    """Ends the work of one call, from any thread, as a signal does."""

    def __init__(self) -> None:
        #: why the call ends, in a sentence; empty as long as it does not
        self.reason = ""
        self._mutex = threading.Lock()
        self._cancels: list[Callable[[], None]] = []

    def stop(self, reason: str) -> None:
        """End the work. The first reason counts."""
        with self._mutex:
            if self.reason:
                return
            self.reason = reason
            cancels = list(self._cancels)
        for cancel in cancels:
            cancel()

    def check(self) -> None:
        """Raise ``Interrupted`` if the call was stopped."""
        if self.reason:
            raise Interrupted(COUNTS_AS, self.reason)

    @contextmanager
    def work(self, cancel: Callable[[], None]) -> Iterator[None]:
        """
        Mark the block as work that ``cancel`` ends.

        Raises ``Interrupted``, with nothing begun, if the call was stopped before.
        """
        with self._mutex:
            self.check()
            self._cancels.append(cancel)
        try:
            yield
        finally:
            with self._mutex:
                self._cancels.remove(cancel)
