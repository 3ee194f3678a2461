"""What the small servers for machines share: they run in threads, and some answer single datagrams."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable


class Servers:
    """Servers of socketserver that run."""

    def __init__(self) -> None:
        self._running: list[socketserver.BaseServer] = []

    def begin(self, server: socketserver.BaseServer, name: str) -> None:
        """Let one serve, in a thread of that name."""
        threading.Thread(target=server.serve_forever, args=(0.1,), name=name, daemon=True).start()
        self._running.append(server)

    def close(self) -> None:
        """Stop all of them. Repeatable."""
        for server in self._running:
            server.shutdown()
            server.server_close()
        self._running.clear()


def handler(
    answer: Callable[[bytes], bytes], to: tuple[str, int] | None = None
) -> type[socketserver.BaseRequestHandler]:
    """
    What a server of socketserver does with a datagram.

    answer
        what goes back for what came; nothing where it is empty
    to
        where it goes (default: to who asked)
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, channel = self.request
            if reply := answer(data):
                channel.sendto(reply, to or self.client_address)

    return Handler
