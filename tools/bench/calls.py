"""
Measure many calls of ``hart.create`` at the same time, and whether the master still works meanwhile.

    python tools/bench/calls.py [--calls 100] [--by reactor] [--max-calls 8] [--delay 5]

The script starts a private salt-master with one real salt-minion, and the emulated DigitalOcean with light machines,
as ``fleet.py`` does. With ``--by reactor`` it fires ``--calls`` events, and a reactor calls ``runner.hart.create`` for
each with another id; with ``--by shell`` it starts as many processes of ``salt-run hart.create``. Until all calls have
ended, it asks the real minion for ``test.ping`` again and again. The script prints

* how many calls failed, with the reasons, and the seconds until the last node was ready
* the seconds that each answer to ``test.ping`` took, and how many answers never came
* the events that were lost
* the API calls, in total and for each node
* the largest number of calls that ran at the same time, by the master's locks of batches
* the largest memory of all calls together, and of one call, without what they share (USS)
* memory, threads and open files of the reactor's process
* the largest load

It needs root, because the machines listen at port 22 of loopback addresses.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psutil
import salt.client
import salt.config
import salt.utils.event
from first_light import BIN, PrivateMaster, machine, private_master, write_minion

from hart_salt.master.client import SALT_VERSION, Master
from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.drivers.do.emulator.state import Settings
from tests.emulation.light import LightMachines
from tests.emulation.light_salt import BusMinions

PROBE = "probe"  #: the id of the real minion
EVENT = "bench/create"
LIMIT = 1800.0  #: seconds until the script gives up
QUIET = 240.0  #: seconds without the end of a call until the script gives up
PING_LIMIT = 60.0  #: seconds that an answer to test.ping may take
SAMPLE = 1.0  #: seconds between two samples of the processes
REACTION = """\
create it:
  runner.hart.create:
    - args:
      - minion_id: {{ data['minion_id'] | tojson }}
      - role: app
"""
MIB = 2**20


@dataclass
class Seen:
    """What the samples and the master's events showed."""

    pings: list[float] = field(default_factory=list)
    silent: int = 0
    running: int = 0
    calls: int = 0
    memory: float = 0.0
    each: float = 0.0
    reactor: Counter[str] = field(default_factory=Counter)
    load: float = 0.0
    #: ids of nodes that became ready, and the time since the beginning of the last one
    ready: dict[str, float] = field(default_factory=dict)
    #: results of the calls: None, or the reason of the failure
    results: list[str | None] = field(default_factory=list)
    #: calls that the reactor made
    begun: int = 0


@contextlib.contextmanager
def scene(delay: float, hart: dict[str, Any]) -> Iterator[tuple[PrivateMaster, DigitalOcean]]:
    """Yield a master with a reactor, whose provider has light machines, and its cloud."""
    limits: dict[str, Any] = {"hourly_limit": None, "minute_limit": None, "key_lists_limit": None}
    settings = Settings(active_after=delay, droplet_limit=10_000, **limits)
    with contextlib.ExitStack() as stack:
        minions: list[BusMinions] = []
        machines = LightMachines(
            on_start=lambda machine: minions[0].start(machine), on_end=lambda machine: minions[0].leave(machine)
        )
        cloud = stack.enter_context(DigitalOcean(machines, settings=settings))
        section = {
            "saltmaster": "127.0.0.1", "region": "nyc3", "image": "bookworm", "roles": {"app": {}},
            "ready_timeout": 600, "boot_timeout": 900, **hart,
            "providers": {"do": {"token": cloud.token, "endpoint": cloud.endpoint}},
        }  # fmt: skip

        def prepare(root: Path) -> None:
            (root / "srv/create.sls").write_text(REACTION)

        reactor = [{EVENT: ["salt://create.sls"]}]
        master = stack.enter_context(
            private_master(prepare, hart=section, reactor=reactor, timeout=PING_LIMIT, reactor_worker_threads=1)
        )
        minions.append(stack.enter_context(BusMinions(master.root / "etc/master")))
        yield master, cloud


@contextlib.contextmanager
def real_minion(master: PrivateMaster) -> Iterator[None]:
    """Run a real salt-minion with the id ``PROBE``."""
    directory = master.root / PROBE
    write_minion(master, directory, PROBE, Master(master.opts))
    with subprocess.Popen(
        [BIN / "salt-minion", "-c", directory / "etc"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            while ping(master, PING_LIMIT) is None:
                time.sleep(0.2)
            yield
        finally:
            process.terminate()


def ping(master: PrivateMaster, timeout: float) -> float | None:
    """Return the seconds of an answer of the real minion, or None without an answer."""
    began = time.monotonic()
    opts = salt.config.client_config(str(master.root / "etc/master"))
    try:
        with salt.client.get_local_client(mopts=opts) as client:
            answer = client.cmd(PROBE, "test.ping", timeout=int(timeout))
    except Exception:
        return None
    return time.monotonic() - began if answer == {PROBE: True} else None


# what is seen meanwhile


@contextlib.contextmanager
def watched(master: PrivateMaster, seen: Seen) -> Iterator[None]:
    """Watch the processes, the events and the real minion in the block."""
    stop, listening = threading.Event(), threading.Event()
    works: list[Callable[[], None]] = [
        lambda: _pings(master, seen, stop), lambda: _samples(master, seen, stop),
        lambda: _events(master, seen, stop, listening),
    ]  # fmt: skip
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    listening.wait(LIMIT)
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(PING_LIMIT * 2)


def _pings(master: PrivateMaster, seen: Seen, stop: threading.Event) -> None:
    while not stop.wait(0.5):
        took = ping(master, PING_LIMIT)
        if took is None:
            seen.silent += 1
        else:
            seen.pings.append(took)


def _events(master: PrivateMaster, seen: Seen, stop: threading.Event, listening: threading.Event) -> None:
    began = time.monotonic()
    with salt.utils.event.get_event("master", master.opts["sock_dir"], opts=master.opts, listen=True) as bus:
        bus.connect_pub(timeout=LIMIT)
        listening.set()
        while not stop.is_set():
            event = bus.get_event(wait=0.2, full=True)
            if event:
                _hear(event["tag"], event["data"], time.monotonic() - began, seen)


def _hear(tag: str, data: dict[str, Any], now: float, seen: Seen) -> None:
    if tag.startswith("hart/") and tag.endswith("/ready"):
        seen.ready[data["minion_id"]] = now
    elif tag.startswith("hart/") and tag.endswith("/result"):
        seen.results.append(None if data["success"] else str(data["return"]))
    elif tag.startswith("salt/run/") and tag.endswith("/ret") and data.get("user") == "Reactor":
        seen.begun += 1
        if not data["success"]:
            seen.results.append(str(data["return"]))


def _samples(master: PrivateMaster, seen: Seen, stop: threading.Event) -> None:
    while not stop.wait(SAMPLE):
        total, largest, number = 0.0, 0.0, 0
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                command = " ".join(process.cmdline())
                if f"{master.root}/" not in command:
                    continue
                if "hart.create" in command:
                    used = process.memory_full_info().uss / MIB
                    total, largest, number = total + used, max(largest, used), number + 1
                elif "Reactor" in command:
                    _reactor(process, seen)
        seen.memory, seen.each = max(seen.memory, total), max(seen.each, largest)
        seen.calls = max(seen.calls, number)
        seen.running = max(seen.running, len(list((master.root / "var/cache/salt/master/hart/locks").glob("*.batch"))))
        seen.load = max(seen.load, os.getloadavg()[0])


def _reactor(process: psutil.Process, seen: Seen) -> None:
    now = {"MiB": process.memory_info().rss // MIB, "threads": process.num_threads(), "files": process.num_fds()}
    for name, value in now.items():
        seen.reactor[name] = max(seen.reactor[name], value)


# the calls


def by_reactor(master: PrivateMaster, ids: list[str], seen: Seen) -> None:
    """Fire an event for each id, and wait for the results of the calls."""
    with salt.utils.event.get_event("master", master.opts["sock_dir"], opts=master.opts, listen=False) as bus:
        for minion_id in ids:
            bus.fire_event({"minion_id": minion_id}, EVENT)
    deadline = time.monotonic() + LIMIT
    quiet, before = time.monotonic(), -1
    while len(seen.results) < len(ids) and time.monotonic() < deadline:
        if len(seen.results) + len(seen.ready) != before:
            quiet, before = time.monotonic(), len(seen.results) + len(seen.ready)
        if time.monotonic() - quiet > QUIET:
            print(f"nothing has ended for {QUIET:g} s", flush=True)
            return
        time.sleep(0.2)


def by_shell(master: PrivateMaster, ids: list[str], seen: Seen) -> None:
    """Start a ``salt-run`` for each id, and wait until all have ended."""
    with contextlib.ExitStack() as stack:
        runs = [
            stack.enter_context(subprocess.Popen(
                [BIN / "salt-run", "-c", master.root / "etc", "--out", "json", "hart.create", minion_id, "role=app"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            ))
            for minion_id in ids
        ]  # fmt: skip
        for run in runs:
            out, _ = run.communicate(timeout=LIMIT)
            seen.results.append(None if run.returncode == 0 else out[-2000:])


def report(number: int, seen: Seen, api_calls: int, droplets: int, seconds: float) -> str:
    """Return the figures as text."""
    failed = [one for one in seen.results if one is not None]
    pings = sorted(seen.pings) or [0.0]
    lines = [
        f"{number} calls",
        f"  calls that failed, and without a result              {len(failed):8d} {number - len(seen.results):5d}",
        f"  calls that the reactor made                          {seen.begun:8d}",
        f"  nodes ready by their events, and instances           {len(seen.ready):8d} {droplets:5d}",
        f"  until the last call had ended                        {seconds:8.1f} s",
        f"  test.ping of a real minion: median, longest          {pings[len(pings) // 2]:8.2f} s {pings[-1]:.2f} s",
        f"  test.ping: answers, and no answer within {PING_LIMIT:g} s         {len(seen.pings):8d} {seen.silent:5d}",
        f"  API calls, and for each node                         {api_calls:8d} {api_calls / number:7.2f}",
        f"  processes of calls, and batches at the same time     {seen.calls:8d} {seen.running:5d}",
        f"  memory of all calls, and of the largest one          {seen.memory:8.0f} MiB {seen.each:.0f} MiB",
        "  reactor's process: memory, threads, open files       "
        f"{seen.reactor['MiB']:8d} MiB {seen.reactor['threads']} {seen.reactor['files']}",
        f"  largest load of this machine                         {seen.load:8.1f}",
    ]
    reasons = Counter(one[-300:] for one in failed)
    return "\n".join([*lines, *(f"  {count} x {reason}" for reason, count in reasons.most_common(10))])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="many calls at the same time")
    parser.add_argument("--calls", type=int, default=100, help="number of calls (default: %(default)s)")
    parser.add_argument(
        "--by", choices=("reactor", "shell"), default="reactor", help="who calls (default: %(default)s)"
    )
    parser.add_argument("--max-calls", type=int, help="the setting max_calls (default: hart's)")
    parser.add_argument("--delay", type=float, default=5, help="seconds of a droplet's boot (default: %(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what the script started
    print(f"Salt {SALT_VERSION}, Python {platform.python_version()}")
    hart = {"max_calls": options.max_calls} if options.max_calls else {}
    with scene(options.delay, hart) as (master, cloud), real_minion(master):
        print(machine("before"), flush=True)
        print(f"  test.ping at rest: {ping(master, PING_LIMIT) or 0:.2f} s", flush=True)
        seen, ids = Seen(), [f"n{number}.bench" for number in range(options.calls)]
        began, calls = time.monotonic(), len(cloud.calls)
        with watched(master, seen):
            (by_reactor if options.by == "reactor" else by_shell)(master, ids, seen)
        seconds = time.monotonic() - began
        droplets = len(cloud.state.droplets)
        print(report(options.calls, seen, len(cloud.calls) - calls, droplets, seconds), flush=True)
    print(machine("after"))


if __name__ == "__main__":
    main()
