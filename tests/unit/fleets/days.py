"""Recorded days of a fleet, as ``hart.simulate`` reads them: one sample for each minute, from midnight on."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

from hart_salt.fleets.samples import Sample

MIDNIGHT = datetime(2026, 11, 30, tzinfo=timezone.utc).timestamp()  #: a Monday
MINUTES = 1440


def of_load(load: Callable[[int], float], minutes: int = MINUTES) -> list[Sample]:
    """Return samples with the load of the whole fleet at each minute."""
    return [Sample(MIDNIGHT + 60 * minute, load(minute)) for minute in range(minutes)]


def of_nodes(values: Callable[[int], Sequence[float | None]], minutes: int = MINUTES) -> list[Sample]:
    """Return samples with the answer of each node at each minute."""
    return [Sample(MIDNIGHT + 60 * minute, values=tuple(values(minute))) for minute in range(minutes)]


def sawtooth() -> list[Sample]:
    """Return a load that rises for 55 minutes of each hour and falls within 5."""
    return of_load(lambda minute: 1 + 5 * min(minute % 60 / 55, (60 - minute % 60) / 5))


def spike() -> list[Sample]:
    """Return a low load with ten minutes in which it is ten times as high."""
    return of_load(lambda minute: 10.0 if 600 <= minute < 610 else 1.0)


def silence() -> list[Sample]:
    """Return a constant load of four nodes, none of which answers for an hour."""
    return of_nodes(lambda minute: [None if 600 <= minute < 660 else 0.5] * 4)


def half_silent() -> list[Sample]:
    """Return four nodes of which two do not answer for an hour, while the load of all falls to a tenth."""
    return of_nodes(lambda minute: [0.05, 0.05, None, None] if 600 <= minute < 660 else [0.5] * 4)


def liar(lie: Callable[[int], float | None]) -> list[Sample]:
    """Return four nodes at the target, of which the second answers anything."""
    return of_nodes(lambda minute: [0.5, lie(minute), 0.5, 0.5])


def noise(seed: int = 1) -> list[Sample]:
    """Return a load that follows the day and never rests."""
    chance = random.Random(seed)  # noqa: S311 - a load, not a secret
    return of_load(lambda minute: 4 + 3 * math.sin(2 * math.pi * minute / MINUTES - 2) + chance.uniform(-1, 1))
