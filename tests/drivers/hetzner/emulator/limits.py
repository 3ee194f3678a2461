"""Hetzner's rate limit: 3600 calls an hour for a project, of which one more is allowed each second (docs)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Limits:
    """The calls of a project that are left."""

    left: float = 0.0
    since: float | None = None

    def refuses(self, now: float, burst: int | None) -> bool:
        """Count a call, unless it is refused."""
        if burst is None:
            return False
        self.left = float(burst) if self.since is None else min(burst, self.left + now - self.since)
        self.since = now
        if self.left < 1:
            return True
        self.left -= 1
        return False

    def headers(self, now: float, burst: int | None) -> dict[str, str]:
        """What every answer has: the reset is when all calls are there again."""
        limit = burst or 3600
        left = int(self.left) if burst else limit
        return {"ratelimit-limit": str(limit), "ratelimit-remaining": str(left),
                "ratelimit-reset": str(int(now + limit - left))}  # fmt: skip
