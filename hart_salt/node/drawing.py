"""Draw the progress of many nodes as lines of text that fit any terminal. Nothing here has side effects."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix

from rich.cells import cell_len, set_cell_size

from hart_salt.base.repaint import Line
from hart_salt.base.text import one_line, shortened

FRAME = 3  #: lines of the terminal for the head of the columns, the nodes without a row, and the cursor
GAP = "  "
ID_LEAST, LINE_LEAST = 16, 12  #: characters of the columns ``minion`` and ``last line``
REASONS, NAMED = 10, 5  #: reasons of failures in the summary, and ids that it names for each
RED, GREEN, DIM = "31", "32", "2"  #: parameters of the terminal's control sequence for a style


@dataclass
class Row:
    """A node as the table shows it. Times are those of the view's clock."""

    stage: str
    began: float
    changed: float = 0.0
    ended: float | None = None
    line: str = ""
    reason: str = ""

    @property
    def failed(self) -> bool:
        """Whether it failed; a node whose states failed stays, and is done."""
        return self.stage == "failed" or (self.ended is not None and bool(self.reason))


@dataclass(frozen=True)
class Paper:
    """What is drawn on."""

    width: int
    height: int
    #: the encoding of the terminal
    encoding: str = "utf-8"
    colour: bool = True

    def safe(self, text: str) -> str:
        """Return text with a question mark for each character that the terminal cannot show."""
        return text.encode(self.encoding, "replace").decode(self.encoding)

    @property
    def mark(self) -> str:
        """What stands for the part that was left out of a text."""
        return "…" if self.safe("…") == "…" else "~"

    def fit(self, text: str, width: int) -> str:
        """Return text with exactly this width; what does not fit is cut off."""
        line = self.safe(text.expandtabs(1))
        if cell_len(line) > width:
            line = set_cell_size(line, max(0, width - 1)) + self.mark[:width]
        return set_cell_size(line, width)

    def styled(self, text: str, style: str) -> str:
        """Return text in a style, if there are colours."""
        return f"\x1b[{style}m{text}\x1b[0m" if style and self.colour else text


def table(rows: Mapping[str, Row], waiting: int, goal: str, left: str, now: float, paper: Paper) -> list[Line]:
    """
    Return the table: the counts, then failed nodes, then those that changed last; the others are only counted.

    ``waiting`` nodes have not begun. ``goal`` is the word for nodes that have ended well, ``left`` says how long the
    others take.
    """
    head = _head(rows, waiting, goal, left, paper)
    shown = _shown(rows, max(1, paper.height - FRAME - len(head)))
    columns = _columns(shown, paper)
    drawn = [*head, _names(columns, paper)]
    drawn += [_row(minion_id, rows[minion_id], now, columns, paper) for minion_id in shown]
    hidden = Counter(row.stage for minion_id, row in rows.items() if minion_id not in shown)
    if waiting:
        hidden["waiting"] += waiting
    if hidden:
        drawn.append(_plain(_more(hidden), paper, DIM))
    return drawn[: max(1, paper.height - 1)]


def _more(hidden: Counter[str]) -> str:
    """Return how many nodes have no row, and in which stages they are."""
    if len(hidden) == 1:
        return f"{hidden.total()} more {next(iter(hidden))}"
    return f"{hidden.total()} more: {', '.join(f'{count} {stage}' for stage, count in hidden.most_common())}"


def summary(rows: Mapping[str, Row], waiting: int, goal: str, seconds: float, paper: Paper) -> list[str]:
    """Return what stays on the terminal: the counts, the time, and failed nodes by reason."""
    counts = [(words, style) for words, style in _counts(rows, waiting, goal) if not words.endswith(" 0")]
    words = [*(paper.styled(*count) for count in counts), f"in {_duration(seconds)}"]
    failed = _failed(rows)
    drawn = [GAP.join(words)]
    for reason, names in list(failed.items())[:REASONS]:
        text = paper.safe(f"{_listed(names)}: {reason}")
        drawn += textwrap.wrap(
            text,
            max(20, paper.width - 1),
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
            break_long_words=False,
        )
    if rest := [name for names in list(failed.values())[REASONS:] for name in names]:
        drawn.append(f"  {len(rest)} more failed, for other reasons")
    return drawn


def _failed(rows: Mapping[str, Row]) -> dict[str, list[str]]:
    """Return the ids of failed nodes by their reason, the most common reason first."""
    failed: dict[str, list[str]] = {}
    for minion_id, row in rows.items():
        if row.failed:
            failed.setdefault(one_line(row.reason or row.line), []).append(minion_id)
    return dict(sorted(failed.items(), key=lambda item: -len(item[1])))


def _listed(names: Sequence[str]) -> str:
    """Return ids for a sentence: all of a few, otherwise the first ones and the number of the others."""
    if len(names) <= NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"


def _shown(rows: Mapping[str, Row], room: int) -> list[str]:
    """Return the ids of the nodes that have a row now, failed ones first; they leave half of the rows to others."""
    failed = [minion_id for minion_id, row in rows.items() if row.failed]
    others = [minion_id for minion_id, row in rows.items() if not row.failed]
    if len(rows) <= room:
        return [*failed, *others]
    failed.sort(key=lambda minion_id: -rows[minion_id].changed)
    failed = failed[: max(room // 2, room - len(others))]
    latest = sorted(others, key=lambda minion_id: (rows[minion_id].ended is not None, -rows[minion_id].changed))
    chosen = set(latest[: room - len(failed)])
    return [*failed, *(minion_id for minion_id in others if minion_id in chosen)]


@dataclass(frozen=True)
class _Columns:
    """The widths of the columns; the last line has none on a narrow terminal."""

    minion: int
    stage: int
    time: int
    line: int
    #: the end that all ids have in common
    common: str = ""


def _columns(shown: Sequence[str], paper: Paper) -> _Columns:
    stage, time, width = len("bootstrapping"), len("999.9 s"), paper.width - 1
    room = max(1, width - stage - time - 2 * len(GAP))
    longest = max([len("minion"), *map(len, shown)])
    minion = min(longest, max(ID_LEAST, room - len(GAP) - 2 * LINE_LEAST), room)
    line = room - minion - len(GAP)
    minion, line = (minion, line) if line >= LINE_LEAST else (min(longest, room), 0)
    return _Columns(minion, stage, time, line, commonprefix([name[::-1] for name in shown]) if len(shown) > 1 else "")


def _row(minion_id: str, row: Row, now: float, columns: _Columns, paper: Paper) -> Line:
    seconds = (now if row.ended is None else row.ended) - row.began
    took = f"{seconds:.1f} s" if seconds < 999.95 else f"{seconds:.0f} s"
    name = shortened(minion_id, columns.minion, paper.mark)
    if name != minion_id and len(columns.common) > len(name.rpartition(paper.mark)[2]):
        name = minion_id[: columns.minion - 1] + paper.mark  # the end of all ids is the same, and shows nothing
    style = RED if row.failed else "" if row.ended is None else GREEN
    return _cells(name, row.stage, took, row.line, columns, paper, style)


def _names(columns: _Columns, paper: Paper) -> Line:
    line = _cells("minion", "stage", "time", "last line", columns, paper, "")
    return Line(paper.styled(line.text, DIM), line.width)


def _cells(name: str, stage: str, took: str, last: str, columns: _Columns, paper: Paper, style: str) -> Line:
    cells = [
        paper.fit(name, columns.minion),
        paper.styled(paper.fit(stage, columns.stage), style),
        paper.fit(took.rjust(columns.time), columns.time),
    ]
    width = columns.minion + columns.stage + columns.time + 2 * len(GAP)
    if columns.line:
        text = paper.fit(last, columns.line).rstrip()
        cells.append(text)
        width += len(GAP) + cell_len(text)
    text = GAP.join(cells)
    surplus = width - (paper.width - 1)
    return Line(text, width) if surplus <= 0 else _plain(f"{name} {stage}", paper)


def _plain(text: str, paper: Paper, style: str = "") -> Line:
    """Return a line of one style, cut off at the edge of the terminal."""
    line = paper.fit(text, min(cell_len(text), max(1, paper.width - 1)))
    return Line(paper.styled(line, style), cell_len(line))


def _head(rows: Mapping[str, Row], waiting: int, goal: str, left: str, paper: Paper) -> list[Line]:
    """Return the counts and the time that is left, on a narrow terminal in two lines."""
    counts = _counts(rows, waiting, goal)
    words = GAP.join(words for words, _ in counts)
    if len(words) > paper.width - 1:
        return [_plain(words, paper)]
    styled = GAP.join(paper.styled(*count) for count in counts)
    more = f"{GAP} {left}" if left else ""
    if len(words + more) > paper.width - 1:
        return [Line(styled, len(words)), _plain(left, paper)]
    return [Line(styled + more, len(words + more))]


def _counts(rows: Mapping[str, Row], waiting: int, goal: str) -> list[tuple[str, str]]:
    """Return how many nodes have ended well, failed, and not ended, each with its style."""
    failed = sum(row.failed for row in rows.values())
    good = sum(row.ended is not None for row in rows.values()) - failed
    rest = len(rows) - good - failed + waiting
    return [
        (f"{goal} {good}", GREEN if good else ""),
        (f"failed {failed}", RED if failed else ""),
        (f"waiting {rest}", ""),
    ]


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(math.floor(seconds), 60)
    return f"{minutes} min {rest} s"
