"""
The life of a node as it is in its log: when each stage began, and how long each step of the bootstrap took.

The stages are what hart itself wrote. The times of the steps come from the node: they are bounded and only shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from hart_salt.node.progress import FINAL_STAGES, LOG_LIMIT

#: the stages in which a node spends time, in the order of its life
STAGES = (
    "launching", "running", "bootstrapping", "enrolling", "enrolled", "ready", "applying",
    "generalising", "imaging", "baked", "destroying", "copying",  # of a bake
)  # fmt: skip
#: how the life of a node ends
DONE, FAILED, UNFINISHED = "done", "failed", "unfinished"
STEPS = 20  #: the most steps of one node
#: bytes that are read of a log: that of one life at its longest, and of its former lives the end
READ = 2 * LOG_LIMIT

_LINE = re.compile(
    r"(?P<stamp>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S{0,20}) "
    r"(?:== (?P<stage>[a-z]{1,20}) at (?P<at>\d{1,9}\.\d{1,3}) s"
    r"|hart: (?P<step>[a-z][a-z-]{0,30}) took (?P<took>\d{1,7}\.\d{1,3}) s"
    r"|hart: batch (?P<batch>[0-9a-f]{14}))"
)


@dataclass(frozen=True)
class Span:
    """A stage of a node. Times are in seconds; ``begin`` is after the start of the node."""

    stage: str
    begin: float
    seconds: float

    @property
    def end(self) -> float:
        """The end of the stage, in seconds after the start of the node."""
        return self.begin + self.seconds


@dataclass(frozen=True)
class Life:
    """The creation of one node."""

    minion_id: str
    #: seconds since the epoch
    began: float
    spans: tuple[Span, ...]
    #: ``DONE``, ``FAILED``, or ``UNFINISHED`` if nothing shows its end
    end: str = DONE
    #: the batch, if it is known
    batch: str = ""
    #: seconds of each step of the bootstrap, as the node reported them
    steps: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """The seconds of the whole life."""
        return self.spans[-1].end if self.spans else 0.0

    @property
    def stages(self) -> dict[str, float]:
        """The seconds of each stage."""
        found: dict[str, float] = {}
        for span in self.spans:
            found[span.stage] = found.get(span.stage, 0.0) + span.seconds
        return found


def spans_of(seconds: Mapping[str, float]) -> tuple[Span, ...]:
    """Return the spans of a record's ``seconds``, one after the other, in the order of a node's life."""
    known = [stage for stage in STAGES if stage in seconds]
    spans: list[Span] = []
    for stage in [*known, *(stage for stage in seconds if stage not in STAGES)]:
        spans.append(Span(stage, spans[-1].end if spans else 0.0, max(0.0, seconds[stage])))
    return tuple(spans)


def read_life(path: Path) -> Life | None:
    """Return the last creation in a node's log; None if there is none, or if the log cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - READ))
            text = file.read().decode(errors="replace")
    except OSError:
        return None
    return last_life(path.name.removesuffix(".log"), text.split("\n"))


def last_life(minion_id: str, lines: Iterable[str]) -> Life | None:
    """Return the last creation in the lines of a log; None if there is none."""
    batch, making = "", None
    for line in lines:
        found = _LINE.fullmatch(line) if " == " in line or " hart: " in line else None
        if found is None:
            continue
        if found["batch"]:
            batch = found["batch"]
        elif found["stage"] == "launching":
            making, batch = _Making(minion_id, batch, found), ""
        elif making is not None:
            making.add(found)
    return making.life() if making else None


def _time(stamp: str) -> float:
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except (ValueError, OverflowError):
        return math.nan


class _Making:
    """A life while its log is read."""

    def __init__(self, minion_id: str, batch: str, launching: re.Match[str]) -> None:
        self._id, self._batch = minion_id, batch
        self._began = _time(launching["stamp"])
        self._offset = float(launching["at"])
        #: each stage and when it began
        self._stages = [("launching", 0.0)]
        self._last = 0.0
        self._steps: dict[str, float] = {}
        self._end = ""

    def add(self, found: re.Match[str]) -> None:
        """Add a line of the log; lines after the end of the creation do not count."""
        stage = found["stage"]
        if self._end:
            return
        if found["step"]:
            if self._stages[-1][0] == "bootstrapping" and len(self._steps) < STEPS:
                self._steps.setdefault(found["step"], float(found["took"]))
        elif stage in (DONE, FAILED):
            self._end = stage
        elif stage in FINAL_STAGES or (stage == "destroying" and self._stages[-1][0] != "baked"):
            self._end = UNFINISHED  # another call wrote this, with a clock of its own
            return
        else:
            self._stages.append((stage, self._at(found)))
        self._last = max(self._last, self._at(found))

    def _at(self, found: re.Match[str]) -> float:
        """Return the time of a line in seconds after the start, never before that of the line above it."""
        at = float(found["at"]) - self._offset if found["stage"] else _time(found["stamp"]) - self._began
        return max(self._last, at)

    def life(self) -> Life | None:
        """Return what was read; None if the log has no usable time."""
        if not math.isfinite(self._began):
            return None
        ends = [*(at for _, at in self._stages[1:]), self._last]
        spans = [Span(stage, at, end - at) for (stage, at), end in zip(self._stages, ends, strict=True)]
        life = Life(self._id, self._began, tuple(spans), self._end or UNFINISHED, self._batch, self._steps)
        # Impossible times would only make a wrong picture.
        return life if sum(self._steps.values()) <= life.seconds + 1 else replace(life, steps={})
