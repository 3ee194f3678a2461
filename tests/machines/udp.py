"""What the small servers share that answer single datagrams."""

from __future__ import annotations

import socketserver
from collections.abc import Callable


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
