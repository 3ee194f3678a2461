"""
Horizontal bars as plain numbers: where each part begins and how wide it is, in percent of the picture's width.

The template draws them. Widths in percent keep the text readable: on a narrow screen the bars shrink, and the text
does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LABEL = 30  #: characters of a label; of a longer one, the beginning and the end remain
ROOM = 12.5  #: percent of the width that a text in a part needs
TICKS = 5  #: the most ticks besides 0


@dataclass(frozen=True)
class Part:
    """A part of a bar. ``begin`` and ``width`` are in percent."""

    begin: float
    width: float
    #: its class in the style sheet
    style: str
    #: shown beside the pointer
    title: str
    #: written in the part, if there is room
    text: str = ""


@dataclass(frozen=True)
class Bar:
    """A row of a chart."""

    label: str
    value: str
    parts: Sequence[Part]
    #: the whole label, if it was shortened
    title: str = ""
    style: str = ""


@dataclass(frozen=True)
class Tick:
    """A line with a number. ``at`` is in percent."""

    at: float
    text: str
    anchor: str


@dataclass(frozen=True)
class Key:
    """An entry of a legend."""

    style: str
    name: str
    meaning: str = ""


@dataclass(frozen=True)
class Chart:
    """A picture of bars, with the text for those who cannot see it."""

    name: str
    title: str
    description: str
    bars: Sequence[Bar]
    ticks: Sequence[Tick] = ()
    legend: Sequence[Key] = ()


def part(begin: float, amount: float, whole: float, style: str, title: str, text: str = "") -> Part:
    """Return the part from ``begin`` on; its text only if there is room. ``whole`` is the width of the picture."""
    width = percent(amount, whole)
    return Part(percent(begin, whole), width, style, title, text if width >= ROOM else "")


def percent(amount: float, whole: float) -> float:
    """Return how many percent of ``whole`` the amount is, from 0 to 100."""
    share = 100 * amount / whole if whole > 0 else 0.0
    return round(min(100.0, max(0.0, share)), 3) if math.isfinite(share) else 0.0


def ticks(whole: float, unit: str = "") -> list[Tick]:
    """Return the ticks of an axis from 0 to ``whole``, at round numbers."""
    step = _step(whole)
    found = [number * step for number in range(int(whole / step + 1e-9) + 1)] if step else [0.0]
    return [_tick(percent(value, whole), f"{value:g}{unit if value == found[-1] else ''}") for value in found]


def _tick(at: float, text: str) -> Tick:
    return Tick(at, text, "start" if at < 5 else "end" if at > 93 else "middle")


def _step(whole: float) -> float:
    """Return the round number of which at most ``TICKS`` fit into ``whole``; 0 for no ticks."""
    if not 0 < whole < math.inf:
        return 0.0
    power = 10.0 ** math.floor(math.log10(whole / TICKS))
    return next(step * power for step in (1, 2, 5, 10) if whole / (step * power) <= TICKS + 1e-9)


def label(text: str, most: int = LABEL) -> str:
    """Return a label of at most ``most`` characters (default ``LABEL``)."""
    if len(text) <= most:
        return text
    beginning = most * 2 // 3
    return f"{text[:beginning]}…{text[beginning + 1 - most :]}"


def counts(numbers: Iterable[tuple[str, int]], style: str = "plain") -> list[Bar]:
    """Return a bar for each number, the longest one as wide as the picture."""
    numbers = list(numbers)
    most = max((number for _, number in numbers), default=0)
    return [
        Bar(label(name), f"{number}", [part(0, number, most, style, f"{name}: {number}")], name)
        for name, number in numbers
    ]


def seconds(value: float) -> str:
    """Return seconds in words: with the precision that matters, and minutes from two of them on."""
    if value < 9.95:
        return f"{value:.2f} s" if value < 0.995 else f"{value:.1f} s"
    if value < 119.5:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
