"""
DigitalOcean's rate limits.

5000 calls an hour and 250 a minute for each token; ``GET /v2/account/keys`` 10 times in 60 seconds. Each
answer has the number of calls left in the hour and the time when the oldest one expires. Only answers to a burst have
Retry-After.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field

from tests.drivers.do.emulator.state import Settings

HOUR = 3600.0
MINUTE = 60.0


@dataclass
class Limits:
    """The calls of the last hour, by token."""

    _calls: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _key_lists: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def refusal(self, token: str, is_key_list: bool, now: float, settings: Settings) -> dict[str, str] | None:
        """Count a call and return None, or return the extra headers of a 429; such a call does not count."""
        calls = _recent(self._calls[token], now, HOUR)
        lists = _recent(self._key_lists[token], now, MINUTE)
        burst = [moment for moment in calls if moment > now - MINUTE]
        if settings.hourly_limit is not None and len(calls) >= settings.hourly_limit:
            return {}
        if settings.minute_limit is not None and len(burst) >= settings.minute_limit:
            return {"retry-after": _until(burst[0] + MINUTE, now)}
        if is_key_list and settings.key_lists_limit is not None and len(lists) >= settings.key_lists_limit:
            return {"retry-after": _until(lists[0] + MINUTE, now)}
        calls.append(now)
        if is_key_list:
            lists.append(now)
        return None

    def headers(self, token: str, now: float, settings: Settings) -> dict[str, str]:
        """Return the headers of every answer."""
        calls = _recent(self._calls[token], now, HOUR)
        limit = settings.hourly_limit if settings.hourly_limit is not None else 5000
        return {
            "ratelimit-limit": str(limit),
            "ratelimit-remaining": str(max(0, limit - len(calls))),
            "ratelimit-reset": str(math.ceil((calls[0] if calls else now) + HOUR)),
        }


def _recent(calls: deque[float], now: float, seconds: float) -> deque[float]:
    while calls and calls[0] <= now - seconds:
        calls.popleft()
    return calls


def _until(moment: float, now: float) -> str:
    return str(max(1, math.ceil(moment - now)))
