"""A cgroup for each machine: it ends every process of the machine, whatever the process did."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path


def root() -> Path | None:
    """Return the mount point of cgroup v2, alone or beside v1, or None."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return Path(fields.split()[4])
    return None


def make(*names: str) -> Path:
    """Create a cgroup and its parents."""
    top = root()
    if top is None:
        raise RuntimeError("no cgroup v2 hierarchy is mounted")
    path = top.joinpath(*names)
    path.mkdir(parents=True, exist_ok=True)
    return path


def end(path: Path, timeout: float = 300) -> None:
    """
    Kill every process in a cgroup and below, wait until they have ended, and remove the cgroup.

    It is no error if the cgroup does not exist.

    Raises ``RuntimeError`` if processes still run after ``timeout`` seconds (default 300).
    """
    if not path.exists():
        return
    deadline = time.monotonic() + timeout
    while path.exists():
        (path / "cgroup.kill").write_text("1")
        _remove(path)
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes in {path} do not end: {processes(path)}")
        time.sleep(0.01)


def _remove(path: Path) -> None:
    below = sorted((entry for entry in path.rglob("*") if entry.is_dir()), reverse=True)
    for entry in [*below, path]:
        with contextlib.suppress(OSError):  # it still has a process, or it is already gone
            entry.rmdir()


def processes(path: Path) -> list[int]:
    """Return the ids of all processes in a cgroup and below."""
    found: list[int] = []
    for file in path.rglob("cgroup.procs"):
        with contextlib.suppress(OSError):
            found += [int(line) for line in file.read_text().split()]
    return found
