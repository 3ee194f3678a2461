"""A table that fits: on a narrow terminal it loses its least important columns, then its long cells are shortened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from hart_salt.screens.paper import STYLES, Paper

GAP = 2  #: blanks between columns
ALWAYS = 9  #: the weight of a column that is never left out
LEAST = 6  #: columns of a shortened cell
BESIDE = 36  #: columns beside a row in which a long remark is still read easily


@dataclass(frozen=True)
class Column:
    """A column. The lightest ones are left out first; ``ALWAYS`` stays."""

    name: str
    weight: int = 5
    #: numbers stand at the right
    right: bool = False
    #: whether its cells have the colours of ``STYLES``
    styled: bool = False


@dataclass(frozen=True)
class Row:
    """The cells of one row; ``remarks`` are sentences about it, which stand beside or below it."""

    cells: Sequence[str]
    remarks: Sequence[str] = ()
    style: str = ""


def table(columns: Sequence[Column], rows: Sequence[Row], paper: Paper) -> list[Text]:
    """
    Return the lines of a table.

    A column without any text is left out. A single remark stands beside its row if there is enough room, otherwise
    below it.
    """
    shown = fitting(columns, rows, paper.width)
    widths = _shrunk(shown, _widths(columns, rows, shown), columns, paper.width)
    lines = [_line([columns[at].name.upper() for at in shown], shown, widths, columns, paper, heading=True)]
    for row in rows:
        line = _line([row.cells[at] for at in shown], shown, widths, columns, paper)
        line.stylize(row.style)
        lines += _with_remarks(line, row.remarks, sum(widths) + GAP * len(widths), paper)
    return lines


def _widths(columns: Sequence[Column], rows: Sequence[Row], shown: Sequence[int]) -> list[int]:
    return [max([len(columns[at].name), *(cell_len(row.cells[at]) for row in rows)]) for at in shown]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def filled(columns: Sequence[Column], rows: Sequence[Row]) -> list[int]:
    """Return the numbers of the columns that the table has on a terminal of any width."""
    return [at for at, column in enumerate(columns) if column.weight >= ALWAYS or any(row.cells[at] for row in rows)]


def fitting(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[int]:
    """Return the numbers of the columns that the table has."""
    shown = filled(columns, rows)
    while _total(_widths(columns, rows, shown)) > width:
        light = [at for at in shown if columns[at].weight < ALWAYS]
        if not light:
            break
        shown.remove(min(light, key=lambda at: (columns[at].weight, -at)))
    return shown


def _shrunk(shown: Sequence[int], widths: list[int], columns: Sequence[Column], width: int) -> list[int]:
    """Return the widths of the columns, of which the widest becomes narrower while the table is too wide."""
    widths = list(widths)
    while _total(widths) > width and max(widths) > LEAST:
        widest = widths.index(max(widths))
        widths[widest] -= 1
    return widths


def _line(
    cells: Sequence[str], shown: Sequence[int], widths: Sequence[int], columns: Sequence[Column], paper: Paper, *,
    heading: bool = False,
) -> Text:  # fmt: skip
    line = Text()
    for number, (at, cell, width) in enumerate(zip(shown, cells, widths, strict=True)):
        text = paper.cut(cell, width)
        style = "bold" if heading else STYLES.get(cell, "") if columns[at].styled else ""
        blanks = " " * (width - cell_len(text))
        last = number == len(widths) - 1
        if columns[at].right:
            line.append(blanks).append(text, style)
        else:
            line.append(text, style).append("" if last else blanks)
        line.append("" if last else " " * GAP)
    line.rstrip()
    return line


def _with_remarks(line: Text, remarks: Sequence[str], width: int, paper: Paper) -> list[Text]:
    room = paper.width - width
    if len(remarks) == 1 and (cell_len(remarks[0]) <= room or room >= BESIDE):
        first, *more = Paper(room).wrap(remarks[0])
        line.append(" " * (width - line.cell_len)).append(first)
        return [line, *(Text(" " * width + text) for text in more)]
    below = [text for remark in remarks for text in paper.wrap(remark, "  ")]
    return [line, *(Text(text) for text in below)]


def pairs(facts: Sequence[tuple[str, str]], paper: Paper) -> list[Text]:
    """Return names and values in two columns; an empty value is left out."""
    facts = [(name, value) for name, value in facts if value != ""]
    width = max((cell_len(name) for name, _ in facts), default=0) + GAP
    lines: list[Text] = []
    for name, value in facts:
        label = name.ljust(width)
        for text in paper.wrap(value, " " * width, label):
            line = Text(text)
            line.stylize(STYLES.get(value, ""), width)
            lines.append(line)
    return lines
