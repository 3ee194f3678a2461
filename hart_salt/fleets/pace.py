"""How fast the engine may look: back-off after failures, and a limit for the looks that events ask for."""

from __future__ import annotations

import random
from collections.abc import Callable

LONGEST = 900.0  #: seconds of the longest back-off
JITTER = 0.1  #: the part of a pause by which it varies, so that several masters do not look at the same moment
LEAST = 5.0  #: seconds: the shortest interval, and the shortest time between two looks
#: looks ahead of time: so many at once, and one more for each ``REFILL`` seconds
BURST = 10
REFILL = 60.0


def back_off(interval: float, failures: int, jitter: Callable[[], float] = random.random) -> float:
    """
    Return the seconds until the next attempt: the interval, doubled for each failure in a row, at most 15 minutes.

    An interval that is longer than that stays as it is. ``jitter`` returns a number between 0 and 1.
    """
    if failures <= 0:
        return interval
    longest = max(LONGEST, interval)
    seconds = min(longest, interval * 2.0 ** min(failures, 30))
    return seconds * (1 - JITTER + 2 * JITTER * jitter())


def pause(interval: float, took: float) -> float:
    """Return the seconds until the next look after one that took so long; there is always some time between two."""
    return max(interval - took, min(interval, LEAST))


class EarlyLooks:
    """
    The limit of looks that events ask for.

    Any minion can fire any event as often as it likes, so an event only makes the next look earlier: at most one look
    in 5 seconds, and ``BURST`` + 60 in an hour.
    """

    def __init__(self, now: float) -> None:
        self._left = float(BURST)
        self._counted = now
        self._last = now - LEAST

    def ready_in(self, now: float) -> float:
        """Return the seconds until the next early look is possible; 0: now."""
        self._count(now)
        for_one = 0.0 if self._left >= 1 else (1 - self._left) * REFILL
        return max(0.0, for_one, self._last + LEAST - now)

    def take(self, now: float) -> None:
        """Note an early look."""
        self._count(now)
        self._left -= 1
        self._last = now

    def looked(self, now: float) -> None:
        """Note that a look of any kind has ended: the next early one comes 5 seconds later."""
        self._last = now

    def _count(self, now: float) -> None:
        self._left = min(float(BURST), self._left + (now - self._counted) / REFILL)
        self._counted = now
