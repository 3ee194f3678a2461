"""What the screens are drawn on: the width, the colours and the characters of a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

NARROWEST = 20  #: columns; a narrower terminal gets lines of this width
ENDS = "\n"


@dataclass(frozen=True)
class Paper:
    """The terminal."""

    #: in columns
    width: int = 80
    colored: bool = False
    #: whether it shows characters that ASCII does not have
    unicode: bool = False

    def cut(self, text: str, width: int) -> str:
        """Return ``text`` in at most ``width`` columns; the middle of a longer text is left out."""
        if cell_len(text) <= width:
            return text
        dots = "…" if self.unicode else ".."
        room = max(0, width - len(dots))
        end = room // 2
        return set_cell_size(text, room - end) + dots + (text[-end:] if end else "")

    def wrap(self, text: str, indent: str = "", first: str | None = None) -> list[str]:
        """
        Return ``text`` in lines that fit; each is indented, the first one by ``first`` if that is given.

        A longer word, such as a path, stays whole: the terminal breaks it, and it can be copied.
        """
        width = max(NARROWEST, self.width)
        return textwrap.wrap(
            text, width, initial_indent=indent if first is None else first, subsequent_indent=indent,
            break_on_hyphens=False, break_long_words=False,
        ) or [""]  # fmt: skip

    def lines(self, *sentences: str) -> list[Text]:
        """Return sentences without style, each in lines that fit."""
        return [Text(line) for sentence in sentences for line in self.wrap(sentence)]

    def show(self, lines: list[Text]) -> str:
        """Return the lines as text, with colours and bold text if the terminal has them."""
        if not self.colored:
            return ENDS.join(line.plain for line in lines).rstrip(ENDS)
        text = StringIO()
        console = Console(
            file=text, width=10_000, force_terminal=True, no_color=False, color_system="standard", legacy_windows=False
        )
        for line in lines:
            console.print(line, no_wrap=True, overflow="ignore", crop=False, highlight=False)
        return text.getvalue().rstrip(ENDS)


#: colour of a word that says how something is
STYLES: Mapping[str, str] = {
    **dict.fromkeys(
        ("ready", "ok", "created", "destroyed", "removed", "sealed", "imported", "done", "yes", "steady",
         "available", "baked"), "green"
    ),
    **dict.fromkeys(
        ("in progress", "pending", "kept", "unknown", "would remove", "stopped", "changing", "held"), "yellow"
    ),
    **dict.fromkeys(("not ours", "elsewhere", "unchanged"), "dim"),
    **dict.fromkeys(
        (
            "failed", "problem", "unreachable", "no instance", "no key", "unsealed", "no record", "broken record",
            "bad id", "blocked", "half made",
        ),
        "red",
    ),
}  # fmt: skip


def plain(text: str) -> list[Text]:
    """Return text as lines without style."""
    return [Text(line) for line in text.split(ENDS)]
