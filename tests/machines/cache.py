"""What takes minutes to build is kept by the hash of everything that went into it."""

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
    """Return where builds are kept: below the user's cache directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hart-salt" / "cloud"


def key(*parts: str | bytes) -> str:
    """Return a short name for these ingredients; the length of each goes in, so none runs into the next."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()[:16]


def built(name: str, build: Callable[[Path], None]) -> Path:
    """
    Return the directory ``name``, which ``build`` fills if it is not there yet.

    It gets its name when it is complete, so one that was interrupted never looks like one. The lock makes a
    second process wait for the first; what an interrupted build left is removed by the next one.
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
    """Remove builds that nobody asked for in a month: each change of what goes in leaves one."""
    for lock in directory().glob("*.lock"):
        if time.time() - lock.stat().st_mtime > UNUSED:
            remove(lock.with_suffix(""))
            lock.unlink()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock; the kernel gives it back when the process ends, however it ends. Its time is the last use."""
    with path.open("a") as file:
        os.utime(path)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove(path: Path) -> None:
    """Remove a tree, which may hold a machine's files. Nothing there is success."""
    # Far quicker than shutil's, and never beyond the file system, should something be mounted in it.
    run("rm", "--recursive", "--force", "--one-file-system", "--", path)


def run(*command: str | Path, cwd: Path | None = None, stdin: bytes = b"", timeout: float = 900) -> str:
    """Run a command of a build to its end and return its output; the end of it is in the error if it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, input=stdin, capture_output=True, timeout=timeout, check=False,
    )  # fmt: skip
    if done.returncode:
        output = (done.stdout + done.stderr).decode(errors="replace")
        raise RuntimeError(f"{' '.join(map(str, command))} failed ({done.returncode}):\n{output[-3000:]}")
    return done.stdout.decode(errors="replace")
