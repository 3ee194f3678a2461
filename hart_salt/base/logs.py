"""
The directory for the nodes' logs, chosen once per call, and the removal of old logs.

In Salt's own packages ``/var/log/salt`` belongs to root, while salt-master and salt-run run as the user ``salt``: there
the logs go below the cachedir, which belongs to that user.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from hart_salt.base import faults

#: the end of the last line of a log that may be removed once it is old enough
SUCCESS = "done"


@dataclass(frozen=True)
class LogDirectory:
    """The directory of the logs. ``note`` says why it is not next to the master's own log; empty if it is."""

    path: str
    note: str = ""
    #: the directory that another call may choose, since the choice depends on rights and on room; None: there is none
    other: str | None = None


def choose(log_file: str, cachedir: str) -> LogDirectory:
    """
    Return the directory ``hart`` next to the master's log, or ``hart/log`` below the cachedir. Nothing is written.

    ``log_file`` is the master's own log as configured; a value that is not a file's path, such as ``file:///dev/log``,
    has no directory. ``cachedir`` is the master's.
    """
    fallback = str(Path(cachedir) / "hart" / "log")
    if not log_file.startswith("/"):
        return LogDirectory(fallback, "the master does not log to a file")
    wanted = Path(log_file).parent / "hart"
    problem = _problem(wanted)
    if problem:
        return LogDirectory(fallback, f"because {problem}", str(wanted))
    return LogDirectory(str(wanted), other=fallback)


def _problem(directory: Path) -> str:
    """Return why this user cannot create or write logs in a directory; empty if no reason is known."""
    place = directory
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not stat.S_ISDIR(faults.mode_of(place)):
        return f"{place} is not a directory that the user {faults.user()} can read"
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        return f"{place} cannot be written by the user {faults.user()}"
    with contextlib.suppress(OSError):
        room = os.statvfs(place)
        if room.f_blocks and not (room.f_bavail if os.geteuid() else room.f_bfree):
            return f"the file system of {place} is full"
    return ""


def remove_old_logs(log_dir: str, keep_days: float, now: float) -> None:
    """Remove logs of successful nodes that are older than ``keep_days``; logs of failures stay."""
    with contextlib.suppress(OSError):
        for path in Path(log_dir).glob("*.log"):
            with contextlib.suppress(OSError):  # a log that cannot be read or removed must not stop anything
                if now - path.stat().st_mtime > keep_days * 86400 and _ended_well(path):
                    path.unlink(missing_ok=True)


def _ended_well(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 200))
        lines = file.read().decode(errors="replace").splitlines()
    return bool(lines) and f"== {SUCCESS} at " in lines[-1]
