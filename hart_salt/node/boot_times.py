"""
How long an instance took to run the last time, so that the next call need not ask for it before.

It is a hint that only saves calls: nothing depends on it, so every failure of its file is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from hart_salt.base.hints import HintFile
from hart_salt.model import Node

LONGEST = 30.0  #: seconds; the longest wait before the first look, however long an instance took
#: a first look that finds the instance running may have come too late: the next one comes this much earlier
EARLIER = 0.95
SHORTEST = 1.0  #: seconds; where instances run sooner, there is nothing to save
KEPT = 50  #: kinds of instances that are remembered for each provider


class BootTimes:
    """The time that instances of one provider, region, size and image take until they run."""

    def __init__(self, cachedir: str, node: Node) -> None:
        self._file = HintFile(Path(cachedir) / "hart" / "boot" / f"{node.provider}.json", KEPT)
        # The next bake of a role boots like the last one.
        image = f"baked {node.role}" if node.baked else node.settings.image
        self._kind = f"{node.region} {node.size} {image}"

    def looks(self, unknown: Sequence[float] = (0.0,)) -> Sequence[float]:
        """
        Return when the first looks are worthwhile, in seconds after the first create call.

        That is one look if it is known how long such instances take, otherwise ``unknown`` (default: at once).
        """
        seconds = self._file.read().get(self._kind)
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
            return unknown
        return (min(float(seconds), LONGEST),) if seconds > 0 else unknown

    def learn(self, seconds: float | None, *, at_once: bool) -> None:
        """
        Store when the first instance of a call was seen running, in seconds after its create call; None for never.

        ``at_once`` says that already the first look saw it, so it may have run for a while.
        """
        if seconds is None or seconds < SHORTEST:
            return
        self._file.put(self._kind, round(seconds * EARLIER if at_once else seconds, 2))
