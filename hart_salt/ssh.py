"""
The one verified session with a node.

The host key that a node must show is made here, before the instance exists, and travels in its user-data.
The client accepts that key and no other, so there is no moment at which an unverified machine is talked to:
the key exchange itself fails, before any authentication.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType

import asyncssh
import tenacity

from hart_salt.errors import NodeFailed

#: the only algorithm on either side: a machine that has no such key cannot even answer
HOST_KEY_ALGORITHM = "ssh-ed25519"
CONNECT_TIMEOUT = 10.0
RETRY_INTERVAL = 0.5
KEEPALIVE_INTERVAL = 15.0


@dataclass(frozen=True)
class Key:
    """A key pair made for one purpose and thrown away. ``private`` is OpenSSH's format, never stored."""

    private: str = field(repr=False)
    public: str


def make_key(comment: str) -> Key:
    """Return a new ed25519 key pair."""
    key = asyncssh.generate_private_key(HOST_KEY_ALGORITHM, comment=comment)
    return Key(key.export_private_key().decode(), key.export_public_key().decode().strip())


def key_fingerprint(line: str) -> str:
    """
    The fingerprint of an OpenSSH public key line as ``ssh-keygen -l`` shows it, such as ``SHA256:…``.

    Raises ``ValueError`` for what is no such line; the text of a key that may be a private one is not in it.
    """
    try:
        return asyncssh.import_public_key(line).get_fingerprint()
    except (asyncssh.KeyImportError, UnicodeError):
        raise ValueError("not an OpenSSH public key line") from None


@dataclass(frozen=True)
class Endpoint:
    """Where a node answers and how it proves itself."""

    address: str
    port: int
    #: OpenSSH public key line that the node must show
    host_key: str
    client_key: Key
    username: str = "root"


@dataclass
class Attempts:
    """What was met on the way to a connection; the error at the deadline tells of it."""

    keys_seen: list[str] = field(default_factory=list)
    last_error: str = "nothing answered"

    def saw(self, fingerprint: str) -> None:
        """Remember a host key that was refused."""
        if fingerprint not in self.keys_seen:
            self.keys_seen.append(fingerprint)


class _Strict(asyncssh.SSHClient):
    """Refuses every host key that is not the expected one, and remembers which it was."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Called by asyncssh for keys that are not in ``known_hosts`` only; there is nothing to weigh."""
        self._attempts.saw(key.get_fingerprint())
        return False


class Session:
    """One SSH connection; an async context manager. Commands run one after another or side by side."""

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self._connection = connection

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.abort() if kind else self._connection.close()
        await self._connection.wait_closed()

    async def stream(self, command: str, on_line: Callable[[str], None]) -> int:
        """
        Run ``command``, hand over each line that it prints, and return its exit code.

        Raises ``NodeFailed`` if the session breaks off before the command ended.
        """
        try:
            async with self._connection.create_process(
                command, stdin=asyncssh.DEVNULL, stderr=asyncssh.STDOUT, errors="replace"
            ) as process:
                async for line in process.stdout:
                    if line:  # asyncssh ends with an empty one; a blank line has its line end
                        on_line(line.rstrip("\r\n"))
                return _exit_code(await process.wait())
        except (OSError, asyncssh.Error) as error:
            raise NodeFailed(f"the SSH session broke off: {error}") from error

    async def run(self, command: str, *, stdin: str | bytes = b"", timeout: float = 60.0) -> str:
        """
        Run ``command`` with ``stdin`` and return what it printed.

        timeout
            seconds until it is given up (default 60)

        Raises ``NodeFailed`` when the command fails, is given up, or the connection breaks.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        # asyncssh never closes a standard input of which the data is empty
        source = {"input": data} if data else {"stdin": asyncssh.DEVNULL}
        try:
            done = await self._connection.run(command, encoding=None, timeout=timeout, **source)
        except asyncssh.TimeoutError as error:
            raise NodeFailed(f"a command on the node took longer than {timeout:g} s") from error
        except (OSError, asyncssh.Error) as error:
            raise NodeFailed(f"the SSH session broke off: {error}") from error
        output = _text(done.stdout)
        status = _exit_code(done)
        if status:
            said = (_text(done.stderr) or output).strip()[-500:]
            raise NodeFailed(f"a command on the node failed with exit code {status}: {said}")
        return output


def _exit_code(done: asyncssh.SSHCompletedProcess) -> int:
    if done.exit_signal:
        raise NodeFailed(f"a command on the node was ended by SIG{done.exit_signal[0]}")
    if done.exit_status is None:
        raise NodeFailed("the SSH session broke off before the command on the node had ended")
    return done.exit_status


def _text(data: bytes | str | None) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else data or ""


async def connect(
    endpoint: Endpoint,
    *,
    timeout: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Session:
    """
    Connect as soon as the node answers with its key; the caller closes the session.

    Until the bootstrap script has run, an instance answers with the key that its image made. That key is
    refused like any other, and the attempt repeated every half second.

    timeout
        seconds until it is given up

    Raises ``NodeFailed``, which says which host keys were seen. A node that shows the right key and then
    refuses the client key fails at once: nothing that happens later mends that.
    """
    attempts = Attempts()
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_delay(timeout),
        wait=tenacity.wait_fixed(RETRY_INTERVAL),
        retry=tenacity.retry_if_exception_type((OSError, asyncssh.Error)),
        sleep=sleep,
        reraise=True,
    )
    try:
        return await retrying(_attempt, endpoint, attempts)
    except (OSError, asyncssh.Error) as error:
        raise NodeFailed(_why_not(endpoint, attempts, timeout)) from error


async def _attempt(endpoint: Endpoint, attempts: Attempts) -> Session:
    """
    One try. Nothing of the calling user's own SSH set-up (config, agent, known_hosts) takes part.

    ``disable_trivial_auth`` refuses a server that lets anyone in: one that has our host key but does not
    check the client is not the node.
    """
    expected = asyncssh.import_public_key(endpoint.host_key)
    try:
        connection, _ = await asyncssh.create_connection(
            lambda: _Strict(attempts),
            endpoint.address,
            endpoint.port,
            username=endpoint.username,
            known_hosts=([expected], [], []),
            server_host_key_algs=[HOST_KEY_ALGORITHM],
            client_keys=[asyncssh.import_private_key(endpoint.client_key.private)],
            preferred_auth=["publickey"],
            disable_trivial_auth=True,
            agent_path=None,
            config=None,
            gss_host=None,
            connect_timeout=CONNECT_TIMEOUT,
            login_timeout=CONNECT_TIMEOUT,
            keepalive_interval=KEEPALIVE_INTERVAL,
        )
    except asyncssh.PermissionDenied as error:
        raise NodeFailed(f"the node at {endpoint.address} refused the bootstrap's client key") from error
    except (OSError, asyncssh.Error) as error:
        attempts.last_error = str(error) or type(error).__name__
        raise
    return Session(connection)


def _why_not(endpoint: Endpoint, attempts: Attempts, timeout: float) -> str:
    where = f"{endpoint.address} port {endpoint.port}"
    if not attempts.keys_seen:
        return f"no SSH at {where} within {timeout:g} s ({attempts.last_error})"
    expected = asyncssh.import_public_key(endpoint.host_key).get_fingerprint()
    seen = ", ".join(attempts.keys_seen)
    return (
        f"{where} did not show this node's host key {expected} within {timeout:g} s, only {seen}: the "
        "bootstrap script did not run there, or another machine answers at that address"
    )
