"""The one verified session with a node, against OpenSSH's own server with the drop-in of the bootstrap."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hart_salt.base.errors import NodeFailed
from hart_salt.node import ssh
from tests.functional.node.ssh_server import BRIEF, CLIENT, HOST, LONG, OTHER, endpoint, fingerprint, no_time
from tests.parts import Start

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
NEEDS_A_RUN = os.geteuid() == 0 and not Path("/run/sshd").exists()


@dataclass
class OpenSSH:
    """A directory with a configuration like an image's, which the bootstrap's drop-in goes into."""

    root: Path
    port: int
    start: Start
    process: subprocess.Popen[str] | None = None

    def drop_in(self) -> None:
        """Write what the bootstrap writes: a file that sorts first, and the keys that it names."""
        (self.root / "run").mkdir(exist_ok=True)
        key = self.root / "run/host_key"
        key.write_text(HOST.private)
        key.chmod(0o600)
        (self.root / "run/authorized_keys").write_text(CLIENT.public + "\n")
        (self.root / "sshd_config.d/00-hart.conf").write_text(
            f'HostKey "{key}"\nAuthorizedKeysFile "{self.root}/run/authorized_keys"\n'
        )

    def boot(self) -> None:
        """Start or restart sshd; return once it listens."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        assert SSHD is not None
        command = [SSHD, "-D", "-e", "-f", str(self.root / "sshd_config"), "-p", str(self.port)]
        if NEEDS_A_RUN:
            # It gets its own /run, which nobody else sees.
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


def test_openssh_with_the_bootstrap_s_drop_in_is_accepted(openssh: OpenSSH) -> None:
    openssh.drop_in()
    openssh.boot()

    async def main() -> None:
        place = endpoint(openssh.port, username=getpass.getuser())
        async with await ssh.connect(place, timeout=LONG) as session:
            lines: list[str] = []
            assert await session.stream("echo out; echo err >&2; exit 5", lines.extend) == 5
            assert sorted(lines) == ["err", "out"]
            lines.clear()
            assert await session.follow("echo out; echo err >&2", lines.extend, output="it") == "out\n"
            assert [line for line in lines if line] == ["err"]
            assert await session.run("wc -c", stdin=b"x" * 1_000_000) == "1000000\n"
            assert len(await session.run("head -c 1000000 /dev/zero")) == 1_000_000

    asyncio.run(main())


def test_openssh_can_become_the_node_while_hart_waits(openssh: OpenSSH) -> None:
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
