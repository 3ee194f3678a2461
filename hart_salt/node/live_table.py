"""
A table on a terminal that shows the nodes of a call while it runs.

It is drawn several times per second over itself; see ``base/repaint.py``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TextIO

from hart_salt.base.repaint import Line, Repaint, size_of
from hart_salt.node import drawing
from hart_salt.node.drawing import Paper, Row
from hart_salt.node.progress import FINAL_STAGES, Expected
from hart_salt.node.remaining import Remaining, in_words

INTERVAL = 0.25  #: seconds between two drawings
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
        self._measure = measure or (lambda: paper_of(stream))
        self._clock = clock
        self._began = clock()
        self._rows: dict[str, Row] = {}
        self._expected = Expected()
        self._unbegun: set[str] = set()
        self._remaining = Remaining()
        self._left = (float("-inf"), "")
        self._repaint = Repaint(stream)
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
                self._repaint.draw([Line(text, 0) for text in lines], paper.width, paper.height)
            if self._expected.former:
                self._expected.former.learn(self._remaining.times())

    def draw(self) -> None:
        """Draw the table as it is now over the last drawing."""
        with self._lock:
            if self._rows and not self._closed:
                paper = self._measure()
                self._repaint.draw(self.lines(paper), paper.width, paper.height)

    def lines(self, paper: Paper) -> list[Line]:
        """Return the table as it is now."""
        now, goal = self._clock(), self._expected.goal
        return drawing.table(self._rows, len(self._unbegun), goal, self._words_left(now), now, paper)

    def _words_left(self, now: float) -> str:
        if now - self._left[0] >= REMAINING_INTERVAL:
            self._left = (now, in_words(self._remaining.seconds(now, len(self._unbegun))))
        over = not self._unbegun and all(row.ended is not None for row in self._rows.values())
        return "" if over else self._left[1]


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
    width, height = size_of(stream)
    return Paper(width, height, stream.encoding or "utf-8", not os.environ.get("NO_COLOR"))
