"""What the functional tests share: keys, a master's facts and configuration, nodes."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import salt.config
import yaml

from hart_salt.config.settings import Settings
from hart_salt.drivers.local.driver import Options
from hart_salt.inventory.records import Record
from hart_salt.model import MasterInfo, Node
from hart_salt.node.batch import NodeState
from tests import public_keys

#: a configuration of a user of the old hart, with the settings of its README and its comments
EXAMPLE = """
[providers.do]
token = "<token>"
role_naming_scheme = "{unique_id}.{region}.{provider}.{role}.example.com"
region = "sfo3"
[roles.db]
size = "s-4vcpu-8gb"
[roles.app]
size = "s-2vcpu-2gb"
[roles.app.ec2]
subnet = "subnet-123"
size = "t3.medium"
[roles.app.do.nyc3]
size = "s-3vcpu-3gb"
"""


@pytest.fixture
def root() -> Iterator[Path]:
    """Yield a short directory with a space in its name; processes below it are killed when the test ends."""
    path = Path(tempfile.mkdtemp(prefix="hart test "))
    before = frozenset(psutil.pids())
    yield path
    end_processes(str(path), before)
    shutil.rmtree(path, ignore_errors=True)


def end_processes(mark: str, others: Collection[int] = ()) -> None:
    """Kill every process but the others that names ``mark`` in its command or its environment, until there is none."""
    kill_all(lambda: processes(mark, others))


def kill_all(look: Callable[[], list[psutil.Process]]) -> None:
    """
    Kill the processes that ``look`` finds, each by its id, until it finds none.

    Raises ``AssertionError`` if that fails.
    """
    for _ in range(50):
        found = look()
        if not found:
            return
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=0.2)
    raise AssertionError(f"processes that do not end: {found}")


def processes(mark: str, others: Collection[int] = ()) -> list[psutil.Process]:
    """
    Return the living processes that name ``mark`` in their command or their environment, without this one.

    ``others`` are ids that are not looked at: to read what all processes of a machine are takes a while.
    """
    found = []
    for pid in psutil.pids():
        if pid == os.getpid() or pid in others:
            continue
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if mark in " ".join(process.cmdline()) or mark in " ".join(process.environ().values()):
                found.append(process)
    return found


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process with pipes; it is killed by its id when the test ends."""
    with contextlib.ExitStack() as stack:

        def begin(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            process = subprocess.Popen(command, text=True, **{**pipes, **options})
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        yield begin


@contextlib.contextmanager
def begun(program: str, *arguments: str, says: str) -> Iterator[subprocess.Popen[str]]:
    """
    Yield a process that runs a Python program with pipes and has printed its first line; it is killed after the block.
    """
    command, pipe = [sys.executable, "-c", program, *arguments], subprocess.PIPE
    process = subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{says}\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def print_lines(config: pytest.Config, lines: Iterable[str]) -> None:
    """Print lines although pytest captures what tests print."""
    plugins = config.pluginmanager
    capture, terminal = plugins.get_plugin("capturemanager"), plugins.get_plugin("terminalreporter")
    assert capture is not None
    assert terminal is not None
    with capture.global_and_fixture_disabled():
        for line in lines:
            terminal.write_line(line)


def master_info(cachedir: Path, owner: str = "0123456789abcdef") -> MasterInfo:
    """Return the facts of a master that does not exist."""
    return MasterInfo(
        master_id="test_master", owner=owner, public_key="-----BEGIN PUBLIC KEY-----\nM\n-----END PUBLIC KEY-----",
        salt_version="3008.3", local_address="127.0.0.1", publish_port=4505, return_port=4506,
        cachedir=str(cachedir), log_dir=str(cachedir / "log"),
    )  # fmt: skip


def new_public_key() -> str:
    """Return the PEM of a public key whose private half nobody has, as ``MasterInfo`` has it."""
    return public_keys.new_public_key().strip()


def new_node(minion_id: str = "web-1", **changes: Any) -> Node:
    """Return a node of the local driver with the defaults."""
    given: dict[str, Any] = {
        "minion_id": minion_id, "role": "app", "provider": "local", "driver": "local", "region": "local",
        "zone": None, "size": "shared", "settings": Settings(), "options": Options(), "minion_config": {},
        "batch": "b0",
    }  # fmt: skip
    return Node(**{**given, **changes})


def new_state(minion_id: str, **changes: Any) -> NodeState:
    """Return the state of a node that has just started."""
    record = Record(minion_id, "local", "local", "local", "shared", "launching", "me", "b0", 0.0)
    return NodeState(record, **changes)


def master_opts(root: Path, **settings: Any) -> dict[str, Any]:
    """Return the options of a master below ``root``, as Salt makes them; the master does not run."""
    (root / "etc").mkdir(exist_ok=True)
    config = {
        "root_dir": str(root), "interface": "127.0.0.1", "user": getpass.getuser(), "sock_dir": str(root / "run"),
        "log_file": str(root / "log"), "pki_dir": str(root / "pki"), "cachedir": str(root / "cache"),
        "id": "test_master", **settings,
    }  # fmt: skip
    (root / "etc/master").write_text(yaml.safe_dump(config))
    opts: dict[str, Any] = salt.config.master_config(str(root / "etc/master"))
    return opts


@pytest.fixture
def minion_opts(root: Path) -> dict[str, Any]:
    """Return the options of a minion that never ran, for Salt's loader."""
    found: dict[str, Any] = salt.config.DEFAULT_MINION_OPTS.copy()
    found.update(id="web", cachedir=str(root), extension_modules=str(root / "extmods"))
    return found
