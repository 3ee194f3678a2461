"""
Limit how much time of the shared event loop one node can use.

hart reads the connection of each node in small pieces and counts the processor time that it spends on them. If a node
uses more than its share, hart stops reading from it for a while: TCP and SSH hold the node back, and no data piles up.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hart_salt.base.concurrency import within

#: handshakes at the same time; they take less than half a second of the loop together
HANDSHAKES = 100
RETRY_INTERVAL = 0.5  #: least seconds between two attempts to connect to a node
#: the same while nothing listens at the node's address: such an attempt costs neither side anything
KNOCK_INTERVAL = 0.05
#: seconds between two attempts for each node that tries: about the time of an attempt
RETRY_SHARE = 0.004
#: the share of the loop's time that one node may use in the long run, from 0 to 1
SHARE = 0.05
#: seconds of the loop's time that a node may use at once; an honest node needs less
BURST = 0.05
#: bytes that are passed on at once
PIECE = 4096
#: the most bytes that one connection may receive in total; the limits of logs and commands are lower
SESSION_LIMIT = 32 * 1024 * 1024


class Pace:
    """
    Counts the time that was spent on one node, and computes how long the node must wait.

    ``share`` is the share of the time that the node may use in the long run (default 0.05); ``burst`` is the number of
    seconds that it may use at once (default 0.05).
    """

    def __init__(
        self, share: float = SHARE, burst: float = BURST, clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.thread_time, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._share, self._burst = share, burst
        self._clock, self._used, self._sleep = clock, used, sleep
        self._credit = burst
        self._at = clock()

    def spend(self, work: Callable[..., Any], *arguments: Any) -> float:
        """Call ``work`` and return the seconds that the node must wait for it, 0 for none."""
        began = self._used()
        try:
            work(*arguments)
        finally:
            now = self._clock()
            self._credit = min(self._burst, self._credit + (now - self._at) * self._share) - (self._used() - began)
            self._at = now
        return max(0.0, -self._credit / self._share)

    async def work(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Call ``work`` and wait as long as the node must wait for it; other nodes get a turn in any case."""
        await self._sleep(self.spend(work, *arguments))


class Paced(asyncio.Protocol):
    """
    A protocol between a transport and ``inner`` that passes data on in pieces, no faster than the pace allows.

    While the other side does not read what hart writes, hart does not read either: unread answers do not pile up.
    """

    def __init__(self, inner: asyncio.Protocol, pace: Pace, limit: int) -> None:
        self.inner = inner
        self.exceeded = False
        self._pace = pace
        self._left = limit
        self._transport: Any = None
        self._held: bytes = b""
        self._resting: asyncio.TimerHandle | None = None
        self._choked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; called by it."""
        self._transport = transport
        self.inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the data that was held back; called by the transport."""
        if self._resting:
            self._resting.cancel()
        self._held, self._transport = b"", None
        self.inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass the data on at the node's pace; called by the transport."""
        self._left -= len(data)
        if self._left < 0:
            self.exceeded = True
            self._transport.abort()
            return
        self._held += data
        if not self._resting:
            self._go_on()

    def eof_received(self) -> bool | None:
        """Pass the end of the data on; called by the transport."""
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        """Stop reading; called by the transport when too much data waits to be written."""
        self._choked = True
        self._read_or_not()
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Read again; called by the transport when that data is written."""
        self._choked = False
        self._read_or_not()
        self.inner.resume_writing()

    def _go_on(self) -> None:
        """Pass one piece on, and the next one in a later turn of the loop."""
        self._resting = None
        if self._transport is None or self._transport.is_closing():
            return
        piece, self._held = self._held[:PIECE], self._held[PIECE:]
        wait = self._pace.spend(self.inner.data_received, piece) if piece else 0.0
        if self._transport is not None and (wait or self._held):
            self._resting = asyncio.get_running_loop().call_later(wait, self._go_on)
        self._read_or_not()

    def _read_or_not(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._resting or self._choked:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


class Handshakes:
    """
    The handshakes of a batch: how many run at the same time, and how often the nodes try again.

    A handshake takes some milliseconds of the loop. If a thousand nodes began theirs at once, all would take longer
    than their time limit, and begin again. ``places`` limits their number.
    """

    def __init__(self, places: int = HANDSHAKES) -> None:
        self.places = asyncio.Semaphore(places)
        self._connecting = 0

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Count a node that tries to connect."""
        self._connecting += 1
        try:
            yield
        finally:
            self._connecting -= 1

    def interval(self, *, answered: bool = True) -> float:
        """
        Return the seconds until a node tries again: the more nodes try, the longer.

        ``answered`` is whether something listens at the node's address. An early attempt is worth more if nothing does:
        sshd starts then, and may have the right key at once.
        """
        return max(RETRY_INTERVAL if answered else KNOCK_INTERVAL, RETRY_SHARE * self._connecting)


class Road:
    """
    A paced TCP connection to a node, as ``asyncssh`` accepts it for its ``tunnel``.

    asyncssh has no setting for the protocol below it, but it accepts a tunnel from its caller.
    """

    #: where asyncssh logs that it uses the tunnel; ``ssh`` sets its level to CRITICAL
    logger = logging.getLogger("asyncssh")

    def __init__(self, pace: Pace, handshakes: Handshakes, timeout: float) -> None:
        self._pace = pace
        self._handshakes = handshakes
        self._timeout = timeout
        self._has_place = False
        self.limit = SESSION_LIMIT
        self.paced: Paced | None = None

    async def create_connection(self, factory: Callable[[], Any], host: str, port: int) -> tuple[Any, Any]:
        """
        Connect to ``host``, and wait for a place for the handshake; called by asyncssh.

        A node that does not answer yet takes no place. The time limit of the handshake begins with the place.

        Raises ``OSError`` or ``asyncio.TimeoutError`` if nothing answers.
        """
        loop = asyncio.get_running_loop()
        connected = await within(_tcp(host, port), self._timeout)
        try:
            await self._handshakes.places.acquire()
            self._has_place = True
            made = await loop.create_connection(lambda: Paced(factory(), self._pace, self.limit), sock=connected)
        except BaseException:
            connected.close()
            raise
        transport, self.paced = made
        return transport, self.paced.inner

    def end_handshake(self) -> None:
        """Give the place to the next node, if this one has a place."""
        if self._has_place:
            self._has_place = False
            self._handshakes.places.release()


async def _tcp(host: str, port: int) -> socket.socket:
    """Return a connected TCP socket."""
    connected = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, (host, port))
    except BaseException:
        connected.close()
        raise
    return connected
