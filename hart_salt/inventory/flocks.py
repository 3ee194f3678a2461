"""
Locks for the masters of one machine: files locked with ``flock``.

The kernel releases a lock when its holder ends, however it ends. The files belong to this machine: masters on other
machines do not see them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from hart_salt.base import faults
from hart_salt.base.errors import EnvironmentFault
from hart_salt.base.stopping import Stop
from hart_salt.inventory.locks import BatchClaim, at_work, is_own
from hart_salt.inventory.records import Record

NODE, BATCH, ROLE, SWEEP, ENGINE = ".lock", ".batch", ".role", ".sweep", ".engine"


def directory_of(cachedir: str) -> Path:
    """Return the directory of a master's lock files."""
    return Path(cachedir) / "hart" / "locks"


class FileLocks:
    """This machine's locks, below a master's cachedir. They cannot be lost; see ``locks.Locks``."""

    def __init__(self, cachedir: str, owner: str = "") -> None:
        """Use the files below ``cachedir``; ``owner`` is this master's mark (default: any mark counts as its own)."""
        self._owner = owner
        self.words = "files of this machine"
        self.stop = Stop()
        self._directory = directory_of(cachedir)

    # nodes

    @contextmanager
    def claim(self, minion_id: str, new: Record | None = None) -> Iterator[bool]:
        """
        Hold the lock of a node during an operation on it; ``new`` is not written.

        Raises ``Refused`` if another operation holds it, ``EnvironmentFault`` if the lock cannot be created, as on a
        full disk; so do the other locks.
        """
        with self._held(f"{minion_id}{NODE}", wait=False) as held:
            if not held:
                raise at_work(minion_id)
            yield False

    def busy(self, minion_id: str) -> bool:
        """Return whether a living process holds the node's lock."""
        return is_held(self._directory / f"{minion_id}{NODE}")

    def look(self, records: Mapping[str, Record], batches: Collection[str] = ()) -> FileLocks:
        """Return these locks, which look up every node by itself."""
        return self

    def elsewhere(self, record: Record) -> str:
        """Return nothing: all records belong to this machine."""
        return ""

    @property
    def session(self) -> None:
        """None: records need no name of a call."""
        return

    @property
    def machine(self) -> None:
        """None: a record needs no machine."""
        return

    def check_mine(self, minion_id: str, *, creating: bool = False) -> None:
        """Do nothing: as long as this process lives, it has its locks."""

    def check_alive(self) -> None:
        """Do nothing; see ``check_mine``."""

    def check(self) -> str:
        """Return what the locks are; nothing can be wrong with them."""
        return self.words

    # batches

    @contextmanager
    def batch(self, batch: str, facts: Mapping[str, Any]) -> Iterator[BatchClaim]:
        """
        Hold the claim of a batch: while it is held, everything with the batch's name belongs to a living operation.

        A claim that exists but is not held belongs to a dead operation. ``facts`` say where the sweep must look.
        """
        self._make_directory()
        path = self._directory / f"{batch}{BATCH}"
        new = path.with_name(f".{path.name}.new")
        with usable(path), contextlib.ExitStack() as stack:
            stack.callback(_remove, new)
            file = stack.enter_context(new.open("w"))
            # Locked before it gets its name: nobody ever sees it unlocked while this process lives.
            fcntl.flock(file, fcntl.LOCK_EX)
            json.dump(dict(facts), file)
            file.flush()
            new.rename(path)
            held = stack.pop_all()
        claim = BatchClaim()
        with held:
            try:
                yield claim
            finally:
                if not claim.keep:
                    _remove(path)

    def batch_lives(self, batch: str) -> bool:
        """Return whether a living process holds the batch's claim."""
        return is_held(self._directory / f"{batch}{BATCH}")

    def dead_batches(self) -> dict[str, dict[str, Any]]:
        """Return the batches of this master's operations that died, each with the facts of its claim."""
        found = {}
        for path in self._directory.glob(f"*{BATCH}"):
            with contextlib.suppress(FileNotFoundError):
                if not is_held(path) and is_own(facts := _facts(path), self._owner):
                    found[path.name.removesuffix(BATCH)] = facts
        return found

    def living_batches(self) -> dict[str, dict[str, Any]]:
        """Return the batches of operations that live, each with the facts of its claim."""
        found = {}
        for path in self._directory.glob(f"*{BATCH}"):
            with contextlib.suppress(FileNotFoundError):
                if is_held(path):
                    found[path.name.removesuffix(BATCH)] = _facts(path)
        return found

    @property
    def restores(self) -> None:
        """None: the file of a claim is held by this process."""
        return

    def restore(self, batch: str, records: Iterable[Record]) -> list[str]:
        """Do nothing; see ``restores``."""
        return []

    def forget_batch(self, batch: str) -> None:
        """Remove the claim of a dead batch of which nothing is left."""
        _remove(self._directory / f"{batch}{BATCH}")

    # roles

    @contextmanager
    def role(self, role: str, *, wait: bool) -> Iterator[bool]:
        """
        Hold the lock of a role; yield whether it is held.

        ``wait`` says whether to wait for the holder; without it, False is yielded if another operation holds the lock.
        """
        with self._held(f"{role}{ROLE}", wait=wait) as held:
            yield held

    @contextmanager
    def sweep(self, *, wait: float) -> Iterator[bool]:
        """Hold the lock of the sweep; see ``Locks.sweep``."""
        name, until = f"hart{SWEEP}", time.monotonic() + wait
        while True:
            with self._held(name, wait=False) as held:
                if held or time.monotonic() >= until:
                    yield held
                    return
            time.sleep(0.2)

    def engine(self) -> AbstractContextManager[bool]:
        """Hold the lock of the engine; see ``Locks``."""
        return self._held(f"hart{ENGINE}", wait=False)

    def clear(self) -> None:
        """Remove the lock files of nodes and roles that a dead process left. A file that is held stays."""
        for path in [*self._directory.glob(f"*{NODE}"), *self._directory.glob(f"*{ROLE}")]:
            # Locking it removes it. A file that stays does no harm.
            with contextlib.suppress(EnvironmentFault), self._held(path.name, wait=False):
                pass

    def _held(self, name: str, *, wait: bool) -> AbstractContextManager[bool]:
        self._make_directory()
        return held(self._directory / name, wait=wait)

    def _make_directory(self) -> None:
        make_directory(self._directory)


def make_directory(directory: Path) -> None:
    """Make the directory of lock files. Raises ``EnvironmentFault`` if it cannot be made."""
    with usable(directory):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)


@contextmanager
def held(path: Path, *, wait: bool) -> Iterator[bool]:
    """Lock a file; yield False if another process has it and ``wait`` is False. At the end it is removed."""
    with usable(path):
        descriptor = _lock(path, wait=wait)
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        # Removed while held: a process that opened it in between sees that this path now has another file or none.
        _remove(path)
        os.close(descriptor)


@contextmanager
def abandoned(path: Path) -> Iterator[list[str]]:
    """
    Lock a file whose holder has died and yield its lines; none if a living process, or another user, has it.

    It is removed at the end of the block, but not if that raises.
    """
    try:
        descriptor = _lock(path, wait=False)
    except OSError:
        descriptor = None
    if descriptor is None:
        yield []
        return
    try:
        with usable(path):
            lines = path.read_text(errors="replace").splitlines()
        yield [line for line in lines if line]
        _remove(path)
    finally:
        os.close(descriptor)


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Raise an ``OSError`` of the block as an ``EnvironmentFault``; nothing has been changed by then."""
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(faults.sentence(error, path)) from error


def _remove(path: Path) -> None:
    """Remove a file. A file that stays locks nothing, because the kernel releases the lock."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _facts(path: Path) -> dict[str, Any]:
    """Return the facts of a claim; none if a full disk left it empty."""
    try:
        facts = json.loads(path.read_text())
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def is_held(path: Path) -> bool:
    """Return whether a process has locked the file."""
    with usable(path), contextlib.suppress(FileNotFoundError), path.open() as file:
        return not _flock(file.fileno(), fcntl.LOCK_SH)
    return False


def _lock(path: Path, *, wait: bool) -> int | None:
    """
    Lock the file that is at ``path`` for certain; return None if another operation holds it and ``wait`` is False.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if wait:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        elif not _exclusive(descriptor):
            os.close(descriptor)
            return None
        try:
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _exclusive(descriptor: int) -> bool:
    """Take the lock unless another operation has it; wait for ``busy``, which shares it for a moment."""
    while not _flock(descriptor, fcntl.LOCK_EX):
        if not _flock(descriptor, fcntl.LOCK_SH):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
