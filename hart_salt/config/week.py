"""
Times that come back every week: ``Sat 02:00-05:00 UTC`` and ``Mon-Fri 08:00``.

The days are ``Mon`` to ``Sun``, ranges and lists of them (``Mon-Fri,Sun``); without days, it is every day. The time
zone is UTC, or a name of the system's time zone database such as ``Europe/Berlin``, whose summer time is followed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from hart_salt.config.settings import as_text, problem

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60  #: minutes
EVERY_DAY = frozenset(range(7))

_TIME = r"([0-2]?\d):([0-5]\d)"
_WRITTEN = re.compile(rf"(?:([A-Za-z][A-Za-z,-]*)\s+)?{_TIME}(?:\s*-\s*{_TIME})?(?:\s+([A-Za-z][\w+/-]*))?")


@dataclass(frozen=True)
class Moment:
    """A time of some days of the week."""

    #: 0 is Monday
    days: frozenset[int]
    #: of the day
    minute: int
    zone: str = "UTC"

    def last(self, now: float) -> float:
        """Return when it last was, in seconds since the epoch; ``now`` itself counts."""
        return max(at for at in _times(self, now, range(-8, 1)) if at <= now)

    def next(self, now: float) -> float:
        """Return when it is next, in seconds since the epoch, later than ``now``."""
        return min(at for at in _times(self, now, range(9)) if at > now)


@dataclass(frozen=True)
class Window:
    """The time from a moment until another one, less than a day later or a whole day."""

    begin: Moment
    #: minutes by the clock on the wall
    length: int

    def is_open(self, now: float) -> bool:
        """Return whether ``now``, in seconds since the epoch, is within it; its end is not."""
        return self.end(now) > now

    def end(self, now: float) -> float:
        """Return when the window that began last ends, in seconds since the epoch."""
        zone = _zone(self.begin.zone)
        begun = datetime.fromtimestamp(self.begin.last(now), zone)
        wall = begun.replace(tzinfo=None) + timedelta(minutes=self.length)
        return wall.replace(tzinfo=zone).timestamp()

    def opens(self, now: float) -> float:
        """Return when it opens next, in seconds since the epoch; ``now`` if it is open."""
        return now if self.is_open(now) else self.begin.next(now)


def _times(moment: Moment, now: float, days: range) -> list[float]:
    zone = _zone(moment.zone)
    today = datetime.fromtimestamp(now, zone).date()
    found = []
    for number in days:
        date = today + timedelta(days=number)
        if date.weekday() in moment.days:
            wall = datetime(date.year, date.month, date.day, moment.minute // 60, moment.minute % 60, tzinfo=zone)
            found.append(wall.timestamp())
    return found


@cache
def _zone(name: str) -> tzinfo:
    return timezone.utc if name == "UTC" else ZoneInfo(name)


def as_moment(value: Any) -> Moment:
    """Return a time of the week, given as text such as ``Mon-Fri 08:00``."""
    if isinstance(value, Moment):
        return value
    moment, end = _parsed(value)
    if end is not None:
        raise problem("must be one time, such as 'Mon-Fri 08:00'")
    return moment


def as_window(value: Any) -> Window:
    """Return a window, given as text such as ``Sat 02:00-05:00 UTC``."""
    if isinstance(value, Window):
        return value
    moment, end = _parsed(value)
    if end is None:
        raise problem("must have a beginning and an end, such as 'Sat 02:00-05:00 UTC'")
    return Window(moment, (end - moment.minute - 1) % DAY + 1)


def _parsed(value: Any) -> tuple[Moment, int | None]:
    """Return a moment, and the minute of the day at which it ends, if the text has one."""
    found = _WRITTEN.fullmatch(as_text(value))
    if found is None:
        raise problem("must be a time of the week in quotes, such as 'Sat 02:00-05:00 UTC' or 'Mon-Fri 08:00'")
    days, hour, minute, end_hour, end_minute, zone = found.groups()
    end = _minute(end_hour, end_minute, last=DAY) if end_hour else None
    return Moment(_days(days), _minute(hour, minute, last=DAY - 1), _zone_name(zone)), end


def _minute(hour: str, minute: str, last: int) -> int:
    found = int(hour) * 60 + int(minute)
    if found > last:
        raise problem("has a time that does not exist")
    return found


def _days(text: str | None) -> frozenset[int]:
    if text is None or text.lower() == "daily":
        return EVERY_DAY
    found: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise problem("has days that are not known: they are Mon to Sun, such as Mon-Fri or Sat,Sun")
        begin, end = DAYS.index(first), DAYS.index(last if dash else first)
        found |= {day % 7 for day in range(begin, end + 1 + (7 if end < begin else 0))}
    return frozenset(found)


def _zone_name(text: str | None) -> str:
    if text is None or text.upper() in ("UTC", "Z"):
        return "UTC"
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # no such zone, a path, a directory
        raise problem(_NO_ZONE) from None
    return text


_NO_ZONE = "has a time zone that this system does not know: write UTC, or a name such as Europe/Berlin"
