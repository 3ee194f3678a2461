"""A minimal name server for machines."""

from __future__ import annotations

import ipaddress
import socketserver
import struct

from tests.machines.servers import Servers, handler

NO_SUCH_NAME = 3
TYPE_A = 1
TYPE_ANY = 255


class NameServer:
    """A server that resolves ``names``, answers "no such name" to everything else at once, and forwards nothing."""

    def __init__(self) -> None:
        #: name → IPv4 address; can be changed while the server runs
        self.names: dict[str, str] = {}
        self._servers = Servers()

    def open(self, addresses: list[str]) -> None:
        """Listen at these addresses, on port 53."""
        for address in addresses:
            server = socketserver.ThreadingUDPServer((address, 53), handler(self.answer))
            server.daemon_threads = True
            self._servers.begin(server, "dns")

    def close(self) -> None:
        """Stop listening."""
        self._servers.close()

    def answer(self, query: bytes) -> bytes:
        """Return the reply to a query; empty if the message is not a query."""
        parsed = _question(query)
        if parsed is None:
            return b""
        name, kind, end = parsed
        address = self.names.get(name)
        records = b""
        if address and kind in (TYPE_A, TYPE_ANY):
            # 0xc00c points to the name in the query.
            records = struct.pack(">HHHIH", 0xC00C, TYPE_A, 1, 5, 4) + ipaddress.IPv4Address(address).packed
        flags = 0x8580 | (0 if address else NO_SUCH_NAME)  # a reply, authoritative, recursion available
        header = query[:2] + struct.pack(">HHHHH", flags, 1, 1 if records else 0, 0, 0)
        return header + query[12:end] + records


def _question(query: bytes) -> tuple[str, int, int] | None:
    """Return the name, the type, and the offset of the end of the question, or None if the message is not a query."""
    labels, at = [], 12
    try:
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii").lower())
            at += 1 + query[at]
        (kind,) = struct.unpack_from(">H", query, at + 1)
    except (IndexError, struct.error, UnicodeDecodeError):
        return None
    return ".".join(labels), kind, at + 5
