"""
What one node may take of the event loop that all nodes of a call share.

The connection of each node is read in small pieces, and the processor time that the loop spends on what it sent is
counted. A node that sent more than its share is not read for a while: TCP and SSH hold it back, and nothing piles up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

#: of the loop's time that one node may take for long, from 0 to 1
SHARE = 0.05
#: seconds of the loop's time that a node may take at once: what an honest one needs is below
BURST = 0.05
#: bytes that are handed on at once
PIECE = 4096
#: bytes that one connection may bring in all; what is allowed of logs and commands is below
SESSION_LIMIT = 32 * 1024 * 1024


class Pace:
    """
    Counts the time that was spent on one node, and says how long it has to wait.

    share
        of the time, that it may take for long (default 0.05)
    burst
        seconds that it may take at once (default 0.05)
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
        """Call ``work``, and return the seconds that the node has to wait for it; 0: none."""
        began = self._used()
        try:
            work(*arguments)
        finally:
            now = self._clock()
            self._credit = min(self._burst, self._credit + (now - self._at) * self._share) - (self._used() - began)
            self._at = now
        return max(0.0, -self._credit / self._share)

    async def work(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Call ``work``, and come back when the node has waited for it; the others have their turn in any case."""
        await self._sleep(self.spend(work, *arguments))


class Paced(asyncio.Protocol):
    """
    Stands between a transport and a protocol: hands on what arrives in pieces, no faster than the pace allows.

    What is not written yet because the other side does not read is waited for as well, before more is read: answers
    that nobody takes do not pile up.
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
        """Called by the transport."""
        self._transport = transport
        self.inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport. What was held back is dropped."""
        if self._resting:
            self._resting.cancel()
        self._held, self._transport = b"", None
        self.inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        self._left -= len(data)
        if self._left < 0:
            self.exceeded = True
            self._transport.abort()
            return
        self._held += data
        if not self._resting:
            self._go_on()

    def eof_received(self) -> bool | None:
        """Called by the transport."""
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        """Called by the transport when too much waits to be written."""
        self._choked = True
        self._read_or_not()
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """Called by the transport when that is gone."""
        self._choked = False
        self._read_or_not()
        self.inner.resume_writing()

    def _go_on(self) -> None:
        """Hand on one piece, then the next in a later turn of the loop."""
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


class Road:
    """
    The way to a node, as ``asyncssh`` takes one for its ``tunnel``: a TCP connection that is paced.

    asyncssh has no setting for the protocol below it. A tunnel is what it lets the caller bring along.
    """

    #: asyncssh says there which way it takes; ``ssh`` has silenced it
    logger = logging.getLogger("asyncssh")

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self.limit = SESSION_LIMIT
        self.paced: Paced | None = None

    async def create_connection(self, factory: Callable[[], Any], host: str, port: int) -> tuple[Any, Any]:
        """Called by asyncssh. Raises ``OSError`` where nothing answers."""
        loop = asyncio.get_running_loop()
        made = await loop.create_connection(lambda: Paced(factory(), self._pace, self.limit), host, port)
        transport, self.paced = made
        return transport, self.paced.inner
