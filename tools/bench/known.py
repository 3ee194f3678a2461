"""
Measure calls beside many known nodes: ``fleet.py --known 10000`` runs this.

The nodes exist in all sources but the minions: droplets in the emulator's state, records in Salt's cache, and accepted
keys in the master's key store. All are made directly, without calls. Then each command runs as a real ``salt-run``. For
each, the script prints the seconds, the CPU seconds of the process with its children, and the API calls: first of the
last release, then of this version, then the ratio. The CPU seconds do not contain the emulator, whose seconds are in
the seconds of the call.

``Salt alone`` is a runner of Salt, whose cost is in all others: Salt itself lists all keys for each ``salt-run``.

``--old BIN`` names the directory with the ``salt-run`` of an environment that has the last release: its figures are
then measured on the same master. Without it, the figures of the last release were measured on another machine, and only
the numbers of API calls compare well.
"""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import salt.config
from first_light import BIN

from hart_salt.inventory.records import READY, Record, Store
from hart_salt.master.client import Master
from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.drivers.do.emulator.state import Droplet
from tests.emulation.light import make_minion_key
from tests.emulation.light_salt import BusMinions

ROLE, KEYS, BATCH = "app", 20, "b0123456789ab"
REGION, SIZE, IMAGE = "nyc3", "s-1vcpu-1gb", "debian-12-x64"
SHOWN = 7  #: the number of the node that is shown, whose minion answers
DELAY = 20.0  #: seconds of a new droplet's boot
AGE = 100_000.0  #: seconds since the nodes were made, which is more than the sweep's grace period


@dataclass(frozen=True)
class Cost:
    """The cost of one call; None: not measured."""

    seconds: float | None = None
    cpu: float | None = None
    calls: int | None = None


#: what version 1.0.0 needs beside 10,000 nodes, as far as it was measured; the droplet of ``create`` ran within 3 s
LAST_RELEASE = {
    "list_minions ping=False": Cost(10.5, None, 50),
    "show": Cost(10.2, None, 51),
    "create": Cost(None, None, 108),
    "sweep test=True": Cost(15.1, None, 52),
}


def known_id(number: int) -> str:
    """Return the id of a known node."""
    return f"known-{number:05}.example.com"


def populate(cloud: DigitalOcean, config: Path, number: int) -> None:
    """Make so many nodes that are known to the emulator, the record store and the key store."""
    opts = salt.config.master_config(str(config))
    master = Master(opts)
    info = master.info()
    store = Store(master.cache(), master.record_place())
    accepted = Path(opts["pki_dir"]) / "minions"
    accepted.mkdir(parents=True, exist_ok=True)
    pems = [make_minion_key() for _ in range(KEYS)]
    created = time.time() - AGE
    for count, droplet in enumerate(_droplets(cloud, info.owner, number, created)):
        store.put(Record(
            minion_id=droplet.name, provider="do", driver="do", region=REGION, size=SIZE, stage=READY, owner=info.owner,
            batch=BATCH, created=created, role=ROLE, instance_id=str(droplet.id), sealed=True, minion_key_finger="f",
            public_ip=droplet.addresses.public, private_ip=droplet.addresses.private,
        ))  # fmt: skip
        (accepted / droplet.name).write_text(pems[count % KEYS])


def _droplets(cloud: DigitalOcean, owner: str, number: int, created: float) -> Iterator[Droplet]:
    """Add droplets to the account, and yield them. They have no machines."""
    tags = ["hart", f"hart-owner:{owner}", f"hart-batch:{owner}:{BATCH}", f"hart-role:{ROLE}"]
    body: dict[str, Any] = {"size": SIZE, "image": IMAGE, "region": REGION, "tags": tags}
    with cloud.lock:
        for count in range(number):
            yield cloud.add_droplet(known_id(count), body, created)


def measured(command: Sequence[str], config: Path, cloud: DigitalOcean, bin_directory: Path = BIN) -> Cost:
    """Run ``salt-run`` to its end and return its cost."""
    calls, began, used = len(cloud.calls), time.monotonic(), _used()
    done = subprocess.run(
        [bin_directory / "salt-run", "-c", config.parent, *command], stdin=subprocess.DEVNULL,
        capture_output=True, check=False,
    )  # fmt: skip
    cost = Cost(time.monotonic() - began, _used() - used, len(cloud.calls) - calls)
    if done.returncode:
        raise SystemExit(f"salt-run {' '.join(command)} failed:\n{done.stdout.decode()[-3000:]}")
    return cost


def _used() -> float:
    """Return the CPU seconds of all processes that this process has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def report(cloud: DigitalOcean, config: Path, number: int, old: Path | None) -> Iterator[str]:
    """Yield the table, line by line, as it is measured."""
    with BusMinions(config) as minions:
        minions.join(known_id(SHOWN))
        yield from _table(cloud, config, number, old)


def _table(cloud: DigitalOcean, config: Path, number: int, old: Path | None) -> Iterator[str]:
    measured_where = "measured now" if old else "measured before, with 10000 nodes"
    yield f"beside {number} known nodes; the last release ({measured_where}), this version, the ratio"
    yield f"  {'':<26}{'seconds':^24}{'CPU seconds':^24}{'API calls':^24}".rstrip()
    for turn, (name, command) in enumerate(_commands()):
        was = measured(_of(command, 2 * turn), config, cloud, old) if old else LAST_RELEASE.get(name, Cost())
        now = measured(_of(command, 2 * turn + 1), config, cloud)
        columns = [(was.seconds, now.seconds), (was.cpu, now.cpu), (was.calls, now.calls)]
        yield f"  {name:<26}" + "".join(_column(*pair) for pair in columns)


def _commands() -> list[tuple[str, list[str]]]:
    """
    Return the commands by their names in ``LAST_RELEASE``; ``@`` stands for a number that differs in each run.

    The second create call knows how long a droplet took to run.
    """
    return [
        ("Salt alone", ["test.arg", "1"]),
        ("list_minions ping=False", ["hart.list_minions", "ping=False"]),
        ("show", ["hart.show", known_id(SHOWN)]),
        ("create", ["hart.create", "new-@.example.com", f"role={ROLE}"]),
        ("create again", ["hart.create", "newer-@.example.com", f"role={ROLE}"]),
        ("scale delta=1 test=True", ["hart.scale", ROLE, "delta=1", "test=True"]),
        ("sweep test=True", ["hart.sweep", "test=True"]),
        ("destroy", ["hart.destroy", "known-0010@.example.com"]),
    ]


def _of(command: Sequence[str], turn: int) -> list[str]:
    return [word.replace("@", str(turn % 10)) for word in command]


def _column(was: float | None, now: float | None) -> str:
    shown = ["-" if it is None else f"{it:.1f}" if isinstance(it, float) else str(it) for it in (was, now)]
    ratio = f"{now / was:.2f}x" if was and now is not None else ""
    return f"{shown[0]:>8}{shown[1]:>8}{ratio:>8}"
