"""Estimate how long the nodes of a call still take, from the nodes that have ended and from former calls."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from pathlib import Path

from hart_salt.base.hints import HintFile

KEPT = 50  #: kinds of work that are remembered
ENOUGH = 10  #: nodes that must have ended well before their rate counts
SOON = 1.0  #: seconds that a node still takes that should have ended
LATE, LATE_RATIO = 5.0, 1.25  #: a node is late if it takes this many seconds longer, and this many times as long

#: seconds from the beginning of a stage to the end of the node, by stage
Times = Mapping[str, float]


class FormerTimes:
    """The usual times of one kind of work, such as creating nodes of a role at a provider."""

    def __init__(self, cachedir: str, kind: str) -> None:
        self._file = HintFile(Path(cachedir) / "hart" / "times.json", KEPT)
        self._kind = kind

    def read(self) -> Times:
        """Return the times of former calls; empty if there are none."""
        times = self._file.read().get(self._kind)
        if not isinstance(times, dict):
            return {}
        return {stage: float(seconds) for stage, seconds in times.items() if _is_time(seconds)}

    def learn(self, times: Times) -> None:
        """Store the times of a call. A stage that is known already gets the mean of its old and new time."""
        if times:
            old = self.read()
            both = {stage: round((seconds + old.get(stage, seconds)) / 2, 2) for stage, seconds in times.items()}
            self._file.put(self._kind, {**old, **both})


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


class Remaining:
    """The estimate for one call."""

    def __init__(self, former: Times | None = None) -> None:
        self._former = dict(former or {})
        self._first = next(iter(self._former), "")
        #: by node that has not ended, when it entered each of its stages
        self._entered: dict[str, dict[str, float]] = {}
        #: by stage, the seconds that nodes needed from there to their end
        self._needed: dict[str, list[float]] = {}
        #: when nodes ended well
        self._ends: list[float] = []

    def enter(self, minion_id: str, stage: str, now: float) -> None:
        """Note that a node entered a stage that is not its last."""
        self._entered.setdefault(minion_id, {}).setdefault(stage, now)
        self._first = self._first or stage

    def end(self, minion_id: str, now: float, *, good: bool) -> None:
        """Note that a node ended; only a ``good`` end says how long others take."""
        entered = self._entered.pop(minion_id, {})
        if good:
            for stage, began in entered.items():
                self._needed.setdefault(stage, []).append(now - began)
            self._ends.append(now)

    def times(self) -> Times:
        """Return the times of this call, for later ones."""
        return {stage: statistics.median(seconds) for stage, seconds in self._needed.items()}

    def seconds(self, now: float, waiting: int) -> float | None:
        """
        Return about how many seconds all nodes still need, with ``waiting`` nodes that have not begun.

        0 means that they take longer than usual; None means that nothing is known yet.
        """
        usual = {**self._former, **self.times()}
        known = [
            _left(usual[stage], now - began)
            for stages in self._entered.values()
            for stage, began in [next(reversed(stages.items()))]
            if stage in usual
        ]
        if waiting and self._first in usual:
            known.append(usual[self._first])
        if not known:
            return None
        return max(*known, self._by_rate(now, waiting + len(self._entered)))

    def _by_rate(self, now: float, unfinished: int) -> float:
        """Return the seconds that ``unfinished`` nodes take at the rate at which nodes have ended well so far."""
        if len(self._ends) < ENOUGH:
            return 0.0
        return unfinished * (now - self._ends[0]) / len(self._ends)


def _left(usual: float, spent: float) -> float:
    """Return the seconds that are left; a node is late only if it takes much longer than the median of the others."""
    if spent < usual:
        return usual - spent
    return SOON if spent <= max(usual + LATE, usual * LATE_RATIO) else 0.0


def in_words(seconds: float | None) -> str:
    """Return an estimate as words for a person; empty if there is none."""
    if seconds is None:
        return ""
    if seconds < 1:
        return "longer than usual"
    return f"about {_rounded(seconds)} left"


def _rounded(seconds: float) -> str:
    if seconds < 10:
        return f"{math.ceil(seconds)} s"
    if seconds <= 90:
        return f"{5 * math.ceil(seconds / 5)} s"
    if seconds <= 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h"
