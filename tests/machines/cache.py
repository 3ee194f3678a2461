"""A cache for builds that take minutes, by a hash of everything that goes into them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

UNUSED = 30 * 86400


def directory() -> Path:
    """Return the directory of the builds, below the user's cache directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hart-salt" / "cloud"


def key(*parts: str | bytes) -> str:
    """
    Return a short hash of ``parts``.

    The length of each part is hashed with it, so different parts cannot add up to the same text.
    """
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()[:16]


def built(name: str, build: Callable[[Path], None]) -> Path:
    """
    Return the directory ``name``; ``build`` fills it if it does not exist.

    The directory gets its name when the build is complete, so an interrupted build is never used. A lock makes a second
    process wait for the first. The next build removes what an interrupted one left.
    """
    ready = directory() / name
    ready.parent.mkdir(parents=True, exist_ok=True)
    with locked(ready.parent / f"{name}.lock"):
        if ready.exists():
            return ready
        _forget_unused()
        unfinished = ready.parent / f"{name}.unfinished"
        remove(unfinished)
        unfinished.mkdir()
        try:
            build(unfinished)
            unfinished.rename(ready)
        finally:
            remove(unfinished)
    return ready


def _forget_unused() -> None:
    """Remove builds that were not used for 30 days: every change of an input leaves an old build behind."""
    for lock in directory().glob("*.lock"):
        if time.time() - lock.stat().st_mtime > UNUSED:
            remove(lock.with_suffix(""))
            lock.unlink()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """
    Hold the lock of a file.

    The kernel releases it when the process ends, for whatever reason. The file's modification time is the last use.
    """
    with path.open("a") as file:
        os.utime(path)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove(path: Path) -> None:
    """Remove a directory tree, which may be a machine's files. It is no error if it does not exist."""
    # Much faster than shutil, and it stays on one file system if something is mounted in the tree.
    run("rm", "--recursive", "--force", "--one-file-system", "--", path)


def run(*command: str | Path, cwd: Path | None = None, stdin: bytes = b"", timeout: float = 900) -> str:
    """
    Run a command of a build and return its output.

    Raises ``RuntimeError`` with the end of the output if the command fails.
    """
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, input=stdin, capture_output=True, timeout=timeout, check=False,
    )  # fmt: skip
    if done.returncode:
        output = (done.stdout + done.stderr).decode(errors="replace")
        raise RuntimeError(f"{' '.join(map(str, command))} failed ({done.returncode}):\n{output[-3000:]}")
    return done.stdout.decode(errors="replace")
