"""SSH servers on loopback that record what they see, and sessions with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncssh
import pytest

from hart_salt.base.errors import NodeFailed
from hart_salt.node import ssh

LONG = 60.0  #: a deadline that no test reaches
BRIEF = 0.05  #: a deadline that passes after at least one attempt

HOST = ssh.make_key("the node's")
CLIENT = ssh.make_key("the batch's")
OTHER = ssh.make_key("another machine's")


def fingerprint(key: ssh.Key) -> str:
    return asyncssh.import_public_key(key.public).get_fingerprint()


@dataclass
class Seen:
    """What a server saw."""

    connections: int = 0
    #: user names that were offered: the first message of any authentication
    users: list[str] = field(default_factory=list)
    #: fingerprints of client keys that were offered
    keys: list[str] = field(default_factory=list)
    #: an open connection, which a test can abort
    connection: asyncssh.SSHServerConnection | None = None


class Server(asyncssh.SSHServer):
    """Lets in clients with one of the ``authorized`` keys, or anyone if that is None."""

    def __init__(self, seen: Seen, authorized: list[ssh.Key] | None) -> None:
        self.seen = seen
        self.authorized = authorized

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.seen.connections += 1
        self.seen.connection = conn

    def begin_auth(self, username: str) -> bool:
        self.seen.users.append(username)
        return self.authorized is not None

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self.seen.keys.append(key.get_fingerprint())
        return key.get_fingerprint() in [fingerprint(one) for one in self.authorized or []]


async def work(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run one of the commands that the tests use."""
    name, _, argument = (process.command or "").partition(" ")
    if name == "exit":
        process.stdout.write(b"said\n")
        process.stderr.write(b"complained\n")
        process.exit(int(argument))
    elif name == "count":
        process.stdout.write(b"%d" % len(await process.stdin.read()))
        process.exit(0)
    elif name == "repeat":
        process.stdout.write(b"0123456789abcde\n" * int(argument))
        await process.stdout.drain()
        process.exit(0)
    elif name == "bytes":
        process.stdout.write(bytes.fromhex(argument))
        process.exit(0)
    elif name == "killed":
        process.exit_with_signal("KILL")
    else:  # "hang": until the connection ends
        process.stdout.write(b"begun\n")
        await process.wait_closed()


Reload = Callable[..., None]


@asynccontextmanager
async def serving(seen: Seen, *host_keys: str, authorized: list[ssh.Key] | None) -> AsyncIterator[tuple[int, Reload]]:
    """Run a server on a free port, and yield what changes its keys."""
    acceptor = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[asyncssh.import_private_key(key) for key in host_keys],
        server_factory=lambda: Server(seen, authorized), process_factory=work, encoding=None, config=None,
        line_editor=False,
    )  # fmt: skip

    def reload(*keys: str, authorized: list[ssh.Key]) -> None:
        acceptor.update(
            server_host_keys=[asyncssh.import_private_key(key) for key in keys],
            server_factory=lambda: Server(seen, authorized),
        )

    async with acceptor:
        yield acceptor.get_port(), reload


def endpoint(port: int, **changes: Any) -> ssh.Endpoint:
    given = {"address": "127.0.0.1", "port": port, "host_key": HOST.public, "client_key": CLIENT}
    return ssh.Endpoint(**{**given, **changes})


async def no_time(_: float) -> None:
    """Sleep until all other tasks have done what they can."""
    await asyncio.sleep(0)


def refusal(seen: Seen, *host_keys: str, authorized: list[ssh.Key] | None, timeout: float = BRIEF) -> str:
    """Connect to a server that hart must refuse, and return the error."""

    async def main() -> str:
        async with serving(seen, *host_keys, authorized=authorized) as (port, _):
            with pytest.raises(NodeFailed) as caught:
                await ssh.connect(endpoint(port), timeout=timeout, sleep=no_time)
            return str(caught.value)

    return asyncio.run(main())


def with_session(use: Callable[[ssh.Session, Seen], Awaitable[Any]]) -> Any:
    """Return the result of ``use`` with a session to a correct server."""

    async def main() -> Any:
        seen = Seen()
        async with (
            serving(seen, HOST.private, authorized=[CLIENT]) as (port, _),
            await ssh.connect(endpoint(port), timeout=LONG) as session,
        ):
            return await use(session, seen)

    return asyncio.run(main())
