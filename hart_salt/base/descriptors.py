"""
The limit of open files of this process, and the number of nodes that it allows at the same time.

An active node keeps open its lock and its session's socket; logs and records are open only while they are written. The
process itself keeps about 40 files open with Salt's sockets; the driver's connections come on top.
"""

from __future__ import annotations

import contextlib
import resource
import threading
from pathlib import Path

#: the highest value that the limit is raised to: enough for ten thousand nodes, and no burden to child processes
MOST = 65536
#: reserved for Salt's sockets, a driver's connections, and files that are open for a moment
RESERVED = 96
#: open files of an active node
PER_NODE = 2
#: open files of a node to which states are applied, each with its own Salt client
APPLYING = 24


def raise_limit() -> None:
    """
    Raise this process's limit of open files as far as the system allows, up to ``MOST``.

    In another program's thread, such as a reactor of the master, this does nothing: the limit belongs to that program.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def places(each: int = PER_NODE) -> int:
    """
    Return how many nodes can be active at the same time, at least one.

    ``each`` is the number of files that a node keeps open (default: that of a node on its way to a minion).
    """
    return _places(_limit(), _open(), each)


def _places(limit: int | None, used: int, each: int) -> int:
    return 2**31 if limit is None else max(1, (limit - used - RESERVED) // each)


def turns(number: int) -> str:
    """Return the note for a call in which not all nodes can be active at the same time."""
    return (
        f"at most {number} nodes are processed at the same time, because no more than {limit()} files can be open "
        "(ulimit -n); the others wait for their turn"
    )


def limit() -> str:
    """Return the limit of open files, in words."""
    number = _limit()
    return "any number" if number is None else str(number)


def _limit() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def _open() -> int:
    """Return how many files are open now; if that is unknown, the highest number when a call begins."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 64
