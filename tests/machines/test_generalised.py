"""
An offline look into the files of a machine that an image is made of: nothing of its first life is found.

The machine goes through a real bootstrap and the start of its minion, as the node of a bake does. Texts and bytes that
identify it are planted wherever programs keep some, and then searched in all files of its own layer: once as if its
power was cut, and again after a shutdown.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from hart_salt.config.settings import Settings
from hart_salt.images import generalise
from hart_salt.node import bootstrap, ssh
from hart_salt.node.bootstrap import Script
from tests import scope
from tests.machines import first_life, requirements
from tests.machines.first_life import MINION_ID
from tests.machines.machines import Machine, MachineHost
from tests.machines.test_cloud_machines import ok, spec_for

_missing = requirements.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")

HOST_KEY, CLIENT_KEY = ssh.make_key("host"), ssh.make_key("hart-0123456789abcd")
#: of the provider's account
METADATA_KEY = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1111111111111111111111111111111111111111112 {first_life.TOKEN}"
INSTANCE_ID = "713705517902171"
MASTER_KEY = "-----BEGIN PUBLIC KEY-----\nTWFzdGVyTWFzdGVyTWFzdGVyTWFzdGVyTWFzdGVyTWFzdGVy\n-----END PUBLIC KEY-----"
BOOT_TIMEOUT = 300
#: what the two machines have in common in these tests
SHARED = {"client key", "/etc/salt/pki/minion/minion_master.pub", "/run/hart/host_key"}
#: what is in no file of a machine: Google's agent keeps no copy of the startup script, and configures no network
FLEETING = {
    "gce-startup": {
        "client key", "/run/hart/host_key",
        *(f"{kind} of eth{number}" for kind in ("address", "hardware address") for number in (0, 1)),
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def host() -> Iterator[MachineHost]:
    with MachineHost() as opened:
        yield opened


def user_data(host: MachineHost, **settings: Any) -> str:
    script = Script(
        "debian", HOST_KEY.private, CLIENT_KEY.public, MASTER_KEY, "3008",
        Settings(salt_repo=host.repository_url, **settings), repository_key=host.repository_key, forbid_passwords=True,
    )  # fmt: skip
    return bootstrap.render(script)


def boot(host: MachineHost, datasource: str, **changes: Any) -> Machine:
    fields = {
        "user_data": user_data(host), "datasource": datasource, "hostname": MINION_ID,
        "public_keys": (CLIENT_KEY.public, METADATA_KEY),
        "instance_id": INSTANCE_ID, **changes,
    }  # fmt: skip
    return host.boot(spec_for(host, 7000000 + len(host.machines), **fields))


def wait_bootstrapped(machine: Machine) -> None:
    machine.wait("grep -q '\"exit_code\": 0,' /run/hart/result.json", BOOT_TIMEOUT)


def start_minion(machine: Machine, minion_id: str, host: MachineHost) -> None:
    """Do what the master's session does: write the configuration and start salt-minion for the first time."""
    wait_bootstrapped(machine)
    configuration = (
        f"id: {minion_id}\nmaster: {host.address}\ngrains:\n  roles:\n  - app\n  token: {first_life.TOKEN}\n"
    )
    ok(machine, f"printf %s {shlex.quote(configuration)} | sh /run/hart/start")
    machine.wait("systemctl is-active salt-minion && test -s /var/log/salt/minion", BOOT_TIMEOUT)


def generalised(machine: Machine) -> tuple[int, str]:
    """Run the commands as the session of a bake does."""
    known = generalise.commands("debian", "", CLIENT_KEY.public, MINION_ID)
    ok(machine, f"sh -c {shlex.quote(known.keep)} <<'SCRIPT_OF_HART'\n{known.script}\nSCRIPT_OF_HART\n")
    return machine.run(known.run, 120)


def wait_off(machine: Machine) -> None:
    """Wait until a machine has shut down by itself."""
    deadline = time.monotonic() + BOOT_TIMEOUT
    while machine.state() != "stopped":
        assert time.monotonic() < deadline, machine.console()[-3000:]
        time.sleep(0.05)


#: the first two between them have DHCP, a password of the provider, both releases, and both ways of "cloud-init clean"
CLOUDS = [("debian-12", "vultr"), ("debian-13", "digitalocean")]
MORE_CLOUDS = [("debian-12", "gce-startup"), ("debian-12", "ec2"), ("debian-13", "hetzner")]


def check_second_life(host: MachineHost, first: Machine, wanted: Mapping[str, bytes]) -> None:
    """Boot another machine from the files of the first one, and check that it is another one."""
    second = boot(
        host, first.spec.datasource, image=host.snapshot(first), hostname="web-2", instance_id="4711",
        user_data=user_data(host, salt_source="none", security_upgrades="off"),
    )  # fmt: skip
    wait_bootstrapped(second)
    assert second.run("systemctl is-active salt-minion || ls /etc/salt/minion_id /var/log/salt/minion")[0] != 0
    start_minion(second, "web-2", host)
    assert MINION_ID not in ok(second, "cat /etc/hosts /etc/hostname; hostname; journalctl -q -o cat")
    assert {name for name, value in first_life.identity(second).items() if value in wanted.values()} == SHARED


@pytest.mark.parametrize(("image", "datasource"), [*CLOUDS, *(MORE_CLOUDS if scope.whole else [])])
def test_nothing_of_the_first_life_is_in_the_files(
    host: MachineHost, image: str, datasource: str
) -> None:  # fmt: skip
    machine = boot(host, datasource, image=image)
    start_minion(machine, MINION_ID, host)
    wanted = first_life.plant(machine)
    there = first_life.search(machine.place.upper, wanted)
    assert first_life.unplanted(machine) == []
    nowhere = {name for name in wanted if not any(one.endswith(f"has the {name}") for one in there)}
    assert nowhere <= FLEETING.get(datasource, set())

    code, output = generalised(machine)
    assert (code, "note:" in output) == (0, False), output
    assert first_life.search(machine.place.upper, wanted) == [], "as if the power was cut"
    assert generalised(machine)[0] == 0, "a second run"
    machine.run("systemctl poweroff")
    wait_off(machine)
    assert first_life.search(machine.place.upper, wanted, first_life.GIVEN) == [], "after a shutdown"
    assert first_life.changed(machine) == []
    if (image, datasource) == CLOUDS[0] or scope.whole:
        check_second_life(host, machine, wanted)
