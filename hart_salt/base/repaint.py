"""
Draw lines on a terminal over what was drawn there last.

It never hides the cursor and changes no mode of the terminal, so that there is nothing to restore, however the process
ends.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

WIDTH, HEIGHT = 80, 24  #: of a terminal that does not report its size


@dataclass(frozen=True)
class Line:
    """A line of a drawing, with its control sequences, and its width in cells without them."""

    text: str
    width: int


class Repaint:
    """What was drawn last on one terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn: Sequence[Line] = ()

    def draw(self, lines: Sequence[Line], width: int, height: int) -> None:
        """
        Draw lines over the last drawing, as one text, so that the terminal does not flicker.

        ``width`` and ``height`` are those of the terminal now.
        """
        # On a terminal that became narrower, a line of the last drawing takes several lines.
        up = sum(max(1, -(-line.width // max(1, width))) for line in self._drawn)
        up = min(up, max(0, height - 1))
        text = "\r" + (f"\x1b[{up}A" if up else "")
        text += "".join(f"{line.text}\x1b[K\n" for line in lines) + "\x1b[J"
        self._drawn = lines
        self._stream.write(text)
        self._stream.flush()


def size_of(stream: TextIO) -> tuple[int, int]:
    """Return the width and height that a terminal reports, otherwise those of the environment."""
    with suppress(OSError, ValueError):
        width, height = os.get_terminal_size(stream.fileno())
        if width and height:
            return width, height
    return _from_environment("COLUMNS", WIDTH), _from_environment("LINES", HEIGHT)


def _from_environment(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() and int(value) else default
