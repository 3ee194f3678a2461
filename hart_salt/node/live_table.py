"""
A table on a terminal that shows the nodes of a call while it runs.

It is drawn several times per second over itself. It never hides the cursor and changes no mode of the terminal, so that
there is nothing to restore, however the process ends.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, TextIO

from hart_salt.node import drawing
from hart_salt.node.drawing import Line, Paper, Row
from hart_salt.node.progress import FINAL_STAGES, Expected
from hart_salt.node.remaining import Remaining, in_words

INTERVAL = 0.25  #: seconds between two drawings
WIDTH, HEIGHT = 80, 24  #: of a terminal that does not report its size
REMAINING_INTERVAL = 1.0  #: seconds for which an estimate is shown


class Measure(Protocol):
    """Returns the size of the terminal, its encoding, and whether it has colours."""

    def __call__(self) -> Paper:
        """Measure the terminal now: it can be resized at any time."""


class LiveTable:
    """
    A live table: the counts of the nodes, and a row for each node with its stage, its time and its last line.

    If there are more nodes than lines on the terminal, it shows those that failed and those that changed last, and
    counts the others. At the end, a summary takes its place.
    """

    def __init__(
        self, stream: TextIO, measure: Measure | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._measure = measure or (lambda: paper_of(stream))
        self._clock = clock
        self._began = clock()
        self._rows: dict[str, Row] = {}
        self._expected = Expected()
        self._unbegun: set[str] = set()
        self._remaining = Remaining()
        self._left = (float("-inf"), "")
        self._drawn: Sequence[Line] = ()
        self._lock = threading.Lock()
        self._closed = False
        self._refreshing = _Refreshing(self.draw)
        self._refreshing.start()

    def expect(self, expected: Expected) -> None:
        """Learn which nodes will come, and how long former ones took."""
        with self._lock:
            self._expected = expected
            self._unbegun = set(expected.minion_ids) - self._rows.keys()
            self._remaining = Remaining(expected.former.read() if expected.former else None)

    def update(self, minion_id: str, stage: str, seconds: float, line: str, reason: str = "") -> None:
        """Keep the change until the next drawing."""
        now = self._clock()
        with self._lock:
            self._unbegun.discard(minion_id)
            row = self._rows.setdefault(minion_id, Row(stage, now - seconds))
            if stage in FINAL_STAGES:
                if row.ended is None:
                    row.ended = now
                    self._remaining.end(minion_id, now, good=stage != "failed")
            else:
                self._remaining.enter(minion_id, stage, now)
            row.stage, row.changed = stage, now
            row.line, row.reason = line or row.line, reason or row.reason

    def close(self) -> None:
        """Replace the table by the summary."""
        self._refreshing.stop()
        with self._lock:
            self._closed = True
            if self._rows:
                seconds, paper = self._clock() - self._began, self._measure()
                goal, unbegun = self._expected.goal, len(self._unbegun)
                lines = drawing.summary(self._rows, unbegun, goal, seconds, paper)
                self._write([Line(text, 0) for text in lines], paper)
            if self._expected.former:
                self._expected.former.learn(self._remaining.times())

    def draw(self) -> None:
        """Draw the table as it is now over the last drawing."""
        with self._lock:
            if self._rows and not self._closed:
                paper = self._measure()
                self._write(self.lines(paper), paper)

    def lines(self, paper: Paper) -> list[Line]:
        """Return the table as it is now."""
        now, goal = self._clock(), self._expected.goal
        return drawing.table(self._rows, len(self._unbegun), goal, self._words_left(now), now, paper)

    def _words_left(self, now: float) -> str:
        if now - self._left[0] >= REMAINING_INTERVAL:
            self._left = (now, in_words(self._remaining.seconds(now, len(self._unbegun))))
        return self._left[1]

    def _write(self, lines: Sequence[Line], paper: Paper) -> None:
        """Write lines over the last drawing, as one text, so that the terminal does not flicker."""
        # On a terminal that became narrower, a line of the last drawing takes several lines.
        up = sum(max(1, -(-line.width // max(1, paper.width))) for line in self._drawn)
        up = min(up, max(0, paper.height - 1))
        text = "\r" + (f"\x1b[{up}A" if up else "")
        text += "".join(f"{line.text}\x1b[K\n" for line in lines) + "\x1b[J"
        self._drawn = lines
        self._stream.write(text)
        self._stream.flush()


class _Refreshing(threading.Thread):
    """Calls a function several times per second; after its first failure, or after ``stop``, no more."""

    def __init__(self, refresh: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._refresh = refresh
        self._end = threading.Event()

    def stop(self) -> None:
        """End it, without waiting for a function that runs."""
        self._end.set()

    def run(self) -> None:
        """Call the function until the end."""
        with suppress(Exception, SystemExit):  # nothing depends on the table
            while not self._end.wait(INTERVAL):
                self._refresh()


def paper_of(stream: TextIO) -> Paper:
    """Return the size of a terminal now, what it can show, and whether ``NO_COLOR`` is set."""
    width, height = _size(stream)
    return Paper(width, height, stream.encoding or "utf-8", not os.environ.get("NO_COLOR"))


def _size(stream: TextIO) -> tuple[int, int]:
    """Return the width and height that the terminal reports, otherwise those of the environment."""
    with suppress(OSError, ValueError):
        width, height = os.get_terminal_size(stream.fileno())
        if width and height:
            return width, height
    return _from_environment("COLUMNS", WIDTH), _from_environment("LINES", HEIGHT)


def _from_environment(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() and int(value) else default
