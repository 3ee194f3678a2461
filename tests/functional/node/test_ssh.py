"""The one verified session with a node, against real SSH servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from hart_salt.base.errors import NodeFailed
from hart_salt.node import ssh
from tests.parts import Start

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
NEEDS_A_RUN = os.geteuid() == 0 and not Path("/run/sshd").exists()
LONG = 60.0  #: a deadline that no test reaches
BRIEF = 0.05  #: a deadline that is reached: by then there was at least one attempt

HOST = ssh.make_key("the node's")
CLIENT = ssh.make_key("the batch's")
OTHER = ssh.make_key("another machine's")


def fingerprint(key: ssh.Key) -> str:
    return asyncssh.import_public_key(key.public).get_fingerprint()


@dataclass
class Seen:
    """What a server met."""

    connections: int = 0
    #: user names that were offered: the first message of any authentication
    users: list[str] = field(default_factory=list)
    #: fingerprints of client keys that were offered
    keys: list[str] = field(default_factory=list)
    #: an open connection, to be cut off
    connection: asyncssh.SSHServerConnection | None = None


class Server(asyncssh.SSHServer):
    """Lets in whoever holds one of ``authorized`` keys; anyone, if that is None."""

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
    """The commands that the tests use."""
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
async def serving(
    seen: Seen, *host_keys: str, authorized: list[ssh.Key] | None
) -> AsyncIterator[tuple[int, Reload]]:
    """A server on a free port, and what gives it other keys while it runs."""
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
    """Sleep as long as it takes everybody else to do what they can."""
    await asyncio.sleep(0)


def refusal(seen: Seen, *host_keys: str, authorized: list[ssh.Key] | None, timeout: float = BRIEF) -> str:
    """Connect to a server that must not be connected to, and return the reason."""

    async def main() -> str:
        async with serving(seen, *host_keys, authorized=authorized) as (port, _):
            with pytest.raises(NodeFailed) as caught:
                await ssh.connect(endpoint(port), timeout=timeout, sleep=no_time)
            return str(caught.value)

    return asyncio.run(main())


def with_session(use: Callable[[ssh.Session, Seen], Awaitable[Any]]) -> Any:
    """What ``use`` returns with a session to a server that is as it should be."""

    async def main() -> Any:
        seen = Seen()
        async with (
            serving(seen, HOST.private, authorized=[CLIENT]) as (port, _),
            await ssh.connect(endpoint(port), timeout=LONG) as session,
        ):
            return await use(session, seen)

    return asyncio.run(main())


# who is let in


def test_another_machine_gets_no_authentication_attempt_and_both_keys_are_named() -> None:
    seen = Seen()
    error = refusal(seen, OTHER.private, authorized=[CLIENT])
    assert seen.connections >= 1
    assert (seen.users, seen.keys) == ([], [])
    assert fingerprint(HOST) in error
    assert fingerprint(OTHER) in error
    assert "another machine answers at that address" in error


def test_a_key_of_another_kind_gets_no_authentication_attempt_either() -> None:
    seen = Seen()
    rsa = asyncssh.generate_private_key("ssh-rsa", key_size=2048).export_private_key().decode()
    ecdsa = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key().decode()
    error = refusal(seen, rsa, ecdsa, authorized=[CLIENT])
    assert (seen.users, seen.keys) == ([], [])
    assert "no ssh-ed25519 host key" in error


def test_a_host_certificate_of_a_foreign_authority_is_no_proof() -> None:
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


def test_the_node_is_connected_to_once_it_shows_its_key() -> None:
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


def test_a_node_that_refuses_the_client_key_fails_at_once() -> None:
    seen = Seen()
    error = refusal(seen, HOST.private, authorized=[OTHER], timeout=LONG)
    assert error == "the node at 127.0.0.1 refused the bootstrap's client key"
    assert seen.connections == 1


def test_a_server_that_lets_anyone_in_is_not_the_node() -> None:
    seen = Seen()
    refusal(seen, HOST.private, authorized=None, timeout=LONG)
    assert seen.connections == 1


def test_where_nothing_answers_the_error_says_so() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(NodeFailed, match=rf"no SSH at 127\.0\.0\.1 port {port} within .*connection refused"):
            asyncio.run(ssh.connect(endpoint(port), timeout=BRIEF, sleep=no_time))


def test_something_that_is_no_ssh_is_an_error_in_words() -> None:
    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            with pytest.raises(NodeFailed, match="no SSH at"):
                await ssh.connect(endpoint(server.sockets[0].getsockname()[1]), timeout=BRIEF, sleep=no_time)

    asyncio.run(main())


def test_the_session_speaks_as_root_with_the_batch_s_key_only() -> None:
    async def use(session: ssh.Session, seen: Seen) -> Seen:
        return seen

    seen = with_session(use)
    assert (set(seen.users), set(seen.keys)) == ({"root"}, {fingerprint(CLIENT)})


# the calling user's own SSH


@pytest.fixture
def hostile_home(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home whose SSH set-up would trust another machine, go elsewhere and offer other keys; with an agent."""
    home = root / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh/config").write_text(
        f"Host *\n  StrictHostKeyChecking no\n  ProxyCommand touch '{home}/proxy'\n  User mallory\n"
        f"  UserKnownHostsFile {home}/.ssh/known_hosts\n  IdentityFile {home}/.ssh/id_ed25519\n"
    )
    (home / ".ssh/known_hosts").write_text(f"* {OTHER.public}\n@cert-authority * {OTHER.public}\n")
    (home / ".ssh/id_ed25519").write_text(OTHER.private)
    (home / ".ssh/id_ed25519").chmod(0o600)
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(home / "agent"))
    agent.listen()
    agent.setblocking(False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(home / "agent"))
    with contextlib.closing(agent):
        yield home
        with pytest.raises(BlockingIOError):  # nobody asked it
            agent.accept()
    assert not (home / "proxy").exists()


@pytest.mark.usefixtures("hostile_home")
def test_the_user_s_known_hosts_let_no_other_machine_in() -> None:
    seen = Seen()
    refusal(seen, OTHER.private, authorized=[CLIENT])
    assert seen.users == []


@pytest.mark.usefixtures("hostile_home")
def test_the_user_s_keys_are_never_offered() -> None:
    seen = Seen()
    refusal(seen, HOST.private, authorized=[OTHER], timeout=LONG)
    assert set(seen.keys) == {fingerprint(CLIENT)}
    assert set(seen.users) == {"root"}


# what is done over the session


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_a_stream_hands_over_every_line_and_returns_the_exit_code(code: int) -> None:
    async def use(session: ssh.Session, _: Seen) -> tuple[int, list[str]]:
        lines: list[str] = []
        return await session.stream(f"exit {code}", lines.extend), lines

    ended, lines = with_session(use)
    assert ended == code
    assert sorted(lines) == ["complained", "said"]


def test_a_big_output_arrives_whole() -> None:
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


def test_a_big_input_arrives_whole() -> None:
    async def use(session: ssh.Session, _: Seen) -> str:
        return await session.run("count", stdin=b"x" * 3_000_000)

    assert with_session(use) == "3000000"


def test_an_empty_input_ends() -> None:
    async def use(session: ssh.Session, _: Seen) -> str:
        return await session.run("count", stdin=b"")

    assert with_session(use) == "0"


def test_output_that_is_no_utf_8_is_no_error() -> None:
    async def use(session: ssh.Session, _: Seen) -> tuple[list[str], str]:
        lines: list[str] = []
        await session.stream("bytes ff41c30a42", lines.extend)
        return lines, await session.run("bytes ff41")

    assert with_session(use) == (["\ufffdA\ufffd", "B"], "\ufffdA")


def test_a_command_that_fails_is_an_error_with_what_it_said() -> None:
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


def test_a_command_that_takes_too_long_is_given_up_and_the_session_goes_on() -> None:
    async def use(session: ssh.Session, _: Seen) -> str:
        with pytest.raises(NodeFailed, match=r"took longer than 0\.05 s"):
            await session.run("hang", timeout=BRIEF)
        return await session.run("count", stdin="12")

    assert with_session(use) == "2"


def test_a_connection_that_is_cut_off_is_an_error_of_the_command_that_ran() -> None:
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


def test_commands_run_side_by_side() -> None:
    async def use(session: ssh.Session, _: Seen) -> list[str]:
        return await asyncio.gather(*(session.run("count", stdin="x" * number) for number in range(5)))

    assert with_session(use) == ["0", "1", "2", "3", "4"]


# the real sshd


@dataclass
class OpenSSH:
    """A directory with a configuration like an image's, into which the bootstrap's drop-in goes."""

    root: Path
    port: int
    start: Start
    process: subprocess.Popen[str] | None = None

    def drop_in(self) -> None:
        """What the bootstrap does: a file that sorts first, and the keys that it names."""
        (self.root / "run").mkdir(exist_ok=True)
        key = self.root / "run/host_key"
        key.write_text(HOST.private)
        key.chmod(0o600)
        (self.root / "run/authorized_keys").write_text(CLIENT.public + "\n")
        (self.root / "sshd_config.d/00-hart.conf").write_text(
            f'HostKey "{key}"\nAuthorizedKeysFile "{self.root}/run/authorized_keys"\n'
        )

    def boot(self) -> None:
        """Start sshd, or start it anew; return once it listens."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        assert SSHD is not None
        command = [SSHD, "-D", "-e", "-f", str(self.root / "sshd_config"), "-p", str(self.port)]
        if NEEDS_A_RUN:
            # A /run of its own is made for it, which nobody else sees.
            script = 'mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", script, "sh", *command]
        self.process = self.start(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        assert self.process.stderr is not None
        said = ""
        for line in self.process.stderr:
            said += line
            if "Server listening on 127.0.0.1" in line:
                return
        pytest.fail(f"sshd did not start: {said}")


@pytest.fixture
def openssh(start: Start) -> Iterator[OpenSSH]:
    if SSHD is None:
        pytest.skip("there is no sshd on this machine")
    if NEEDS_A_RUN and subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("as root sshd needs /run/sshd, and this machine allows no private mounts to make one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="hart-sshd-") as name:
        root = Path(name)
        (root / "sshd_config.d").mkdir()
        (root / "image_key").write_text(OTHER.private)
        (root / "image_key").chmod(0o600)
        (root / "sshd_config").write_text(
            f"Include {root}/sshd_config.d/*.conf\nListenAddress 127.0.0.1\nHostKey {root}/image_key\n"
            f"PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
            f"AuthorizedKeysFile {root}/nobody\n"
        )
        yield OpenSSH(root, port, start)


def test_openssh_with_the_image_s_own_key_is_refused(openssh: OpenSSH) -> None:
    openssh.boot()
    with pytest.raises(NodeFailed, match=fingerprint(OTHER).replace("+", r"\+")):
        asyncio.run(ssh.connect(endpoint(openssh.port, username=getpass.getuser()), timeout=BRIEF, sleep=no_time))


def test_openssh_with_the_bootstrap_s_drop_in_is_the_node(openssh: OpenSSH) -> None:
    openssh.drop_in()
    openssh.boot()

    async def main() -> None:
        place = endpoint(openssh.port, username=getpass.getuser())
        async with await ssh.connect(place, timeout=LONG) as session:
            lines: list[str] = []
            assert await session.stream("echo out; echo err >&2; exit 5", lines.extend) == 5
            assert sorted(lines) == ["err", "out"]
            assert await session.run("wc -c", stdin=b"x" * 1_000_000) == "1000000\n"
            assert len(await session.run("head -c 1000000 /dev/zero")) == 1_000_000

    asyncio.run(main())


def test_openssh_becomes_the_node_while_it_is_waited_for(openssh: OpenSSH) -> None:
    openssh.boot()

    async def main() -> str:
        pauses = 0

        async def sleep(_: float) -> None:
            nonlocal pauses
            pauses += 1
            if pauses == 2:
                openssh.drop_in()
                openssh.boot()

        place = endpoint(openssh.port, username=getpass.getuser())
        async with await ssh.connect(place, timeout=LONG, sleep=sleep) as session:
            return await session.run("echo in")

    assert asyncio.run(main()) == "in\n"


def test_openssh_that_does_not_know_the_client_key_fails_at_once(openssh: OpenSSH) -> None:
    openssh.drop_in()
    (openssh.root / "run/authorized_keys").write_text(OTHER.public + "\n")
    openssh.boot()
    with pytest.raises(NodeFailed, match="refused the bootstrap's client key"):
        asyncio.run(ssh.connect(endpoint(openssh.port, username=getpass.getuser()), timeout=LONG, sleep=no_time))
