"""Files of this machine that say which sessions have a living process: the kernel unlocks that of a dead one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hart_salt.base import machine
from hart_salt.base.errors import EnvironmentFault
from hart_salt.inventory import flocks

#: the end of the name of a file that is locked as long as the process of a session lives
ALIVE = ".session"


class Files:
    """
    The files of this machine that say which sessions have a living process: each locks its own.

    A file has the names of the leases that its session took, or was about to take, one per line.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._machine = ""
        #: the names in the file of the session that this process has
        self._noted: set[str] = set()

    @property
    def machine(self) -> str:
        """What the names of all sessions of this machine, and of no other, begin with."""
        if not self._machine:
            flocks.make_directory(self._directory)
            self._machine = machine.running_machine(self._directory)
        return self._machine

    @contextmanager
    def alive(self, name: str) -> Iterator[None]:
        """Lock the file of a session. Only a process that takes it for that of a dead one can have it, for a moment."""
        self._noted.clear()
        with flocks.held(self._path(name), wait=True):
            yield

    def note(self, name: str, lease: str) -> None:
        """Write the name of a lease into the file of a session, before the session takes it."""
        path = self._path(name)
        if lease in self._noted or not path.exists():
            return
        with suppress(OSError), path.open("a") as file:  # without a note, its time must pass after a crash
            file.write(f"\n{lease}")
            self._noted.add(lease)

    def is_dead(self, name: str) -> bool:
        """Return whether a session is of this machine and its process has died."""
        if not name.startswith(f"{self.machine}-"):
            return False
        try:
            return not flocks.is_held(self._path(name))
        except EnvironmentFault:  # the file of another user: its lease decides
            return False

    def free_dead(self, free: Callable[[Collection[str], str], None]) -> bool:
        """
        Free the leases of the dead sessions of this machine and remove their files; return whether there were any.

        ``free`` gets the names of the leases that a session may have, and the session. If it fails, the file stays.
        """
        found = False
        for path in self._directory.glob(f"{self.machine}-*{ALIVE}"):
            with flocks.abandoned(path) as names:
                if names:
                    free(names, path.name.removesuffix(ALIVE))
                    found = True
        return found

    def clear(self) -> None:
        """Remove the files of dead sessions."""
        for path in self._directory.glob(f"*{ALIVE}"):
            with flocks.abandoned(path):
                pass

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{ALIVE}"
