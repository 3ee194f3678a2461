"""
The one verified session with a node.

The host key that a node must show is made here, before the instance exists, and travels in its user-data.
The client accepts that key and no other, so there is no moment at which an unverified machine is talked to:
the key exchange itself fails, before any authentication.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import asyncssh
import tenacity

from hart_salt.base import concurrency
from hart_salt.base.errors import NodeFailed
from hart_salt.node.output import Lines, Output, in_parts
from hart_salt.node.pacing import Pace, Road

# It logs what the other side says, verified or not: version, banner, the text of a disconnect.
logging.getLogger("asyncssh").setLevel(logging.CRITICAL)

#: the only algorithm on either side: a machine that has no such key cannot even answer
HOST_KEY_ALGORITHM = "ssh-ed25519"
CONNECT_TIMEOUT = 10.0
RETRY_INTERVAL = 0.5
KEEPALIVE_INTERVAL = 15.0
CLOSE_TIMEOUT = 5.0  #: seconds until a session that does not close is cut off
KEYS_SHOWN = 3  #: host keys of other machines that an error names
READ_SIZE = 8192  #: bytes of output that are taken at once
SHOWN_LIMIT = 64 * 1024  #: characters of output that are prepared for an error: more would take too long at once
WINDOW = 128 * 1024  #: bytes of a command's output that the node may send before any is taken
#: those of asyncssh without the ones that are computed in Python, up to seconds for one
KEY_EXCHANGES = "-diffie-hellman-*,rsa*"
#: what POSIX and Linux call signals, as SSH does: without SIG
SIGNALS = frozenset(one.name.removeprefix("SIG") for one in signal.Signals)


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
    #: how many others were seen after those
    more: int = 0
    last_error: str = "nothing answered"
    connection: asyncssh.SSHClientConnection | None = None

    def saw(self, fingerprint: str) -> None:
        """Remember a host key that was refused, if it is among the first few."""
        if fingerprint in self.keys_seen:
            return
        if len(self.keys_seen) < KEYS_SHOWN:
            self.keys_seen.append(fingerprint)
        else:
            self.more += 1

    @property
    def proved(self) -> bool:
        """Whether the other side has signed with the host key: what follows the key exchange is encrypted."""
        return self.connection is not None and self.connection.get_extra_info("send_cipher") is not None


class _Strict(asyncssh.SSHClient):
    """Refuses every host key that is not the expected one, and remembers which it was."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Called by asyncssh before anything is said."""
        self._attempts.connection = conn

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Called by asyncssh for keys that are not in ``known_hosts`` only; there is nothing to weigh."""
        self._attempts.saw(key.get_fingerprint())
        return False


class Session:
    """
    One SSH connection; an async context manager. Commands run one after another or side by side.

    pace
        what the node may take of the event loop (default: of its own)
    excerpt
        what makes of a command's output what an error may show of it: cleans it, redacts it and then shortens it. It
        gets up to 64 KiB; of more, nothing is shown (default: the output as it is)
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
        except asyncio.TimeoutError:  # it does not read what we wrote last
            self._connection.abort()

    async def stream(self, command: str, on_lines: Callable[[list[str]], None]) -> int:
        """
        Run ``command``, hand over the lines that it prints as they come, a few at a time, and return its exit code.

        A carriage return ends a line as well: progress bars write over a line without end.

        Raises ``NodeFailed`` if the session breaks off before the command ended, and for a line of more than 8 KiB. The
        number of lines is for ``on_lines`` to bound.
        """
        lines = Lines()
        async with self._process(command, stdin=asyncssh.DEVNULL, stderr=asyncssh.STDOUT) as process:
            while piece := await self._read(process.stdout):
                for some in in_parts(lines.feed(piece)):
                    await self._pace.work(on_lines, some)
            await self._pace.work(on_lines, lines.end())
            return await self._ended(process)

    async def run(
        self, command: str, *, stdin: str | bytes = b"", timeout: float = 60.0,
        output: str = "the output of a command on the node",
    ) -> str:  # fmt: skip
        """
        Run ``command`` with ``stdin`` and return what it printed.

        timeout
            seconds until it is given up (default 60)
        output
            what it prints, in words, for the error that says it is too long

        Raises ``NodeFailed`` when the command fails, is given up, prints more than 1 MiB, or the connection breaks.
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
        """What a command printed on standard output and standard error, and its exit code."""
        # asyncssh never closes a standard input of which the data is empty
        source = {"input": data} if data else {"stdin": asyncssh.DEVNULL}
        said, complained = Output(output), Output(output)
        async with self._process(command, **source) as process:
            readers = [
                asyncio.ensure_future(self._collect(process.stdout, said)),
                asyncio.ensure_future(self._collect(process.stderr, complained)),
            ]
            try:
                await asyncio.gather(*readers)
            finally:
                for reader in readers:
                    reader.cancel()
            return said.text(), complained.text(), await self._ended(process)

    async def _collect(self, stream: asyncssh.SSHReader[bytes], output: Output) -> None:
        while piece := await self._read(stream):
            await self._pace.work(output.feed, piece)

    @asynccontextmanager
    async def _process(self, command: str, **more: Any) -> AsyncIterator[asyncssh.SSHClientProcess[bytes]]:
        """
        A command, closed in the end and not waited for: a node that does not confirm it would keep us here.

        ``asyncssh`` itself would wait, and would collect what comes in the meantime.
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
        """Whatever the other side brings about in ``asyncssh`` is a session that broke off."""
        try:
            yield
        except Exception as error:
            raise NodeFailed(self._broken(f"({in_words(error)})")) from None

    def _broken(self, how: str) -> str:
        if self._road and self._road.paced and self._road.paced.exceeded:
            return f"the node sent more than {self._road.limit >> 20} MiB over the SSH session"
        return f"the SSH session broke off {how}"


async def connect(
    endpoint: Endpoint,
    *,
    timeout: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    excerpt: Callable[[str], str] = str,
) -> Session:
    """
    Connect as soon as the node answers with its key; the caller closes the session.

    Until the bootstrap script has run, an instance answers with the key that its image made. That key is
    refused like any other, and the attempt repeated every half second.

    timeout
        seconds until it is given up
    excerpt
        what an error may show of a command's output; see ``Session``

    Raises ``NodeFailed``, which says which host keys were seen and nothing that whatever answered said. A node that
    shows the right key and then refuses the client key fails at once: nothing that happens later makes that good.
    """
    attempts = Attempts()
    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_delay(timeout),
        wait=tenacity.wait_fixed(RETRY_INTERVAL),
        retry=tenacity.retry_if_exception_type(_NotYet),
        sleep=sleep,
        reraise=True,
    )
    pace = Pace()
    try:
        return await retrying(_attempt, endpoint, attempts, pace, excerpt)
    except _NotYet:
        raise NodeFailed(_why_not(endpoint, attempts, timeout)) from None


class _NotYet(Exception):
    """It did not work out this time."""


async def _attempt(endpoint: Endpoint, attempts: Attempts, pace: Pace, excerpt: Callable[[str], str]) -> Session:
    """
    One try. Nothing of the calling user's own SSH set-up (config, agent, known_hosts) takes part.

    Without compression, in which one packet can grow a thousandfold, and without key exchanges that take the event loop
    for long: whoever answers chooses among what is offered, before it has proved anything.

    ``disable_trivial_auth`` refuses a server that lets anyone in: one that has our host key but does not
    check the client is not the node.
    """
    expected = asyncssh.import_public_key(endpoint.host_key)
    road = Road(pace)
    try:
        connection, _ = await asyncssh.create_connection(
            lambda: _Strict(attempts),
            endpoint.address,
            endpoint.port,
            username=endpoint.username,
            known_hosts=([expected], [], []),
            server_host_key_algs=[HOST_KEY_ALGORITHM],
            kex_algs=KEY_EXCHANGES,
            compression_algs=["none"],
            tunnel=road,
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
    except Exception as error:
        if attempts.proved and isinstance(error, asyncssh.PermissionDenied):
            raise NodeFailed(f"the node at {endpoint.address} refused the bootstrap's client key") from None
        attempts.last_error = in_words(error)
        raise _NotYet from None
    return Session(connection, road, pace, excerpt)


def in_words(error: BaseException) -> str:
    """
    What went wrong on a connection, in hart's own words: the text of an error may be that of whoever answered.

    Errors of ``asyncssh`` quote the disconnect message of the other side, its version and its names of algorithms.
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
        return "the address is not known"
    if isinstance(error, OSError):
        known = error.errno if error.errno in errno.errorcode else None
        return os.strerror(known).lower() if known else "it cannot be connected to"
    return "what answered does not keep to the SSH protocol, or ended the session"


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
