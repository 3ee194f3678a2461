"""A DHCP server for machines, with as much of DHCP as each interface needs to get its address."""

from __future__ import annotations

import ipaddress
import socket
import socketserver
import struct
from collections.abc import Callable
from dataclasses import dataclass

from tests.machines.servers import Servers, handler

MAGIC = bytes.fromhex("63825363")
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
NETMASK, ROUTER, NAME_SERVER, LEASE, KIND, SERVER = 1, 3, 6, 51, 53, 54
SECONDS = 86400  #: length of a lease: longer than any machine lives here
#: the fixed part of a message: offset and length of the client's hardware address, and offset of the options
HEADER, HARDWARE, OPTIONS = 28, 6, 240


@dataclass(frozen=True)
class Lease:
    """What the server assigns to an interface."""

    address: str
    netmask: str
    gateway: str


class AddressServer:
    """A server on one link. It answers only interfaces whose hardware address ``lease_of`` knows."""

    def __init__(self, lease_of: Callable[[str], Lease | None]) -> None:
        self._lease_of = lease_of
        self._servers = Servers()

    def open(self, link: str) -> None:
        """Listen on the link, without a conflict with the host's own servers on other links."""
        # The client has no address yet.
        answering = handler(self.answer, to=("255.255.255.255", 68))
        server = socketserver.UDPServer(("", 67), answering, bind_and_activate=False)
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        server.server_bind()
        self._servers.begin(server, "dhcp")

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self._servers.close()

    def answer(self, query: bytes) -> bytes:
        """Return the reply to a message; empty if the message is no request or its sender is unknown."""
        kind = _kind(query)
        mac = ":".join(f"{byte:02x}" for byte in query[HEADER : HEADER + HARDWARE])
        lease = self._lease_of(mac)
        if kind not in (DISCOVER, REQUEST) or lease is None:
            return b""
        fixed = struct.pack(">BBBB", 2, 1, HARDWARE, 0) + query[4:8] + bytes(8)
        fixed += _packed(lease.address) + bytes(8) + query[HEADER : HEADER + 16] + bytes(192)
        options = {
            KIND: bytes([OFFER if kind == DISCOVER else ACK]),
            SERVER: _packed(lease.gateway),
            LEASE: struct.pack(">I", SECONDS),
            NETMASK: _packed(lease.netmask),
            ROUTER: _packed(lease.gateway),
            NAME_SERVER: _packed(lease.gateway),
        }
        return fixed + MAGIC + b"".join(bytes([code, len(data)]) + data for code, data in options.items()) + b"\xff"


def _packed(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


def _kind(query: bytes) -> int | None:
    """Return the type of a message, or None if it is not a client's message."""
    if len(query) < OPTIONS or query[0] != 1 or query[OPTIONS - 4 : OPTIONS] != MAGIC:
        return None
    at = OPTIONS
    while at + 2 < len(query) and query[at] != 0xFF:
        if query[at] == KIND:
            return query[at + 2]
        at += 1 if query[at] == 0 else 2 + query[at + 1]
    return None
