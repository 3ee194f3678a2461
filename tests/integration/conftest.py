"""
A real salt-master, and the real ``salt-run`` against it.

The master of ``master`` serves all tests of a session that do not stop or reconfigure it; ``make_master``
starts another for those that do. Everything listens on loopback and is ended by its process id.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from saltfactories.utils.ports import get_unused_localhost_port

BIN = Path(sys.executable).parent
TIMEOUT = 120


@dataclass
class Ran:
    """How a command ended and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def data(self) -> Any:
        """The result of ``--out=json``; an output that is anything but one document is an error."""
        return json.loads(self.stdout)


@dataclass
class SaltMaster:
    """A master in a directory of its own."""

    root: Path
    config: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def hart(self) -> dict[str, Any]:
        """The ``hart:`` key of its configuration; change it and call ``write``."""
        return self.config.setdefault("hart", {})

    @property
    def cachedir(self) -> Path:
        return self.root / "var/cache/salt/master"

    @property
    def instances(self) -> Path:
        """Where the provider ``local`` keeps its instances."""
        return self.cachedir / "hart/local/local"

    @property
    def log_dir(self) -> Path:
        return self.root / "log/hart"

    def write(self) -> None:
        """Write the configuration; salt-run reads it at each call, the daemon only when it starts."""
        (self.root / "etc/master").write_text(yaml.safe_dump(self.config))

    def start(self) -> None:
        with open(self.root / "master.out", "ab") as out:
            self.process = subprocess.Popen(
                [BIN / "salt-master", "-c", self.root / "etc", "-l", "warning"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.environment, start_new_session=True,
            )  # fmt: skip
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            ports = [self.config["publish_port"], self.config["ret_port"]]
            if all(_listens(port) for port in ports) and self.run("test.arg", "up").code == 0:
                return
            time.sleep(0.2)
        raise AssertionError(f"no salt-master within 60 s: {(self.root / 'master.out').read_text()[-2000:]}")

    def stop(self) -> None:
        """End the whole session: the main process alone would leave workers behind while it starts."""
        if self.process is None:
            return
        end_session(self.process.pid)
        self.process.wait(30)
        self.process = None

    def command(self, function: str, *arguments: str, out: str | None = "json", program: str = "salt-run") -> list[str]:
        options = ["--out", out] if out else []
        return [str(BIN / program), "-c", str(self.root / "etc"), *options, function, *arguments]

    def run(self, function: str, *arguments: str, out: str | None = "json", timeout: float = TIMEOUT) -> Ran:
        """Run ``salt-run`` to its end."""
        done = subprocess.run(
            self.command(function, *arguments, out=out), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env=self.environment, timeout=timeout, check=False,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    def begin(self, function: str, *arguments: str) -> subprocess.Popen[str]:
        """Start ``salt-run`` and come back at once; the test ends it, or ``clear`` does."""
        return subprocess.Popen(
            self.command(function, *arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=self.environment, start_new_session=True,
        )  # fmt: skip

    def salt(self, *arguments: str, timeout: float = TIMEOUT) -> Ran:
        """Run ``salt``, the command for minions."""
        command = [str(BIN / "salt"), "-c", str(self.root / "etc"), "--out", "json", "--static", *arguments]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=self.environment,
            timeout=timeout, check=False,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    def keys(self) -> dict[str, list[str]]:
        """The key store as ``salt-key`` shows it, without the master's own keys."""
        done = subprocess.run(
            [BIN / "salt-key", "-c", self.root / "etc", "--out", "json", "-L"], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, env=self.environment, timeout=TIMEOUT, check=True,
        )  # fmt: skip
        return {state: ids for state, ids in json.loads(done.stdout).items() if state != "local"}

    def left_over(self) -> dict[str, Any]:
        """Everything that a node can leave behind; empty values when there is nothing."""
        return {
            "keys": [key for keys in self.keys().values() for key in keys],
            "records": [path.name for path in (self.cachedir / "hart/nodes").glob("*.p")],
            "instances": [path.name for path in self.instances.glob("*")] if self.instances.exists() else [],
            "locks": [path.name for path in (self.cachedir / "hart/locks").glob("*")],
            "processes": [process.pid for process in self.instance_processes()],
        }

    def instance_processes(self) -> list[psutil.Process]:
        """The processes of all local instances of this master, known by the directory in their command."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and str(self.instances) in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def clear(self) -> None:
        """After a test: end its nodes, whatever state it left them in, and forget them."""
        for _ in range(20):
            processes = self.instance_processes()
            if not processes:
                break
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(processes, timeout=1)
        shutil.rmtree(self.cachedir / "hart", ignore_errors=True)
        for state in self.keys().values():
            for minion_id in state:
                subprocess.run(
                    [BIN / "salt-key", "-c", self.root / "etc", "-y", "-d", minion_id], stdin=subprocess.DEVNULL,
                    capture_output=True, env=self.environment, timeout=TIMEOUT, check=False,
                )  # fmt: skip


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def end_session(leader: int) -> None:
    """Kill every process of a session that a test started."""
    for _ in range(50):
        alive = []
        for process in psutil.process_iter(["pid", "status"]):
            with contextlib.suppress(OSError):
                if process.info["status"] != psutil.STATUS_ZOMBIE and os.getsid(process.info["pid"]) == leader:
                    alive.append(process)
        if not alive:
            return
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(alive, timeout=0.2)


MakeMaster = Callable[..., SaltMaster]


def _new_master(root: Path, **overrides: Any) -> SaltMaster:
    for part in ("etc", "srv/salt", "srv/pillar", "log"):
        (root / part).mkdir(parents=True)
    config = {
        "interface": "127.0.0.1",
        "publish_port": get_unused_localhost_port(),
        "ret_port": get_unused_localhost_port(),
        "root_dir": str(root),
        "sock_dir": str(root / "run"),
        "log_file": str(root / "log/master"),
        "user": psutil.Process().username(),
        "file_roots": {"base": [str(root / "srv/salt")]},
        "pillar_roots": {"base": [str(root / "srv/pillar")]},
        "loop_interval": 5,
        "hart": {"roles": {"app": {}}},
        **overrides,
    }
    master = SaltMaster(root, config)
    # A user's own file of hart has no place in a test.
    master.environment = {key: value for key, value in os.environ.items() if not key.startswith("HART_")}
    master.write()
    return master


@contextlib.contextmanager
def _running(**overrides: Any) -> Iterator[SaltMaster]:
    root = Path(tempfile.mkdtemp(prefix="ht-"))  # sockets of a master need a short path
    master = _new_master(root, **overrides)
    try:
        master.start()
        yield master
    finally:
        try:
            master.clear()
        finally:
            master.stop()
            shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def _session_master() -> Iterator[SaltMaster]:
    with _running() as master:
        yield master


@pytest.fixture
def master(_session_master: SaltMaster) -> Iterator[SaltMaster]:
    """The session's master, with the role ``app`` and the provider ``local``; cleared after each test."""
    yield _session_master
    _session_master.config["hart"] = {"roles": {"app": {}}}
    _session_master.write()
    _session_master.clear()


@pytest.fixture
def make_master() -> Iterator[MakeMaster]:
    """Start a master with other settings; it ends with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **overrides: stack.enter_context(_running(**overrides))
