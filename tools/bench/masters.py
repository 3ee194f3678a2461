"""
Measure several masters that create nodes at the same time: ``fleet.py --masters 2 --nodes 100`` runs this.

The masters have one key pair, one redis with the records and the leases, and one account of the emulated DigitalOcean
with light machines; a node belongs to the master that creates it. The same number of nodes is first created by one of
them, and then in equal parts by all of them at the same time. Masters, API and machines share the CPUs of this machine,
so more masters cannot be faster here than the CPUs allow: what the table shows is what they cost each other.

It needs redis-server (Debian's package of that name) and hart-salt[cluster].
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from first_light import PrivateMaster, end_processes

from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.drivers.do.emulator.state import Settings
from tests.emulation.light import LightMachine, LightMachines, make_minion_key
from tests.emulation.light_salt import BusMinions
from tests.servers import Redis, Space

PKI = "etc/salt/pki/master"
KEYS = 20  #: different minion keys of the machines
Measure = Callable[..., Any]


@dataclass
class Masters:
    """Masters that run, and their cloud."""

    masters: list[PrivateMaster]
    cloud: DigitalOcean


@dataclass(frozen=True)
class Figures:
    """What one way of creating the nodes costs; with several masters, the longest call and the largest runner."""

    created: float
    destroyed: float
    calls: int
    memory: float


@contextlib.contextmanager
def masters(number: int, settings: Settings) -> Iterator[Masters]:
    """Start masters, their redis and their cloud."""
    with contextlib.ExitStack() as stack:
        space = stack.enter_context(_redis()).space()
        started: list[PrivateMaster] = []
        for _ in range(number):
            started.append(stack.enter_context(_master(space, started)))
        minions = {one.config["ret_port"]: stack.enter_context(BusMinions(one.root / "etc/master")) for one in started}

        def of(machine: LightMachine) -> BusMinions:
            return minions[int((machine.configuration or {})["master_port"])]

        # Nodes make their keys on their own CPUs: here a few are made in advance.
        keys = itertools.cycle([make_minion_key() for _ in range(KEYS)])
        machines = LightMachines(
            on_start=lambda it: of(it).start(it), on_end=lambda it: of(it).leave(it), make_key=keys.__next__
        )
        cloud = stack.enter_context(DigitalOcean(machines, settings=settings))
        for one in started:
            one.config["hart"] = {
                "saltmaster": "127.0.0.1", "region": "nyc3", "image": "bookworm", "roles": {"app": {}},
                "coordination": space.url,
                "providers": {"do": {"token": cloud.token, "endpoint": cloud.endpoint}},
            }  # fmt: skip
            (one.root / "etc/master").write_text(yaml.safe_dump(one.config))
        yield Masters(started, cloud)


@contextlib.contextmanager
def _redis() -> Iterator[Redis]:
    if why := Redis.missing():
        raise SystemExit(why)
    with _directory() as root:
        server = Redis(root)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def _master(space: Space, others: Sequence[PrivateMaster]) -> Iterator[PrivateMaster]:
    """Start a master with the records in redis, and with the key pair of the first one."""
    with _directory() as root:
        master = PrivateMaster(root, **space.settings)
        if others:
            (root / PKI).mkdir(parents=True, mode=0o700)
            for name in ("master.pem", "master.pub"):
                shutil.copy(others[0].root / PKI / name, root / PKI)
        master.start()
        yield master


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="hart-bench-"))
    try:
        yield root
    finally:
        end_processes(root)
        shutil.rmtree(root, ignore_errors=True)


def figures(found: Masters, number: int, shares: Sequence[int], measured: Measure) -> Figures:
    """Create nodes, on each master as many as its share, and destroy them; ``measured`` runs ``salt-run``."""
    before = len(found.cloud.calls)
    with ThreadPoolExecutor(len(shares)) as pool:
        asked = [
            pool.submit(measured, master, "hart.create_role", "app", f"count={share}")
            for master, share in zip(found.masters, shares, strict=False)
        ]
        ups = [one.result() for one in asked]
        calls = len(found.cloud.calls) - before
        there = {name for up in ups for name in up.data}
        if len(there) != number or found.cloud.made() < number:
            raise SystemExit(f"{len(there)} of {number} nodes were created")
        asked = [
            pool.submit(measured, master, "hart.destroy", ",".join(up.data))
            for master, up in zip(found.masters, ups, strict=False)
        ]
        downs = [one.result() for one in asked]
    return Figures(
        max(up.seconds for up in ups), max(down.seconds for down in downs), calls, max(up.memory for up in ups)
    )


def report(found: Masters, number: int, delay: float, measured: Measure) -> Iterator[str]:
    """Measure one number of nodes, and yield the lines of its table."""
    count = len(found.masters)
    one = figures(found, number, [number], measured)
    parts = [number // count + (place < number % count) for place in range(count)]
    several = figures(found, number, parts, measured)
    yield f"{number} nodes{'':<49} one master   {count} masters"
    for what, value in _lines(delay):
        yield f"  {what:<54} {value(one):>10} {value(several):>11}"


def _lines(delay: float) -> list[tuple[str, Callable[[Figures], str]]]:
    return [
        ("created, the longest call, in seconds", lambda it: f"{it.created:.2f}"),
        (f"beyond the delay of {delay:g} s", lambda it: f"{it.created - delay:.2f}"),
        ("destroyed, the longest call, in seconds", lambda it: f"{it.destroyed:.2f}"),
        ("API calls for creating them, of all masters", lambda it: f"{it.calls}"),
        ("memory of the largest runner, in MiB", lambda it: f"{it.memory:.1f}"),
    ]
