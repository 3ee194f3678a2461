"""
SIGINT, SIGTERM and SIGHUP during a call.

A signal cancels the running work, which rolls itself back; nothing is written before that. Before any work has begun, a
signal ends the call at once. Between two pieces of work, a signal is kept for the next piece, because the outcome of
the first one must be reported. A signal that the process ignores from its start, as under ``nohup``, stays ignored.
Salt's own handling would end the process with exit code 0 for the first two, and without an undo for SIGHUP.
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
        #: the numbers of all signals that arrived
        self.heard: list[int] = []
        self._begun = False
        self._cancel: Callable[[], None] | None = None

    @contextmanager
    def work(self, cancel: Callable[[], None]) -> Iterator[None]:
        """
        Mark the block as work that ``cancel`` ends.

        Raises ``Interrupted``, with nothing begun, if a signal arrived before.
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
        """Raise ``Interrupted`` if a signal arrived. The first one counts."""
        if self.heard:
            raise Interrupted(self.heard[0], f"interrupted by {name(self.heard[0])}")

    def hear(self, signum: int, frame: FrameType | None = None) -> None:
        """Note a signal. It arrives between any two instructions of the main thread, so this writes nothing."""
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
    Handle signals in the block; within another such block, that one handles them.

    Only a main thread receives signals; a reactor's thread receives none. Raises ``SystemExit`` with 128 plus the
    signal's number if a signal arrives before any work has begun.
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


def arrived() -> bool:
    """Return whether a signal arrived during the call that runs in this process's main thread."""
    return _hearing is not None and bool(_hearing.heard)


def check() -> None:
    """Raise ``Interrupted`` if a signal arrived; for a wait that a signal shortens, but does not end."""
    if _hearing is not None:
        _hearing.check()


def exit_with(code: int) -> None:
    """
    Let a signal end the process with this exit code from now on: everything is done except printing the result.

    Printing takes as long as its reader does.
    """
    if threading.current_thread() is threading.main_thread():
        _handle(lambda *_: sys.exit(code))


def name(signum: int) -> str:
    """Return the name of a signal, such as ``SIGINT``."""
    return signal.Signals(signum).name


def _handle(handler: Callable[[int, FrameType | None], Any]) -> dict[signal.Signals, Any]:
    """Set a handler for the signals that are not ignored, and return the previous handlers."""
    # None: a handler that Python did not set, and that could not be restored.
    heeded = [signum for signum in SIGNALS if signal.getsignal(signum) not in (signal.SIG_IGN, None)]
    return {signum: signal.signal(signum, handler) for signum in heeded}
