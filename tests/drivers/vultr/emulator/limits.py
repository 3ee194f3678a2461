"""Vultr's rate limit: 30 calls a second for each client address."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field

SECOND = 1.0


@dataclass
class Limits:
    """The calls of the last second, by client address."""

    _calls: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def refuses(self, client: str, now: float, limit: int | None) -> bool:
        """Return whether a call is refused, which means to wait for a second; count it if it is not."""
        calls = self._calls[client]
        while calls and calls[0] <= now - SECOND:
            calls.popleft()
        if limit is not None and len(calls) >= limit:
            return True
        calls.append(now)
        return False
