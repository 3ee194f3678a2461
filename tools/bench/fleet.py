"""
Measure many nodes in one call: its time, its API calls, and the memory and threads of the runner.

    python tools/bench/fleet.py [--nodes 10,100] [--delay 20] [--files N]
    python tools/bench/fleet.py --known 10000 [--old BIN]
    python tools/bench/fleet.py --masters 2 [--nodes 10,100] [--delay 20]

The script starts a private salt-master and the emulated DigitalOcean with light machines: each machine answers SSH with
the protocol of the bootstrap, and its minion exists only on the master's event bus. So the script measures hart and
not the unpacking of a hundred packages. The master, salt-run, the API over HTTP, the key store, the jobs and one SSH
session for each node are real. A droplet becomes active --delay seconds after its creation. For each number in
--nodes, the script prints

* the seconds of ``salt-run hart.create_role app count=N``, in total and beyond the delay, and of ``hart.destroy``
* the API calls, in total and for each node, and the SSH connections for each node
* the largest resident memory and number of threads of the runner
* from 1000 nodes: CPU seconds and open files of the runner, beside those of the last release; see ``thousand.py``

--files runs ``salt-run`` with this limit of open files (``ulimit -n``).

It needs root, because the machines listen at port 22 of loopback addresses. Machines and API use the same CPUs as the
runner, so the runner itself needs less time than the printed figures. The script also prints the load.

With --known, it measures calls beside so many nodes that exist already; see ``known.py``. With --masters, it compares
one master with several that create the same number of nodes at the same time; see ``masters.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import known
import masters
import psutil
import thousand
import yaml
from first_light import BIN, PrivateMaster, machine, nodes_in, private_master

from hart_salt.master.client import SALT_VERSION
from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.drivers.do.emulator.state import Settings
from tests.emulation.light import LightMachines, make_minion_key
from tests.emulation.light_salt import BusMinions

WANTED_BEYOND, WANTED_MEMORY = 15.0, 200.0
KEYS = 8  #: minion keys that the machines share
SAMPLE = 0.1  #: seconds between two samples of the runner


@dataclass
class Run:
    """The figures of one ``salt-run``."""

    seconds: float
    memory: float = 0.0  #: largest resident memory in MiB
    threads: int = 0
    cpu: float = 0.0  #: CPU seconds
    files: int = 0  #: most open files
    data: Any = None


def measured(master: PrivateMaster, *command: str, files: int | None = None) -> Run:
    """Run ``salt-run`` to its end, with this limit of open files, and sample its memory, threads and files."""
    began = time.monotonic()
    run = Run(0.0)
    with subprocess.Popen(
        [BIN / "salt-run", "-c", master.root / "etc", "--out", "json", *command], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        preexec_fn=functools.partial(thousand.limit_child, files),
    ) as process:  # fmt: skip
        looking = threading.Thread(target=_look, args=(process, run))
        looking.start()
        out, _ = process.communicate()
        looking.join()
    run.seconds = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"salt-run {' '.join(command)[:80]} failed:\n{out[-3000:]}")
    run.data = nodes_in(json.loads(out))
    return run


def _look(process: subprocess.Popen[str], run: Run) -> None:
    with contextlib.suppress(psutil.Error):
        seen = psutil.Process(process.pid)
        while process.poll() is None:
            run.memory = max(run.memory, seen.memory_info().rss / 2**20)
            run.threads = max(run.threads, seen.num_threads())
            run.files = max(run.files, seen.num_fds())
            run.cpu = sum(seen.cpu_times()[:2])
            time.sleep(SAMPLE)


def account(delay: float) -> Settings:
    """Return the settings of an account without rate limits, whose droplets become active after ``delay`` seconds."""
    limits: dict[str, Any] = {"hourly_limit": None, "minute_limit": None, "key_lists_limit": None}
    return Settings(active_after=delay, droplet_limit=100_000, **limits)


@contextlib.contextmanager
def fleet(delay: float) -> Iterator[tuple[PrivateMaster, DigitalOcean, LightMachines]]:
    """Yield a master whose provider ``do`` has light machines, its cloud, and the machines."""
    with private_master() as master, BusMinions(master.root / "etc/master") as minions:
        # Nodes make their keys on their own CPUs: here a few are made in advance.
        keys = itertools.cycle([make_minion_key() for _ in range(KEYS)])
        machines = LightMachines(on_start=minions.start, on_end=minions.leave, make_key=keys.__next__)
        with DigitalOcean(machines, settings=account(delay)) as cloud:
            master.config["hart"] = {
                "saltmaster": "127.0.0.1", "region": "nyc3", "image": "bookworm", "roles": {"app": {}},
                "providers": {"do": {"token": cloud.token, "endpoint": cloud.endpoint}},
            }  # fmt: skip
            (master.root / "etc/master").write_text(yaml.safe_dump(master.config))
            yield master, cloud, machines


def report(number: int, delay: float, up: Run, down: Run, calls: int, connections: float) -> str:
    """Return the figures of one number of nodes as text."""
    beyond = up.seconds - delay
    lines = [
        f"{number} nodes",
        f"  created, the whole call                              {up.seconds:8.2f} s",
        f"  beyond the delay of {delay:g} s (target: at most {WANTED_BEYOND:g} s)      {beyond:8.2f} s",
        f"  destroyed, the whole call                            {down.seconds:8.2f} s",
        f"  API calls, and for each node                         {calls:8d}   {calls / number:.2f}",
        f"  SSH connections for each node                        {connections:8.2f}",
        f"  memory of the runner (target: at most {WANTED_MEMORY:g} MiB)       {up.memory:8.1f} MiB",
        f"  threads of the runner                                {up.threads:8d}",
    ]  # fmt: skip
    if number >= thousand.FROM:
        lines.append(thousand.report(thousand.Figures(beyond, up.cpu, up.memory, up.files)))
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="many nodes in one call")
    parser.add_argument("--nodes", default="10,100", help="numbers of nodes, comma-separated (default: %(default)s)")
    parser.add_argument("--delay", type=float, default=20, help="seconds of a droplet's boot (default: %(default)s)")
    parser.add_argument("--files", type=int, help="limit of open files of salt-run (default: that of the shell)")
    parser.add_argument("--known", type=int, help="measure calls beside this number of known nodes instead")
    parser.add_argument("--masters", type=int, help="compare one master with so many that share the nodes")
    parser.add_argument("--old", type=Path, help="bin directory of the last release, to compare with")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what the script started
    print(f"Salt {SALT_VERSION}, Python {platform.python_version()}")
    if options.known is not None:
        print(machine("before"), flush=True)
        with fleet(known.DELAY) as (master, cloud, _):
            config = master.root / "etc/master"
            known.populate(cloud, config, options.known)
            for line in known.report(cloud, config, options.known, options.old):
                print(line, flush=True)
        print(machine("after"))
        return
    if options.masters is not None:
        with masters.masters(options.masters, account(options.delay)) as found:
            for number in map(int, options.nodes.split(",")):
                for line in masters.report(found, number, options.delay, measured):
                    print(line, flush=True)
        print(machine("after"))
        return
    with fleet(options.delay) as (master, cloud, machines):
        for number in map(int, options.nodes.split(",")):
            print(machine("before"), flush=True)
            before = len(cloud.calls)
            up = measured(master, "hart.create_role", "app", f"count={number}", files=options.files)
            calls = len(cloud.calls) - before
            connections = sum(one.connections for one in machines.machines.values()) / number
            down = measured(master, "hart.destroy", ",".join(up.data), files=options.files)
            print(report(number, options.delay, up, down, calls, connections), flush=True)
    print(machine("after"))


if __name__ == "__main__":
    main()
