"""A new salt-master from a machine without one: what it gets, and what is left when it fails. Light machines."""

from __future__ import annotations

import io
import signal
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import asyncssh
import pytest

import hart_salt
from hart_salt.node import bootstrap
from hart_salt.operations import own_wheel
from tests.drivers.do.in_tables import CLOUD
from tests.emulation.emulator import Emulator
from tests.emulation.faults import MachineFault
from tests.emulation.light import LightMachines, Tenant
from tests.end_to_end import light_cloud, tools
from tests.end_to_end.conftest import SaltMaster, idle_machine
from tests.end_to_end.runs import side_by_side

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

MASTER = "salt.example"
KEY = asyncssh.generate_private_key("ssh-ed25519", comment="admin@example").export_public_key().decode().strip()
COMMANDS = bootstrap.commands("")
MISTAKE, FAILURE = 2, 1
#: files that stay: the owner of the machine, the lock of the queue of calls, the provider's list of sizes, and
#: names for completion
LASTING = ("owner", "door", "do.json", "completion")


@dataclass
class Place:
    """A machine with Salt but without a master, and a cloud."""

    caller: SaltMaster
    cloud: Emulator
    machines: Tenant

    def left(self) -> dict[str, list[str]]:
        """Return what is left, there and here, of what was created."""
        assert self.cloud.settle(10)
        here = self.caller.cachedir / "hart"
        found = {
            **CLOUD.left(self.cloud),
            "machines": [machine.request.hostname for machine in self.machines.machines],
            "files": [path.name for path in here.rglob("*") if path.is_file() and path.name not in LASTING],
        }  # fmt: skip
        return {kind: names for kind, names in found.items() if names}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    machines = LightMachines(port=light_cloud.SSH_PORT)
    tenant = Tenant(machines, "new-master")
    with idle_machine() as caller, CLOUD.open(tenant) as cloud:
        # Without saltmaster, which a minion needs; and with settings that only a minion can have.
        defaults = {"image": "bookworm", "apply": "highstate", "minion_config": {"grains": {"team": "all", "rack": 7}}}
        caller.config["hart"] = {"providers": {"do": {**cloud.account(), **CLOUD.node}, "local": {}}, **defaults}
        caller.write()
        yield Place(caller, cloud, tenant)
    machines.close()


def creation(name: str, **arguments: Any) -> list[str]:
    given = [f"{key}={value}" for key, value in arguments.items()]
    return ["hart.create_master", name, "provider=do", *given]


def test_a_machine_without_a_master_creates_one_lists_it_and_destroys_it(place: Place) -> None:
    ran = place.caller.run(*creation(MASTER, authorize_key=KEY, grains='{"team": "ops"}'))
    assert ran.code == 0, ran
    entry = ran.data[MASTER]
    (machine,) = place.machines.machines
    own = machine.own_key
    assert entry["result"] is True
    assert entry["ssh_host_keys"] == [own.export_public_key().decode().strip()]
    assert entry["ssh_host_key_fingers"] == [own.get_fingerprint()]
    assert len(entry["master_key_finger"].split(":")) == 32
    assert "minion_key_finger" not in entry
    _check_machine(machine)
    assert not list(place.caller.root.rglob("*.pem")), "the caller has got keys"

    looks = (["hart.list_minions", "provider=do"], ["hart.sweep", "grace=0"], creation(MASTER))
    listed, swept, again = side_by_side(place.caller, looks)
    assert (listed.code, listed.data[MASTER]["status"]) == (0, "ready"), listed
    assert (swept.code, swept.data["removed"]) == (0, []), swept
    assert again.code == MISTAKE
    assert "a node with that id exists" in again.data["error"]
    assert place.caller.run("hart.destroy", MASTER).code == 0
    assert place.left() == {}


def _check_machine(machine: Any) -> None:
    """Check that it got what it needs in the right order, over one connection, and is sealed."""
    steps = [COMMANDS.carry, COMMANDS.equip, COMMANDS.start, COMMANDS.master_key, COMMANDS.authorize, COMMANDS.seal]
    assert [command for command in machine.commands if command in steps] == steps
    assert (machine.connections, machine.sealed, machine.lets_in) == (1, True, KEY)
    configuration = machine.configuration
    assert (configuration["id"], configuration["file_client"]) == (MASTER, "local")
    assert "master" not in configuration
    grains = configuration["grains"]
    assert (grains["team"], grains["rack"], grains["hart.provider"]) == ("ops", 7, "do")
    names = zipfile.ZipFile(io.BytesIO(machine.wheel)).namelist()
    assert "hart_salt/runners/hart.py" in names
    assert f"/run/hart/{own_wheel.file_name()}[do]" in machine.request.user_data
    assert hart_salt.__version__ in own_wheel.file_name()


def test_every_failure_is_undone(place: Place) -> None:
    faults = {
        "boot": (MachineFault(hostname="boot", never_boots=True), "no SSH at"),
        "install": (MachineFault(hostname="install", fail_at="install"), "the bootstrap failed in step install"),
        "equip": (MachineFault(hostname="equip", fail_at="equip"), "could not be installed: salt-pip ended with"),
        "start": (MachineFault(hostname="start", fail_at="start"), "new salt-master did not become ready: a command"),
        "authorize": (MachineFault(hostname="authorize", fail_at="authorize"), "a command on the node failed"),
        "seal": (MachineFault(hostname="seal", fail_at="seal"), "a command on the node failed"),
    }  # fmt: skip
    place.cloud.faults.add(*(fault for fault, _ in faults.values()))
    limits = {name: 10 if name == "boot" else 300 for name in faults}
    calls = [creation(f"{name}.example", boot_timeout=limits[name], authorize_key=KEY) for name in faults]
    runs = dict(zip(faults, side_by_side(place.caller, calls), strict=True))
    for name, (_, error) in faults.items():
        entry = runs[name].data[f"{name}.example"]
        assert (runs[name].code, entry["result"]) == (FAILURE, False)
        assert error in entry["error"]
    assert place.left() == {}


def test_a_signal_undoes_it_and_the_next_call_removes_what_a_killed_one_left(place: Place) -> None:
    place.cloud.faults.add(MachineFault(fail_at="equip hangs", times=2))
    caller = place.caller
    with tools.running(caller, *creation(MASTER)) as run, tools.running(caller, *creation("killed")) as dies:
        tools.until(lambda: _at(COMMANDS.equip, place) == 2, "both install hart-salt")
        run.send_signal(signal.SIGTERM)
        dies.send_signal(signal.SIGKILL)
        ran = tools.ended(run)
        dies.wait(60)
    assert ran.code == 128 + signal.SIGTERM
    assert "interrupted by SIGTERM" in ran.data[MASTER]["error"]
    assert place.left()["instances"] == ["killed"]
    ran = place.caller.run(*creation(MASTER, script="/no/such/file"))
    assert (ran.code, "script: /no/such/file: No such file" in ran.data["error"]) == (MISTAKE, True), ran
    assert place.left() == {}


def _at(command: str, place: Place) -> int:
    """Return how many machines have got that command."""
    return sum(command in machine.commands for machine in place.machines.machines)


def test_the_plan_and_every_refusal_change_nothing(place: Place) -> None:
    made = place.cloud.made()
    plan, wrong, local, minion = side_by_side(place.caller, [
        creation(MASTER, test=True),
        creation(MASTER, authorize_key="~/.ssh/id", pip_index="http://x/", hart_salt="-r", grains="7"),
        ["hart.create_master", MASTER, "provider=local"],
        ["hart.create", "m.example", "provider=local"],
    ])  # fmt: skip
    assert (plan.code, plan.data[MASTER]["action"], plan.data[MASTER]["result"]) == (0, "create", None)
    assert (wrong.code, len(wrong.data["error"].splitlines())) == (MISTAKE, 4)
    assert (local.code, "use the provider of a cloud" in local.data["error"]) == (MISTAKE, True)
    assert (minion.code, minion.data["error"]) == (MISTAKE, "this master has no key yet: start salt-master once")
    assert (place.cloud.made(), place.left()) == (made, {})
