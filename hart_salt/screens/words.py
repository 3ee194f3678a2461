"""Numbers, prices and times in words, for people."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime

UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def number(value: float | None) -> str:
    """Return a number without a useless fraction; empty for None."""
    return "" if value is None else f"{value:g}"


def memory(megabytes: float | None) -> str:
    """Return a size of memory, in GB from 1024 MB on."""
    if megabytes is None:
        return ""
    return f"{megabytes:g} MB" if megabytes < 1024 else f"{megabytes / 1024:.3g} GB"


def price(value: float | None, currency: str | None) -> str:
    """Return an amount, such as ``$6.00`` or ``EUR 3.49``; empty if it is unknown."""
    if value is None:
        return ""
    return f"${value:,.2f}" if currency in (None, "USD") else f"{currency} {value:,.2f}"


def prices(totals: Mapping[str, float]) -> str:
    """Return amounts in several currencies, such as ``$12.00 and EUR 3.49``."""
    return " and ".join(price(value, currency) for currency, value in sorted(totals.items())) or "$0.00"


def duration(seconds: float) -> str:
    """Return a duration: ``7 s``, ``3 min 20 s``, ``2 d 4 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    left, parts = round(seconds), []
    for size, unit in UNITS:
        if left >= size:
            parts.append(f"{left // size} {unit}")
        left %= size
    return " ".join(parts[:2])


def age(created: str | float | None, now: float | None = None) -> str:
    """
    Return how long ago a time was, in one unit, such as ``3 h``; empty if it is unknown.

    ``created`` is in seconds since the epoch, or ISO 8601. ``now`` is in seconds since the epoch (default: now).
    """
    seconds = moment(created)
    return "" if seconds is None else _in_one_unit((time.time() if now is None else now) - seconds)


def until(ends: str | float | None, now: float | None = None) -> str:
    """Return how long it is until a time, as for ``age``; ``passed`` if it has passed."""
    seconds = moment(ends)
    if seconds is None:
        return ""
    left = seconds - (time.time() if now is None else now)
    return _in_one_unit(left) if left > 0 else "passed"


def _in_one_unit(seconds: float) -> str:
    past = max(0, round(seconds))
    size, unit = next(((size, unit) for size, unit in UNITS if past >= 2 * size), UNITS[-1])
    return f"{past // size} {unit}"


def moment(created: str | float | None) -> float | None:
    """Return a time in seconds since the epoch, from that or from ISO 8601; None if it is unknown."""
    if not isinstance(created, str):
        return created
    try:
        return datetime.fromisoformat(created.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: ``1 node``, ``3 nodes``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(counts: Iterable[tuple[str, int]]) -> str:
    """Return counts, such as ``2 ready, 1 failed``; those of zero are left out."""
    return ", ".join(f"{count} {word}" for word, count in counts if count)
