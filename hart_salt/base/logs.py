"""
Which directory the nodes' logs go to, decided once for a call, and the removal of old ones.

Salt's own packages have ``/var/log/salt`` belong to root, while salt-master and salt-run run as the user ``salt``:
there the logs go below the cachedir, which is that user's.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from hart_salt.base import faults

#: the end of the last line of a log that may be removed when it is old enough
SUCCESS = "done"


@dataclass(frozen=True)
class LogDirectory:
    """Where the logs go. ``note`` says why not beside the master's own log; empty: they do."""

    path: str
    note: str = ""


def choose(log_file: str, cachedir: str) -> LogDirectory:
    """
    Return the directory ``hart`` beside the master's log, or ``hart/log`` below the cachedir. Nothing is written.

    log_file
        the master's own log, as it is configured; what is no path of a file, such as ``file:///dev/log``, has none
        beside it
    cachedir
        the master's
    """
    fallback = str(Path(cachedir) / "hart" / "log")
    if not log_file.startswith("/"):
        return LogDirectory(fallback, "the master does not log to a file")
    wanted = Path(log_file).parent / "hart"
    problem = _problem(wanted)
    return LogDirectory(fallback, f"since {problem}") if problem else LogDirectory(str(wanted))


def _problem(directory: Path) -> str:
    """Why this user cannot write logs into a directory, or make it; empty where nothing is known against it."""
    place = directory
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not stat.S_ISDIR(faults.mode_of(place)):
        return f"{place} is no directory that the user {faults.user()} can look into"
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        return f"{place} cannot be written by the user {faults.user()}"
    with contextlib.suppress(OSError):
        room = os.statvfs(place)
        if room.f_blocks and not (room.f_bavail if os.geteuid() else room.f_bfree):
            return f"the file system of {place} is full"
    return ""


def remove_old_logs(log_dir: str, keep_days: float, now: float) -> None:
    """Remove logs of nodes that succeeded, once they are older than ``keep_days``; failures' logs stay."""
    with contextlib.suppress(OSError):
        for path in Path(log_dir).glob("*.log"):
            with contextlib.suppress(OSError):  # one that cannot be read or removed keeps nobody from anything
                if now - path.stat().st_mtime > keep_days * 86400 and _ended_well(path):
                    path.unlink(missing_ok=True)


def _ended_well(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 200))
        lines = file.read().decode(errors="replace").splitlines()
    return bool(lines) and f"== {SUCCESS} at " in lines[-1]
