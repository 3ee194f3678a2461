"""
Write docs/screens.md: what each function prints at terminals of 80, 160 and 40 columns.

    tools/screens.py

Each command runs through the real ``salt-run`` on a private master, with the emulated DigitalOcean and light machines
as in ``tools/bench/fleet.py``. Its result is then drawn by hart's outputter for each width. It needs root, because the
machines listen at port 22 of loopback addresses.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools/bench")]

import yaml  # noqa: E402 - the paths above come first
from first_light import PrivateMaster, private_master  # noqa: E402
from fleet import account  # noqa: E402

from hart_salt.screens.draw import draw  # noqa: E402
from hart_salt.screens.paper import Paper  # noqa: E402
from tests.drivers.do.emulator.cloud import DigitalOcean  # noqa: E402
from tests.emulation.light import LightMachines  # noqa: E402
from tests.emulation.light_salt import ANSWERS, BusMinions  # noqa: E402

PAGE = ROOT / "docs/screens.md"
WIDTHS = (80, 160, 40)
DELAY = 2.0  #: seconds until a droplet is active
ROLES: dict[str, Any] = {
    "app": {"role_naming_scheme": "app-{unique_id}", "size": "s-1vcpu-1gb"},
    "worker": {"role_naming_scheme": "worker-{unique_id}", "size": "s-1vcpu-1gb"},
    "db": {"size": "s-2vcpu-4gb", "minion_config": {"grains": {"team": "storage"}}},
}
FLEETS: dict[str, Any] = {
    "workers": {
        "role": "worker", "min": 2, "max": 10, "regions": ["nyc3", "fra1"],
        "autoscale": {"metric": {"function": "status.loadavg", "key": "1-min"}, "target": 0.6, "down_after": "10m"},
    }
}  # fmt: skip
#: minutes after six, and the load of the fleet from then on
MORNING = {0: 0.9, 90: 1.9, 130: 4.6, 180: 2.2}
HEAD = """# Screens

What each function prints at a terminal of 80, 160 and 40 columns. These are the results of real calls, with an emulated
DigitalOcean; `tools/screens.py` writes this page. [Results](results.md) explains the data behind it.
"""


@dataclass(frozen=True)
class Screen:
    """One command; ``ID`` is the id of the first node of the role app, ``ROOT`` the directory of the master."""

    command: str
    #: a sentence about what it shows
    about: str


SCREENS = (
    Screen("hart.version", "The versions, and which files Salt has loaded."),
    Screen("hart.check", "What hart needs on this machine and in the accounts. Problems stand last."),
    Screen("hart.list_roles", "The roles and their providers."),
    Screen("hart.show_role db", "The settings of a new node of a role."),
    Screen("hart.list_regions do", "The regions of a provider."),
    Screen("hart.list_sizes do memory=2 max_price=30", "The sizes that match, cheapest first."),
    Screen("hart.list_images do", "The images, each by its value for `image`."),
    Screen("hart.bake worker region=nyc3,fra1 test=True", "A plan to make an image of a role, with a copy."),
    Screen("hart.create_role app count=3 test=True", "A plan: what would be created, and at what price."),
    Screen("hart.create_role app count=3", "The outcome of each node."),
    Screen("hart.create web-1 rol=app", "A mistake: one sentence, and exit code 2."),
    Screen("hart.create db-1 role=db ttl=8h", "One node with an id of your choice, which ends by itself."),
    Screen("hart.list_minions", "Every node."),
    Screen("hart.show ID", "Everything about one node."),
    Screen("hart.node ID", "What a reactor asks about a node."),
    Screen("hart.node_of 203.0.113.7", "Which node has an address."),
    Screen("hart.timeline ID", "Where the seconds of a node went."),
    Screen("hart.cost", "What the fleet costs per month."),
    Screen("hart.check_seal '*'", "Whether anything temporary is left on the minions."),
    Screen("hart.protect db-1", "A node that no call of hart destroys from now on."),
    Screen("hart.destroy db-1", "A protected node stays, and the refusal says what to do."),
    Screen("hart.unprotect db-1", "A node without its protection."),
    Screen("hart.list_minions columns=id,age,price,ip sort=-age", "The columns and the order that you choose."),
    Screen("hart.explain size", "What a setting means, in the terminal."),
    Screen("hart.stop db-1 test=True", "A plan to switch a node off."),
    Screen("hart.start db-1 test=True", "A plan to start a node: this one runs already."),
    Screen("hart.reboot db-1 test=True", "A plan to restart a node."),
    Screen("hart.resize db-1 size=s-1vcpu-2gb test=True", "A size with a smaller disk is refused."),
    Screen("hart.resize ID size=s-2vcpu-2gb test=True", "A plan to change the size of a node."),
    Screen("hart.set_tags db-1 team=storage", "Tags of your own at the provider."),
    Screen("hart.extend db-1 4h", "A node that ends by itself lives longer."),
    Screen("hart.report", "The whole fleet in numbers; `file=` also writes a page for a browser."),
    Screen("hart.plan workers", "What differs between a declared fleet and its nodes, and what `hart.apply` would do."),
    Screen("hart.apply workers", "The fleet made as its declaration says."),
    Screen("hart.hold workers", "A fleet that nothing changes until it is no longer held."),
    Screen("hart.fleets", "The state of each declared fleet."),
    Screen(
        "hart.simulate workers file=ROOT/day.csv",
        "What the autoscaling of a fleet would have done with a recorded load.",
    ),
    Screen("hart.unhold workers", "The end of the hold."),
    Screen("hart.scale app count=2 test=True", "A plan with a node that would go."),
    Screen("hart.scale app count=2", "A role with another number of nodes."),
    Screen("hart.replace app batch=2 test=True", "A plan to renew all nodes of a role."),
    Screen("hart.sweep test=True", "What a crash left behind: here nothing."),
    Screen("hart.sync_keys", "The key stores of several masters: here there is only one."),
    Screen("hart.destroy ID test=True", "A plan to destroy a node."),
    Screen("hart.destroy ID", "A destroyed node."),
    Screen("hart.history since=1d", "What became of nodes, and who called."),
)


def made(master: PrivateMaster) -> Iterator[tuple[Screen, Mapping[str, Any]]]:
    """Run each command, and yield it with its document."""
    for screen in SCREENS:
        command = screen.command.replace("ID", _first(master)) if " ID" in screen.command else screen.command
        command = command.replace("ROOT", str(master.root))
        done = master.run(*shlex.split(command))
        print(f"{screen.command}: exit code {done.returncode}", file=sys.stderr)
        yield screen, json.loads(done.stdout)


def _first(master: PrivateMaster) -> str:
    return str(min(master.ask("hart.list_minions", "role=app", "ping=False")))


def section(screen: Screen, document: Mapping[str, Any]) -> str:
    """Return the section of one command."""
    lines = [f"\n## salt-run {screen.command.replace('ROOT', '/srv')}\n", screen.about]
    for width in WIDTHS:
        lines += [f"\n{width} columns:\n", "```text", draw(document, Paper(width)), "```"]
    return "\n".join(lines) + "\n"


def morning() -> str:
    """Return the load of four hours as CSV, minute by minute."""
    begun = ((minute, max(at for at in MORNING if at <= minute)) for minute in range(241))
    lines = [f"2026-11-30T{6 + minute // 60:02}:{minute % 60:02},{MORNING[at]}" for minute, at in begun]
    return "\n".join(["time,load", *lines, ""])


@contextlib.contextmanager
def place() -> Iterator[PrivateMaster]:
    """Yield a master with two roles and the provider ``do``, whose minions answer."""
    answers = {**ANSWERS, "hart.sealed": True, "status.loadavg": {"1-min": 0.6}}
    with private_master() as master, BusMinions(master.root / "etc/master", answers) as minions:
        machines = LightMachines(on_start=minions.start, on_end=minions.leave)
        with DigitalOcean(machines, settings=account(DELAY)) as cloud:
            master.config["hart"] = {
                "saltmaster": "127.0.0.1", "region": "nyc3", "image": "bookworm", "roles": ROLES,
                "fleets": FLEETS,
                "providers": {"do": {"token": cloud.token, "endpoint": cloud.endpoint}},
            }  # fmt: skip
            (master.root / "etc/master").write_text(yaml.safe_dump(master.config))
            (master.root / "day.csv").write_text(morning())
            yield master


def main() -> None:
    """Write the page."""
    with place() as master:
        sections = [section(screen, document) for screen, document in made(master)]
    text = "".join([HEAD, *sections]).replace(str(master.root), "/srv/salt-master").replace(str(ROOT), "/opt/hart-salt")
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
