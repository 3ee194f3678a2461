"""
Measure the time to a trusted minion, and compare it with the time that Salt alone needs.

    python tools/bench/first_light.py [--runs 3]

The script starts a private salt-master on loopback. Then it runs in turn, --runs times: a bare salt-minion whose key
is already accepted, ``hart.create_role app`` for one node, and for three nodes. It prints the best and the median of

* the bare salt-minion, from the start of its process to its start event and to its first answered test.ping
* hart's nodes, from *bootstrap finished* to *ready* (the stages enrolling and enrolled), and the ratio of the two
* the whole call, with the seconds of its nodes in each stage

Everything runs with the Python, the Salt and the hart-salt of the script, and ends with the script. Other work on the
machine distorts the figures, so the script also prints the load.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import salt.config
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from hart_salt.master.client import SALT_VERSION, Master

BIN = Path(sys.executable).parent
LIMIT = 120.0  #: timeout of each step, in seconds
ROLE = "app"
WANTED_RATIO = 2
STAGES = ("launching", "running", "bootstrapping", "enrolling", "enrolled", "ready")


class PrivateMaster:
    """A salt-master in its own directory."""

    def __init__(self, root: Path, **more: Any) -> None:
        self.root = root
        publish, reply = free_ports(2)
        self.config: dict[str, Any] = {
            "interface": "127.0.0.1", "publish_port": publish, "ret_port": reply, "root_dir": str(root),
            "sock_dir": "run", "log_file": str(root / "log/master"), "user": getpass.getuser(),
            "file_roots": {"base": [str(root / "srv")]}, "hart": {"roles": {ROLE: {}}}, **more,
        }  # fmt: skip
        for part in ("etc", "srv", "log"):
            (root / part).mkdir()
        (root / "etc/master").write_text(yaml.safe_dump(self.config))
        self.opts = salt.config.master_config(str(root / "etc/master"))

    def start(self) -> None:
        begin_master(self.root)
        ports = [self.config["publish_port"], self.config["ret_port"]]
        until(lambda: all(listens(port) for port in ports) and self.run("test.arg").returncode == 0)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run ``salt-run`` to its end."""
        return salt_run(self.root, *command, limit=LIMIT)

    def ask(self, *command: str) -> Any:
        """Return the result of ``salt-run``. A failure ends the measurement."""
        return answer_of(self.run(*command))


@contextlib.contextmanager
def private_master(prepare: Callable[[Path], None] = lambda root: None, **more: Any) -> Iterator[PrivateMaster]:
    """Yield a running master; ``more`` are its settings, and ``prepare`` can put files into its directory first."""
    root = Path(tempfile.mkdtemp(prefix="hart-bench-"))
    try:
        master = PrivateMaster(root, **more)
        prepare(root)
        master.start()
        yield master
    finally:
        end_processes(root)
        shutil.rmtree(root, ignore_errors=True)


def begin_master(root: Path) -> None:
    """Start the salt-master whose configuration is in ``root / "etc"``."""
    with (root / "log/out").open("wb") as out:
        subprocess.Popen([BIN / "salt-master", "-c", root / "etc"], stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def salt_run(root: Path, *command: str, limit: float) -> subprocess.CompletedProcess[str]:
    """Run ``salt-run`` of that master to its end, with a timeout of ``limit`` seconds."""
    return subprocess.run(
        [BIN / "salt-run", "-c", root / "etc", "--out", "json", *command], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=limit, check=False,
    )  # fmt: skip


def answer_of(done: subprocess.CompletedProcess[str]) -> Any:
    """Return the nodes in the result of a finished ``salt-run``. A failure ends the measurement."""
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, done.args))} failed:\n{done.stdout}{done.stderr}")
    return nodes_in(json.loads(done.stdout))


def nodes_in(document: Any) -> Any:
    """Return the nodes of a document, which in hart-salt 1.0 stand at its top level."""
    return document.get("nodes", document)


def end_processes(root: Path) -> None:
    """End every process with the directory in its command, which Salt keeps in its process titles."""
    for _ in range(50):
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if f"{root}/" in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                    process.kill()
                    found.append(process)
        if not found:
            return
        psutil.wait_procs(found, timeout=0.2)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"gave up after {LIMIT:g} s")
        time.sleep(0.1)


def bare_minion(private: PrivateMaster, name: str) -> tuple[float, float]:
    """Return the seconds from the start of a salt-minion with an accepted key to its start event and to its answer."""
    master = Master(private.opts)
    directory = private.root / name
    write_minion(private, directory, name, master)
    started = threading.Event()
    with master.events(lambda minion_id: started.set() if minion_id == name else None, lambda minion_id, answer: None):
        began = time.monotonic()
        process = subprocess.Popen(
            [BIN / "salt-minion", "-c", directory / "etc"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if not started.wait(LIMIT):
            raise SystemExit(f"the bare salt-minion did not start within {LIMIT:g} s")
        event = time.monotonic() - began
        until(lambda: master.minions.ping(name, LIMIT))
        answer = time.monotonic() - began
    end_processes(directory)
    process.wait(LIMIT)
    master.keys.delete([name])
    return event, answer


def write_minion(private: PrivateMaster, directory: Path, name: str, master: Master) -> None:
    """Write the configuration and the key of a minion, and accept the key on the master."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pki = directory / "etc/pki"
    pki.mkdir(parents=True)
    private_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for file, data, mode in (("minion.pem", private_pem, 0o400), ("minion.pub", public, 0o644)):
        (pki / file).write_bytes(data)
        (pki / file).chmod(mode)
    config = {
        "id": name, "master": "127.0.0.1", "publish_port": private.config["publish_port"],
        "master_port": private.config["ret_port"], "root_dir": str(directory), "pki_dir": str(pki),
        "user": getpass.getuser(), "sock_dir": "run", "log_file": str(directory / "log"),
    }  # fmt: skip
    (directory / "etc/minion").write_text(yaml.safe_dump(config))
    master.keys.accept(name, public.decode())


def create(private: PrivateMaster, count: int) -> tuple[float, list[dict[str, float]]]:
    """Return the seconds of the whole call and of the stages of each node."""
    began = time.monotonic()
    made = private.ask("hart.create_role", ROLE, f"count={count}")
    took = time.monotonic() - began
    private.ask("hart.destroy", ",".join(made))
    return took, [entry["seconds"] for entry in made.values()]


def line(text: str, figures: Sequence[float], unit: str = " s") -> str:
    return f"{text:<58} {min(figures):7.2f}{unit} {statistics.median(figures):7.2f}{unit}"


def report(bare: list[tuple[float, float]], calls: dict[int, list[tuple[float, list[dict[str, float]]]]]) -> str:
    """Return the figures as text."""
    events, answers = [event for event, _ in bare], [answer for _, answer in bare]
    ready = [node["enrolling"] + node["enrolled"] for _, nodes in calls[1] for node in nodes]
    best, median = min(ready) / min(events), statistics.median(ready) / statistics.median(events)
    text = [
        f"{'':<58} {'best':>9} {'median':>9}",
        line("bare salt-minion: start to start event", events),
        line("bare salt-minion: start to first answered ping", answers),
        line("hart, one node: bootstrap finished to ready", ready),
        f"{f'ratio of that to the start event (target: at most {WANTED_RATIO})':<58} {best:7.2f}   {median:7.2f}",
    ]
    for count, several in calls.items():
        text += ["", line(f"hart.create_role {ROLE} count={count}: the whole call", [took for took, _ in several])]
        for stage in STAGES:
            figures = [node.get(stage, 0.0) for _, nodes in several for node in nodes]
            text.append(line(f"    a node in {stage}", figures))
    return "\n".join(text)


def machine(when: str) -> str:
    loads = " ".join(f"{load:.2f}" for load in os.getloadavg())
    return f"{when}: load {loads} on {os.cpu_count()} CPUs"


def begin(
    description: str, add: Callable[[argparse.ArgumentParser], object] = lambda parser: None
) -> argparse.Namespace:
    """
    Parse the command line, print the versions and the load, and return the arguments, with the number of ``runs``.

    ``add`` adds further options.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=int, default=3, help="measurements of each (default: %(default)s)")
    add(parser)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what the script started
    print(f"Salt {SALT_VERSION}, Python {platform.python_version()}, {arguments.runs} of each")
    print(machine("before"), flush=True)
    return arguments


def main() -> None:
    """Measure and print."""
    runs = begin("seconds to a trusted minion, with hart and with Salt alone").runs
    bare: list[tuple[float, float]] = []
    calls: dict[int, list[tuple[float, list[dict[str, float]]]]] = {1: [], 3: []}
    with private_master() as private:
        for number in range(runs):
            bare.append(bare_minion(private, f"bare-{number}"))
            for count, several in calls.items():
                several.append(create(private, count))
    print(machine("after"))
    print(report(bare, calls))


if __name__ == "__main__":
    main()
