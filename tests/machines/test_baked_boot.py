"""
The bootstrap on machines from a generalised image.

It runs while the machine boots, installs nothing, and asks no index.

The image is made as a bake makes it: a machine with salt-minion is generalised and turned off.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncssh
import pytest

from hart_salt.config.settings import Settings
from hart_salt.images import generalise
from hart_salt.node import bootstrap, ssh
from hart_salt.node.bootstrap import Script
from tests import scope
from tests.end_to_end.real_cloud import CLOUD_INITS_COPIES, files_with, secrets_of
from tests.machines import requirements
from tests.machines.machines import Machine, MachineHost
from tests.machines.test_bootstrap_parts import LISTED
from tests.machines.test_cloud_machines import RAN, install, ok, spec_for, use_repository

_missing = requirements.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")

LIMIT = 120.0
CONFIGURATION = "id: web\nmaster: 127.0.0.1\n"


@dataclass(frozen=True)
class Keys:
    """The keys of one node's bootstrap."""

    host: ssh.Key = field(default_factory=lambda: ssh.make_key("host"))
    client: ssh.Key = field(default_factory=lambda: ssh.make_key("hart-0123456789abcd"))


@dataclass(frozen=True)
class Image:
    """A generalised image, and what sshd's files were before hart."""

    name: str
    release: str
    sshd: str


@pytest.fixture(scope="module")
def host() -> Iterator[MachineHost]:
    with MachineHost() as opened:
        yield opened


@pytest.fixture(scope="module", params=["debian-12", "debian-13"])
def image(host: MachineHost, request: pytest.FixtureRequest) -> Image:
    return baked(host, request.param, "digitalocean")


def baked(host: MachineHost, release: str, datasource: str) -> Image:
    """Return an image with salt-minion that has nothing of its machine's life."""
    script = USER_DATA if datasource == "digitalocean" else ""
    machine = host.boot(spec_for(host, len(host.machines), image=release, datasource=datasource, user_data=script))
    machine.wait(RAN if script else "systemctl is-active multi-user.target")
    sshd = ok(machine, LISTED_SSHD)
    ok(machine, f"{use_repository(host, host.repository_key)} apt-get update -qq && {install()}")
    work = generalise.commands("debian", "", Keys().client.public, "web")
    # The script refuses a machine that the bootstrap has not run on.
    ok(machine, "mkdir -p /run/hart && echo '{}' > /run/hart/result.json")
    keep = f"printf %s {shlex.quote(work.script)} | sh -c {shlex.quote(work.keep)}"
    code, output = machine.run(f"{keep}; {work.run}", 120)
    assert code == 0, output
    return Image(host.snapshot(machine), release, sshd)


#: sshd's files without the keys
LISTED_SSHD = LISTED.replace("sort)", "grep -v ssh_host_ | sort)")
USER_DATA = "#!/bin/sh\necho yes > /root/ran\n"


def boot(host: MachineHost, image: Image, keys: Keys, datasource: str = "digitalocean", **settings: Any) -> Machine:
    """Boot a machine with the script of a node from a baked image."""
    script = Script(
        "debian", keys.host.private, keys.client.public, "MASTER", "3008",
        Settings(**{"salt_source": "none", "security_upgrades": "off", **settings}),
        baked=True, boothooks=datasource != "gce-startup",
    )  # fmt: skip
    return host.boot(
        spec_for(host, len(host.machines), image=image.name, datasource=datasource, user_data=bootstrap.render(script))
    )


def follow(machine: Machine, keys: Keys) -> dict[str, Any]:
    """Read the result document over the verified session, as the master does, as soon as the machine answers."""
    endpoint = ssh.Endpoint(machine.spec.public_ip or "", 22, keys.host.public, keys.client)

    async def main() -> str:
        async with await ssh.connect(endpoint, timeout=LIMIT) as session:
            return await session.follow(bootstrap.commands("").follow, lambda lines: None, output="the document")

    document: dict[str, Any] = json.loads(asyncio.run(main()))
    assert document["exit_code"] == 0, document
    return document


class Shown:
    """Collects the host keys that a machine shows from its start."""

    def __init__(self, machine: Machine) -> None:
        self.keys: set[str] = set()
        self._address = machine.spec.public_ip or ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(0.02):
            try:
                key = asyncio.run(asyncssh.get_server_host_key(self._address, config=None))
            except (OSError, asyncssh.Error):
                continue
            if key is not None:
                self.keys.add(" ".join(key.export_public_key().decode().split()[:2]))

    def end(self) -> set[str]:
        """Stop, and return the keys."""
        self._end.set()
        self._thread.join()
        return self.keys


def start(machine: Machine) -> None:
    ok(machine, f"printf %s {shlex.quote(CONFIGURATION)} | sh /run/hart/start")
    machine.wait("systemctl is-active salt-minion")
    assert ok(machine, "systemctl is-enabled salt-minion").strip() == "enabled"


def seal(machine: Machine) -> None:
    ok(machine, f"printf %s {shlex.quote(bootstrap.seal_input())} | sh /run/hart/seal")


def check_sealed(machine: Machine, image: Image, *, copies: bool = True) -> None:
    """
    Check that sshd is as in the image, no secret is left, and systemd knows that the service is not held.

    Without ``copies``, cloud-init may have the script again.
    """
    machine.wait("cloud-init status | grep -qE 'done|disabled'")
    assert ok(machine, LISTED_SSHD) == image.sshd
    assert not copies or files_with(machine, secrets_of(machine.spec.user_data)) == []
    assert not copies or ok(machine, CLOUD_INITS_COPIES) == ""
    assert machine.run("test -e /run/hart")[0] == 1
    ok(machine, "systemctl restart salt-minion")
    machine.wait("systemctl is-active salt-minion")
    assert ok(machine, "systemctl --failed --no-legend --plain") == ""


@pytest.mark.parametrize("datasource", ["digitalocean", "ec2", "hetzner"] if scope.whole else ["digitalocean"])
def test_a_node_boots_with_its_keys_asks_no_repository_and_stays_sealed_after_a_reboot(
    host: MachineHost, image: Image, datasource: str
) -> None:
    keys = Keys()
    host.repository.asked.clear()
    machine = boot(host, image, keys, datasource)
    shown = Shown(machine)
    document = follow(machine, keys)
    assert shown.end() <= {" ".join(keys.host.public.split()[:2])}
    assert machine.run("systemctl is-active salt-minion")[1].strip() == "inactive"
    start(machine)
    seal(machine)
    check_sealed(machine, image)
    own = ok(machine, "cat /etc/ssh/ssh_host_*_key.pub").splitlines()
    assert sorted(document["host_keys"]) == sorted(own)
    assert len(own) >= 2
    assert host.repository.asked == []
    assert len(ok(machine, "cat /etc/machine-id").strip()) == 32
    machine.stop()
    machine.start()
    machine.wait("systemctl is-active salt-minion")
    machine.wait("cloud-init status | grep -q done")
    # On EC2 cloud-init fetches the user-data at each boot, and starts the script again, which ends at once.
    check_sealed(machine, image, copies=datasource != "ec2")
    assert ok(machine, "cat /etc/ssh/ssh_host_*_key.pub").splitlines() == own


@pytest.mark.parametrize("upgrades", ["before", "after"])
def test_upgrades_of_a_baked_node_update_the_indexes_themselves(host: MachineHost, image: Image, upgrades: str) -> None:
    if not scope.whole and image.release == "debian-13":
        pytest.skip("./test --all upgrades on every release")
    keys = Keys()
    host.repository.asked.clear()
    machine = boot(host, image, keys, security_upgrades=upgrades)
    follow(machine, keys)
    assert bool(host.repository.asked) is (upgrades == "before"), "nothing waits for upgrades that come later"
    start(machine)
    ok(machine, bootstrap.commands("").after)
    assert ok(machine, "dpkg-query -W -f '${Version}' behind-security") == "1.0-1+fix1"


def test_an_image_without_host_keys_and_without_cloud_init_gets_them(host: MachineHost) -> None:
    image = baked(host, "debian-12", "gce-startup")
    keys = Keys()
    machine = boot(host, image, keys, "gce-startup")
    document = follow(machine, keys)
    own = ok(machine, "cat /etc/ssh/ssh_host_*_key.pub").splitlines()
    assert sorted(document["host_keys"]) == sorted(own)
    assert own
    start(machine)
    seal(machine)
    assert machine.run("test -e /run/hart")[0] == 1
    deadline = time.monotonic() + LIMIT
    while not asyncio.run(asyncssh.get_server_host_key(machine.spec.public_ip or "", config=None)):
        assert time.monotonic() < deadline
    assert ok(machine, "systemctl --failed --no-legend --plain") == ""
