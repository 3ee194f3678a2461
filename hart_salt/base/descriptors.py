"""
How many files this process may hold open, and how many nodes can be under way with that.

Measured with nodes of the driver ``local``: a node under way holds its log, its lock and the socket of its session, and
one more at moments; the process itself about 40, with Salt's sockets, and a driver's connections beside them.
"""

from __future__ import annotations

import contextlib
import resource
import threading
from pathlib import Path

#: the most that the limit is raised to: enough for ten thousand nodes, and no burden to what is started with it
MOST = 65536
#: kept for Salt's sockets, for a driver's connections, and for whatever is open for a moment
RESERVED = 96
#: of a node under way
PER_NODE = 4
#: of a node to which states are applied, each with a client of Salt's own
APPLYING = 24


def raise_limit() -> None:
    """
    Let this process open as many files as the system lets it.

    Not in a thread of another program, as where a reactor of the master calls: the limit is that program's.
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
    Return how many nodes can be under way at the same time, one at least.

    each
        files that a node holds open (default: what one holds on its way to a minion)
    """
    return _places(_limit(), _open(), each)


def _places(limit: int | None, used: int, each: int) -> int:
    return 2**31 if limit is None else max(1, (limit - used - RESERVED) // each)


def turns(number: int) -> str:
    """What to tell where not all nodes can be under way at the same time."""
    return (
        f"at most {number} nodes are under way at the same time, since no more than {limit()} files may be open "
        "(ulimit -n); the others wait for their turn"
    )


def limit() -> str:
    """How many files may be open, in words."""
    number = _limit()
    return "any number" if number is None else str(number)


def _limit() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def _open() -> int:
    """How many are open now; where that cannot be seen, as many as there are at the most when a call begins."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 64
