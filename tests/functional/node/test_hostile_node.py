"""What the other side sends, before and after it is verified, is limited, and no error quotes it."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import pytest

from hart_salt.base.errors import NodeFailed
from hart_salt.node import pacing, ssh
from hart_salt.node.output import LINES_AT_ONCE, OUTPUT_LIMIT
from tests.functional.node.ssh_server import BRIEF, CLIENT, HOST, LONG, OTHER, Seen, Server, endpoint, no_time

PEER_TEXT = "pwned-by-peer"
HOSTILE = f"\x1b]0;{PEER_TEXT}\x07".encode()

# before it is verified


def packet(kind: int, body: bytes) -> bytes:
    """Return an SSH packet before any key exchange."""
    payload = bytes([kind]) + body
    padding = 8 - (5 + len(payload)) % 8 + 8
    return struct.pack(">IB", 1 + len(payload) + padding, padding) + payload + b"\0" * padding


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def disconnect(code: int) -> bytes:
    return b"SSH-2.0-x\r\n" + packet(1, struct.pack(">I", code) + text(HOSTILE) + text(b"en"))


ANSWERS = {
    **{f"disconnect {code}": disconnect(code) for code in (1, 2, 3, 9, 11, 12, 14, 15, 99)},
    "a banner": HOSTILE + b"\r\n" * 3,
    "a version of its own": b"SSH-1.5-" + HOSTILE + b"\r\n",
    "a version that is long": b"SSH-2.0-" + HOSTILE * 100 + b"\r\n",
    "a version that is no ASCII": b"SSH-2.0-\xff" + HOSTILE + b"\r\n",
    "a banner without an end": HOSTILE * 10_000,
    "many banners": (HOSTILE + b"\r\n") * 5000,
    "a packet of four gigabytes": b"SSH-2.0-x\r\n\xff\xff\xff\xff" + HOSTILE * 1000,
    "algorithms that nobody has": b"SSH-2.0-x\r\n" + packet(20, b"\0" * 16 + text(HOSTILE) * 10 + b"\0" * 5),
    "a debug message": b"SSH-2.0-x\r\n" + packet(4, b"\1" + text(HOSTILE) + text(b"")),
    "a message that is cut": b"SSH-2.0-x\r\n" + packet(1, b"\0\0"),
    "HTTP": b"HTTP/1.1 400 " + HOSTILE + b"\r\n\r\n",
    "nothing": b"",
}


def refusal_of(answer: bytes, logged: list[str]) -> str:
    """Connect to a server that sends this answer to everyone, and return the error."""

    async def main() -> str:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: logged.append(repr(context)))

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)
            with_end = asyncio.ensure_future(reader.read(65536))
            await asyncio.wait([with_end], timeout=0.02)
            with_end.cancel()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            with pytest.raises(NodeFailed) as caught:
                await ssh.connect(endpoint(server.sockets[0].getsockname()[1]), timeout=BRIEF, sleep=no_time)
        seen: BaseException | None = caught.value
        while seen is not None:
            logged.append(repr(seen))
            seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
        return str(caught.value)

    return asyncio.run(main())


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_no_error_and_no_log_quotes_an_unverified_machine(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logged: list[str] = []
    error = refusal_of(answer, logged)
    assert error.startswith("no SSH at 127.0.0.1 port ")
    everything = error + "".join(logged) + "".join(record.getMessage() for record in caplog.records)
    assert PEER_TEXT not in everything
    assert "\x1b" not in everything
    assert len(error) < 300


def test_an_unverified_machine_cannot_stop_the_attempts_by_refusing_the_login() -> None:
    """14 is the code for it. A machine that has not signed with the host key cannot refuse the client key."""
    assert "refused the bootstrap's client key" not in refusal_of(disconnect(14), [])


def test_a_few_foreign_host_keys_are_named_and_the_others_counted() -> None:
    keys = [ssh.make_key(str(number)) for number in range(6)]
    attempts = ssh.Attempts()
    for key in [*keys, keys[0]]:
        attempts.saw(ssh.key_fingerprint(key.public))
    error = ssh._why_not(endpoint(1), attempts, 1)
    assert f"{ssh.key_fingerprint(keys[2].public)} and 3 more: " in error
    assert ssh.key_fingerprint(keys[3].public) not in error


def test_no_algorithm_is_offered_that_grows_or_computes_for_long() -> None:
    async def main() -> list[str]:
        offered: list[str] = []

        class Listening(Server):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                super().connection_made(conn)
                real = conn._process_kexinit

                def look(kind: int, number: int, packet: Any) -> Any:
                    offered.append(packet.get_full_payload().decode("latin-1"))
                    return real(kind, number, packet)

                conn._packet_handlers = {**conn._packet_handlers, 20: lambda conn, *rest: look(*rest)}

        acceptor = await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[asyncssh.import_private_key(HOST.private)], config=None,
            server_factory=lambda: Listening(Seen(), [CLIENT]),
        )  # fmt: skip
        async with acceptor, await ssh.connect(endpoint(acceptor.get_port()), timeout=LONG):
            pass
        return offered

    (offer,) = asyncio.run(main())
    assert "curve25519-sha256" in offer
    assert [word for word in ("zlib", "diffie-hellman", "rsa2048", "rsa1024") if word in offer] == []


# after it is verified

Command = Callable[[asyncssh.SSHServerProcess[bytes]], Awaitable[None]]


@asynccontextmanager
async def node(command: Command, factory: Callable[[], Server] | None = None) -> Any:
    """A node that hart created, and that misbehaves as the test sets."""
    seen = Seen()
    acceptor = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[asyncssh.import_private_key(HOST.private)], config=None, encoding=None,
        server_factory=factory or (lambda: Server(seen, [CLIENT])), process_factory=command, line_editor=False,
    )  # fmt: skip
    async with acceptor:
        yield acceptor.get_port(), seen


def with_node(command: Command, use: Callable[[ssh.Session], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with (
            node(command) as (port, _),
            await ssh.connect(endpoint(port), timeout=LONG, excerpt=lambda text: text[-20:]) as session,
        ):
            return await use(session)

    return asyncio.run(main())


class Sent:
    """A command that prints the same without end, and counts the bytes."""

    def __init__(self, data: bytes, *, stderr: bool = False) -> None:
        self.data, self.stderr, self.bytes = data, stderr, 0

    async def __call__(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        stream = process.stderr if self.stderr else process.stdout
        while not stream.is_closing():
            stream.write(self.data)
            self.bytes += len(self.data)
            try:
                await stream.drain()
            except (asyncssh.Error, OSError):
                return


#: the most bytes in the buffers of both sides
ON_THE_WAY = 3 * 1024 * 1024


@pytest.mark.parametrize("stderr", [False, True])
def test_a_command_that_prints_for_ever_fails_at_the_limit(stderr: bool) -> None:
    sent = Sent(b"x" * 65536, stderr=stderr)

    async def use(session: ssh.Session) -> None:
        with pytest.raises(NodeFailed, match="^the result document is larger than 1 MiB$"):
            await session.run("cat", timeout=LONG, output="the result document")

    with_node(sent, use)
    assert OUTPUT_LIMIT < sent.bytes < OUTPUT_LIMIT + ON_THE_WAY


def test_a_line_that_never_ends_fails_at_the_limit() -> None:
    sent = Sent(b"x" * 4096)

    async def use(session: ssh.Session) -> None:
        with pytest.raises(NodeFailed, match="^the node printed a line of more than 8 KiB$"):
            await session.stream("tail", lambda lines: pytest.fail(f"{len(lines)} lines"))

    with_node(sent, use)
    assert sent.bytes < ON_THE_WAY


class Enough(Exception):
    """Raised by the consumer of the lines to stop."""


@pytest.mark.parametrize("data", [b"\n" * 65536, b"y\n" * 32768, b"\r" * 65536, b"\xff\n\x00\n\x1b[2J\r\n" * 5000])
def test_many_lines_arrive_a_few_at_a_time_and_the_node_is_held_back(data: bytes) -> None:
    sent = Sent(data)
    taken: list[int] = []

    def take(lines: list[str]) -> None:
        taken.append(len(lines))
        if sum(taken) > 20_000:
            raise Enough

    async def use(session: ssh.Session) -> None:
        with pytest.raises(Enough):
            await session.stream("yes", take)

    with_node(sent, use)
    assert max(taken) <= LINES_AT_ONCE
    assert sent.bytes < ON_THE_WAY


def test_while_a_node_prints_for_ever_others_get_a_turn_after_each_few_lines() -> None:
    turns: list[str] = []

    def take(lines: list[str]) -> None:
        turns.append("node")
        if turns.count("node") > 200:
            raise Enough

    async def neighbour() -> None:
        while True:
            turns.append("neighbour")
            await asyncio.sleep(0)

    async def use(session: ssh.Session) -> None:
        beside = asyncio.ensure_future(neighbour())
        with pytest.raises(Enough):
            await session.stream("yes", take)
        beside.cancel()

    with_node(Sent(b"y\n" * 32768), use)
    both = "".join("n" if turn == "node" else "." for turn in turns)
    assert "nn" not in both


def test_a_node_that_confirms_nothing_does_not_block() -> None:
    """It does not end the command, does not close the channel, and reads nothing."""

    async def hang(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.channel.pause_reading()
        await asyncio.Event().wait()

    async def use(session: ssh.Session) -> None:
        with pytest.raises(NodeFailed, match=r"took longer than 0\.05 s"):
            await session.run("start", stdin=b"x" * 10**6, timeout=BRIEF)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(session.stream("tail", print), BRIEF)

    with_node(hang, use)


def test_an_error_names_only_signals_that_exist() -> None:
    async def end(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.exit_with_signal(process.command or "", msg=PEER_TEXT)

    async def use(session: ssh.Session) -> list[str]:
        errors = []
        for name in ("TERM", "\x1b[2J", "X" * 10_000):
            with pytest.raises(NodeFailed) as caught:
                await session.run(name)
            errors.append(str(caught.value))
        return errors

    ended = "a command on the node was ended by "
    assert with_node(end, use) == [f"{ended}SIGTERM", f"{ended}a signal", f"{ended}a signal"]


def test_the_error_of_a_command_has_an_excerpt_of_its_output_unless_that_is_too_long() -> None:
    async def fail(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.stderr.write(b"y" * int(process.command or 0) + b" the end")
        process.exit(3)

    async def use(session: ssh.Session) -> list[str]:
        errors = []
        for size in ("100", "100000"):
            with pytest.raises(NodeFailed) as caught:
                await session.run(size)
            errors.append(str(caught.value).partition(": ")[2])
        return errors

    assert with_node(fail, use) == ["yyyyyyyyyyyy the end", "it printed 97 KiB, which is too much to show"]


def flooding(make: Callable[[asyncssh.SSHServerConnection], None]) -> Command:
    """A command during which the node sends data that belongs to no command, as long as anyone reads."""

    async def command(process: asyncssh.SSHServerProcess[bytes]) -> None:
        connection = process.get_extra_info("connection")
        while not process.is_closing():
            for _ in range(10):
                make(connection)
            await asyncio.sleep(0)

    return command


FLOODS = {
    "ignored messages": lambda conn: conn.send_packet(2, text(b"x" * 30_000)),
    "debug messages": lambda conn: conn.send_debug(PEER_TEXT * 1000),
}


@pytest.mark.parametrize("make", FLOODS.values(), ids=FLOODS)
def test_data_that_belongs_to_no_command_is_limited_too(
    make: Callable[[Any], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(pacing, "SESSION_LIMIT", 1024 * 1024)

    async def use(session: ssh.Session) -> None:
        with pytest.raises(NodeFailed, match="^the node sent more than 1 MiB over the SSH session$"):
            await session.run("flood", timeout=LONG)

    with_node(flooding(make), use)
    assert PEER_TEXT not in "".join(record.getMessage() for record in caplog.records)


def test_the_disconnect_message_of_a_verified_node_is_not_shown() -> None:
    async def leave(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.get_extra_info("connection").disconnect(2, HOSTILE.decode())

    async def use(session: ssh.Session) -> str:
        with pytest.raises(NodeFailed) as caught:
            await session.run("leave")
        return str(caught.value)

    assert PEER_TEXT not in with_node(leave, use)


def test_another_machine_cannot_put_text_into_the_error() -> None:
    """The host key is refused before anything else is sent; the error has only its fingerprint, which hart computes."""

    async def main() -> str:
        acceptor = await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[asyncssh.import_private_key(OTHER.private)], config=None,
            server_version=PEER_TEXT, server_factory=lambda: Server(Seen(), [CLIENT]),
        )  # fmt: skip
        async with acceptor:
            with pytest.raises(NodeFailed) as caught:
                await ssh.connect(endpoint(acceptor.get_port()), timeout=BRIEF, sleep=no_time)
        return str(caught.value)

    error = asyncio.run(main())
    assert PEER_TEXT not in error
    assert ssh.key_fingerprint(OTHER.public) in error
