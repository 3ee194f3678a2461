"""Measures of many nodes: the median, the slowest tenth, the slowest node."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hart_salt.reports.lives import STAGES


@dataclass(frozen=True)
class Measure:
    """The seconds of several nodes in one stage or step."""

    name: str
    count: int
    median: float
    #: nine of ten nodes took at most so long
    p90: float
    slowest: float
    #: the minion id of the slowest node
    node: str


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of a hundred values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def measures(by_node: Mapping[str, Mapping[str, float]]) -> list[Measure]:
    """Return the measure of each name in the nodes' seconds, stages first and in their order."""
    return [_measure(name, by_node) for name in in_order(name for seconds in by_node.values() for name in seconds)]


def in_order(names: Iterable[str]) -> list[str]:
    """Return each name once: stages in the order of a node's life, then other names as they came."""
    found = dict.fromkeys(names)
    return [*(stage for stage in STAGES if stage in found), *(name for name in found if name not in STAGES)]


def _measure(name: str, by_node: Mapping[str, Mapping[str, float]]) -> Measure:
    values = {minion_id: seconds[name] for minion_id, seconds in by_node.items() if name in seconds}
    slowest = max(values, key=lambda minion_id: values[minion_id])
    numbers = list(values.values())
    return Measure(name, len(numbers), statistics.median(numbers), percentile(numbers, 90), values[slowest], slowest)
