"""The list of nodes at a terminal, renewed until Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, TextIO

from rich.cells import cell_len

from hart_salt.base import signals
from hart_salt.base.errors import HartError, Interrupted
from hart_salt.base.repaint import Line, Repaint, size_of
from hart_salt.result import Result, document
from hart_salt.screens.draw import draw
from hart_salt.screens.paper import Paper

FUNCTION = "list_minions"
STEP = 0.1  #: seconds between two looks at whether a signal came
CODE = re.compile(r"\x1b\[[0-9;]*m")


class Watch:
    """Draws a list over and over."""

    def __init__(
        self, look: Callable[[], Result], gate: Callable[[dict[str, Any]], dict[str, Any]], every: float,
        stream: TextIO, *, colored: bool = True,
        sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """
        Keep the arguments.

        ``look`` lists the nodes. What is drawn passes ``gate`` before, which hides secrets. ``every`` is the number of
        seconds between two lists, ``stream`` the terminal.
        """
        self._look = look
        self._gate = gate
        self._every = every
        self._stream = stream
        self._colored = colored and not os.environ.get("NO_COLOR")
        self._sleep = sleep
        self._clock = clock
        self._repaint = Repaint(stream)

    def run(self) -> Result:
        """
        List and draw until SIGINT, and return the last list as a success; then the table is no longer on the terminal.

        A list that fails leaves the last nodes on the terminal, with the problem below them. Raises what the first list
        raises: a wrong argument is refused before anything is drawn. Raises ``Interrupted`` or ``SystemExit`` at other
        signals.
        """
        last = self._look()
        try:
            while True:
                self._draw(last)
                self._wait(last)
                try:
                    last = self._look()
                except Interrupted:
                    raise
                except HartError as error:
                    last = replace(last, problems=[str(error)])
        except (Interrupted, SystemExit) as error:
            self._repaint.draw([], *size_of(self._stream))
            number = error.signum if isinstance(error, Interrupted) else int(error.code or 0) - 128
            if number != signal.SIGINT:
                raise
        return replace(last, ok=True)

    def _wait(self, shown: Result) -> None:
        """
        Wait until the next list, and draw the last one again if the terminal is resized.

        Raises ``Interrupted`` or ``SystemExit`` if a signal comes.
        """
        end, size = self._clock() + self._every, size_of(self._stream)
        while (left := end - self._clock()) > 0:
            signals.check()
            self._sleep(min(STEP, left))
            if size_of(self._stream) != size:
                size = size_of(self._stream)
                self._draw(shown)

    def _draw(self, result: Result) -> None:
        width, height = size_of(self._stream)
        unicode = (self._stream.encoding or "ascii").lower().startswith("utf")
        shown = document(result, FUNCTION)
        at = datetime.now(timezone.utc).strftime("%H:%M:%S")
        head = f"Every {self._every:g} s, last at {at} UTC. Ctrl-C ends it."
        paper = Paper(width, self._colored, unicode)
        top = [*paper.wrap(head), ""]
        lines = [*top, *fitting(self._gate(shown), paper, max(1, height - 1 - len(top)))]
        encoding = self._stream.encoding or "ascii"
        safe = [line.encode(encoding, "replace").decode(encoding) for line in lines[: max(1, height - 1)]]
        self._repaint.draw([Line(line, cell_len(CODE.sub("", line))) for line in safe], width, height)


def fitting(shown: Mapping[str, Any], paper: Paper, room: int) -> list[str]:
    """
    Return the lines of a list that fit into ``room`` lines.

    If not all nodes fit, those that are not ready come first, and the others are only counted.
    """
    nodes = shown.get("nodes", {})
    if len(nodes) < room:
        lines = draw(shown, paper).split("\n")
        if len(lines) <= room:
            return lines
    urgent = dict(sorted(nodes.items(), key=lambda item: item[1]["status"] == "ready"))
    for rows in range(min(len(nodes), room), -1, -1):
        lines = draw({**shown, "nodes": urgent, "rows": rows}, paper).split("\n")
        if len(lines) <= room:
            return lines
    return lines[: max(0, room)]
