"""
Measure the time until a droplet from an image with Salt in it is a trusted minion, and compare it with the floor.

    python tools/bench/image_with_salt.py [--runs 3]

The script needs what the test cloud needs (root, systemd-nspawn). It makes an image of a machine on which it has
installed salt-minion, and measures in turn, --runs times:

* the floor, without hart: boot that image until the startup script runs; and, with the key accepted, from
  ``systemctl start`` to the first answered test.ping
* ``salt-run hart.create_role app provider=do`` for one droplet with ``salt_source=none``: from *running* to *ready*

It prints both and compares them with the target: at most 2.5 s beyond the floor. It also prints the load: with more
work than CPUs, the figures mean little.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from droplets import BenchMaster, bare, bench, install, line, started
from first_light import STAGES, begin, machine

from tests.machines.machines import MachineHost

WANTED_MORE = 2.5
#: the stages from *running* to *ready*
WAY = STAGES[STAGES.index("running") : STAGES.index("ready")]


def image_with_salt(host: MachineHost) -> str:
    """Return an image with salt-minion that has no identity and does not start."""
    with bare(host, "with-salt") as (booted, _):
        install(booted, host)
        return host.snapshot(booted)


def floor(host: MachineHost, master: BenchMaster, name: str, image: str) -> dict[str, float]:
    """Return the seconds of each part on a machine without hart."""
    with bare(host, name, image) as (booted, boot):
        return {"boot": boot, "start to ping": started(booted, master, name)["start to ping"]}


def create(master: BenchMaster, image: str) -> dict[str, float]:
    """Return the seconds of the whole call, and of the stages from *running* to *ready*."""
    began = time.monotonic()
    settings = (f"image={image}", "salt_source=none", "security_upgrades=off")
    made = master.ask("hart.create_role", "app", "provider=do", "count=1", *settings)
    took = time.monotonic() - began
    (node,) = made.values()
    master.ask("hart.destroy", ",".join(made))
    return {"whole": took, **{stage: node["seconds"].get(stage, 0.0) for stage in WAY}}


def report(floors: Sequence[dict[str, float]], calls: Sequence[dict[str, float]]) -> str:
    """Return the figures as text."""
    text = [f"{'':<56} {'best':>9} {'median':>9}"]
    text += [line(f"floor: {part}", [one[part] for one in floors]) for part in floors[0]]
    sums = [sum(one.values()) for one in floors]
    text += [line("floor: boot, start to ping", sums), ""]
    text.append(line("hart.create_role app count=1: the whole call", [one["whole"] for one in calls]))
    text += [line(f"    a node in {stage}", [one[stage] for one in calls]) for stage in WAY]
    ways = [sum(one[stage] for stage in WAY) for one in calls]
    text += [line("    from running to ready", ways), ""]
    wholes = [one["whole"] for one in calls]
    more = [of(ways) - of(sums) for of in (min, statistics.median)]
    ratio = [of(ways) / of(sums) for of in (min, statistics.median)]
    calling = [of(wholes) / of(sums) for of in (min, statistics.median)]
    return "\n".join([
        *text,
        f"{f'beyond the floor (target: at most {WANTED_MORE:g} s)':<56} {more[0]:7.2f} s {more[1]:7.2f} s",
        f"{'running to ready by the floor':<56} {ratio[0]:7.2f}   {ratio[1]:7.2f}",
        f"{'the whole call by the floor':<56} {calling[0]:7.2f}   {calling[1]:7.2f}",
    ])  # fmt: skip


def main() -> None:
    """Measure and print."""
    runs = begin("seconds to a trusted minion on a droplet whose image has Salt, with hart and one by one").runs
    floors, calls = [], []
    with bench() as (host, master):
        name = image_with_salt(host)
        snapshot = str(master.cloud.add_snapshot(name))
        for number in range(runs):
            floors.append(floor(host, master, f"bare-{number}", name))
            calls.append(create(master, snapshot))
    print(machine("after"))
    print(report(floors, calls))


if __name__ == "__main__":
    main()
