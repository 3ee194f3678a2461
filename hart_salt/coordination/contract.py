"""
What hart needs of a coordination server: leases.

A lease is a name that at most one holder has, and that is free again when its time has passed without a renewal. Every
method answers within a few seconds, or raises ``EnvironmentFault`` with a sentence that names the server.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import Protocol

from hart_salt.base import servers
from hart_salt.base.errors import EnvironmentFault

SOCKET_TIMEOUT = 3.0  #: seconds for an answer of the server
#: the longest name of a lock in MySQL
LONGEST = 64
#: what every server keeps apart; MySQL does not distinguish between upper and lower case
_PLAIN = re.compile(r"[a-z0-9./_-]+")


class Lease(Protocol):
    """A lease that was taken."""

    name: str

    def renew(self) -> bool:
        """Begin its time again; return False if it was lost."""

    def has_ended(self) -> bool:
        """
        Return whether the lease is known to be lost without a request, because the server has closed its connection.

        False says nothing.
        """

    def release(self) -> bool:
        """
        Give it back; return whether this call has had it without a gap until now.

        A lease that was lost stays with its new holder.
        """


class Engine(Protocol):
    """The access of one call to the server; all methods can be called from any thread."""

    #: the server, for messages, such as ``redis at db.example.com:6379``
    words: str

    def take(self, name: str, seconds: float, *, brief: bool = False, holder: str = "") -> Lease | None:
        """
        Take a lease for so many seconds without waiting; return None if another holder has it.

        ``brief`` says that it is given back at once, as a rule: a call takes one for each of its nodes. ``holder``
        names the call, so that ``free`` finds its leases if it dies.
        """

    def free(self, names: Collection[str], holder: str) -> None:
        """
        Free those of the leases that a call still has, whose process has died; ``holder`` is what it gave to ``take``.

        Leases that another call has stay.
        """

    def living(self, names: Collection[str]) -> frozenset[str]:
        """Return those of the names that a holder has. This takes no lease."""

    def close(self) -> None:
        """Close the connections. Leases that were not released end with their time."""


def plain(name: str, prefix: str = "") -> str:
    """Return a name that every server accepts and keeps apart from others: long or unusual names become a hash."""
    if len(prefix) + len(name) <= LONGEST and _PLAIN.fullmatch(name):
        return prefix + name
    kind = name.rpartition("/")[0].partition("/")[2][:12]
    return f"hart/{kind}/{hashlib.sha256((prefix + name).encode()).hexdigest()[:40]}"


class Unusable(EnvironmentFault):
    """The coordination server cannot be used; ``why`` has the reason alone, for sentences that name the server."""

    def __init__(self, words: str, why: str, advice: str) -> None:
        self.why = why
        super().__init__(f"the coordination server cannot be used: {words}: {advice}")


def unusable(words: str, error: BaseException, *, tls: bool = False) -> Unusable:
    """Return the fault of a server that cannot be used; ``tls`` says that its address asks for TLS."""
    lines = str(error).strip().splitlines()
    why = lines[0].rstrip(".") if lines else type(error).__name__
    setting = "hart: coordination"
    said = servers.failure(why, settings=f"the setting {setting}", login=setting, database=setting, tls=tls)
    return Unusable(words, why, said)
