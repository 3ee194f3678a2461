"""
The one verified SSH session with a node.

hart makes the host key that a node must show before the instance exists, and sends it in the user-data. The client
accepts that key and no other, so hart never talks to an unverified machine: the key exchange itself fails, before any
authentication.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import asyncssh
import tenacity

from hart_salt.base import concurrency
from hart_salt.base.errors import NodeFailed
from hart_salt.node.output import Lines, Output, in_parts
from hart_salt.node.pacing import Handshakes, Pace, Road

# asyncssh logs what the other side sends, verified or not: version, banner, the text of a disconnect.
logging.getLogger("asyncssh").setLevel(logging.CRITICAL)

#: the only algorithm on either side: a machine without such a key cannot even answer
HOST_KEY_ALGORITHM = "ssh-ed25519"
CONNECT_TIMEOUT = 10.0
KEEPALIVE_INTERVAL = 15.0
CLOSE_TIMEOUT = 5.0  #: seconds until a session that does not close is aborted
KEYS_SHOWN = 3  #: the most host keys of other machines that an error names
READ_SIZE = 8192  #: bytes of output that are read at once
SHOWN_LIMIT = 64 * 1024  #: the most characters of output that are redacted for an error: more would take too long
WINDOW = 128 * 1024  #: bytes of a command's output that the node can send before hart reads any
#: the key exchanges of asyncssh without those that are computed in Python, which take up to seconds each
KEY_EXCHANGES = "-diffie-hellman-*,rsa*"
#: the ciphers of asyncssh, first those that OpenSSL computes in one step for each packet, unlike chacha20
ENCRYPTION = "^aes256-gcm@openssh.com,aes128-gcm@openssh.com"
#: the names of signals in POSIX and Linux without SIG, as SSH sends them
SIGNALS = frozenset(one.name.removeprefix("SIG") for one in signal.Signals)


@dataclass(frozen=True)
class Key:
    """A key pair for one purpose, thrown away after it; ``private`` is in OpenSSH's format and never stored."""

    private: str = field(repr=False)
    public: str


def make_key(comment: str) -> Key:
    """Return a new ed25519 key pair."""
    key = asyncssh.generate_private_key(HOST_KEY_ALGORITHM, comment=comment)
    return Key(key.export_private_key().decode(), key.export_public_key().decode().strip())


def key_fingerprint(line: str) -> str:
    """
    Return the fingerprint of an OpenSSH public key line as ``ssh-keygen -l`` shows it, such as ``SHA256:…``.

    Raises ``ValueError`` if ``line`` is no such line; the error does not quote it, since it may be a private key.
    """
    try:
        return asyncssh.import_public_key(line).get_fingerprint()
    # asyncssh makes a pattern of what follows BEGIN, which is the key itself if somebody joined its lines.
    except (asyncssh.KeyImportError, UnicodeError, re.error):
        raise ValueError("not an OpenSSH public key line") from None


@dataclass(frozen=True)
class Endpoint:
    """The address of a node and the keys of both sides."""

    address: str
    port: int
    #: OpenSSH public key line that the node must show
    host_key: str
    client_key: Key
    username: str = "root"


@dataclass
class Attempts:
    """What the attempts to connect have seen, for the error at the deadline."""

    keys_seen: list[str] = field(default_factory=list)
    #: how many host keys were seen after those
    more: int = 0
    last_error: str = "nothing answered"
    #: False if the last attempt was refused, because nothing listens there yet
    answered: bool = True
    connection: asyncssh.SSHClientConnection | None = None

    def saw(self, fingerprint: str) -> None:
        """Keep the fingerprint of a host key that was refused, if it is among the first ``KEYS_SHOWN``."""
        if fingerprint in self.keys_seen:
            return
        if len(self.keys_seen) < KEYS_SHOWN:
            self.keys_seen.append(fingerprint)
        else:
            self.more += 1

    @property
    def proved(self) -> bool:
        """Whether the other side has proved that it has the host key: then the connection is encrypted."""
        return self.connection is not None and self.connection.get_extra_info("send_cipher") is not None


class _Strict(asyncssh.SSHClient):
    """Refuses every host key but the expected one, and keeps its fingerprint."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Keep the connection; called by asyncssh before anything is sent."""
        self._attempts.connection = conn

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Refuse the key; asyncssh calls this only for keys that are not in ``known_hosts``."""
        self._attempts.saw(key.get_fingerprint())
        return False


class Session:
    """
    One SSH connection, as an async context manager. Commands can run one after another or concurrently.

    ``pace`` limits how much of the event loop the node can use (default: a new ``Pace``). ``excerpt`` cleans, redacts
    and shortens the output of a command for an error; it gets at most 64 KiB, and an error shows nothing of a longer
    output (default: the output is not changed).
    """

    def __init__(
        self, connection: asyncssh.SSHClientConnection, road: Road | None = None, pace: Pace | None = None,
        excerpt: Callable[[str], str] = str,
    ) -> None:  # fmt: skip
        self._connection = connection
        self._road = road
        self._pace = pace or Pace()
        self._excerpt = excerpt

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.abort() if kind else self._connection.close()
        try:
            await concurrency.within(self._connection.wait_closed(), CLOSE_TIMEOUT)
        except asyncio.TimeoutError:  # the node does not read what hart wrote last
            self._connection.abort()

    async def stream(self, command: str, on_lines: Callable[[list[str]], None]) -> int:
        """
        Run ``command``, pass the lines that it prints to ``on_lines`` a few at a time, and return its exit code.

        A carriage return ends a line too, since progress bars overwrite their line. ``on_lines`` must limit the number
        of lines itself.

        Raises ``NodeFailed`` if the session breaks off before the command ends, or a line is longer than 8 KiB.
        """
        async with self._process(command, stdin=asyncssh.DEVNULL, stderr=asyncssh.STDOUT) as process:
            await self._pass_on(process.stdout, on_lines)
            return await self._ended(process)

    async def follow(self, command: str, on_lines: Callable[[list[str]], None], *, output: str) -> str:
        """
        Run ``command``, pass its standard error to ``on_lines``, and return its standard output.

        It is one channel for a log and the result after it: each channel takes more than a millisecond of the event
        loop. ``output`` names the standard output in the error for one that is too long.

        Raises ``NodeFailed`` as ``stream`` does, and if the command fails or prints more than 1 MiB on standard output.
        """
        said = Output(output)
        async with self._process(command, stdin=asyncssh.DEVNULL) as process:
            await _all(self._pass_on(process.stderr, on_lines), self._collect(process.stdout, said))
            if status := await self._ended(process):
                raise NodeFailed(f"a command on the node failed with exit code {status}")
        return said.text()

    async def run(
        self, command: str, *, stdin: str | bytes = b"", timeout: float = 60.0,
        output: str = "the output of a command on the node",
    ) -> str:  # fmt: skip
        """
        Run ``command`` with ``stdin`` and return what it printed.

        ``timeout`` is in seconds (default 60); ``output`` names the output in the error for one that is too long.

        Raises ``NodeFailed`` if the command fails, exceeds the timeout or prints more than 1 MiB, or if the connection
        breaks.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        try:
            said, complained, status = await concurrency.within(self._finished(command, data, output), timeout)
        except asyncio.TimeoutError as error:
            raise NodeFailed(f"a command on the node took longer than {timeout:g} s") from error
        if status:
            text = (complained or said).strip()
            too_long = f"it printed {len(text) >> 10} KiB, which is too much to show"
            shown = self._excerpt(text) if len(text) <= SHOWN_LIMIT else too_long
            raise NodeFailed(f"a command on the node failed with exit code {status}: {shown}")
        return said

    async def _finished(self, command: str, data: bytes, output: str) -> tuple[str, str, int]:
        """Return what a command printed on standard output and on standard error, and its exit code."""
        # asyncssh never closes a standard input with empty data
        source = {} if data else {"stdin": asyncssh.DEVNULL}
        said, complained = Output(output), Output(output)
        async with self._process(command, **source) as process:
            if data:
                # A command that ends before it has read its input is no broken session: its exit code decides.
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(data)
                    process.stdin.write_eof()
            await _all(self._collect(process.stdout, said), self._collect(process.stderr, complained))
            return said.text(), complained.text(), await self._ended(process)

    async def _pass_on(self, stream: asyncssh.SSHReader[bytes], on_lines: Callable[[list[str]], None]) -> None:
        lines = Lines()
        while piece := await self._read(stream):
            for some in in_parts(lines.feed(piece)):
                await self._pace.work(on_lines, some)
        await self._pace.work(on_lines, lines.end())

    async def _collect(self, stream: asyncssh.SSHReader[bytes], output: Output) -> None:
        while piece := await self._read(stream):
            await self._pace.work(output.feed, piece)

    @asynccontextmanager
    async def _process(self, command: str, **more: Any) -> AsyncIterator[asyncssh.SSHClientProcess[bytes]]:
        """
        Start a command, and close it at the end without waiting: a node that does not confirm it would block hart.

        ``asyncssh`` itself would wait, and would collect what arrives until then.
        """
        with self._breaks():
            process = await self._connection.create_process(command, encoding=None, window=WINDOW, **more)
        try:
            yield process
        finally:
            process.close()

    async def _read(self, stream: asyncssh.SSHReader[bytes]) -> bytes:
        with self._breaks():
            return await stream.read(READ_SIZE)

    async def _ended(self, process: asyncssh.SSHClientProcess[bytes]) -> int:
        with self._breaks():
            await process.wait_closed()
        if process.exit_signal:
            name = str(process.exit_signal[0])
            by = f"SIG{name}" if name in SIGNALS else "a signal"
            raise NodeFailed(f"a command on the node was ended by {by}")
        if process.exit_status is None:
            raise NodeFailed(self._broken("before the command on the node had ended"))
        return process.exit_status

    @contextmanager
    def _breaks(self) -> Iterator[None]:
        """Raise ``NodeFailed`` for every error that the other side causes in ``asyncssh``."""
        try:
            yield
        except Exception as error:
            raise NodeFailed(self._broken(f"({in_words(error)})")) from None

    def _broken(self, how: str) -> str:
        if self._road and self._road.paced and self._road.paced.exceeded:
            return f"the node sent more than {self._road.limit >> 20} MiB over the SSH session"
        return f"the SSH session broke off {how}"


async def _all(*work: Coroutine[Any, Any, None]) -> None:
    """Do all of it side by side; if a part fails, the others end, too."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def connect(
    endpoint: Endpoint,
    *,
    timeout: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    excerpt: Callable[[str], str] = str,
    handshakes: Handshakes | None = None,
) -> Session:
    """
    Connect as soon as the node answers with its key; the caller must close the session.

    Until the bootstrap script has run, an instance answers with the key of its image. hart refuses that key like any
    other, and tries again every half second, or less often if many nodes try. While nothing listens, it tries more
    often.

    ``timeout`` is in seconds; ``excerpt`` is as in ``Session``; ``handshakes`` are those of all nodes of the call
    (default: there is no other node).

    Raises ``NodeFailed`` if no attempt succeeds; it names the host keys that were seen, and quotes nothing that the
    other side sent. A node that shows the right key and then refuses the client key fails at once, since no later
    attempt can succeed.
    """
    attempts, handshakes = Attempts(), handshakes or Handshakes()
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_delay(timeout),
        wait=lambda _: handshakes.interval(answered=attempts.answered),
        retry=tenacity.retry_if_exception_type(_NotYet),
        sleep=sleep,
        reraise=True,
    )
    pace = Pace()
    try:
        with handshakes.connecting():
            return await retrying(_attempt, endpoint, attempts, pace, excerpt, handshakes)
    except _NotYet:
        raise NodeFailed(_why_not(endpoint, attempts, timeout)) from None


class _NotYet(Exception):
    """An attempt that can be repeated failed."""


async def _attempt(
    endpoint: Endpoint, attempts: Attempts, pace: Pace, excerpt: Callable[[str], str], handshakes: Handshakes
) -> Session:
    """
    Try once to connect, without the SSH configuration of the calling user (config, agent, known_hosts).

    The other side chooses among the offered algorithms before it has proved anything. So hart offers no compression,
    with which one packet can grow a thousandfold, and no key exchange that blocks the event loop for long.

    ``disable_trivial_auth`` refuses a server that lets anyone in: a server that has the host key but does not check
    the client is not the node.
    """
    expected = asyncssh.import_public_key(endpoint.host_key)
    road = Road(pace, handshakes, CONNECT_TIMEOUT)
    try:
        connection, _ = await asyncssh.create_connection(
            lambda: _Strict(attempts),
            endpoint.address,
            endpoint.port,
            username=endpoint.username,
            known_hosts=([expected], [], []),
            server_host_key_algs=[HOST_KEY_ALGORITHM],
            kex_algs=KEY_EXCHANGES,
            encryption_algs=ENCRYPTION,
            compression_algs=["none"],
            tunnel=road,
            client_keys=[_private_key(endpoint.client_key.private)],
            preferred_auth=["publickey"],
            disable_trivial_auth=True,
            agent_path=None,
            config=None,
            gss_host=None,
            login_timeout=CONNECT_TIMEOUT,
            keepalive_interval=KEEPALIVE_INTERVAL,
        )
    except Exception as error:
        if attempts.proved and isinstance(error, asyncssh.PermissionDenied):
            raise NodeFailed(f"the node at {endpoint.address} refused the bootstrap's client key") from None
        attempts.last_error = in_words(error)
        attempts.answered = not isinstance(error, ConnectionRefusedError)
        raise _NotYet from None
    finally:
        road.end_handshake()
    return Session(connection, road, pace, excerpt)


@functools.lru_cache(8)
def _private_key(text: str) -> asyncssh.SSHKey:
    """Return the key object of a private key, which all nodes of a call share."""
    return asyncssh.import_private_key(text)


def in_words(error: BaseException) -> str:
    """
    Describe what went wrong on a connection, without quoting the error: its text may come from the other side.

    Errors of ``asyncssh`` quote the other side's disconnect message, its version and its names of algorithms.
    """
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return "another host key was shown"
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return f"no {HOST_KEY_ALGORITHM} host key, or no algorithm in common"
    if isinstance(error, asyncssh.ConnectionLost):
        return "the connection was closed"
    if isinstance(error, asyncssh.PermissionDenied):
        return "the login was refused"
    if isinstance(error, asyncio.TimeoutError | TimeoutError | asyncssh.TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "the address cannot be resolved"
    if isinstance(error, OSError):
        known = error.errno if error.errno in errno.errorcode else None
        return os.strerror(known).lower() if known else "it cannot be connected to"
    return "the other side ended the session or does not follow the SSH protocol"


def _why_not(endpoint: Endpoint, attempts: Attempts, timeout: float) -> str:
    where = f"{endpoint.address} port {endpoint.port}"
    if not attempts.keys_seen:
        return f"no SSH at {where} within {timeout:g} s ({attempts.last_error})"
    expected = asyncssh.import_public_key(endpoint.host_key).get_fingerprint()
    seen = ", ".join(attempts.keys_seen) + (f" and {attempts.more} more" if attempts.more else "")
    return (
        f"{where} did not show this node's host key {expected} within {timeout:g} s, only {seen}: the "
        "bootstrap script did not run there, or another machine answers at that address"
    )
