"""Places whose ``hart.toml`` names the test cloud, one for each cloud, and their master, with light machines."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saltfactories.manager import FactoriesManager

from tests.accounts import place
from tests.accounts.place import DRIVERS, PKI
from tests.accounts.proof import Hart
from tests.emulation.emulator import Emulator
from tests.emulation.light import LightMachines, Tenant
from tests.emulation.light_salt import ANSWERS, BusMinions
from tests.end_to_end.clouds import Cloud, all_clouds
from tests.end_to_end.conftest import SaltMaster
from tests.end_to_end.light_cloud import SSH_PORT

#: additional answers of minions with the execution module
MODULE: Mapping[str, Any] = {"saltutil.sync_modules": ["modules.hart"], "hart.sealed": True}


@dataclass
class Emulated:
    """One account at each cloud."""

    root: Path
    master: SaltMaster
    kinds: Mapping[str, Cloud]
    clouds: Mapping[str, Emulator]
    machines: Mapping[str, Tenant]
    #: the answers of the minions; tests can change them at any time
    answers: dict[str, Any]
    printed: list[str] = field(default_factory=list)

    def hart(self, name: str) -> Hart:
        """Return hart's commands for a cloud, as in the test of a real account."""
        driver = DRIVERS[name]
        account = place.account(self.root / name, driver)
        return Hart(self.master, account, lambda text: self.printed.append(f"{driver}: {text}"))

    def left(self, name: str) -> dict[str, list[str]]:
        """Return the resources that a new account does not have, by the cloud's own state, and minion keys."""
        kind, cloud = self.kinds[name], self.clouds[name]
        assert cloud.settle(10)
        keys = [path.name for path in (self.master.root / PKI).glob("minions*/*")]
        found = {**kind.left(cloud), "keys of minions": keys}
        return {what: names for what, names in found.items() if names}

    def amiss(self, name: str) -> list[str]:
        """Return the errors of the emulator and the problems of the calls."""
        cloud = self.clouds[name]
        return [*map(repr, cloud.defects), *map(repr, cloud.machines.failures), *cloud.said_against()]


@contextlib.contextmanager
def opened(factories: FactoriesManager, root: Path) -> Iterator[Emulated]:
    """Start everything; end it on exit."""
    kinds = {name: all_clouds()[driver] for name, driver in DRIVERS.items()}
    answers = {**ANSWERS, **MODULE}
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(place.running(factories, root))
        minions = stack.enter_context(BusMinions(master.root / "etc/master", answers))
        machines = LightMachines(port=SSH_PORT, on_start=minions.start, on_end=minions.leave)
        stack.callback(machines.close)
        tenants = {name: Tenant(machines, name) for name in kinds}
        clouds = {name: stack.enter_context(kind.open(tenants[name])) for name, kind in kinds.items()}
        for name, kind in kinds.items():
            _write(root / name, f"my-{kind.name}", {"driver": kind.name, **kind.node, **clouds[name].account()})
        yield Emulated(root, master, kinds, clouds, tenants, answers)


def _write(directory: Path, provider: str, section: Mapping[str, Any]) -> None:
    directory.mkdir()
    common = {"saltmaster": "127.0.0.1", "boot_timeout": 300}
    (directory / place.FILE).write_text(toml({"hart": common, "providers": {provider: section}}))


def toml(sections: Mapping[str, Any], path: str = "") -> str:
    """Return TOML for tables of texts, numbers and booleans, which look as in JSON."""
    plain = {key: value for key, value in sections.items() if not isinstance(value, Mapping)}
    tables = {f"{path}.{key}".lstrip("."): value for key, value in sections.items() if isinstance(value, Mapping)}
    head = [f"[{path}]"] if plain else []
    lines = [*head, *(f"{key} = {json.dumps(value)}" for key, value in plain.items())]
    return "\n".join(["\n".join(lines), *(toml(table, name) for name, table in tables.items())])
