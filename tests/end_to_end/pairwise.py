"""A few cases of a large table in which each value of one column still meets each value of every other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

Case = tuple[str, ...]


def pairwise(*columns: Sequence[str]) -> list[Case]:
    """Choose the case with most of the missing pairs, again and again; the result is always the same."""
    every = list(itertools.product(*columns))
    missing = {pair for case in every for pair in _pairs(case)}
    chosen = []
    while missing:
        best = max(every, key=lambda case: len(missing & _pairs(case)))
        chosen.append(best)
        missing -= _pairs(best)
    return chosen


def _pairs(case: Case) -> set[tuple[tuple[int, str], ...]]:
    return set(itertools.combinations(enumerate(case), 2))
