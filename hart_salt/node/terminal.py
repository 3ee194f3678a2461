"""Show the progress of nodes: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable
from typing import TextIO

from hart_salt.node.live_table import LiveTable
from hart_salt.node.progress import Expected, View


def view_for(stream: TextIO | None = None) -> View:
    """Return the view for ``stream`` (default: standard error): a live table for a terminal, else plain lines."""
    stream = sys.stderr if stream is None else stream
    # Standard error is closed, or a reactor's orchestration runs in a thread of the master: nobody watches.
    if stream is None or threading.current_thread() is not threading.main_thread():
        return Silenced(None)
    return Silenced(functools.partial(_view, stream))


def _view(stream: TextIO) -> View:
    # A dumb terminal has no cursor to move.
    dumb = os.environ.get("TERM", "").lower() in ("", "dumb", "unknown")
    return LiveTable(stream) if stream.isatty() and not dumb else Lines(stream)


class Silenced:
    """
    A view that never fails: after the first error of the view that it wraps, it shows nothing.

    If the terminal is gone, rich ends the program by ``SystemExit``; that is caught too.
    """

    def __init__(self, make: Callable[[], View] | None) -> None:
        """Make the view with ``make``; with None, nothing is shown."""
        self.view: View | None = None
        if make is not None:
            with contextlib.suppress(Exception, SystemExit):
                self.view = make()

    def expect(self, expected: Expected) -> None:
        """Pass it on to the view, if there is one."""
        self._try(lambda view: view.expect(expected))

    def update(self, minion_id: str, stage: str, seconds: float, line: str, reason: str = "") -> None:
        """Update the view, if there is one."""
        self._try(lambda view: view.update(minion_id, stage, seconds, line, reason))

    def close(self) -> None:
        """End the view, if there is one."""
        self._try(lambda view: view.close())
        self.view = None

    def _try(self, show: Callable[[View], None]) -> None:
        if self.view is None:
            return
        try:
            show(self.view)
        except (Exception, SystemExit):
            self.view = None


class Lines:
    """Prints a line for each stage and for each line of output, for pipes, logs and CI."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def expect(self, expected: Expected) -> None:
        """Do nothing."""

    def update(self, minion_id: str, stage: str, seconds: float, line: str, reason: str = "") -> None:
        """Print the line, or the stage if there is none; the reason of a failure is one of the lines before."""
        print(f"{minion_id} {seconds:6.1f}s {line or '[' + stage + ']'}", file=self._stream, flush=True)

    def close(self) -> None:
        """Do nothing."""
