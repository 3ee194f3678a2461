"""
Measure the time until a droplet is a trusted minion, and compare it with the floor: the time of its parts one by one.

    python tools/bench/droplets.py [--runs 3]
    python tools/bench/droplets.py --baked [--runs 3] [--work 10]

The script needs what the test cloud needs (root, systemd-nspawn). It measures in turn, --runs times, on real machines
with the same image:

* the floor, without hart: boot until the startup script runs; ``apt-get update``; the installation of salt-minion,
  masked and with the options of hart's script; and, with the key accepted, ``systemctl start`` until the start event
  and until the first answered test.ping
* ``salt-run hart.create_role app provider=do`` for one droplet and for three, in total and by stage

It prints both and compares them with two targets: from *bootstrap finished* to the return of the call, at most 2 s
more than the floor's start to ping; and for the whole call of one droplet, at most 1.25 times the sum of the floor's
parts. It also prints the load: with more work than CPUs, the figures mean little.

With ``--baked``, it measures nodes from a baked image instead: see ``baked.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import salt.config
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from first_light import STAGES, answer_of, begin, begin_master, end_processes, free_ports, machine, salt_run, until

from hart_salt.master.client import SALT_VERSION, Master
from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.drivers.do.emulator.state import Settings
from tests.machines.machines import Machine, MachineHost, Spec
from tests.machines.real import RealMachines

LIMIT = 240.0  #: timeout of each step, in seconds
RAN = "/run/bench-ran"
WANTED_RATIO, WANTED_MORE = 1.25, 2.0
NUMBERS = itertools.count(1)  #: ids of bare machines; each runs its script
PARTS = ("boot", "update", "install", "start event", "start to ping")
INSTALL = (
    "DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "
    "-o Dpkg::Options::=--force-unsafe-io salt-minion && sync"
)


class BenchMaster:
    """A salt-master at the address of the host of the machines."""

    def __init__(
        self, root: Path, host: MachineHost, cloud: DigitalOcean, roles: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self.root, self.address, self.cloud = root, host.address, cloud
        self.publish, self.reply = free_ports(2)
        for part in ("etc", "srv", "log"):
            (root / part).mkdir()
        (root / "key.asc").write_text(host.repository_key)
        config = {
            "interface": self.address, "publish_port": self.publish, "ret_port": self.reply, "root_dir": str(root),
            "sock_dir": str(root / "run"), "log_file": str(root / "log/master"), "user": "root",
            "file_roots": {"base": [str(root / "srv")]},
            "hart": {
                "saltmaster": self.address, "salt_repo": host.repository_url, "salt_repo_key": str(root / "key.asc"),
                "image": "bookworm", "region": "nyc3", "minion_config": {"publish_port": self.publish},
                "providers": {"do": {"token": cloud.token, "endpoint": cloud.endpoint}}, "roles": roles or {"app": {}},
            },
        }  # fmt: skip
        (root / "etc/master").write_text(yaml.safe_dump(config))
        self.api = Master(salt.config.master_config(str(root / "etc/master")))

    def start(self) -> None:
        begin_master(self.root)
        until(lambda: self.run("test.arg").returncode == 0)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run ``salt-run`` to its end."""
        return salt_run(self.root, *command, limit=LIMIT)

    def ask(self, *command: str) -> Any:
        """Return the result of ``salt-run``. A failure ends the measurement."""
        return answer_of(self.run(*command))


@contextlib.contextmanager
def bench(roles: Mapping[str, Mapping[str, Any]] | None = None) -> Iterator[tuple[MachineHost, BenchMaster]]:
    """Start the test cloud and a master with these roles (default: ``app`` without settings), and end both."""
    root = Path(tempfile.mkdtemp(prefix="hart-bench-"))
    try:
        with MachineHost() as host, DigitalOcean(RealMachines(host, "digitalocean"), settings=Settings()) as cloud:
            master = BenchMaster(root, host, cloud, roles)
            master.start()
            yield host, master
            end_processes(root)
    finally:
        end_processes(root)
        shutil.rmtree(root, ignore_errors=True)


# the floor


@contextlib.contextmanager
def bare(host: MachineHost, name: str, image: str = "debian-12") -> Iterator[tuple[Machine, float]]:
    """Boot a machine without hart; return it and the seconds until its startup script had run. Then end it."""
    network = host.network
    spec = Spec(
        instance_id=str(next(NUMBERS)), hostname=name, user_data=f"#!/bin/sh\ntouch {RAN}\n", public_keys=(),
        datasource="digitalocean", public_ip=network.take("public"), private_ip=network.take("private"), image=image,
    )  # fmt: skip
    began = time.monotonic()
    booted = host.boot(spec)
    try:
        booted.wait(f"[ -e {RAN} ]")
        yield booted, time.monotonic() - began
    finally:
        booted.kill()


def install(booted: Machine, host: MachineHost) -> dict[str, float]:
    """Install Salt and return the seconds of both parts. The minion does not start."""
    _add_repository(booted, host)
    took = {"update": _timed(booted, "apt-get update -q")}
    _do(booted, "systemctl mask salt-minion.service")
    return {**took, "install": _timed(booted, INSTALL)}


def floor(host: MachineHost, master: BenchMaster, name: str) -> dict[str, float]:
    """Return the seconds of each part on a machine without hart."""
    with bare(host, name) as (booted, boot):
        return {"boot": boot, **install(booted, host), **started(booted, master, name)}


def _do(booted: Machine, command: str) -> None:
    code, output = booted.run(command, LIMIT)
    if code:
        raise SystemExit(f"{command}: {output[-2000:]}")


def _timed(booted: Machine, command: str) -> float:
    began = time.monotonic()
    _do(booted, command)
    return time.monotonic() - began


def _add_repository(booted: Machine, host: MachineHost) -> None:
    key = "/etc/apt/keyrings/salt.asc"
    series = SALT_VERSION.split(".")[0]
    _write(booted, key, host.repository_key, "644")
    _write(booted, "/etc/apt/sources.list.d/salt.list", f"deb [signed-by={key}] {host.repository_url} stable main\n")
    pin = f"Package: salt-*\nPin: version {series}.*\nPin-Priority: 1001\n"
    _write(booted, "/etc/apt/preferences.d/salt", pin)


def _write(booted: Machine, path: str, text: str, mode: str = "644") -> None:
    folder = path.rpartition("/")[0]
    _do(booted, f"mkdir -p {folder} && cat > {path} <<'END'\n{text.rstrip()}\nEND\nchmod {mode} {path}")


def started(booted: Machine, master: BenchMaster, name: str) -> dict[str, float]:
    """Return the seconds from ``systemctl start`` to the start event and to the answer of a ping."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()  # fmt: skip
    _write(booted, "/etc/salt/pki/minion/minion.pem", private, "400")
    _write(booted, "/etc/salt/pki/minion/minion.pub", public)
    config = {"id": name, "master": master.address, "publish_port": master.publish, "master_port": master.reply}
    _write(booted, "/etc/salt/minion.d/bench.conf", yaml.safe_dump(config))
    _do(booted, "systemctl unmask salt-minion.service")
    master.api.keys.accept(name, public)
    heard = threading.Event()
    with master.api.events(lambda minion_id: heard.set() if minion_id == name else None, lambda jid, minion_id: None):
        began = time.monotonic()
        _do(booted, "systemctl start --no-block salt-minion.service")
        if not heard.wait(LIMIT):
            raise SystemExit(f"the bare salt-minion did not start within {LIMIT:g} s")
        event = time.monotonic() - began
        until(lambda: master.api.minions.ping(name, LIMIT))
        answered = time.monotonic() - began
    master.api.keys.delete([name], connected=True)
    return {"start event": event, "start to ping": answered}


# hart


def create(master: BenchMaster, count: int) -> dict[str, list[float]]:
    """Return the seconds of the whole call, of the stages, and from the end of each bootstrap to the return."""
    began = time.monotonic()
    made = master.ask("hart.create_role", "app", "provider=do", f"count={count}")
    took, now = time.monotonic() - began, time.time()
    figures = {stage: [node["seconds"].get(stage, 0.0) for node in made.values()] for stage in STAGES}
    finished = [now - _bootstrapped(Path(node["log"])) for node in made.values()]
    master.ask("hart.destroy", ",".join(made))
    return {"whole": [took], "bootstrap finished to return": finished, **figures}


def _bootstrapped(log: Path) -> float:
    """Return the time at which the bootstrap ended, from the node's log."""
    stamp = next(line.split()[0] for line in log.read_text().splitlines() if "== enrolling" in line)
    return datetime.fromisoformat(stamp).timestamp()


def line(text: str, figures: Sequence[float]) -> str:
    return f"{text:<56} {min(figures):7.2f} s {statistics.median(figures):7.2f} s"


def report(floors: Sequence[dict[str, float]], calls: dict[int, dict[str, list[float]]]) -> str:
    """Return the figures as text."""
    text = [f"{'':<56} {'best':>9} {'median':>9}"]
    text += [line(f"floor: {part}", [one[part] for one in floors]) for part in PARTS]
    sums = [sum(one[part] for part in PARTS if part != "start event") for one in floors]
    text.append(line("floor: boot, update, install, start to ping", sums))
    for count, figures in calls.items():
        text += ["", line(f"hart.create_role app count={count}: the whole call", figures["whole"])]
        text += [line(f"    a node in {stage}", figures[stage]) for stage in STAGES]
        text.append(line("    bootstrap finished to return", figures["bootstrap finished to return"]))
    pings = [one["start to ping"] for one in floors]
    finished, whole = calls[1]["bootstrap finished to return"], calls[1]["whole"]
    more = [of(finished) - of(pings) for of in (min, statistics.median)]
    ratio = [of(whole) / of(sums) for of in (min, statistics.median)]
    return "\n".join([
        *text, "",
        f"{f'beyond the floor from there (target: at most {WANTED_MORE:g} s)':<56} {more[0]:7.2f} s {more[1]:7.2f} s",
        f"{f'one droplet by the floor (target: at most {WANTED_RATIO:g})':<56} {ratio[0]:7.2f}   {ratio[1]:7.2f}",
    ])  # fmt: skip


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--baked", action="store_true", help="measure nodes from a baked image")
    parser.add_argument(
        "--work",
        type=float,
        default=10.0,
        help="with --baked: seconds of work in the baked states (default: %(default)s)",
    )
    parser.add_argument("--figures", type=Path, help="with --baked: write the stages of the fastest nodes to this file")


def main() -> None:
    """Measure and print."""
    arguments = begin("seconds to a trusted minion on a droplet, with hart and one by one", _options)
    if arguments.baked:
        import baked

        baked.measure(arguments.runs, arguments.work, arguments.figures)
        return
    runs = arguments.runs
    floors: list[dict[str, float]] = []
    calls: dict[int, dict[str, list[float]]] = {1: {}, 3: {}}
    with bench() as (host, master):
        for number in range(runs):
            floors.append(floor(host, master, f"bare-{number}"))
            for count, several in calls.items():
                for name, figures in create(master, count).items():
                    several.setdefault(name, []).extend(figures)
    print(machine("after"))
    print(report(floors, calls))


if __name__ == "__main__":
    main()
