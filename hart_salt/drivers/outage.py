"""
How long to wait for a server that cannot be reached: one rule for all drivers.

*Unreachable* means that the connection is refused or gets no answer, that there is no route, or that the name does not
resolve: no request was sent. ``Outage.limit`` says how long to wait. If a server can be reached and answers with
errors, ``http.py`` has the rules for retries.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from hart_salt.base.deadline import within
from hart_salt.base.errors import TemporaryFailure
from hart_salt.base.streams import print_stderr

T = TypeVar("T")

#: seconds for a read-only call: with the start of Salt it ends within 5 s
READING = 2.5
#: seconds for a call that changes something, until the server's first answer: it ends within 15 s
BEGINNING = 12.0
#: as long as for a server that answers with errors: an outage during an operation must not roll it back
UNDER_WAY = None
REPORT_EVERY = 5.0  #: seconds between two lines that report a wait
FIRST_WAIT, LONGEST_WAIT = 0.5, 2.0  #: seconds between two attempts; doubled each time
SHORTEST_TRY = 0.5  #: seconds that an attempt has at least, for each address of a server
PORTS = {"https": 443, "http": 80}


class Unreachable(TemporaryFailure):
    """No connection was established, so no request was sent. ``given_up``: the limit of the wait is over."""

    def __init__(self, message: str, *, given_up: bool = False) -> None:
        self.given_up = given_up
        super().__init__(message)


class Outage:
    """What one driver object knows about its servers. Safe for several threads."""

    def __init__(
        self, provider: str, clock: Callable[[], float] = time.monotonic, report: Callable[[str], None] = print_stderr
    ) -> None:
        """
        Store the arguments.

        provider
            the provider's name, for the lines that report a wait
        clock
            returns seconds since any start (default: the monotonic clock)
        report
            prints a line for people (default: to standard error)
        """
        self.provider = provider
        #: seconds for which a server may be unreachable: ``READING``, ``BEGINNING`` or ``UNDER_WAY`` (default)
        self.limit: float | None = UNDER_WAY
        self.clock = clock
        self.report = report
        self._peers: dict[str, Peer] = {}
        #: by address: to find out whether there is a proxy takes much longer than to look here
        self._known: dict[str, Peer] = {}
        self._lock = threading.Lock()

    def peer(self, api: str, address: str) -> Peer:
        """
        Return what is known about a server.

        api
            its name, as the beginning of a sentence: ``DigitalOcean's API at api.digitalocean.com``
        address
            its web address; if the environment names a proxy for it, connections go to the proxy
        """
        with self._lock:
            if address not in self._known:
                host, port = _connected_to(address)
                self._known[address] = self._peers.setdefault(f"{host}:{port}", Peer(self, api, host, port))
            return self._known[address]


class Peer:
    """One server of a driver."""

    def __init__(self, outage: Outage, api: str, host: str, port: int) -> None:
        self.api = api
        self._outage = outage
        self._host = host
        self._port = port
        self._answered = False
        #: the time since which it is unreachable, by the clock
        self._since: float | None = None
        self._reported: float | None = None

    def found(self) -> None:
        """Note that it answered, with or without success."""
        self._answered, self._since, self._reported = True, None, None

    def lost(self, since: float | None = None) -> None:
        """Note that it could not be reached ``since`` a time of the clock (default: now)."""
        if self._since is None:
            self._since = self._outage.clock() if since is None else since

    @property
    def limit(self) -> float | None:
        """Seconds for which it may be unreachable; None: as long as it may answer with errors."""
        limit = self._outage.limit
        return UNDER_WAY if self._answered and limit != READING else limit

    def left(self, waited: float = 0.0) -> float | None:
        """Return the seconds left of ``limit``, or None. ``waited`` are seconds of waiting by another clock."""
        limit = self.limit
        if limit is None:
            return None
        passed = self._outage.clock() - self._since if self._since is not None else 0.0
        return limit - max(passed, waited)

    def reach(self, sleep: Callable[[float], None]) -> None:
        """
        Wait until it can be reached. Return at once if it has answered before, or if there is no ``limit``.

        sleep
            waits between two attempts

        Raises ``Unreachable`` after ``limit``.
        """
        waited, pause, reason = 0.0, FIRST_WAIT, ""
        while self.limit is not None and (self._since is not None or not self._answered):
            began, left = self._outage.clock(), self.left(waited) or 0.0
            try:
                _connect(self._host, self._port, max(left, SHORTEST_TRY))
            except OSError as error:
                self.lost(began)
                left = self.left(waited) or 0.0
                # The last attempt may be too short to find the real reason.
                reason = reason if reason and isinstance(error, TimeoutError) else _reason(error)
                if left <= 0:
                    raise Unreachable(f"{self.api} could not be reached: {reason}", given_up=True) from error
                self.report(left)
                sleep(min(pause, left))
                waited, pause = waited + min(pause, left), min(2 * pause, LONGEST_WAIT)
            else:
                return

    def report(self, left: float, what: str = "could not be reached") -> None:
        """Report the wait and the seconds left, at first and then every ``REPORT_EVERY`` seconds."""
        now = self._outage.clock()
        if self._reported is not None and now - self._reported < REPORT_EVERY:
            return
        self._reported = now
        provider = self._outage.provider
        self._outage.report(f"hart: waiting for {provider}: {self.api} {what}; retrying for {left:.0f} s more")


def _connect(host: str, port: int, seconds: float) -> None:
    """
    Open a connection to one of the host's addresses and close it again.

    Raises ``OSError`` within ``seconds`` if none can be reached.
    """
    began = time.monotonic()
    found = within(seconds, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    share = max((seconds - (time.monotonic() - began)) / max(len(found), 1), SHORTEST_TRY)
    problem: OSError = OSError("it has no address")
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.settimeout(share)
            try:
                probe.connect(address)
                return
            except OSError as error:
                problem = error
    raise problem


def _connected_to(address: str) -> tuple[str, int]:
    """Return the host and port of a web address, or of the proxy that the environment names for it."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 443)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(f"{host}:{port}"):
        return host, port
    with contextlib.suppress(ValueError):
        between = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if between.hostname:
            return between.hostname, between.port or PORTS.get(between.scheme, 1080)
    return host, port


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    if isinstance(error, TimeoutError):
        return "there was no answer"
    return (error.strerror or str(error)).lower()
