"""
SIGINT, SIGTERM and SIGHUP while a call is under way.

What is under way is cancelled, and undoes itself; nothing is written before that. Before anything was begun the call
ends at once. Between two pieces of work a signal is kept for the next one: what the first one did has to be reported. A
signal that the process ignores from its start, as ``nohup`` has it, stays ignored. Left to Salt, the first two would
end the process with exit code 0, and SIGHUP without any undo.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from hart_salt.base.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Hearing:
    """The signals of one call."""

    def __init__(self) -> None:
        #: the numbers of all that came
        self.heard: list[int] = []
        self._begun = False
        self._cancel: Callable[[], None] | None = None

    @contextmanager
    def work(self, cancel: Callable[[], None]) -> Iterator[None]:
        """
        Something is under way that ``cancel`` ends.

        Raises ``Interrupted``, with nothing begun, if a signal came before.
        """
        self.check()
        self._cancel, self._begun = cancel, True
        if self.heard:  # just now
            cancel()
        try:
            yield
        finally:
            self._cancel = None

    def check(self) -> None:
        """Raise ``Interrupted`` if a signal came. The first one counts."""
        if self.heard:
            raise Interrupted(self.heard[0], f"interrupted by {name(self.heard[0])}")

    def hear(self, signum: int, frame: FrameType | None = None) -> None:
        """Called by the signal, between any two instructions of the main thread: it writes nothing."""
        self.heard.append(signum)
        if self._cancel is not None:
            if len(self.heard) == 1:
                self._cancel()
        elif not self._begun:
            raise SystemExit(128 + signum)


_hearing: Hearing | None = None


@contextmanager
def heard() -> Iterator[Hearing]:
    """
    Hear signals; inside of another such block, that one does.

    Only a main thread can hear signals; in a reactor's thread there are none to hear. Raises ``SystemExit`` with 128
    and the signal's number while nothing has been begun.
    """
    global _hearing
    if threading.current_thread() is not threading.main_thread():
        yield Hearing()
        return
    if _hearing is not None:
        yield _hearing
        return
    _hearing = Hearing()
    before = _handle(_hearing.hear)
    try:
        yield _hearing
    finally:
        _hearing = None
        for signum, handler in before.items():
            signal.signal(signum, handler)


def exit_with(code: int) -> None:
    """
    From now on a signal ends the process with this exit code: all is done, and only the result is to be printed.

    That can take as long as its reader likes.
    """
    if threading.current_thread() is threading.main_thread():
        _handle(lambda *_: sys.exit(code))


def name(signum: int) -> str:
    """Such as ``SIGINT``."""
    return signal.Signals(signum).name


def _handle(handler: Callable[[int, FrameType | None], Any]) -> dict[signal.Signals, Any]:
    """Handle what is not ignored; returns the handlers that there were."""
    # None: a handler that was not set by Python, and that could not be put back.
    heeded = [signum for signum in SIGNALS if signal.getsignal(signum) not in (signal.SIG_IGN, None)]
    return {signum: signal.signal(signum, handler) for signum in heeded}
