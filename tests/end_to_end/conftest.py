"""
A real salt-master, run by pytest-salt-factories, and the real ``salt-run`` with it.

The master of ``master`` serves all tests of a session that do not stop or reconfigure it; ``make_master`` starts
another one for the others. Everything listens on loopback and is killed by its process id.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import salt.utils.event
import yaml
from pytestshellutils.utils.ports import get_unused_localhost_port
from saltfactories import daemons
from saltfactories.manager import FactoriesManager

from hart_salt.inventory.records import BANK, SUFFIX
from tests import scope
from tests.end_to_end.processes import (
    MARK,
    end_leftovers,
    end_processes,
    family_of,
    is_job,
    make_root,
    processes_of,
    remove,
    sockets_of,
)
from tests.end_to_end.warm import PROGRAMS, Begun, Started, Warm
from tests.former import former_of
from tests.parts import kill_all

BIN = Path(sys.executable).parent
TIMEOUT = 300
MINIONS_TIMEOUT = 60  # seconds for which the salt command waits for the answers of minions
_WARMING = threading.Lock()  #: tests run several commands at once


@dataclass
class Ran:
    """How a command ended and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """Return the result of ``--out=json``; output that is not exactly one document is an error."""
        return json.loads(self.stdout)

    @property
    def data(self) -> Any:
        """Return the same with the ids or names of a document of hart's at the top level."""
        return former_of(self.document)


@dataclass(frozen=True)
class Event:
    """One event of the master's bus."""

    tag: str
    data: dict[str, Any]


class Daemon(daemons.master.SaltMaster):  # type: ignore[misc]  # without type information
    """A master with the configuration of a new one, except its ports and paths and the settings of the test."""

    @classmethod
    def default_config(
        cls, root_dir: Path, master_id: str, overrides: dict[str, Any] | None = None, **_: Any
    ) -> dict[str, Any]:
        """Return the configuration without the settings of pytest-salt-factories that no real master has."""
        return {"id": master_id, "conf_file": str(root_dir / "etc/master"), **(overrides or {})}

    @classmethod
    def write_config(cls, config: dict[str, Any]) -> Any:
        """
        Write the configuration; only the daemon sends events to the test, because the same file configures salt-run.
        """
        config.pop("log_handlers_dirs")
        config["pytest-master"].pop("log")
        return super().write_config(config)

    def _terminate_processes_matching_listen_ports(self) -> None:
        """Look at no process of the machine: ``SaltMaster.stop`` has ended all of the daemon's."""


@dataclass
class SaltMaster:
    """A master in its own directory."""

    root: Path
    config: dict[str, Any]
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    daemon: Daemon | None = None
    #: where the programs are that a test runs
    bin: Path = BIN
    #: the command that enters the namespace in which its commands run
    enter: Sequence[str] = ()
    _warm: Warm | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def hart(self) -> dict[str, Any]:
        """Return the ``hart:`` key of its configuration; after a change, call ``write``."""
        found: dict[str, Any] = self.config.setdefault("hart", {})
        return found

    @property
    def cachedir(self) -> Path:
        return self.root / "var/cache/salt/master"

    @property
    def instances(self) -> Path:
        """Return where the provider ``local`` keeps its instances."""
        return self.cachedir / "hart/local/local"

    @property
    def _local(self) -> Path:
        """Return where all providers with this driver keep their instances."""
        return self.instances.parent

    def record(self, minion_id: str) -> Path:
        """Return the file of a node's record."""
        return self.cachedir / BANK / f"{minion_id}{SUFFIX}.p"

    @property
    def key_store(self) -> Path:
        """Return the directory with the minions' keys, which the members of a cluster share."""
        return Path(self.config.get("cluster_pki_dir") or self.root / "etc/salt/pki/master")

    @property
    def log_dir(self) -> Path:
        return self.root / "log/hart"

    @property
    def temporary(self) -> Path:
        """Return the directory for temporary files of everything that runs for this master."""
        return self.root / "tmp"

    @property
    def _on_loopback(self) -> bool:
        return bool(self.config["interface"] == "127.0.0.1")

    def configure(self, factories: FactoriesManager) -> None:
        """Make the daemon; pytest-salt-factories makes its configuration file from ours."""
        self.daemon = factories.salt_master_daemon(
            self.root.name,
            defaults={"root_dir": str(self.root)},
            overrides=self.config,
            factory_class=Daemon,
            # By default it would accept every pending key.
            on_auth_event_callback=lambda daemon, event: None,
            # pytest-salt-factories would probe them on loopback; the start event is enough.
            check_ports=[self.config["publish_port"], self.config["ret_port"]] if self._on_loopback else None,
        )
        self.daemon.environ = self.environment
        self.config = yaml.safe_load((self.root / "etc/master").read_text())

    def write(self) -> None:
        """Write the configuration; salt-run reads it at each call, the daemon only when it starts."""
        new = self.root / "etc/master.new"
        new.write_text(yaml.safe_dump(self.config))
        new.rename(self.root / "etc/master")  # a salt-run that is just starting reads either the old or the new one

    def start(self) -> None:
        """Start or restart the daemon, and wait for its start event."""
        assert self.daemon is not None
        self.daemon.start()

    def stop(self) -> None:
        """Kill the daemon with its own processes; minions and salt-run continue."""
        if self.daemon is None or not self.daemon.is_running():
            return
        family = [process for pid in family_of(self.daemon.pid) for process in _running(pid)]
        # One of them may have started another; that of a cluster that publishes events names no directory.
        kill_all(lambda: [process for process in {*family, *processes_of(self.root)} if _is_masters(process, family)])
        # It would wait until the init process has reaped those that it remembers, which takes seconds.
        self.daemon.impl._children.clear()
        self.daemon.terminate()

    def command(self, function: str, *arguments: str, out: str | None = "json", program: str = "salt-run") -> list[str]:
        options = ["--out", out] if out else []
        return [str(self.bin / program), "-c", str(self.root / "etc"), *options, function, *arguments]

    def run(self, function: str, *arguments: str, out: str | None = "json", timeout: float = TIMEOUT) -> Ran:
        """Run ``salt-run`` and wait for it."""
        return self.run_with({}, function, *arguments, out=out, timeout=timeout)

    def run_with(
        self, more: Mapping[str, str], function: str, *arguments: str, out: str | None = "json",
        timeout: float = TIMEOUT,
    ) -> Ran:  # fmt: skip
        """Do the same with more in its environment; see ``warm.py`` for how it starts."""
        return self._finished(self.command(function, *arguments, out=out), timeout, more)

    def warmed(self) -> Warm:
        """Return the process that has imported Salt; start it if there is none."""
        with _WARMING:
            if self._warm is None or not self._warm.lives():
                self.end_warm()
                self._warm = Warm(self.root / "etc", self.environment, self.enter)
            return self._warm

    def begin_warm(self, function: str, *arguments: str) -> Begun:
        """Start ``salt-run`` as ``run`` does, and return at once; the caller kills and closes it."""
        assert self.bin == BIN, "another program has no process that has imported Salt"
        return self.warmed().begin(self.command(function, *arguments), self.environment)

    @contextlib.contextmanager
    def to_be_killed(self, function: str, *arguments: str) -> Iterator[Begun]:
        """Start ``salt-run`` as ``run`` does, for a test that kills it with SIGKILL; it ends with the block."""
        begun = self.begin_warm(function, *arguments)
        try:
            yield begun
        finally:
            begun.kill()
            begun.close()

    def end_warm(self) -> None:
        """End the process that ``run`` keeps."""
        if self._warm is not None:
            self._warm.close()
            self._warm = None

    def salt(self, *arguments: str, timeout: float = TIMEOUT) -> Ran:
        """Run ``salt``, the command for minions. Its default of 5 s is too short on a machine under load."""
        options = ["--out", "json", "--static", f"--timeout={MINIONS_TIMEOUT}"]
        command = [str(self.bin / "salt"), "-c", str(self.root / "etc"), *options, *arguments]
        return self._finished(command, timeout)

    def _finished(self, command: list[str], timeout: float = TIMEOUT, more: Mapping[str, str] | None = None) -> Ran:
        """Run one of Salt's commands: as a fork of a process that has imported Salt, if it is that of these tests."""
        environment = {**self.environment, **(more or {})}
        if self.bin == BIN and Path(command[0]).name in PROGRAMS:
            done = self.warmed().run(command, environment, timeout)
        else:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=timeout,
                check=False,
            )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    def begin(self, function: str, *arguments: str, **streams: Any) -> subprocess.Popen[str]:
        """
        Start ``salt-run`` as ``run`` does, and return at once; the test ends it, or ``clear`` does.

        Its output goes to pipes, or to ``stdout`` and ``stderr``; see ``Started``.
        """
        command, environment = self.command(function, *arguments), {**self.environment, "PYTHONFAULTHANDLER": "1"}
        if self.bin == BIN:
            return Started(self.warmed(), command, environment, **streams)
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, text=True, env=environment, start_new_session=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        )  # fmt: skip

    def keys(self) -> dict[str, list[str]]:
        """
        Return the key store from its directories, which is faster than ``salt-key``; without the master's own keys.
        """
        states = ("minions", "minions_pre", "minions_rejected", "minions_denied")
        return {state: sorted(path.name for path in (self.key_store / state).glob("[!.]*")) for state in states}

    @contextlib.contextmanager
    def events(self) -> Iterator[list[Event]]:
        """Collect every event of the bus; the list is complete after the ``with`` block."""
        assert self.daemon is not None
        listener = self.daemon.event_listener
        seen: list[Event] = []
        started = time.time()
        yield seen
        end = f"test/end/{time.time_ns()}"
        self._fire(end)
        assert listener.wait_for_events([(self.daemon.id, end)], after_time=started, timeout=TIMEOUT).found_all_events
        seen += [event for event in self.events_since(started) if event.tag != end]

    def events_since(self, since: float) -> list[Event]:
        """Return the events of the bus since a time in seconds that have arrived here."""
        assert self.daemon is not None
        seen = [event for event in list(self.daemon.event_listener.store) if event.daemon_id == self.daemon.id]
        return [Event(event.tag, event.full_data) for event in seen if event.stamp.timestamp() >= since]

    def _fire(self, tag: str) -> None:
        assert self.daemon is not None
        opts = self.daemon.config.copy()
        with salt.utils.event.get_event("master", opts=opts, sock_dir=opts["sock_dir"], listen=False) as bus:
            bus.fire_event({}, tag)

    def left_over(self) -> dict[str, Any]:
        """Return everything that a node can leave behind; the values are empty if there is nothing."""
        return {
            "keys": [key for keys in self.keys().values() for key in keys],
            "records": [path.name.removesuffix(".p") for path in (self.cachedir / BANK).glob("*.p")],
            "instances": [str(path.relative_to(self._local)) for path in self._local.glob("*/*")],
            "locks": [path.name for path in (self.cachedir / "hart/locks").glob("*")],
            "sockets": [path.name for path in self.sockets()],
            "processes": [process.pid for process in self.instance_processes()],
        }

    def sockets(self) -> list[Path]:
        """Return the socket directories of this master's instances."""
        return sockets_of(self.root)

    def instance_processes(self) -> list[psutil.Process]:
        """
        Return the processes of all local instances of this master, found by the directory in their command.

        A minion's jobs, which start and end by themselves, are not included while their minion lives.
        """
        ours = [process for process in processes_of(self.root) if self._is_instances(process)]
        return [process for process in ours if not is_job(process)]

    def _is_instances(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return str(self._local) in " ".join(process.cmdline())
        return False

    def clear(self) -> None:
        """Clean up after a test: kill everything but the daemon, and forget the nodes."""
        warm = {self._warm.process.pid} if self._warm else set()
        end_processes(self.root, keep={*family_of(self.daemon.pid if self.daemon else None), *warm})
        shutil.rmtree(self.cachedir / "hart", ignore_errors=True)
        shutil.rmtree(self.log_dir, ignore_errors=True)
        for path in self.sockets():
            shutil.rmtree(path, ignore_errors=True)
        # Files too: a process that was killed here may have been about to remove one, and the next test would find it.
        for path in self.temporary.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        ids = {minion_id for state in self.keys().values() for minion_id in state}
        for minion_id in ids:
            self.delete_key(minion_id)

    def delete_key(self, minion_id: str) -> None:
        """Delete the keys of an id, as an admin does."""
        self.salt_key("-y", "-d", minion_id)

    def salt_key(self, *arguments: str) -> Ran:
        """Run ``salt-key``."""
        return self._finished([str(self.bin / "salt-key"), "-c", str(self.root / "etc"), *arguments])


def _running(pid: int) -> list[psutil.Process]:
    """Return the process with an id, if there is one."""
    with contextlib.suppress(psutil.Error):
        return [psutil.Process(pid)]
    return []


def _is_masters(process: psutil.Process, family: Collection[psutil.Process]) -> bool:
    """Return whether it lives and is one of a master's own."""
    with contextlib.suppress(psutil.Error):
        lives = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        return lives and (process in family or "salt-master" in " ".join(process.cmdline()))
    return False


MakeMaster = Callable[..., SaltMaster]


def _new_master(root: Path, **overrides: Any) -> SaltMaster:
    for part in ("etc", "srv/salt", "srv/pillar", "log", "tmp"):
        (root / part).mkdir(parents=True)
    config = {
        "interface": "127.0.0.1",
        "publish_port": get_unused_localhost_port(),
        "ret_port": get_unused_localhost_port(),
        "root_dir": str(root),
        "sock_dir": "run",
        "log_file": str(root / "log/master"),
        "user": psutil.Process().username(),
        "file_roots": {"base": [str(root / "srv/salt")]},
        "pillar_roots": {"base": [str(root / "srv/pillar")]},
        "loop_interval": 5,
        "worker_threads": 2,  # each takes a second to start; Salt's default is 5
        "hart": {"roles": {"app": {}}},
        **overrides,
    }
    # A user's own hart configuration must not affect a test.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HART_")}
    return SaltMaster(root, config, {**environment, MARK: str(root), "TMPDIR": str(root / "tmp")})


@contextlib.contextmanager
def idle_machine(**overrides: Any) -> Iterator[SaltMaster]:
    """Return a machine with Salt and a configuration on which no master ever ran: only ``salt-run`` is used."""
    root = make_root()
    machine = _new_master(root, **overrides)
    try:
        machine.write()
        yield machine
    finally:
        machine.end_warm()
        remove(root)


@contextlib.contextmanager
def running_master(
    factories: FactoriesManager, prepare: Callable[[SaltMaster], None] = lambda master: None, *, start: bool = True,
    **overrides: Any,
) -> Iterator[SaltMaster]:  # fmt: skip
    """Run a master; ``prepare`` can put files into its directory before. Without ``start``, the caller starts it."""
    root = make_root()
    master = _new_master(root, **overrides)
    try:
        prepare(master)
        master.configure(factories)
        if start:
            master.start()
        yield master
    finally:
        try:
            master.stop()
        finally:
            master.end_warm()
            remove(root)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Leave out the clouds that a test does not need.

    With every cloud, which ``./test --all`` runs, the tests take half as long again; tests of shared code and shared
    machines run with one or two clouds.
    """
    left_out = [item for item in items if not _is_on_its_cloud(item)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def _is_on_its_cloud(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("on_clouds")
    return scope.whole or mark is None or vars(item)["callspec"].params["cloud"] in mark.args


@pytest.fixture(scope="session")
def salt_factories_config() -> dict[str, Any]:
    """Use the installed scripts, and kill daemons at once, since no test needs what they save."""
    return {"scripts_dir": BIN, "slow_stop": False, "inject_sitecustomize": False}


@pytest.fixture(scope="session")
def factories(salt_factories: FactoriesManager) -> FactoriesManager:
    """Return what starts daemons, after the leftovers of earlier runs are removed."""
    end_leftovers()
    # By default, it forgets events after two minutes: before a test on a slow machine has looked at them.
    salt_factories.event_listener.timeout = 2 * TIMEOUT
    return salt_factories


@pytest.fixture(scope="session")
def _session_master(factories: FactoriesManager) -> Iterator[SaltMaster]:
    with running_master(factories) as master:
        yield master


@pytest.fixture
def master(_session_master: SaltMaster) -> Iterator[SaltMaster]:
    """Return the session's master, with the role ``app`` and the provider ``local``; it is cleared after each test."""
    yield _session_master
    _session_master.config["hart"] = {"roles": {"app": {}}}
    _session_master.write()
    _session_master.clear()


@pytest.fixture
def make_master(factories: FactoriesManager) -> Iterator[MakeMaster]:
    """Return what starts a master with other settings; it ends with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **overrides: stack.enter_context(running_master(factories, **overrides))
