"""
How long a server that cannot be reached is waited for: one rule for all drivers.

*Never reached* is a connection that is refused or gets no answer, a network without a route, and a name that does not
resolve: nothing was asked. It is waited for as long as ``Outage.limit`` says. A server that was reached and answers
badly is asked again as ``http.py`` says.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from hart_salt.base.errors import TemporaryFailure
from hart_salt.base.streams import print_stderr

T = TypeVar("T")

#: seconds for a call that only reads: with the start of Salt it ends within 5 s
READING = 2.5
#: seconds for a call that changes something, until the server has answered once: within 15 s
BEGINNING = 12.0
#: as long as a server that answers badly: in the middle of an operation an outage must not undo what is there
UNDER_WAY = None
TELL_EVERY = 5.0  #: seconds between two lines that say what is waited for
FIRST_WAIT, LONGEST_WAIT = 0.5, 2.0  #: seconds between two tries; doubled each time
SHORTEST_TRY = 0.5  #: seconds that a try has at least, and each address of a server
PORTS = {"https": 443, "http": 80}


class Unreachable(TemporaryFailure):
    """No connection came about: nothing was asked. ``given_up``: it was waited for as long as it may be."""

    def __init__(self, message: str, *, given_up: bool = False) -> None:
        self.given_up = given_up
        super().__init__(message)


class Outage:
    """What one driver object knows of the servers that it asks. Used from several threads."""

    def __init__(
        self, provider: str, clock: Callable[[], float] = time.monotonic, tell: Callable[[str], None] = print_stderr
    ) -> None:
        """
        Remember what to go by.

        provider
            the provider's name, for the lines that say what is waited for
        clock
            seconds, from any beginning (default: the monotonic clock)
        tell
            takes a line for people (default: standard error)
        """
        self.provider = provider
        #: seconds that a server may stay unreachable: ``READING``, ``BEGINNING`` or ``UNDER_WAY`` (default)
        self.limit: float | None = UNDER_WAY
        self.clock = clock
        self.tell = tell
        self._peers: dict[str, Peer] = {}
        self._lock = threading.Lock()

    def peer(self, api: str, address: str) -> Peer:
        """
        Return what is known of a server.

        api
            who it is, as the beginning of a sentence: ``DigitalOcean's API at api.digitalocean.com``
        address
            its web address; where the environment names a proxy for it, the proxy is what is connected to
        """
        host, port = _connected_to(address)
        with self._lock:
            return self._peers.setdefault(f"{host}:{port}", Peer(self, api, host, port))


class Peer:
    """One server that a driver asks."""

    def __init__(self, outage: Outage, api: str, host: str, port: int) -> None:
        self.api = api
        self._outage = outage
        self._host = host
        self._port = port
        self._answered = False
        #: since when it could not be reached, by the clock
        self._since: float | None = None
        self._told: float | None = None

    def found(self) -> None:
        """It answered, in whatever way."""
        self._answered, self._since, self._told = True, None, None

    def lost(self, since: float | None = None) -> None:
        """It could not be reached. ``since`` when, by the clock (default: now)."""
        if self._since is None:
            self._since = self._outage.clock() if since is None else since

    @property
    def limit(self) -> float | None:
        """Seconds that it may stay unreachable; None: as long as it may answer badly."""
        limit = self._outage.limit
        return UNDER_WAY if self._answered and limit != READING else limit

    def left(self, waited: float = 0.0) -> float | None:
        """Seconds that are left of that. ``waited``: seconds that were waited by another clock."""
        limit = self.limit
        if limit is None:
            return None
        passed = self._outage.clock() - self._since if self._since is not None else 0.0
        return limit - max(passed, waited)

    def reach(self, sleep: Callable[[float], None]) -> None:
        """
        Return once it can be reached; at once, where it answered before or is waited for as long as anything.

        sleep
            how to wait between two tries

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
                # The last try may be too short to learn more than those before it.
                reason = reason if reason and isinstance(error, TimeoutError) else _reason(error)
                if left <= 0:
                    raise Unreachable(f"{self.api} could not be reached: {reason}", given_up=True) from error
                self.tell(left)
                sleep(min(pause, left))
                waited, pause = waited + min(pause, left), min(2 * pause, LONGEST_WAIT)
            else:
                return

    def tell(self, left: float, what: str = "could not be reached") -> None:
        """Say what is waited for and for how many seconds more, at first and then every ``TELL_EVERY`` seconds."""
        now = self._outage.clock()
        if self._told is not None and now - self._told < TELL_EVERY:
            return
        self._told = now
        provider = self._outage.provider
        self._outage.tell(f"hart: waiting for {provider}: {self.api} {what}; retrying for {left:.0f} s more")


def within(seconds: float, work: Callable[[], T]) -> T:
    """
    Return what ``work`` returns, which has so many seconds.

    It runs in a daemon thread: a look-up of a name, say, cannot be ended from outside, and is left to itself.

    Raises ``TimeoutError``, and what ``work`` raises.
    """
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((work(), None))
        except BaseException as error:
            results.put((None, error))

    threading.Thread(target=run, name="hart-within", daemon=True).start()
    try:
        result, error = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"it was not done within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # there is one where there is no error


def _connect(host: str, port: int, seconds: float) -> None:
    """Open a connection to one of the host's addresses and close it again. Raises ``OSError`` within ``seconds``."""
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
    """The host and port of a web address, or of the proxy that the environment has for it."""
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
