"""The one verified session with a node, against real SSH servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import asyncssh
import pytest

from hart_salt.base.errors import NodeFailed
from hart_salt.node import ssh
from hart_salt.node.pacing import KNOCK_INTERVAL, RETRY_INTERVAL, Handshakes
from tests.functional.node.ssh_server import (
    BRIEF,
    CLIENT,
    HOST,
    LONG,
    OTHER,
    Seen,
    Server,
    endpoint,
    fingerprint,
    no_time,
    refusal,
    serving,
    with_session,
)

# which servers are accepted


def test_another_machine_gets_no_authentication_attempt_and_both_keys_are_named() -> None:
    seen = Seen()
    error = refusal(seen, OTHER.private, authorized=[CLIENT])
    assert seen.connections >= 1
    assert (seen.users, seen.keys) == ([], [])
    assert fingerprint(HOST) in error
    assert fingerprint(OTHER) in error
    assert "another machine answers at that address" in error


def test_a_key_of_another_type_gets_no_authentication_attempt_either() -> None:
    seen = Seen()
    rsa = asyncssh.generate_private_key("ssh-rsa", key_size=2048).export_private_key().decode()
    ecdsa = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key().decode()
    error = refusal(seen, rsa, ecdsa, authorized=[CLIENT])
    assert (seen.users, seen.keys) == ([], [])
    assert "no ssh-ed25519 host key" in error


def test_a_host_certificate_of_a_foreign_authority_is_not_accepted() -> None:
    authority = asyncssh.generate_private_key("ssh-ed25519")
    key = asyncssh.import_private_key(OTHER.private)
    certificate = authority.generate_host_certificate(key, "node", principals=["127.0.0.1"])
    seen = Seen()

    async def main() -> None:
        acceptor = await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[(key, certificate)], server_factory=lambda: Server(seen, [CLIENT])
        )
        async with acceptor:
            with pytest.raises(NodeFailed):
                await ssh.connect(endpoint(acceptor.get_port()), timeout=BRIEF, sleep=no_time)

    asyncio.run(main())
    assert seen.users == []


def test_hart_connects_once_the_node_shows_its_key() -> None:
    seen = Seen()

    async def main() -> None:
        async with serving(seen, OTHER.private, authorized=[]) as (port, reload):
            pauses = 0

            async def sleep(_: float) -> None:
                nonlocal pauses
                pauses += 1
                if pauses == 3:
                    assert seen.users == []
                    reload(HOST.private, authorized=[CLIENT])

            async with await ssh.connect(endpoint(port), timeout=LONG, sleep=sleep) as session:
                assert await session.run("count", stdin="1234") == "4"

    asyncio.run(main())
    assert seen.users == ["root"]
    assert set(seen.keys) == {fingerprint(CLIENT)}


def test_hart_tries_more_often_while_nothing_listens_than_while_another_key_is_shown() -> None:
    pauses: list[float] = []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def main() -> None:
        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                raise EOFError

        with pytest.raises(EOFError):
            await ssh.connect(endpoint(port), timeout=LONG, sleep=sleep)
        assert pauses == [KNOCK_INTERVAL] * 3
        pauses.clear()
        async with serving(Seen(), OTHER.private, authorized=[]) as (shown, _):
            with pytest.raises(EOFError):
                await ssh.connect(endpoint(shown), timeout=LONG, sleep=sleep)

    asyncio.run(main())
    assert pauses == [RETRY_INTERVAL] * 3


def test_a_node_that_refuses_the_client_key_fails_at_once() -> None:
    seen = Seen()
    error = refusal(seen, HOST.private, authorized=[OTHER], timeout=LONG)
    assert error == "the node at 127.0.0.1 refused the bootstrap's client key"
    assert seen.connections == 1


def test_a_server_that_lets_anyone_in_is_refused() -> None:
    seen = Seen()
    refusal(seen, HOST.private, authorized=None, timeout=LONG)
    assert seen.connections == 1


def test_the_error_says_that_nothing_answers() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(NodeFailed, match=rf"no SSH at 127\.0\.0\.1 port {port} within .*connection refused"):
            asyncio.run(ssh.connect(endpoint(port), timeout=BRIEF, sleep=no_time))


def test_a_server_that_does_not_speak_ssh_is_described_in_the_error() -> None:
    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            with pytest.raises(NodeFailed, match="no SSH at"):
                await ssh.connect(endpoint(server.sockets[0].getsockname()[1]), timeout=BRIEF, sleep=no_time)

    asyncio.run(main())


def test_the_session_logs_in_as_root_with_the_batch_s_key_only() -> None:
    async def use(session: ssh.Session, seen: Seen) -> Seen:
        return seen

    seen = with_session(use)
    assert (set(seen.users), set(seen.keys)) == ({"root"}, {fingerprint(CLIENT)})


# the calling user's own SSH configuration


@pytest.fixture
def hostile_user(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """
    Make a home directory with an SSH configuration that trusts another machine, redirects and offers other keys, and an
    agent.
    """
    user = root / "user"
    (user / ".ssh").mkdir(parents=True, mode=0o700)
    (user / ".ssh/config").write_text(
        f"Host *\n  StrictHostKeyChecking no\n  ProxyCommand touch '{user}/proxy'\n  User mallory\n"
        f"  UserKnownHostsFile {user}/.ssh/known_hosts\n  IdentityFile {user}/.ssh/id_ed25519\n"
    )
    (user / ".ssh/known_hosts").write_text(f"* {OTHER.public}\n@cert-authority * {OTHER.public}\n")
    (user / ".ssh/id_ed25519").write_text(OTHER.private)
    (user / ".ssh/id_ed25519").chmod(0o600)
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(user / "agent"))
    agent.listen()
    agent.setblocking(False)
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(user / "agent"))
    with contextlib.closing(agent):
        yield user
        with pytest.raises(BlockingIOError):  # nobody asked it
            agent.accept()
    assert not (user / "proxy").exists()


@pytest.mark.usefixtures("hostile_user")
def test_the_user_s_known_hosts_let_no_other_machine_in() -> None:
    seen = Seen()
    refusal(seen, OTHER.private, authorized=[CLIENT])
    assert seen.users == []


@pytest.mark.usefixtures("hostile_user")
def test_the_user_s_keys_are_never_offered() -> None:
    seen = Seen()
    refusal(seen, HOST.private, authorized=[OTHER], timeout=LONG)
    assert set(seen.keys) == {fingerprint(CLIENT)}
    assert set(seen.users) == {"root"}


# what runs over the session


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_a_stream_passes_every_line_on_and_returns_the_exit_code(code: int) -> None:
    async def use(session: ssh.Session, _: Seen) -> tuple[int, list[str]]:
        lines: list[str] = []
        return await session.stream(f"exit {code}", lines.extend), lines

    ended, lines = with_session(use)
    assert ended == code
    assert sorted(lines) == ["complained", "said"]


def test_a_log_and_the_result_after_it_are_separate_in_one_command() -> None:
    async def use(session: ssh.Session, _: Seen) -> tuple[str, list[str]]:
        lines: list[str] = []
        said = await session.follow("exit 0", lines.extend, output="the result")
        with pytest.raises(NodeFailed, match="a command on the node failed with exit code 7"):
            await session.follow("exit 7", lines.extend, output="the result")
        return said, lines

    assert with_session(use) == ("said\n", ["complained"] * 2)


def test_a_result_that_is_too_long_is_an_error() -> None:
    async def use(session: ssh.Session, _: Seen) -> None:
        await session.follow("repeat 200000", print, output="the result")

    with pytest.raises(NodeFailed, match="the result is larger than 1 MiB"):
        with_session(use)


def test_a_big_output_arrives_completely() -> None:
    async def use(session: ssh.Session, _: Seen) -> tuple[int, int]:
        lines: list[str] = []
        await session.stream("repeat 20000", lines.extend)
        return len(lines), len(await session.run("repeat 60000"))

    assert with_session(use) == (20_000, 960_000)


def test_blank_lines_are_lines_and_a_last_line_needs_no_end() -> None:
    async def use(session: ssh.Session, _: Seen) -> list[str]:
        lines: list[str] = []
        await session.stream("bytes " + b"\na\r\n\nb".hex(), lines.extend)
        return lines

    assert with_session(use) == ["", "a", "", "b"]


def test_a_big_input_arrives_completely() -> None:
    async def use(session: ssh.Session, _: Seen) -> str:
        return await session.run("count", stdin=b"x" * 3_000_000)

    assert with_session(use) == "3000000"


def test_an_empty_input_ends() -> None:
    async def use(session: ssh.Session, _: Seen) -> str:
        return await session.run("count", stdin=b"")

    assert with_session(use) == "0"


def test_a_command_that_ends_without_reading_its_input_is_no_broken_session() -> None:
    async def use(session: ssh.Session, _: Seen) -> list[str]:
        with pytest.raises(NodeFailed, match="failed with exit code 3: complained"):
            await session.run("exit 3", stdin=b"x" * 3_000_000)
        return [await session.run("exit 0", stdin=b"x" * size) for size in (10, 1_000, 100_000)]

    assert with_session(use) == ["said\n"] * 3


def test_output_that_is_not_utf_8_is_no_error() -> None:
    async def use(session: ssh.Session, _: Seen) -> tuple[list[str], str]:
        lines: list[str] = []
        await session.stream("bytes ff41c30a42", lines.extend)
        return lines, await session.run("bytes ff41")

    assert with_session(use) == (["\ufffdA\ufffd", "B"], "\ufffdA")


def test_the_error_of_a_failed_command_has_its_output() -> None:
    async def use(session: ssh.Session, _: Seen) -> None:
        await session.run("exit 3")

    with pytest.raises(NodeFailed, match="failed with exit code 3: complained"):
        with_session(use)


def test_a_command_that_was_killed_is_an_error() -> None:
    async def stream(session: ssh.Session, _: Seen) -> None:
        await session.stream("killed", print)

    async def run(session: ssh.Session, _: Seen) -> None:
        await session.run("killed")

    for use in (stream, run):
        with pytest.raises(NodeFailed, match="ended by SIGKILL"):
            with_session(use)


def test_a_command_that_exceeds_its_timeout_fails_and_the_session_continues() -> None:
    async def use(session: ssh.Session, _: Seen) -> str:
        with pytest.raises(NodeFailed, match=r"took longer than 0\.05 s"):
            await session.run("hang", timeout=BRIEF)
        return await session.run("count", stdin="12")

    assert with_session(use) == "2"


def test_a_connection_that_breaks_is_an_error_of_the_running_command() -> None:
    async def stream(session: ssh.Session, seen: Seen) -> None:
        def cut(lines: list[str]) -> None:
            assert lines == ["begun"]
            assert seen.connection is not None
            seen.connection.abort()

        await session.stream("hang", cut)

    async def run(session: ssh.Session, seen: Seen) -> None:
        running = asyncio.ensure_future(session.run("hang"))
        begun = asyncio.Event()
        await session.stream("exit 0", lambda _: begun.set())
        await begun.wait()
        assert seen.connection is not None
        seen.connection.abort()
        await running

    async def after(session: ssh.Session, seen: Seen) -> None:
        assert seen.connection is not None
        seen.connection.abort()
        await session.run("count")

    for use in (stream, run, after):
        with pytest.raises(NodeFailed, match="the SSH session broke off"):
            with_session(use)


def test_commands_run_concurrently() -> None:
    async def use(session: ssh.Session, _: Seen) -> list[str]:
        return await asyncio.gather(*(session.run("count", stdin="x" * number) for number in range(5)))

    assert with_session(use) == ["0", "1", "2", "3", "4"]


class Places(asyncio.Semaphore):
    """Places for handshakes; notes how many are taken, each time one is taken."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.taken, self.most, self.in_all = 0, 0, 0

    async def acquire(self) -> Literal[True]:
        await super().acquire()
        self.taken += 1
        self.in_all += 1
        self.most = max(self.most, self.taken)
        return True

    def release(self) -> None:
        self.taken -= 1
        super().release()


def test_only_so_many_handshakes_run_at_the_same_time_and_all_nodes_get_their_turn() -> None:
    """Otherwise a thousand handshakes at once would all exceed their time limit, and begin again."""

    async def main() -> tuple[int, int, int]:
        handshakes = Handshakes()
        places = handshakes.places = Places(2)
        async with serving(Seen(), HOST.private, authorized=[CLIENT]) as (port, _):
            work = [ssh.connect(endpoint(port), timeout=LONG, handshakes=handshakes) for _ in range(6)]
            for session in await asyncio.gather(*work):
                async with session:
                    pass
        return places.most, places.in_all, places.taken

    assert asyncio.run(main()) == (2, 6, 0)


def test_a_node_that_does_not_answer_takes_no_place() -> None:
    async def main() -> int:
        handshakes = Handshakes()
        places = handshakes.places = Places(1)
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        with pytest.raises(NodeFailed, match="connection refused"):
            await ssh.connect(endpoint(port), timeout=BRIEF, sleep=no_time, handshakes=handshakes)
        return places.in_all

    assert asyncio.run(main()) == 0


def test_many_nodes_try_again_less_often_than_a_few() -> None:
    handshakes = Handshakes()
    assert handshakes.interval() == RETRY_INTERVAL
    assert handshakes.interval(answered=False) == KNOCK_INTERVAL
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(handshakes.connecting())
        assert min(handshakes.interval(), handshakes.interval(answered=False)) > 2
    assert handshakes.interval() == RETRY_INTERVAL
