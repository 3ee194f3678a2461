"""What goes over the wire: relays that record it, foreign servers that answer, and what a port shows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import asyncssh

from tests.emulation.http import Answer, Request, Server
from tests.end_to_end.conftest import SaltMaster

NEWKEYS = 21
#: what a client may send before it knows that the host is the right one
BEFORE_TRUST = {1: "disconnect", 20: "key exchange init", 30: "key exchange"}


class Relay:
    """Relays TCP connections to a port, and records what the clients sent."""

    def __init__(self, backend: Callable[[], int], host: str = "127.0.0.1") -> None:
        self.connections: list[bytearray] = []
        self._backend = backend
        self._server = socket.create_server((host, 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                sent = bytearray()
                self.connections.append(sent)
                threading.Thread(target=self._serve, args=(client, sent), daemon=True).start()

    def _serve(self, client: socket.socket, sent: bytearray) -> None:
        with client, socket.create_connection(("127.0.0.1", self._backend())) as backend:
            other = threading.Thread(target=_pump, args=(backend, client, None), daemon=True)
            other.start()
            _pump(client, backend, sent)
            other.join()

    def packets(self) -> list[list[int]]:
        """Return, for each connection, the types of packets that the client sent, as far as they can be read."""
        return [client_packets(bytes(sent)) for sent in self.connections]

    def trusted(self) -> int:
        """Return how many of the connections got past the host key."""
        return sum(NEWKEYS in packets for packets in self.packets())


def _pump(source: socket.socket, sink: socket.socket, copy: bytearray | None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if copy is not None:
                copy += data
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def client_packets(sent: bytes) -> list[int]:
    """Return the message numbers of RFC 4253 that a client sent, up to the first encrypted one."""
    _, _, rest = sent.partition(b"\r\n")
    kinds: list[int] = []
    while len(rest) > 5 and NEWKEYS not in kinds:
        kinds.append(rest[5])
        rest = rest[4 + int.from_bytes(rest[:4], "big") :]
    return kinds


@contextlib.contextmanager
def answering(answer: Callable[[Request], Answer]) -> Iterator[str]:
    """Run an API on loopback with one answer to everything, and yield its address."""
    with Server(answer) as server:
        yield f"{server.base_url}/v2/"


class Impostor:
    """Another machine: an SSH server with its own ed25519 host key that lets anyone try to log in."""

    def __init__(self) -> None:
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.authentications: list[str] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Impostor:
        self._thread.start()
        listener = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        self.port = listener.get_port()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _listen(self) -> asyncssh.SSHAcceptor:
        impostor = self

        class Server(asyncssh.SSHServer):
            def begin_auth(self, username: str) -> bool:
                impostor.authentications.append(username)
                return True

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                impostor.authentications.append(f"{username} with {key.get_fingerprint()}")
                return True

        return await asyncssh.listen("127.0.0.1", 0, server_host_keys=[self.key], server_factory=Server, config=None)


def ssh_port(master: SaltMaster, minion_id: str) -> int:
    """Return the port on which an instance really answers."""
    return int(json.loads((master.instances / minion_id / "run/machine.json").read_text())["port"])


def host_key_at(port: int) -> str:
    """Return the host key that a port shows now, as an OpenSSH line without a comment."""
    key = asyncio.run(asyncssh.get_server_host_key("127.0.0.1", port, config=None))
    assert key is not None
    return key.export_public_key().decode().strip()


def can_log_in(port: int, private_key: str) -> bool:
    """Return whether root can log in at a port with this key."""

    async def attempt() -> bool:
        try:
            async with asyncssh.connect(
                "127.0.0.1", port, username="root", known_hosts=None, agent_path=None, config=None,
                client_keys=[asyncssh.import_private_key(private_key)], preferred_auth=["publickey"],
            ):  # fmt: skip
                return True
        except asyncssh.PermissionDenied:
            return False

    return asyncio.run(attempt())
