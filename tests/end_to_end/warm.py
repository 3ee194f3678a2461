"""
Salt's commands from a process that has already imported Salt: ``python -m tests.end_to_end.warm CONFIG_DIR FD``.

Most of the time of a short ``salt-run`` is the import of Salt, and the tests run thousands of them. Each command is a
separate process, forked before anything but imports was done, with the given environment, directory and output, and it
ends like the program. A test that uses the program of somebody else, or closes a stream before it starts, starts the
program itself, with ``SaltMaster.command``.
"""

from __future__ import annotations

import array
import codecs
import contextlib
import faulthandler
import fcntl
import gc
import importlib
import io
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

#: program → its function in ``salt.scripts``
PROGRAMS = {"salt": "salt_main", "salt-key": "salt_key", "salt-run": "salt_run"}
#: what a ``salt-run`` of hart imports, what Salt's loaders import for it, and what takes time
IMPORTED = (
    "salt.scripts", "salt.cli.run", "salt.cli.salt", "salt.cli.key", "salt.key", "salt.runner", "salt.minion",
    "salt.loader", "salt.client", "salt.pillar", "salt.output", "salt.template", "salt.utils.sdb", "salt.utils.event",
    "salt.utils.process", "salt.utils.dns", "salt.utils.reactor", "salt.utils.pkg.rpm", "salt.utils.win_system",
    "salt.utils.win_update", "salt.grains.extra", "salt.modules.file", "salt.modules.network", "salt.modules.smbios",
    "salt.netapi", "salt.runners.winrepo", "salt.transport.tcp", "salt.transport.zeromq", "tornado.platform.asyncio",
    "tornado.queues", "pydantic.dataclasses", "hart_salt.answer", "hart_salt.arguments", "asyncssh", "jinja2",
    "rich.live", "rich.table", "tenacity", "psutil", "yaml",
    *(f"hart_salt.drivers.{name}.driver" for name in ("do", "ec2", "gce", "hetzner", "local", "vultr")),
)  # fmt: skip
#: what it imports besides, if the name of the driver is in the master's configuration: Google's library takes 1 s
CLOUDS = {name: f"hart_salt.drivers.{name}.client" for name in ("do", "ec2", "gce", "hetzner", "vultr")}
LONGEST = 1 << 20  #: bytes of a request


class Warm:
    """One such process, for the commands of one master. It ends when it is closed, or with this process."""

    def __init__(self, config_dir: Path, environment: Mapping[str, str], prefix: Sequence[str] = ()) -> None:
        """Start it; ``prefix`` is a command that runs another one, such as one that enters a namespace."""
        self._lock = threading.Lock()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        with theirs:
            # The directory is in the command, by which its processes are found and killed.
            command = [*prefix, sys.executable, "-m", "tests.end_to_end.warm", f"{config_dir}/", str(theirs.fileno())]
            ours_alone = {**environment, "PYTHONPATH": ""}
            root = Path(__file__).resolve().parents[2]
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env=ours_alone, cwd=root, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip

    def lives(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """
        Run the command to its end and capture its output.

        Raises ``TimeoutExpired`` after ``timeout`` seconds.
        """
        with contextlib.closing(self.begin(command, environment)) as begun:
            return begun.wait(timeout)

    def begin(self, command: Sequence[str], environment: Mapping[str, str]) -> Begun:
        """Start the command and return at once."""
        outputs, errors = os.pipe(), os.pipe()
        end = self.fork(command, environment, outputs[1], errors[1])
        for pipe in (outputs, errors):
            os.close(pipe[1])
        return Begun(command, outputs[0], errors[0], end)

    def fork(self, command: Sequence[str], environment: Mapping[str, str], output: int, error: int, **more: Any) -> int:
        """
        Start the command with these two descriptors, in this process's directory or in ``cwd``.

        Return that of a pipe with two numbers: the process's id, and the exit code once it has ended. ``session`` makes
        it a session of its own, and ``terminal`` gives that the terminal of its output.
        """
        asked = {"argv": list(command), "cwd": str(Path.cwd()), "environment": dict(environment), **more}
        request = json.dumps(asked).encode()
        end, theirs = os.pipe()
        with self._lock:
            socket.send_fds(self._socket, [request], [output, error, theirs])
        os.close(theirs)
        return end

    def close(self) -> None:
        """End it; running commands continue."""
        self._socket.close()
        self.process.kill()
        self.process.wait()


class Begun:
    """A command that was started; ``close`` must follow."""

    def __init__(self, command: Sequence[str], output: int, error: int, end: int) -> None:
        self._command = list(command)
        self._said: dict[str, str] = {}
        self._readers = [_Reader(name, pipe, self._said) for name, pipe in (("stdout", output), ("stderr", error))]
        self._end = os.fdopen(end, "rb", buffering=0)
        self._pid = _number(self._end)
        self._code: int | None = None

    @property
    def stderr(self) -> str:
        """What the command has written to standard error so far."""
        return self._said["stderr"]

    def has_ended(self) -> bool:
        """Return whether the command has ended."""
        return self._code is not None or bool(select.select([self._end], [], [], 0)[0])

    def kill(self) -> None:
        """Kill the command with SIGKILL, unless it has ended."""
        if not self.has_ended():
            os.kill(self._pid, signal.SIGKILL)

    def wait(self, timeout: float) -> subprocess.CompletedProcess[str]:
        """
        Wait until the command ends, and return its exit code and its output.

        Raises ``TimeoutExpired`` after ``timeout`` seconds, and kills the command.
        """
        for reader in self._readers:
            reader.join(timeout)
            if reader.is_alive():
                self.kill()
                raise subprocess.TimeoutExpired(self._command, timeout)
        self._code = _number(self._end)
        return subprocess.CompletedProcess(self._command, self._code, self._said["stdout"], self._said["stderr"])

    def close(self) -> None:
        """Forget the command."""
        self._end.close()


class Started(subprocess.Popen[str]):
    """
    A command in a session of its own, as ``Popen`` would start it; its parent is not this process.

    ``stdout`` and ``stderr`` are descriptors or, by default, pipes; with ``terminal`` its output is the terminal of its
    session.
    """

    def __init__(
        self, warm: Warm, command: Sequence[str], environment: Mapping[str, str], *, stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE, terminal: bool = False,
    ) -> None:  # fmt: skip
        self._warm = warm
        self._terminal = terminal
        super().__init__(
            list(command), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=True, env=dict(environment)
        )

    def _execute_child(self, command: Sequence[str], *how: Any) -> None:
        """Let the other process fork, instead of this one; ``Popen`` has made the pipes."""
        environment, pipes = how[5], how[9:15]
        end = self._warm.fork(command, environment, pipes[3], pipes[5], session=True, terminal=self._terminal)
        self._end = os.fdopen(end, "rb", buffering=0)
        self.pid = _number(self._end)
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]  # as Popen does it

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self.returncode is None and select.select([self._end], [], [], 0)[0]:
            self._take_code()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended. Raises ``TimeoutExpired`` after ``timeout`` seconds."""
        if self.returncode is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._take_code()
        return self.returncode

    def _take_code(self) -> None:
        with self._end:
            self.returncode = _number(self._end)


def _number(file: Any) -> int:
    """Read the next number. Raises an error if there is none, since the process that had to send it was killed."""
    data = file.read(8)
    if len(data) != 8:
        raise RuntimeError("the process that starts salt-run for the tests, or that waits for it, was ended")
    return int.from_bytes(data, "little", signed=True)


class _Reader(threading.Thread):
    """Reads a pipe to its end."""

    def __init__(self, name: str, descriptor: int, said: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self._part, self._descriptor, self._said = name, descriptor, said
        said[name] = ""
        self.start()

    def run(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")()
        with os.fdopen(self._descriptor, "rb", buffering=0) as file:
            while data := file.read(1 << 16):
                self._said[self._part] += decoder.decode(data)


def _serve(connection: socket.socket, config_dir: Path) -> None:
    """Fork for each request; returns in the new processes only."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever waits for a command ends without being waited for
    while True:
        request, descriptors = _received(connection)
        if not request:
            os._exit(0)
        _import_clouds(config_dir)
        if os.fork() == 0:
            connection.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if _become(json.loads(request), descriptors):
                return
        for descriptor in descriptors:
            os.close(descriptor)


def _import_clouds(config_dir: Path) -> None:
    missing = {name: module for name, module in CLOUDS.items() if module not in sys.modules}
    if not missing:
        return
    files = [file for file in (config_dir / "master", *config_dir.glob("master.d/*.conf")) if file.is_file()]
    text = b"\n".join(file.read_bytes() for file in files)
    for name, module in missing.items():
        if re.search(rf"\b{name}\b".encode(), text):
            importlib.import_module(module)
            gc.freeze()


def _received(connection: socket.socket) -> tuple[bytes, list[int]]:
    data, ancillary, _, _ = connection.recvmsg(LONGEST, socket.CMSG_LEN(3 * array.array("i").itemsize))
    descriptors = array.array("i")
    for _, _, part in ancillary:
        descriptors.frombytes(part)
    return data, list(descriptors)


def _become(request: Mapping[str, Any], descriptors: Sequence[int]) -> bool:
    """Return True in the process of the command; the process between waits for it and reports how it ended."""
    out, err, end = descriptors
    pid = os.fork()
    if pid:
        os.close(out)
        os.close(err)
        os.write(end, pid.to_bytes(8, "little", signed=True))
        _, status = os.waitpid(pid, 0)
        os.write(end, os.waitstatus_to_exitcode(status).to_bytes(8, "little", signed=True))
        os._exit(0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    for descriptor in descriptors:
        os.close(descriptor)
    if request.get("session"):
        os.setsid()
    if request.get("terminal"):
        fcntl.ioctl(1, termios.TIOCSCTTY, 0)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:0] = [part for part in os.environ.get("PYTHONPATH", "").split(":") if part]
    sys.argv = list(request["argv"])
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))
    if os.environ.get("PYTHONFAULTHANDLER"):
        faulthandler.enable()
    return True


def main() -> NoReturn:
    """Import, then serve; the process of a command continues as the program does."""
    connection = socket.socket(fileno=int(sys.argv[2]))
    connection.set_inheritable(False)
    del sys.path[0]  # put there by -m; the program does not have it
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    _serve(connection, Path(sys.argv[1]))
    program = getattr(importlib.import_module("salt.scripts"), PROGRAMS[Path(sys.argv[0]).name])
    sys.exit(program())


if __name__ == "__main__":
    main()
