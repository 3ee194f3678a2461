"""Show the progress of nodes: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

import contextlib
import functools
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from io import StringIO
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hart_salt.node.progress import FINAL_STAGES, View

REFRESH_PER_SECOND = 4
FRAME = 3  #: lines of the terminal for the head of the table, the count of the nodes without a row, and the prompt


def view_for(stream: TextIO | None = None) -> View:
    """Return the view for ``stream`` (default: standard error): a live table for a terminal, else plain lines."""
    stream = sys.stderr if stream is None else stream
    # Standard error is closed, or a reactor's orchestration runs in a thread of the master: nobody watches.
    if stream is None or threading.current_thread() is not threading.main_thread():
        return Silenced(None)
    return Silenced(functools.partial(_view, stream))


def _view(stream: TextIO) -> View:
    return LiveTable(Console(file=stream)) if stream.isatty() else Lines(stream)


def table(nodes: Mapping[str, Mapping[str, Any]], width: int | None = None) -> str:
    """
    Return the nodes as a text table, with a row for each.

    ``width`` is in characters (default: the width of the terminal).
    """
    drawn = Table("minion", "status", "role", "provider", "place", "size", "address", box=None, pad_edge=False)
    drawn.columns[0].no_wrap = True
    for minion_id, entry in nodes.items():
        style = {"ready": "green", "in progress": "yellow", "not ours": "dim"}.get(entry["status"], "red")
        place, address = entry["zone"] or entry["region"], entry["public_ip"] or entry["private_ip"]
        cells = [entry["role"], entry["provider"], place, entry["size"], address]
        drawn.add_row(Text(minion_id), Text(entry["status"], style), *(Text(str(cell or "")) for cell in cells))
    text = StringIO()
    console = Console(file=text, width=width or shutil.get_terminal_size().columns, force_terminal=True)
    console.print(drawn)
    return text.getvalue().rstrip("\n")


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

    def update(self, minion_id: str, stage: str, seconds: float, line: str) -> None:
        """Update the view, if there is one."""
        self._try(lambda view: view.update(minion_id, stage, seconds, line))

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

    def update(self, minion_id: str, stage: str, seconds: float, line: str) -> None:
        """Print the line, or the stage if there is none."""
        print(f"{minion_id} {seconds:6.1f}s {line or '[' + stage + ']'}", file=self._stream, flush=True)

    def close(self) -> None:
        """Do nothing."""


@dataclass
class _Row:
    stage: str
    began: float
    changed: float = 0.0
    ended: float | None = None
    line: str = ""


class LiveTable:
    """
    A live table with a row for each node: its stage, its time, the last line that it printed.

    If there are more nodes than lines on the terminal, it shows those that failed and those that changed last, and
    counts the others: drawing a thousand rows several times per second would take all of a processor's time. The last
    drawing has a row for each node.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: dict[str, _Row] = {}
        self._console = console
        self._closing = False
        self._live = Live(
            console=console,
            get_renderable=self._table,
            refresh_per_second=REFRESH_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def update(self, minion_id: str, stage: str, seconds: float, line: str) -> None:
        """Keep the change; rich draws the table several times per second."""
        now = self._clock()
        row = self._rows.setdefault(minion_id, _Row(stage, now - seconds))
        row.stage, row.changed = stage, now
        row.line = line or row.line
        if stage in FINAL_STAGES:
            row.ended = now

    def close(self) -> None:
        """Draw the table for the last time."""
        self._closing = True
        self._live.stop()

    def _shown(self, rows: Mapping[str, _Row]) -> Collection[str]:
        """Return the ids of the nodes that have a row now."""
        room = max(1, self._console.size.height - FRAME)
        if self._closing or len(rows) <= room:
            return rows.keys()
        first = sorted(rows.items(), key=lambda item: (_rank(item[1]), -item[1].changed))
        return {minion_id for minion_id, _ in first[:room]}

    def _table(self) -> Table:
        table = Table("minion", "stage", "time", "last line", box=None, expand=True, pad_edge=False)
        table.columns[0].no_wrap = True
        table.columns[2].justify = "right"
        table.columns[3].ratio = 1
        table.columns[3].no_wrap = True
        rows = dict(self._rows)  # rich draws in a thread of its own
        shown = self._shown(rows)
        for minion_id in [name for name in rows if name in shown]:
            row = rows[minion_id]
            took = (row.ended or self._clock()) - row.began
            style = {"failed": "red", "done": "green", "destroyed": "green"}.get(row.stage, "")
            # Text, not markup: the output of a node may contain brackets.
            table.add_row(minion_id, Text(row.stage, style), f"{took:.1f} s", Text(row.line))
        if others := Counter(row.stage for minion_id, row in rows.items() if minion_id not in shown):
            words = ", ".join(f"{count} {stage}" for stage, count in others.items())
            table.add_row(f"{others.total()} more", "", "", words)
        return table


def _rank(row: _Row) -> int:
    """Return how soon a row is shown: failures first, then work in progress."""
    return 0 if row.stage == "failed" else 1 if row.ended is None else 2
