"""Lengths of time as people write them: ``30d``, ``8h``, ``10m``, ``45s``, ``1h30m``, or a number of seconds."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import PlainValidator

from hart_salt.config.values import as_number, problem

#: seconds of each unit
UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
#: the longest length of time that is accepted, in seconds: a hundred years
LONGEST = 100 * 365 * 86400.0
HINT = "must be a length of time such as 30d, 8h, 10m, 45s or 1h30m"

_WRITTEN = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?")


def as_duration(value: Any) -> float:
    """Return a length of time above 0 in seconds; a bare number is a number of seconds."""
    seconds = _seconds(value)
    if seconds is None:
        raise problem(HINT)
    if not 0 < seconds <= LONGEST:
        raise problem("must be longer than 0 and at most 100 years")
    return seconds


def as_duration_or_zero(value: Any) -> float:
    """Return a length of time in seconds, which can be 0."""
    return 0.0 if _seconds(value) == 0 else as_duration(value)


def _seconds(value: Any) -> float | None:
    number = as_number(value)
    if isinstance(number, int | float) and not isinstance(number, bool):
        return float(number) if abs(number) <= LONGEST * 10 else None
    text = value.strip().lower() if isinstance(value, str) else ""
    found = _WRITTEN.fullmatch(text)
    if not text or found is None:
        return None
    return float(sum(int(part or 0) * unit for part, unit in zip(found.groups(), UNITS.values(), strict=True)))


def words(seconds: float) -> str:
    """Return a length of time for people, with its two largest units, such as ``1d 4h``."""
    rest, parts = round(max(0.0, seconds)), []
    for unit, length in UNITS.items():
        number, rest = divmod(rest, length)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"


Duration = Annotated[float, PlainValidator(as_duration)]
DurationOrZero = Annotated[float, PlainValidator(as_duration_or_zero)]
