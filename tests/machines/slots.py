"""
A number for each session of machines on this host, and the cleanup after dead sessions.

Everything that a session creates outside its own directory has the slot's number in its name. So two sessions never
conflict, and what a killed session left is recognised without a record.
"""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path
from typing import IO

from tests.machines import cache, cgroups, links

#: for the whole host, whichever cache directory is used; empty after a reboot, as the links are gone then
DIRECTORY = Path("/run/hart-cloud")
COUNT = 32


class Slot:
    """One number, held by a lock that the kernel releases when the process ends, for whatever reason."""

    def __init__(self, number: int, lock: IO[str]) -> None:
        self.number = number
        self._lock = lock
        self._note = DIRECTORY / f"{number}.directory"

    @property
    def prefix(self) -> str:
        """The prefix of the names of links and namespaces."""
        return f"hart{self.number}"

    @property
    def cgroup(self) -> Path:
        """The parent of the machines' cgroups."""
        return cgroups.make(f"hart-cloud-{self.number}")

    def use(self, directory: Path) -> None:
        """Note the directory of the session's files before there are any."""
        self._note.write_text(str(directory))

    def clear(self) -> None:
        """Remove everything with the slot's name: processes first, since they use the rest."""
        cgroups.end(self.cgroup)
        links.clear(self.prefix)
        if self._note.exists():
            cache.remove(Path(self._note.read_text()))
            self._note.unlink()

    def release(self) -> None:
        """Release the number."""
        (DIRECTORY / f"{self.number}.lock").unlink()
        self._lock.close()
        with contextlib.suppress(OSError):  # another session uses it
            DIRECTORY.rmdir()


def take() -> Slot:
    """Clean up after dead sessions, and take a number that no living process holds."""
    clear()
    for number in range(COUNT):
        lock = None if links.in_use(number) else _lock(number)
        if lock is not None:
            return Slot(number, lock)
    raise RuntimeError(f"{COUNT} sessions of machines run on this host, or its networks leave no room")


def clear() -> None:
    """Clean up after dead sessions."""
    for path in DIRECTORY.glob("*.lock"):
        lock = _lock(int(path.stem))
        if lock is not None:
            slot = Slot(int(path.stem), lock)
            slot.clear()
            slot.release()


def _lock(number: int) -> IO[str] | None:
    """Lock the file of a number; return None if a living process holds it or is releasing it."""
    path = DIRECTORY / f"{number}.lock"
    try:
        DIRECTORY.mkdir(exist_ok=True)
        file = path.open("a")
    except OSError:
        return None
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have removed the file between open and lock; then this lock protects nothing.
        if path.stat().st_ino == Path(f"/proc/self/fd/{file.fileno()}").stat().st_ino:
            return file
    file.close()
    return None
