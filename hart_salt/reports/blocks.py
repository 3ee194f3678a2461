"""Figures and tables of a page, besides its charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A number with its name."""

    name: str
    value: str
    style: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table. ``long`` texts are broken into lines."""

    name: str
    number: bool = False
    long: bool = False


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row names the row."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
