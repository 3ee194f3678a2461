"""Hetzner's rate limit: 3600 calls an hour for each project, and each second allows one more of them (docs)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Limits:
    """The calls that a project has left."""

    left: float = 0.0
    since: float | None = None

    def refuses(self, now: float, burst: int | None) -> bool:
        """Return whether a call is refused, and count it if it is not."""
        if burst is None:
            return False
        self.left = float(burst) if self.since is None else min(burst, self.left + now - self.since)
        self.since = now
        if self.left < 1:
            return True
        self.left -= 1
        return False

    def headers(self, now: float, burst: int | None) -> dict[str, str]:
        """Return the headers of every answer; the reset is when all calls are available again."""
        limit = burst or 3600
        left = int(self.left) if burst else limit
        return {"ratelimit-limit": str(limit), "ratelimit-remaining": str(left),
                "ratelimit-reset": str(int(now + limit - left))}  # fmt: skip
