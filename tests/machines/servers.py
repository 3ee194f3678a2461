"""Shared parts of the small servers for machines: they run in threads, and some answer single datagrams."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable


class Servers:
    """Running servers of socketserver."""

    def __init__(self) -> None:
        self._running: list[socketserver.BaseServer] = []

    def begin(self, server: socketserver.BaseServer, name: str) -> None:
        """Run a server in a thread with the name ``name``."""
        threading.Thread(target=server.serve_forever, args=(0.1,), name=name, daemon=True).start()
        self._running.append(server)

    def close(self) -> None:
        """Stop all servers. Idempotent."""
        for server in self._running:
            server.shutdown()
            server.server_close()
        self._running.clear()


def handler(
    answer: Callable[[bytes], bytes], to: tuple[str, int] | None = None
) -> type[socketserver.BaseRequestHandler]:
    """
    Return a handler of datagrams for a server of socketserver.

    ``answer`` returns the reply to a datagram; if it is empty, nothing is sent. ``to`` is the address of the reply
    (default: the sender's).
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, channel = self.request
            if reply := answer(data):
                channel.sendto(reply, to or self.client_address)

    return Handler
