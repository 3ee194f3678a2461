"""What the end-to-end tests share: planned faults, runs, keys, and what is left over."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import salt.config
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hart_salt.drivers.local import directory
from hart_salt.drivers.local.image_files import IMAGES
from tests.end_to_end.conftest import BIN, Event, Ran, SaltMaster
from tests.former import former_of

TIMEOUT = 120  # seconds for what takes at most two
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def until(condition: Callable[[], Any], what: str, seconds: float = TIMEOUT) -> Any:
    """Wait until the condition is true, and return its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def job_result(master: SaltMaster, jid: str) -> Any:
    """Return a job from Salt's job cache, once it is there; Salt fails to read a file that is being written."""

    def look() -> Any:
        answer = master.run("jobs.lookup_jid", jid).data
        (entry,) = answer.values() if isinstance(answer, dict) and answer else [None]
        return former_of(entry["return"] if isinstance(entry, dict) and "return" in entry else entry)

    return until(look, "the job's result")


# planned faults


class Trial:
    """The plan for the driver of ``trial_driver.py``, and what it has recorded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._plan: dict[str, Any] = {"hold": [], "fail": {}, "user_data": {}, "seen": {}, "hidden": {}}
        for part in ("reached", "go", "user-data"):
            (path / part).mkdir()
        self._write()

    def _write(self) -> None:
        new = self.path / "plan.new"
        new.write_text(json.dumps(self._plan))
        new.rename(self.path / "plan.json")

    def hold(self, point: str, minion_id: str) -> None:
        """Stop at a point of the driver until ``go``."""
        self._plan["hold"].append(f"{point}@{minion_id}")
        self._write()

    def fail(self, point: str, minion_id: str, error: str = "TemporaryFailure", times: int = 1000) -> None:
        """Raise an error of ``hart_salt.base.errors`` at a point of the driver."""
        self._plan["fail"][f"{point}@{minion_id}"] = {"error": error, "times": times}
        self._write()

    def fix(self) -> None:
        """From now on nothing fails."""
        self._plan["fail"] = {}
        self._write()

    def alter(self, minion_id: str, old: str, new: str) -> None:
        """Pass a user-data to the instance that hart did not make."""
        self._plan["user_data"].setdefault(minion_id, []).append([old, new])
        self._write()

    def unalter(self, minion_id: str) -> None:
        """From now on the instance gets hart's user-data."""
        self._plan["user_data"].pop(minion_id, None)
        self._write()

    def hold_script(self, minion_id: str, point: str, line: str) -> None:
        """Stop a script on the node before this line of it, until ``go``."""
        name = f"{point}@{minion_id}"
        wait = f"touch {self.path}/reached/{name}; while [ ! -e {self.path}/go/{name} ]; do sleep 0.05; done"
        self.alter(minion_id, line, f"{wait}\n{line}")

    def seen_as(self, minion_id: str, /, **facts: Any) -> None:
        """Let the provider report something else of an instance."""
        self._plan["seen"][minion_id] = facts
        self._write()

    def hide(self, instance_id: str, first: int, last: int) -> None:
        """Leave an instance out of some lists, counted from 0 and from now on: from ``first`` until before ``last``."""
        (self.path / f"lists-{instance_id}").unlink(missing_ok=True)
        self._plan["hidden"][instance_id] = [first, last]
        self._write()

    def lists(self, instance_id: str) -> str:
        """Return a character for each list since ``hide``."""
        path = self.path / f"lists-{instance_id}"
        return path.read_text() if path.exists() else ""

    def reached(self, point: str, minion_id: str) -> bool:
        return (self.path / "reached" / f"{point}@{minion_id}").exists()

    def wait(self, point: str, minion_id: str) -> None:
        until(lambda: self.reached(point, minion_id), f"{minion_id} at {point}")

    def go(self, point: str, minion_id: str) -> None:
        (self.path / "go" / f"{point}@{minion_id}").touch()

    def go_everywhere(self) -> None:
        """Release everything that holds, in the driver and on the nodes, now and later."""
        for name in self._plan["hold"]:
            (self.path / "go" / name).touch()
        for reached in (self.path / "reached").iterdir():
            (self.path / "go" / reached.name).touch()

    def noted(self, name: str) -> list[Any]:
        """Return what the witness in the runner wrote."""
        path = self.path / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def user_data(self, minion_id: str) -> str:
        return (self.path / "user-data" / minion_id).read_text()


#: lines of the bootstrap at which a node can be stopped or made to fail
BEFORE_SSH = "begin ssh\n"
BEFORE_KEY = "begin key\n"
AT_START = 'kill -USR1 "$(cat "$HART_ROOT/run/machine.pid")"\n'
AT_SEAL = 'rm -rf "$HART_ROOT/run/hart"\n'
#: the line that puts the result document in place
END = '\tmv "$run/result.json.new" "$run/result.json"\n'


@contextlib.contextmanager
def tried(master: SaltMaster) -> Iterator[Trial]:
    """Make ``local`` a provider of the driver ``trial``, from a package that is installed for the test."""
    path = Path(tempfile.mkdtemp(prefix="htt-"))
    before = dict(master.environment)
    try:
        trial = Trial(path)
        _install_driver(path / "site")
        there = before.get("PYTHONPATH")
        master.environment.update(
            HART_TRIAL=str(path),
            PYTHONPATH=f"{path / 'site'}{os.pathsep + there if there else ''}",
        )
        master.hart["providers"] = {"local": {"driver": "trial", "saltmaster": "127.0.0.1"}}
        master.write()
        yield trial
    finally:
        with contextlib.suppress(NameError):
            trial.go_everywhere()
        master.environment.clear()
        master.environment.update(before)
        shutil.rmtree(path, ignore_errors=True)


def _install_driver(site: Path) -> None:
    info = site / "hart_trial-1.dist-info"
    info.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("trial_driver.py"), site / "hart_trial.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hart-trial\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[hart_salt.drivers]\ntrial = hart_trial:Trial\n")


# runs


@contextlib.contextmanager
def restored(master: SaltMaster) -> Iterator[None]:
    """Yield a master that has no nodes after the block, with the configuration of one with the role ``app``."""
    try:
        yield
    finally:
        master.config["hart"] = {"roles": {"app": {}}}
        master.write()
        master.clear()


@contextlib.contextmanager
def running(master: SaltMaster, function: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start ``salt-run``; it is ended after the block, whatever happens."""
    process = master.begin(function, *arguments)
    try:
        yield process
    finally:
        end_group(process)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()


def end_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process that was started in its own session, with its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(120)


def ended(process: subprocess.Popen[str]) -> Ran:
    """Wait for a run to end; the error for one that does not end has its output and the stacks of its threads."""
    try:
        out, err = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # see PYTHONFAULTHANDLER in SaltMaster.begin
        out, err = process.communicate(timeout=300)
        pytest.fail(f"the run did not end within 300 s\n{out}\n{err}", pytrace=False)
    return Ran(process.returncode, out, err)


def left_of(master: SaltMaster, minion_id: str, trial: Trial | None = None) -> list[str]:
    """Return everything that one node has left anywhere, as words."""
    return left_of_each(master, [minion_id], trial)[minion_id]


def left_of_each(master: SaltMaster, minion_ids: Iterable[str], trial: Trial | None = None) -> dict[str, list[str]]:
    """Return the same for several nodes, with one look at the keys."""
    keys = master.keys()
    return {
        minion_id: [f"key {state}" for state, ids in keys.items() if minion_id in ids]
        + _left_elsewhere(master, master.instances / minion_id, trial)
        for minion_id in minion_ids
    }


def left_elsewhere_but_up(master: SaltMaster, minion_id: str) -> list[str]:
    """Return what shows that an operation on a node that is up has not ended yet."""
    path = master.cachedir / "hart/locks"
    return [file.name for file in path.glob("*")]


def _left_elsewhere(master: SaltMaster, path: Path, trial: Trial | None) -> list[str]:
    places = {
        "instance": path,
        "record": master.cachedir / f"hart/nodes/{path.name}.node.p",
        "lock": master.cachedir / f"hart/locks/{path.name}.lock",
    }
    places["sockets"] = directory.socket_dir(path)
    found = [word for word, place in places.items() if place.exists()]
    hidden = path.parent.glob(".*") if path.parent.exists() else ()
    found += [f"half an instance {half.name}" for half in hidden if half.name != IMAGES]
    others = {directory.socket_dir(other).name for other in path.parent.glob("*") if other != path}
    found += [f"temporary {file.name}" for file in master.temporary.iterdir() if file.name not in others]
    found += [file.name for file in (trial.path.glob("temporary-access-*") if trial else [])]
    return found + [f"process {pid}" for pid in processes_of(path)]


def processes_of(path: Path) -> list[int]:
    """Return the processes that belong to an instance, by their command or their environment."""
    found = []
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(psutil.Error, OSError):
            if process.info["status"] == psutil.STATUS_ZOMBIE:
                continue
            command = " ".join(process.cmdline()) + " "
            if f"{path}/" in command or f"{path} " in command or process.environ().get("HART_INSTANCE") == str(path):
                found.append(process.pid)
    return found


def log_of(master: SaltMaster, minion_id: str) -> str:
    return (master.log_dir / f"{minion_id}.log").read_text()


def of(events: list[Event], prefix: str, **wanted: Any) -> list[dict[str, Any]]:
    """Return the data of the events with this tag and these values."""
    return [
        event.data
        for event in events
        if event.tag.startswith(prefix) and all(event.data.get(key) == value for key, value in wanted.items())
    ]


# keys


def fingerprint(master: SaltMaster, state: str, minion_id: str) -> str:
    """Return what ``salt-key -F`` shows of a key; for denied keys, which can be several, that is a list."""
    shown = json.loads(_salt_key(master, "-F"))[state][minion_id]
    return shown if isinstance(shown, str) else shown[0]


def stored_key(master: SaltMaster, minion_id: str) -> str:
    """Return the accepted key of an id, with every byte in the store."""
    path = master.root / "etc/salt/pki/master/minions" / minion_id
    if not path.exists():
        path = Path(salt.config.master_config(str(master.root / "etc/master"))["pki_dir"]) / "minions" / minion_id
    return path.read_bytes().decode()


def salt_key(master: SaltMaster, *arguments: str) -> None:
    """Do what an admin does with ``salt-key``."""
    _salt_key(master, "-y", *arguments)


def _salt_key(master: SaltMaster, *arguments: str) -> str:
    ran = master.salt_key("--out", "json", *arguments)
    assert ran.code == 0, ran
    return ran.stdout


def foreign_key() -> str:
    """Return a public key without a known private half."""
    key = rsa.generate_private_key(65537, 2048).public_key()
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode().strip()


def _minion_process(master: SaltMaster, minion_id: str) -> psutil.Process:
    machine = json.loads((master.instances / minion_id / "run/machine.json").read_text())
    return psutil.Process(machine["minion"])


def stop_minion(master: SaltMaster, minion_id: str) -> None:
    """Stop the minion of a local instance, which then answers nobody, without ending it."""
    _to_family(_minion_process(master, minion_id), psutil.Process.suspend)


def resume_minion(master: SaltMaster, minion_id: str) -> None:
    """Let the minion answer again."""
    _to_family(_minion_process(master, minion_id), psutil.Process.resume)


def end_instance(master: SaltMaster, minion_id: str) -> None:
    """Remove a local instance with its processes, as if somebody had deleted it by hand."""
    path = master.instances / minion_id
    for pid in processes_of(path):
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()
    until(lambda: not processes_of(path), "its processes have ended")
    shutil.rmtree(path)


def kill_family(pid: int) -> None:
    """Kill a process and all its descendants at once."""
    _to_family(psutil.Process(pid), psutil.Process.kill)


def _to_family(process: psutil.Process, do: Callable[[psutil.Process], None]) -> None:
    """Do something to a process and all its descendants, if they still live."""
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            do(one)


def without_colours(text: str) -> str:
    """Return what a terminal shows of it."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@contextlib.contextmanager
def bare_minion(master: SaltMaster, minion_id: str) -> Iterator[Path]:
    """Run a real salt-minion that hart knows nothing of, with its own key; yield its pki directory."""
    root = Path(tempfile.mkdtemp(prefix="bare-", dir=master.root))
    config = {
        "id": minion_id,
        "master": "127.0.0.1",
        "master_port": master.config["ret_port"],
        "publish_port": master.config["publish_port"],
        "user": psutil.Process().username(),
        "root_dir": "/",
        "pki_dir": str(root / "pki"),
        "cachedir": str(root / "cache"),
        "sock_dir": str(root / "run"),
        "log_file": str(root / "log"),
        "pidfile": str(root / "pid"),
        "acceptance_wait_time": 1,
    }
    (root / "minion").write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [BIN / "salt-minion", "-c", root, "-l", "warning"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=master.environment, start_new_session=True,
    )  # fmt: skip
    try:
        yield root / "pki"
    finally:
        end_group(process)
        shutil.rmtree(root, ignore_errors=True)


def let_in(master: SaltMaster, minion_id: str) -> None:
    """Accept the key of a bare minion, and wait until the minion answers."""
    until(lambda: minion_id in master.keys()["minions_pre"], f"{minion_id} asks to be let in")
    accepted = time.time()
    salt_key(master, "-a", minion_id)
    # A ping before the minion listens would wait for an answer until the timeout.
    start = f"salt/minion/{minion_id}/start"
    until(lambda: any(event.tag == start for event in master.events_since(accepted)), f"{minion_id} starts")
    until(lambda: master.salt(minion_id, "test.ping").data, f"{minion_id} answers")


# searching

UNIQUE = 24  #: characters of a key's text that nothing else has by accident


def body_lines(private_key: str) -> list[str]:
    """
    Return the lines of a private key's text that no other key has; the first line of OpenSSH's is always the same.

    The last line can have so few characters that other files have them too.
    """
    lines = [line for line in private_key.strip().splitlines()[1:-1] if len(line) >= UNIQUE]
    return lines[1:] if "OPENSSH" in private_key else lines


def files_with(root: Path, texts: list[str]) -> list[str]:
    """Return the files below a directory that contain any of the texts."""
    wanted = [text.encode() for text in texts]
    found = []
    for path in sorted(root.rglob("*")):
        with contextlib.suppress(OSError):
            if path.is_file() and any(text in path.read_bytes() for text in wanted):
                found.append(str(path.relative_to(root)))
    return found
