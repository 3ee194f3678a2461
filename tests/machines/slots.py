"""
A number for each session of machines on this host, and what a dead session left.

Everything that a session makes outside its own directory has the slot's number in its name, so two sessions
never meet, and what belongs to a session that was killed is known without any record of it.
"""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path
from typing import IO

from tests.machines import cache, cgroups, links

#: for the whole host, whoever's cache directory is used; empty after a reboot, as the links are
DIRECTORY = Path("/run/hart-cloud")
COUNT = 32


class Slot:
    """One number, held by a lock that the kernel releases when the process ends, however it ends."""

    def __init__(self, number: int, lock: IO[str]) -> None:
        self.number = number
        self._lock = lock
        self._note = DIRECTORY / f"{number}.directory"

    @property
    def prefix(self) -> str:
        """What the names of links and namespaces begin with."""
        return f"hart{self.number}"

    @property
    def cgroup(self) -> Path:
        """The cgroup above those of the machines."""
        return cgroups.make(f"hart-cloud-{self.number}")

    def use(self, directory: Path) -> None:
        """Note where the session's files are, before there are any."""
        self._note.write_text(str(directory))

    def clear(self) -> None:
        """Remove everything that the slot's name is on: processes first, for they hold the rest."""
        cgroups.end(self.cgroup)
        links.clear(self.prefix)
        if self._note.exists():
            cache.remove(Path(self._note.read_text()))
            self._note.unlink()

    def release(self) -> None:
        """Give the number back."""
        (DIRECTORY / f"{self.number}.lock").unlink()
        self._lock.close()
        with contextlib.suppress(OSError):  # another session is there
            DIRECTORY.rmdir()


def take() -> Slot:
    """Clear what dead sessions left, and take a number that no living process holds."""
    clear()
    for number in range(COUNT):
        lock = None if links.in_use(number) else _lock(number)
        if lock is not None:
            return Slot(number, lock)
    raise RuntimeError(f"{COUNT} sessions of machines run on this host, or its networks leave no room")


def clear() -> None:
    """Clear what dead sessions left."""
    for path in DIRECTORY.glob("*.lock"):
        lock = _lock(int(path.stem))
        if lock is not None:
            slot = Slot(int(path.stem), lock)
            slot.clear()
            slot.release()


def _lock(number: int) -> IO[str] | None:
    """Lock a number's file; return None if a living process has it, or is releasing it."""
    path = DIRECTORY / f"{number}.lock"
    try:
        DIRECTORY.mkdir(exist_ok=True)
        file = path.open("a")
    except OSError:
        return None
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another may have removed the file between the open and the lock; then this lock is on nothing.
        if path.stat().st_ino == Path(f"/proc/self/fd/{file.fileno()}").stat().st_ino:
            return file
    file.close()
    return None
