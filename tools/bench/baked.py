"""
Measure the time until a droplet from a baked image is a trusted minion, and compare it with the floor.

This is ``droplets.py --baked``. It bakes an image of the role ``app``, whose states take ``--work`` seconds, with
``hart.bake``, and measures in turn, --runs times, on real machines:

* the floor, without hart: boot that image until sshd answers; and, with the key accepted, from ``systemctl start`` to
  the first answered test.ping
* ``salt-run hart.create_role`` for one droplet: from the baked image, from the plain one, and from the plain one with
  the same states applied

The work is a sleep, and a scaled one: a real highstate of a minute can be measured with ``--work 60``. What counts is
the time from the create call to *ready*, for the node with the states to the end of them. The targets: from a baked
image, at most 1.15 times the floor, and at most half of an unbaked node.
"""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from droplets import LIMIT, NUMBERS, BenchMaster, bench, line, started
from first_light import STAGES, machine, until

from tests.machines.machines import Machine, MachineHost, Spec
from tests.machines.real import RealMachines

WANTED_RATIO, WANTED_HALF = 1.15, 0.5
#: the stages from the create call to *ready*
WAY = STAGES[: STAGES.index("ready")]
PARTS = ("boot to sshd", "start to ping")
WORK = """\
the work of the states:
  cmd.run:
  - name: sleep {seconds:g} && touch /srv/work-is-done
  - creates: /srv/work-is-done
"""
ROLES: Mapping[str, Mapping[str, Any]] = {
    "app": {"image": "baked!", "base_image": "bookworm", "bake": ["work"]}, "plain": {}, "worked": {"apply": ["work"]},
}  # fmt: skip
#: frees salt-minion, which a baked image keeps from starting
RELEASE = "rm -rf /etc/systemd/system/salt-minion.service.d && systemctl daemon-reload"


@contextlib.contextmanager
def booted(host: MachineHost, name: str, image: str) -> Iterator[tuple[Machine, float]]:
    """Boot a machine without hart; return it and the seconds until sshd answers. Then end it."""
    network = host.network
    spec = Spec(
        instance_id=str(next(NUMBERS)), hostname=name, user_data="", public_keys=(), datasource="digitalocean",
        public_ip=network.take("public"), private_ip=network.take("private"), image=image,
    )  # fmt: skip
    began = time.monotonic()
    bare = host.boot(spec)
    try:
        _await_sshd(spec.public_ip or "", began + LIMIT)
        yield bare, time.monotonic() - began
    finally:
        bare.kill()


def _await_sshd(address: str, deadline: float) -> None:
    while True:
        try:
            with socket.create_connection((address, 22), 1) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit(f"no sshd at {address} within {LIMIT:g} s")
        time.sleep(0.01)


def floor(host: MachineHost, master: BenchMaster, name: str, image: str) -> dict[str, float]:
    """Return the seconds of each part on a machine without hart."""
    with booted(host, name, image) as (bare, boot):
        bare.wait("[ -e /run/cloud-init/result.json ]")
        bare.wait(RELEASE)
        return {"boot to sshd": boot, "start to ping": started(bare, master, name)["start to ping"]}


def create(master: BenchMaster, role: str) -> dict[str, float]:
    """Return the seconds of the stages of a new node, to *ready* and to its end, and of the whole call."""
    began = time.monotonic()
    made = master.ask("hart.create_role", role, "provider=do", "count=1")
    took = time.monotonic() - began
    (node,) = made.values()
    master.ask("hart.destroy", ",".join(made))
    seconds = node["seconds"]
    stages = {stage: seconds.get(stage, 0.0) for stage in WAY}
    return {**seconds, **stages, "to ready": sum(stages.values()), "to the end": sum(seconds.values()), "whole": took}


def both(name: str, numerator: Sequence[float], denominator: Sequence[float]) -> str:
    """Return a line with the ratios of the best and of the medians."""
    ratios = [of(numerator) / of(denominator) for of in (min, statistics.median)]
    return f"{name:<56} {ratios[0]:7.2f}   {ratios[1]:7.2f}"


def report(floors: Sequence[dict[str, float]], nodes: Mapping[str, Sequence[dict[str, float]]], work: float) -> str:
    """Return the figures as text."""
    text = [f"{'':<56} {'best':>9} {'median':>9}"]
    text += [line(f"floor: {part}", [one[part] for one in floors]) for part in PARTS]
    sums = [sum(one.values()) for one in floors]
    text += [line("floor: boot to sshd, start to ping", sums), ""]
    baked, plain, worked = ([one["to ready"] for one in nodes[role]] for role in ("app", "plain", "worked"))
    text.append(line("baked image: from the create call to ready", baked))
    text += [line(f"    a node in {stage}", [one[stage] for one in nodes["app"]]) for stage in WAY]
    text.append(line("    the whole call", [one["whole"] for one in nodes["app"]]))
    text.append(line("plain image: from the create call to ready", plain))
    worked = [one["to the end"] for one in nodes["worked"]]
    text.append(line(f"plain image: to the end of states with {work:g} s of work", worked))
    return "\n".join([
        *text, "",
        both(f"baked by the floor (target: at most {WANTED_RATIO:g})", baked, sums),
        both(f"baked by unbaked (target: at most {WANTED_HALF:g})", baked, plain),
        both(f"baked by unbaked with {work:g} s of work", baked, worked),
    ])  # fmt: skip


def figures(nodes: Mapping[str, Sequence[Mapping[str, float]]], work: float) -> dict[str, Any]:
    """Return the stages of the fastest node of each kind, for ``tools/baked_timelines.py``."""
    best = {role: min(found, key=lambda one: one["to the end"]) for role, found in nodes.items()}
    stages = {
        role: {stage: round(seconds, 2) for stage, seconds in one.items() if stage in (*STAGES, "applying")}
        for role, one in best.items()
    }
    return {"runs": max(map(len, nodes.values())), "work": work, "seconds": stages}


def measure(runs: int, work: float, file: Path | None = None) -> None:
    """Bake, measure and print; write the figures of the picture in the docs to ``file``."""
    floors: list[dict[str, float]] = []
    nodes: dict[str, list[dict[str, float]]] = {role: [] for role in ROLES}
    with bench(ROLES) as (host, master):
        (master.root / "srv/work.sls").write_text(WORK.format(seconds=work))
        began = time.monotonic()
        master.ask("hart.bake", "app", "provider=do")
        baking = time.monotonic() - began
        backend = cast("RealMachines", master.cloud.machines.backend)
        until(lambda: bool(backend.images))
        (image,) = backend.images.values()
        for number in range(runs):
            floors.append(floor(host, master, f"bare-{number}", image))
            for role, taken in nodes.items():
                taken.append(create(master, role))
    print(machine("after"))
    print(f"the bake took {baking:.1f} s, of which {work:g} s are the work of its states")
    print(report(floors, nodes, work))
    if file is not None:
        file.write_text(json.dumps(figures(nodes, work), indent=1) + "\n", encoding="utf-8")
