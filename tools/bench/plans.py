"""
Measure the plans of many nodes: what ``hart.plan`` costs beyond its look at the clouds, the records and the minions.

``plans.py`` plans for 20 fleets with 500 nodes each, in several scenes, and prints the CPU seconds of all plans of a
scene, what is wanted, and the ratio. No provider, master or record store is used.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from hart_salt.config.fleets import Fleet
from hart_salt.fleets.diff import plan
from hart_salt.fleets.report import of_plan
from hart_salt.fleets.scene import GONE, SILENT, STOPPED, Bake, Member, Scene, Spec, Target
from hart_salt.model import Price

NODES, FLEETS = 10_000, 20
WANTED = 2.0  #: CPU seconds for all plans of a scene
NOW = 1_800_000_000.0
HOUR, DAY = 3600.0, 86400.0
REGIONS = ("nyc3", "fra1", "ams3")
PRICE = Price(6.0)


def fleet(name: str, number: int, **given: Any) -> Scene:
    """Return a fleet of so many ready nodes, as it is declared."""
    settings = Fleet.model_validate(
        {
            "role": "app", "min": 0, "max": 2 * number, "drift": "replace", "repair_after": "10m",
            "expire_after": "30d", "disruption": {"at_once": "5%", "windows": ["02:00-05:00", "Sat 00:00-24:00"]},
            "limits": {"monthly_price": 20 * number, "changes_per_hour": number}, **given,
        }
    )  # fmt: skip
    members = [
        Member(f"{name}-{count:05}", REGIONS[count % 3], "small", NOW - DAY - count * 60.0, price=PRICE)
        for count in range(number)
    ]
    return Scene(Spec(name, "app", "do", REGIONS, settings), members, dict.fromkeys(REGIONS, PRICE))


def _each(scene: Scene, **values: Any) -> Scene:
    return dataclasses.replace(scene, members=[dataclasses.replace(one, **values) for one in scene.members])


def _troubled(scene: Scene) -> Scene:
    """Return a fleet with all troubles: of ten nodes, one is silent, stopped, gone, leaving, ended, or differs."""
    members = list(scene.members)
    for first, values in enumerate(
        (
            {"state": SILENT, "silent_since": NOW - HOUR}, {"state": STOPPED}, {"state": GONE},
            {"interrupted": NOW + 60}, {"ends": NOW - 1}, {"drift": ("size",)}, {"protected": True, "ends": NOW - 1},
        )
    ):  # fmt: skip
        for number in range(first, len(members), 10):
            members[number] = dataclasses.replace(members[number], **values)  # type: ignore[arg-type]
    return dataclasses.replace(scene, members=members)


#: each scene by what it shows
SCENES: dict[str, Callable[[Scene], Scene]] = {
    "steady": lambda scene: scene,
    "every node differs": lambda scene: _each(scene, drift=("size", "image")),
    "a new image comes first": lambda scene: dataclasses.replace(
        _each(scene, drift=("image",)), bake=Bake("it is too old", "nyc3")
    ),
    "every node is too old": lambda scene: _each(scene, created=NOW - 29.5 * DAY),
    "to half of the nodes": lambda scene: dataclasses.replace(scene, target=Target(len(scene.members) // 2, "load")),
    "to twice the nodes": lambda scene: dataclasses.replace(scene, target=Target(2 * len(scene.members), "load")),
    "created from nothing": lambda scene: dataclasses.replace(
        scene, members=[], target=Target(len(scene.members), "load")
    ),
    "all troubles": _troubled,
}


def seconds(scenes: Sequence[Scene]) -> float:
    """Return the CPU seconds of the plans for all of these fleets, as the plain data of the result."""
    begun = time.process_time()
    for scene in scenes:
        of_plan(plan(scene, NOW), scene)
    return time.process_time() - begun


def report(nodes: int, fleets: int) -> str:
    """Return the figures of all scenes."""
    lines = [f"{nodes} nodes in {fleets} fleets, CPU seconds of all plans: <= {WANTED:g} s wanted"]
    every = [fleet(f"fleet{number:02}", nodes // fleets) for number in range(fleets)]
    for name, change in SCENES.items():
        spent = seconds([change(one) for one in every])
        lines.append(f"  {name:<28}{spent:>9.3f} s{spent / WANTED:>9.3f}")
    return "\n".join(lines)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=str(__doc__).strip().splitlines()[0])
    parser.add_argument("--nodes", type=int, default=NODES, help=f"nodes in all fleets together (default: {NODES})")
    parser.add_argument("--fleets", type=int, default=FLEETS, help=f"number of fleets (default: {FLEETS})")
    options = parser.parse_args()
    print(report(options.nodes, options.fleets))


if __name__ == "__main__":
    main()
