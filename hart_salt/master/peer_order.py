"""
The order of other masters' requests: a key is not accepted if the id's keys were deleted after the request was sent.

A request can arrive late, for example at a minion that hung, or while the call that sent it was interrupted. By then
the node can be rolled back or destroyed, and its key deleted here; nothing would ever delete the key again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

DIRECTORY = "hart/peer_deletions"  #: below the cachedir
KEPT = 86400.0  #: seconds for which a deletion is remembered, longer than any request is under way
BOOT = Path("/proc/sys/kernel/random/boot_id")


def uptime() -> float:
    """Return the seconds since this machine was booted, which no correction of its clock changes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Deletions:
    """When the keys of ids were deleted for other masters, in files below the salt-master's cachedir."""

    def __init__(self, cachedir: str, clock: Callable[[], float] = uptime) -> None:
        self._directory = Path(cachedir) / DIRECTORY
        self._clock = clock

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Let one request at a time accept or delete keys. Raises ``OSError`` if the files cannot be used."""
        self._directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def note(self, minion_ids: Iterable[str]) -> None:
        """Note that the keys of these ids are deleted now, and forget old notes."""
        self._forget()
        for minion_id in minion_ids:
            self._path(minion_id).write_text(f"{_boot()} {self._clock()}")

    def after(self, minion_id: str, sent: float) -> bool:
        """Return whether keys of an id were deleted after the uptime ``sent``."""
        at = self._at(self._path(minion_id))
        return at is not None and at >= sent

    def _forget(self) -> None:
        for path in self._directory.glob("*.deleted"):
            at = self._at(path)
            if at is None or at < self._clock() - KEPT:
                path.unlink(missing_ok=True)

    def _at(self, path: Path) -> float | None:
        """Return the uptime in a note; None if there is none since the machine was booted."""
        try:
            boot, at = path.read_text().split()
            return float(at) if boot == _boot() else None
        except (OSError, ValueError):
            return None

    def _path(self, minion_id: str) -> Path:
        """Return the file of an id; its name is a digest, because an id can be as long as a name of a file may be."""
        return self._directory / f"{hashlib.sha256(minion_id.encode()).hexdigest()[:32]}.deleted"


def _boot() -> str:
    try:
        return BOOT.read_text().strip() or "unknown"
    except OSError:
        return "unknown"
