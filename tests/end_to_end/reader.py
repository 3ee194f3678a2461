"""
A reader who types what the pages say, on a machine of its own: ``/etc/salt`` and ``/srv`` are the test's.

Commands run in a mount namespace, in a copy of the checkout, by the shell, as they stand on the page. Clouds are the
emulators, with light machines: what a page configures as an account gets their address and credentials.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import salt.cache
import salt.config
import yaml
from saltfactories.manager import FactoriesManager

from tests.builds import ROOT
from tests.emulation.emulator import Emulator
from tests.emulation.light import LightMachine, LightMachines, Tenant
from tests.emulation.light_salt import ANSWERS, BusMinions
from tests.end_to_end.clouds import Cloud, all_clouds
from tests.end_to_end.conftest import BIN, SaltMaster, running_master
from tests.end_to_end.light_cloud import SSH_PORT
from tests.end_to_end.private_mounts import Mounts, private_mounts
from tests.pages import STATES, Block

PATH = f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin"
LIMIT = 600  #: seconds for a command
RESTART = "systemctl restart salt-master"
#: where a configuration goes of which the page does not say
DEFAULT_FILES = {"yaml": "/etc/salt/master.d/hart.conf", "toml": "hart.toml"}
TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")
OVERRIDE = "/etc/salt/master.d/zz-emulators.conf"  #: read last, so it wins
APPLYING = ("state.highstate", "state.sls", "state.apply")
#: what a minion returns of a state that it has applied
APPLIED = {
    "test_|-hello_|-hello_|-nop": {
        "name": "hello", "result": True, "changes": {}, "comment": "Success!", "__id__": "hello", "__run_num__": 0,
    }
}  # fmt: skip


@dataclass
class Reader:
    """One reader; ``environment`` is what the page has exported so far."""

    master: SaltMaster
    mounts: Mounts
    emulators: Mapping[str, Emulator]
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, block: Block) -> None:
        """Make the file that a block shows; a configuration without a name is a file of ``master.d``."""
        self.put(block.path or DEFAULT_FILES[block.language], block.text)
        if block.language == "yaml":
            data = yaml.safe_load(TEMPLATE.sub("rendered", block.text))
            self.emulate((data.get("hart") or {}).get("providers") or {})

    def emulate(self, providers: Mapping[str, Any]) -> None:
        """Give those of the providers that are clouds the accounts of the emulators, in a file that is read last."""
        accounts = {
            name: self._account(kind, providers[name] or {}) for name, kind in all_clouds().items() if name in providers
        }
        if accounts:
            self.put(OVERRIDE, yaml.safe_dump({"hart": {"providers": accounts}}))

    def _account(self, kind: Cloud, shown: Mapping[str, Any]) -> dict[str, Any]:
        emulator: Any = self.emulators[kind.name]
        account = {**kind.node, **emulator.account(), "saltmaster": "127.0.0.1"}
        if "key_file" not in shown:
            return account
        self.put(shown["key_file"], emulator.service_account.key_file(f"{emulator.base_url}/token"))
        return {name: value for name, value in account.items() if name not in ("user_id", "key")}

    def put(self, path: str, text: str) -> None:
        """Write a file, by the path that a page gives it."""
        top = Path("/srv/salt") if path.endswith(STATES) else ROOT
        place = top / path  # an absolute path stays what it is
        script = 'mkdir -p "${1%/*}" && cat >"$1"'
        subprocess.run(self.mounts.command("sh", "-c", script, "sh", place), input=text, text=True, check=True)

    def type(self, command: str) -> None:
        """Run a command of a page. Raises ``AssertionError`` with what it printed if it fails."""
        if command == RESTART:
            self.master.stop()
            self.master.start()
            return
        script = f'cd "$1"; {command}\ncode=$?; export -p > "$2"; exit $code'
        kept = self.mounts.directory / "exported"
        done = subprocess.run(
            self.mounts.command("bash", "-c", script, "bash", ROOT, kept),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False,
            env={**self.master.environment, "PATH": PATH, "HOME": str(self.mounts.directory), **self.environment},
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        name, _, value = command.removeprefix("export ").partition("=")
        if command.startswith("export "):
            self.environment[name] = value


@contextlib.contextmanager
def reader(factories: FactoriesManager) -> Iterator[Reader]:
    """Start a master, the clouds and the namespace, and end them all."""
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(running_master(factories, _in_a_file_of_its_own))
        minions = stack.enter_context(
            BusMinions(master.root / "etc/master", {**ANSWERS, **dict.fromkeys(APPLYING, APPLIED)})
        )
        machines = LightMachines(port=SSH_PORT, on_start=_knowing_grains(master, minions), on_end=minions.leave)
        stack.callback(machines.close)
        emulators: dict[str, Any] = {
            name: stack.enter_context(kind.open(Tenant(machines, str(number))))
            for number, (name, kind) in enumerate(all_clouds().items())
        }
        mounts = stack.enter_context(private_mounts(master.root / "mounts"))
        _put_in_place(master, mounts)
        yield Reader(master, mounts, emulators)


def _knowing_grains(master: SaltMaster, minions: BusMinions) -> Callable[[LightMachine], None]:
    """Let the master know the grains of a minion that starts, as it does once a real one has asked for its pillar."""
    cache = salt.cache.factory(salt.config.master_config(str(master.root / "etc/master")))

    def start(machine: LightMachine) -> None:
        minions.start(machine)
        minion_id = str((machine.configuration or {})["id"])
        grains = minions.grains[minion_id]
        cache.store("grains", minion_id, grains)
        cache.store(f"minions/{minion_id}", "data", {"grains": grains, "pillar": {}})  # before Salt 3008

    return start


def _layer(mounts: Mounts, top: Path) -> None:
    """Let everything that is written below a directory be written elsewhere."""
    layer = mounts.directory / _name(top)
    layer.mkdir()
    mounts.disk(layer, "size=1g")
    mounts.run("mkdir", layer / "upper", layer / "work")
    options = f"lowerdir={top},upperdir={layer}/upper,workdir={layer}/work"
    mounts.run("mount", "-t", "overlay", "-o", options, "overlay", top)


def _name(top: Path) -> str:
    return str(top).strip("/").replace("/", "-")


def _in_a_file_of_its_own(master: SaltMaster) -> None:
    """Move ``hart:`` out of the main file, where Salt would hide it as soon as a page puts one into ``master.d``."""
    file = master.root / "etc/master.d/00-app.conf"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump({"hart": master.config.pop("hart")}))


def _put_in_place(master: SaltMaster, mounts: Mounts) -> None:
    for top in (Path("/etc"), Path("/srv"), ROOT):
        _layer(mounts, top)
    for own, place in (("etc", "/etc/salt"), ("srv/salt", "/srv/salt")):
        mounts.run("mkdir", "-p", place)
        mounts.run("mount", "--bind", master.root / own, place)
