"""
The limit for calls that change something: no more than ``max_calls`` of them run at the same time on this machine.

Each such call has a ticket: a numbered file that it keeps locked with ``flock``, named ``.waits`` at first and
``.runs`` later. The call runs as soon as the number of calls that run, plus those that wait and began before it, is
below ``max_calls``. So calls run in the order in which they began. The kernel unlocks the ticket of a call that dies,
and a call that was stopped while it waited occupies one slot at most.

A call that only waits for states or functions of the operator on its nodes gives its slot back, because these may need
another call of hart. Later it continues before all calls that have not run yet.

Calls of a reactor wait before they import anything, so this module imports nothing heavy either.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hart_salt.base import signals
from hart_salt.base.concurrency import MAX_CALLS
from hart_salt.base.errors import EnvironmentFault
from hart_salt.base.streams import print_stderr
from hart_salt.inventory.flocks import usable

LIMIT, DOOR, WAITS, RUNS = "limit", "door", ".waits", ".runs"
PAUSE = 0.25  #: seconds between two looks of the next call in the queue
LONGEST_PAUSE = 2.0  #: of the last one

#: the slot of this thread's call
_own = threading.local()


class Slots:
    """The slots of one machine, below a master's cachedir."""

    def __init__(
        self, cachedir: str, sleep: Callable[[float], None] = time.sleep, say: Callable[[str], None] = print_stderr
    ) -> None:
        self._directory = Path(cachedir) / "hart" / "calls"
        self._sleep = sleep
        self._say = say

    @contextmanager
    def call(self) -> Iterator[Slot]:
        """
        Mark the block as one call of hart, and release its slot at the end; see ``own``.

        A call within another call of the same thread uses the slot of that one.
        """
        outer = getattr(_own, "slot", None)
        if outer is not None:
            yield outer
            return
        _own.slot = slot = self.ticket()
        try:
            yield slot
        finally:
            _own.slot = None
            slot.release()

    def ticket(self) -> Ticket:
        """Return the slot of a new call, which is free."""
        return Ticket(self._directory, self._sleep, self._say)

    def seen(self) -> tuple[int, int]:
        """Return how many calls run and how many wait now."""
        running, waiting = (sum(map(_is_locked, _tickets(self._directory, kind).values())) for kind in (RUNS, WAITS))
        return running, waiting


class Slot:
    """The slot of a caller without a limit: there is always one."""

    def take(self, limit: int) -> bool:
        """
        Wait until this call is one of at most ``limit`` that run. A call that has a slot keeps it.

        Returns whether it had to wait.
        """
        return False

    def take_early(self) -> None:
        """Wait in the same way, before the configuration has been read, with the limit that the last call had."""

    def release(self) -> None:
        """Let another call run, until the next ``take``. A slot that is free stays free."""


def own() -> Slot:
    """Return the slot of this thread's call; outside of ``Slots.call`` there is no limit."""
    slot: Slot | None = getattr(_own, "slot", None)
    return Slot() if slot is None else slot


class Ticket(Slot):
    """The slot of one call: free, waited for, or taken."""

    def __init__(self, directory: Path, sleep: Callable[[float], None], say: Callable[[str], None]) -> None:
        self._directory = directory
        self._sleep = sleep
        self._say = say
        self._number = 0
        self._descriptor: int | None = None
        self._path = directory
        #: the limit with which the slot was taken; 0 if it is not
        self._limit = 0

    def take(self, limit: int) -> bool:
        """
        Wait for the slot. A signal ends the wait.

        If the files cannot be written, the call runs without a slot.
        """
        self._remember(limit)
        return self._wait(lambda: limit)

    def take_early(self) -> None:
        """Wait for the slot, with the limit that the last call had."""
        self._wait(self._last_limit)

    def release(self) -> None:
        """Let another call run."""
        descriptor, self._descriptor, self._limit = self._descriptor, None, 0
        if descriptor is not None:
            with contextlib.suppress(OSError):  # the next call removes it
                self._path.unlink(missing_ok=True)
            # Processes that were forked in the meantime have the descriptor, too; unlocking it works for all of them.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _wait(self, limit: Callable[[], int]) -> bool:
        if self._limit and self._limit <= limit():
            return False
        waited = False
        try:
            with signals.heard() as hearing:
                self._queue()
                while not self._run(now := limit()):
                    if not waited:
                        running = "1 call is" if now == 1 else f"{now} calls are"
                        self._say(f"hart: waiting: {running} running (max_calls)")
                    waited = True
                    hearing.check()
                    self.pause(min(LONGEST_PAUSE, PAUSE * max(1, 1 + self._before() - now)))
        except EnvironmentFault:
            # Another part of the call reports the fault, if it matters there: a destroy works on a full disk.
            self.release()
        except BaseException:
            self.release()
            raise
        return waited

    def pause(self, seconds: float) -> None:
        """Wait until the next look."""
        self._sleep(seconds)

    def _queue(self) -> None:
        """Get a ticket: at first the one after the last, later the same one again. Remove those of dead calls."""
        if self._descriptor is not None:  # the limit is lower than it was
            with self._door():
                self._rename(WAITS)
            return
        with usable(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._door(), usable(self._directory):
            tickets = {**_tickets(self._directory, RUNS), **_tickets(self._directory, WAITS)}
            for path in tickets.values():
                _remove_unlocked(path)
            # The time, because a call can continue with its number when no ticket is left; nothing must be stored.
            self._number = self._number or max(time.time_ns(), 1 + max(tickets, default=0))
            self._path = self._directory / f"{self._number}{WAITS}"
            self._descriptor = _open(self._path)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def _run(self, limit: int) -> bool:
        """Change from waiting to running, if it is this call's turn, and return whether it is."""
        if self._before() >= limit:  # a look without the lock, which is hardly ever held for this reason
            return False
        with self._door():
            if self._before() >= limit:
                return False
            self._rename(RUNS)
        self._limit = limit
        return True

    def _rename(self, kind: str) -> None:
        new = self._path.with_suffix(kind)
        with usable(new):
            self._path = self._path.rename(new)

    def _before(self) -> int:
        """Return how many other calls run, or wait and began before this one."""
        running, waiting = _tickets(self._directory, RUNS), _tickets(self._directory, WAITS)
        others = [path for number, path in running.items() if number != self._number]
        others += [path for number, path in waiting.items() if number < self._number]
        return sum(map(_is_locked, others))

    @contextmanager
    def _door(self) -> Iterator[None]:
        """Hold the lock that each call holds for a moment only."""
        with usable(self._directory / DOOR):
            descriptor = _open(self._directory / DOOR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _remember(self, limit: int) -> None:
        """Write the limit for ``take_early``. If that fails, calls of a reactor only wait at a later point."""
        path = self._directory / LIMIT
        if limit == self._last_limit():
            return
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = path.with_name(f".{LIMIT}.{os.getpid()}.{threading.get_ident()}")
            new.write_text(str(limit))
            new.rename(path)

    def _last_limit(self) -> int:
        try:
            text = (self._directory / LIMIT).read_text()
        except (OSError, UnicodeDecodeError):
            return MAX_CALLS
        return max(1, int(text)) if text.isdecimal() else MAX_CALLS


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _tickets(directory: Path, kind: str) -> dict[int, Path]:
    """Return the tickets of a kind by their numbers."""
    with usable(directory):
        paths = list(directory.glob(f"*{kind}"))
    return {int(path.stem): path for path in paths if path.stem.isdecimal()}


def _is_locked(path: Path) -> bool:
    return not _try(path, fcntl.LOCK_SH, lambda: None)


def _remove_unlocked(path: Path) -> None:
    _try(path, fcntl.LOCK_EX, lambda: path.unlink(missing_ok=True))


def _try(path: Path, kind: int, work: Callable[[], None]) -> bool:
    """Do the work with the file locked, if it exists, and return True; return False if another call has locked it."""
    with usable(path):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            work()
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
    return True
