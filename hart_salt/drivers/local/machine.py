"""
The machine process of a local instance: ``python -m hart_salt.drivers.local.machine DIRECTORY``.

It stands in for firmware, init and sshd: it serves SSH on a free loopback port with the keys that the directory's SSH
configuration names, runs the user-data at its first boot, and starts salt-minion on a signal, and at later boots.

SIGHUP
    reload the SSH configuration, like ``systemctl reload ssh``
SIGUSR1
    start salt-minion, like ``systemctl start salt-minion``
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncssh

from hart_salt.drivers.local.directory import ENABLED, ENVIRONMENT_MARK, make_socket_dir, minion_command

PIECE = 65536  #: bytes of a command's output per read


class _Login(asyncssh.SSHServer):
    """Logins as root with an authorized key; root stands for the user that runs the process."""

    def __init__(self, authorized: list[str]) -> None:
        self._authorized = authorized

    def begin_auth(self, username: str) -> bool:
        """Require authentication always."""
        return True

    def public_key_auth_supported(self) -> bool:
        """Offer public keys, the only method."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Compare the whole key without its comment."""
        offered = key.export_public_key().split()[:2]
        return username == "root" and any(line.encode().split()[:2] == offered for line in self._authorized)


class Machine:
    """The process of one instance; ``run`` returns after SIGTERM."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._environment = {
            **os.environ,
            "HART_ROOT": str(directory),
            "HART_PYTHON": sys.executable,
            ENVIRONMENT_MARK: str(directory),
        }
        self._minion: subprocess.Popen[bytes] | None = None
        self._children: list[subprocess.Popen[bytes]] = []
        self._listener: asyncssh.SSHAcceptor | None = None

    async def run(self) -> None:
        """Boot, and run until SIGTERM."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_ssh)
        loop.add_signal_handler(signal.SIGUSR1, self._start_minion)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        self._make_host_key()
        await self._listen()
        if (self._directory / ENABLED).exists():
            self._start_minion()
        else:
            self._spawn(["sh", str(self._directory / "user-data")])
        await stop.wait()

    def _make_host_key(self) -> None:
        """Make the permanent host key, as an image does at its first boot."""
        path = self._directory / "etc/ssh/ssh_host_ed25519_key"
        if not path.exists():
            key = asyncssh.generate_private_key("ssh-ed25519", comment=f"root@{self._directory.name}")
            key.write_private_key(path)
            key.write_public_key(path.with_suffix(".pub"))

    def _ssh_configuration(self) -> tuple[str, list[str]]:
        """Return the host key's path and the authorized keys, from the drop-in file or else the permanent ones."""
        host_key, authorized = str(self._directory / "etc/ssh/ssh_host_ed25519_key"), ""
        for file in sorted((self._directory / "etc/ssh").glob("sshd_config.d/*.conf")):
            words = dict(line.split(None, 1) for line in file.read_text().splitlines() if line)
            host_key = words.get("HostKey", host_key)
            authorized = words.get("AuthorizedKeysFile", authorized)
        return host_key, Path(authorized).read_text().splitlines() if authorized else []

    async def _listen(self) -> None:
        host_key, authorized = self._ssh_configuration()
        self._listener = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            server_factory=lambda: _Login(authorized),
            process_factory=self._serve,
            encoding=None,
            # asyncssh's line editing and signal handling would change bytes.
            line_editor=False,
            config=None,
        )
        (self._directory / "run/machine.pid").write_text(str(os.getpid()))
        self._write_state()

    def _write_state(self) -> None:
        """Write the state for the driver: the ids of the two processes, and the port."""
        assert self._listener is not None  # noqa: S101 - the first call is made by _listen
        minion = self._minion.pid if self._minion else None
        facts = {"pid": os.getpid(), "port": self._listener.get_port(), "minion": minion}
        new = self._directory / "run/machine.json.new"
        new.write_text(json.dumps(facts))
        new.rename(self._directory / "run/machine.json")

    def _reload_ssh(self) -> None:
        host_key, authorized = self._ssh_configuration()
        assert self._listener is not None  # noqa: S101 - signals are handled after _listen only
        self._listener.update(server_host_keys=[host_key], server_factory=lambda: _Login(authorized))

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Run one command of a session; a broken session ends its command."""
        if process.command is None:
            process.stderr.write(b"this machine runs commands only; it has no interactive shell\n")
            process.exit(1)
            return
        child = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            process.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._directory,
            env=self._environment,
        )
        fed = asyncio.ensure_future(_feed(process.stdin, child.stdin))
        try:
            printed = asyncio.gather(_pass_on(child.stdout, process.stdout), _pass_on(child.stderr, process.stderr))
            ended, broken = asyncio.ensure_future(child.wait()), asyncio.ensure_future(process.wait_closed())
            await asyncio.wait({ended, broken}, return_when=asyncio.FIRST_COMPLETED)
            # The last output may arrive after the command has ended, because the reader may be slow.
            last: set[asyncio.Future[Any]] = {printed, broken}
            await asyncio.wait(last, return_when=asyncio.FIRST_COMPLETED)
            if ended.done() and not broken.done():
                process.exit(ended.result() if ended.result() >= 0 else 128 - ended.result())
        finally:
            fed.cancel()
            if child.returncode is None:
                child.kill()

    def _start_minion(self) -> None:
        if self._minion is not None and self._minion.poll() is None:
            return
        make_socket_dir(self._directory)
        self._minion = self._spawn(minion_command(self._directory))
        (self._directory / ENABLED).touch()
        self._write_state()

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=self._directory, env=self._environment)
        self._children.append(child)
        return child

    def _reap(self) -> None:
        """Reap ended children, as init does: an unreaped process still looks alive by its id."""
        self._children = [child for child in self._children if child.poll() is None]


async def _feed(source: asyncssh.SSHReader[bytes], target: asyncio.StreamWriter | None) -> None:
    """Send a command its input. A command that ends without reading it is not an error, as with sshd."""
    assert target is not None  # noqa: S101 - it was opened as a pipe
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await source.read(PIECE):
            target.write(data)
            await target.drain()
    target.close()


async def _pass_on(source: asyncio.StreamReader | None, target: asyncssh.SSHWriter[bytes]) -> None:
    """Forward a command's output as fast as the other end reads it."""
    assert source is not None  # noqa: S101 - it was opened as a pipe
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await source.read(PIECE):
            target.write(data)
            await target.drain()


def main() -> None:
    """Run the machine of the directory that the command line names."""
    asyncio.run(Machine(Path(sys.argv[1])).run())


if __name__ == "__main__":
    main()
