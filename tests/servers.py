"""
Private servers for the record stores and coordinators of several masters: redis, etcd and MariaDB.

Each listens on loopback with a free port, keeps its data in a directory of its own, and is killed by its process id,
also by a later run of pytest if this one is killed. A test gets a ``Space`` of its own in a server of the session, or a
server of its own, which it can stop, hang and empty.
"""

from __future__ import annotations

import contextlib
import getpass
import itertools
import os
import select
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import salt.cache
import salt.config
from pytestshellutils.utils.ports import get_unused_localhost_port

from tests.end_to_end.processes import MARK, end_leftovers, make_root, remove

LOOPBACK = "127.0.0.1"
DEADLINE = 300  # seconds to start or to stop, on a machine under load
#: where Debian keeps programs that the PATH of a user may lack
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
#: the directories with the tables of a new MariaDB
TABLES = (Path("/usr/share/mysql"), Path("/usr/share/mariadb"))
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Space:
    """A part of a server that belongs to one test."""

    server: Server
    name: str
    #: the settings of a master whose records are there
    settings: dict[str, Any]
    #: the value of ``hart: coordination``
    url: str


@dataclass
class Server(ABC):
    """A server in its own directory, which it has only inside of ``running``."""

    PROGRAM: ClassVar[str]
    PACKAGE: ClassVar[str]

    root: Path
    port: int = field(default_factory=get_unused_localhost_port)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @classmethod
    def missing(cls) -> str:
        """Return which program is not installed and how to install it; empty if it is there."""
        if shutil.which(cls.PROGRAM, path=PATH):
            return ""
        return f"{cls.PROGRAM} is not installed: apt install {cls.PACKAGE}"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command of a server that writes to ``NOTIFY_SOCKET`` when it is ready, as with systemd."""

    @abstractmethod
    def space(self) -> Space:
        """Return an empty part of it that nobody else has."""

    def prepare(self) -> None:  # noqa: B027 - not every server needs it
        """Write what a new server needs below ``data``."""

    def start(self) -> None:
        """Start it and wait until it is ready; it keeps its port and its data."""
        assert self.process is None
        if not self.data.exists():
            self.data.mkdir()
            self.prepare()
        notify = self.root / "notify"
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as ready, self.log.open("ab") as log:
            notify.unlink(missing_ok=True)
            ready.bind(str(notify))
            self.process = subprocess.Popen(
                self.command(), cwd=self.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
                env={"PATH": PATH, MARK: str(self.root), "NOTIFY_SOCKET": str(notify), "HOME": str(self.root)},
            )  # fmt: skip
            self._wait_until_ready(ready, self.process)

    def _wait_until_ready(self, ready: socket.socket, process: subprocess.Popen[bytes]) -> None:
        ended = os.pidfd_open(process.pid)
        try:
            waited_for: list[Any] = [ready, ended]
            while True:
                found, _, _ = select.select(waited_for, [], [], DEADLINE)
                if ready in found and b"READY=1" in ready.recv(4096).splitlines():
                    return
                if ready not in found:  # it has ended, or says nothing
                    self.kill()
                    raise AssertionError(f"{self.PROGRAM} does not start: {self.log.read_text()[-2000:]}")
        finally:
            os.close(ended)

    def stop(self) -> None:
        """Stop it in an orderly way and wait for its end."""
        process = self._running()
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(DEADLINE)
        self.process = None

    def kill(self) -> None:
        """Kill it and wait for its end; it need not run."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(DEADLINE)
            self.process = None

    def hang(self) -> None:
        """Make it keep its connections and accept new ones, but answer nothing."""
        self._signal(signal.SIGSTOP, os.WSTOPPED)

    def resume(self) -> None:
        """End what ``hang`` began."""
        self._signal(signal.SIGCONT, os.WCONTINUED)

    def _signal(self, signum: signal.Signals, waited_for: int) -> None:
        process = self._running()
        process.send_signal(signum)
        os.waitid(os.P_PID, process.pid, waited_for)

    def lose_everything(self) -> None:
        """Replace it by an empty server at the same port."""
        self.kill()
        shutil.rmtree(self.data)
        self.start()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process


class Redis(Server):
    """A redis-server that writes everything to its append-only file before it answers: a kill loses nothing."""

    PROGRAM = "redis-server"
    PACKAGE = "redis-server"
    SPACES = 10_000

    def command(self) -> list[str]:
        options = {
            "bind": LOOPBACK, "port": self.port, "dir": self.data, "daemonize": "no", "supervised": "systemd",
            "databases": self.SPACES, "appendonly": "yes", "appendfsync": "everysec", "save": "",
            "maxmemory-policy": "noeviction",
            # A title would hide the directory by which a later run finds it.
            "set-proc-title": "no",
        }  # fmt: skip
        return [self.PROGRAM, *(part for name, value in options.items() for part in (f"--{name}", str(value)))]

    def space(self) -> Space:
        number = next(_numbers)
        settings = {"cache": "redis", "cache.redis.host": LOOPBACK, "cache.redis.port": self.port}
        url = f"redis://{LOOPBACK}:{self.port}/{number}"
        return Space(self, str(number), {**settings, "cache.redis.db": str(number)}, url)


class Etcd(Server):
    """An etcd with the v2 API, which Salt's cache speaks, beside the v3 API."""

    PROGRAM = "etcd"
    PACKAGE = "etcd-server"
    _peer_port: int = 0

    def prepare(self) -> None:
        self._peer_port = get_unused_localhost_port()

    def command(self) -> list[str]:
        peers = f"http://{LOOPBACK}:{self._peer_port}"
        clients = f"http://{LOOPBACK}:{self.port}"
        options = {
            "name": "test", "data-dir": self.data, "enable-v2": "true", "logger": "zap",
            "listen-peer-urls": peers, "initial-advertise-peer-urls": peers, "initial-cluster": f"test={peers}",
            "listen-client-urls": clients, "advertise-client-urls": clients,
        }  # fmt: skip
        return [self.PROGRAM, *(f"--{name}={value}" for name, value in options.items())]

    def space(self) -> Space:
        name = f"hart_{next(_numbers)}"
        settings = {"cache": "etcd", "etcd.host": LOOPBACK, "etcd.port": self.port, "etcd.path_prefix": f"/{name}"}
        return Space(self, name, settings, f"etcd3+http://{LOOPBACK}:{self.port}/{name}")


class MariaDb(Server):
    """A MariaDB with the user ``hart``, whose password is ``secret``, and a database for each space."""

    PROGRAM = "mariadbd"
    PACKAGE = "mariadb-server-core"
    USER = "hart"
    PASSWORD = "secret"  # noqa: S105 - of a server on loopback that holds nothing

    def _options(self) -> list[str]:
        sizes = ["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M", "--performance-schema=off"]
        sizes.append("--innodb-flush-log-at-trx-commit=2")  # a kill loses nothing, and a test writes faster
        # A server that starts removes all temporary tables in its tmpdir, also those of another server.
        places = [f"--datadir={self.data}", f"--tmpdir={self.root}"]
        return ["--no-defaults", *places, f"--user={getpass.getuser()}", "--skip-log-bin", *sizes]

    def prepare(self) -> None:
        (self.data / "mysql").mkdir()
        tables = next(path for path in TABLES if path.is_dir())
        files = [next(tables.glob(f"m*_system_tables{part}.sql")) for part in ("", "_data")]
        script = ["USE mysql;", "SET @auth_root_socket=NULL;", *(file.read_text() for file in files)]
        with self.log.open("ab") as log:
            subprocess.run(
                [self.PROGRAM, *self._options(), "--bootstrap"], input="\n".join(script).encode(), stdout=log,
                stderr=log, timeout=DEADLINE, check=True, env={"PATH": PATH, MARK: str(self.root)},
            )  # fmt: skip
        user = f"'{self.USER}'@'{LOOPBACK}'"
        (self.root / "init.sql").write_text(
            f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{self.PASSWORD}';\nGRANT ALL ON *.* TO {user};\n"
        )

    def command(self) -> list[str]:
        options = [f"--port={self.port}", f"--bind-address={LOOPBACK}", "--skip-name-resolve", "--max-connections=1000"]
        return [
            self.PROGRAM, *self._options(), *options, f"--socket={self.root}/socket",
            f"--pid-file={self.root}/pid", f"--init-file={self.root}/init.sql",
        ]  # fmt: skip

    def space(self) -> Space:
        name = f"hart_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        settings = {
            "cache": "mysql", "mysql.host": LOOPBACK, "mysql.port": self.port, "mysql.user": self.USER,
            "mysql.password": self.PASSWORD, "mysql.database": name,
        }  # fmt: skip
        return Space(self, name, settings, f"mysql://{self.USER}:{self.PASSWORD}@{LOOPBACK}:{self.port}/{name}")

    def execute(self, statement: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        import pymysql

        connection = pymysql.connect(
            host=LOOPBACK, port=self.port, user=self.USER, password=self.PASSWORD, database=database, autocommit=True
        )
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


def cache_of(space: Space) -> salt.cache.Cache:
    """Return Salt's cache with the settings of a space; its driver for etcd has one client for a whole process."""
    cache = salt.cache.factory({**salt.config.DEFAULT_MASTER_OPTS, **space.settings})
    cache.modules[f"{cache.driver}.list"].__globals__["client"] = None
    return cache


KINDS: dict[str, type[Server]] = {"redis": Redis, "etcd": Etcd, "mysql": MariaDb}


@contextlib.contextmanager
def running(kind: str) -> Iterator[Any]:
    """Run a server of a kind; a test that needs one that is not installed is skipped."""
    made = KINDS[kind]
    if why := made.missing():
        pytest.skip(why)
    root = make_root()
    server = made(root)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        remove(root)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Any]]:
    """Return what returns the session's server of a kind, which must not be stopped."""
    end_leftovers()
    found: dict[str, Server] = {}
    with contextlib.ExitStack() as stack:

        def server(kind: str) -> Server:
            if kind not in found:
                found[kind] = stack.enter_context(running(kind))
            return found[kind]

        yield server


@pytest.fixture
def own_server() -> Iterator[Callable[[str], Any]]:
    """Return what starts a server of a kind for this test alone, which may stop, hang and empty it."""
    with contextlib.ExitStack() as stack:
        yield lambda kind: stack.enter_context(running(kind))
