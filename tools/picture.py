"""
Make the README's picture of the live table from what a terminal got. ``tools/picture.sh`` starts this file.

The recording holds every table that ``hart_salt/node/live_table.py`` drew, one over the other. The picture shows the
one that says most: at least one node is ready, at least one is not, and as many stages as possible are in it.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

READY = frozenset({"ready", "done"})
#: how the table goes back to the first line of what it drew last
BACK = re.compile(r"\r(?:\x1b\[\d+A|(?!\n))")
#: erases the rest of a line or of the screen
ERASE = re.compile(r"\x1b\[[JK]")
HEAD = "minion "
#: rich's own has fonts from elsewhere; without them, a browser takes its own monospaced one
FORMAT = re.sub(r"\n *@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code, ", "")
#: what rich adds to each line: a clip, which the last line lacks, and a text that has only the line's end
CLIPS = re.compile(
    r'<clipPath id="live-table-line-\d+">.*?</clipPath>\n*| clip-path="url\(#live-table-line-\d+\)"', re.DOTALL
)
ENDS = re.compile(r"<text [^>]*>\n</text>")


def tables(recording: str) -> Iterator[Text]:
    """Yield the tables in the order in which they were drawn."""
    for drawn in BACK.split(recording):
        text = Text.from_ansi(ERASE.sub("", drawn).replace("\r\n", "\n").rstrip())
        if f"\n{HEAD}" in text.plain:
            yield text


def stages(table: Text) -> list[str]:
    """Return the stage of each node in a table."""
    return [line.split()[1] for line in table.plain.partition(f"\n{HEAD}")[2].splitlines()[1:]]


def best(drawn: Sequence[Text]) -> Text | None:
    """Return the table with the most stages of those with nodes that are ready and nodes that are not, if any."""
    mixed = [table for table in drawn if 0 < sum(stage in READY for stage in stages(table)) < len(stages(table))]
    return max(mixed, key=lambda table: len(set(stages(table))), default=None)


def svg(table: Text, columns: int, title: str) -> str:
    """Return the picture of a table in a window with this title; ``columns`` is the terminal's width."""
    console = Console(file=io.StringIO(), record=True, width=columns, force_terminal=True, color_system="truecolor")
    console.print(table, no_wrap=True, crop=False)
    picture = ENDS.sub("\n", CLIPS.sub("", console.export_svg(title=title, code_format=FORMAT, unique_id="live-table")))
    return "".join(f"{line.rstrip()}\n" for line in picture.splitlines() if line.strip())


def main() -> int:
    """Return the exit code: 3 if no table is one for the picture."""
    parser = argparse.ArgumentParser(description="Makes a picture of a recorded live table.")
    parser.add_argument("recording", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("columns", type=int)
    parser.add_argument("title")
    given = parser.parse_args()
    table = best(list(tables(given.recording.read_bytes().decode())))
    if table is None:
        return 3
    given.picture.parent.mkdir(exist_ok=True)
    given.picture.write_text(svg(table, given.columns, given.title), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
