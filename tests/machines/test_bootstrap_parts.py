"""
Parts of the bootstrap script on a booted Debian: its own functions, with the real systemd, apt and sshd.

What an image can bring, such as Salt's packages of each age and the ways in which sshd can be configured, is tried on
one machine, one after the other.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import time
from collections.abc import Iterator
from typing import Any

import asyncssh
import pytest

from hart_salt.config.settings import Settings
from hart_salt.node import bootstrap, ssh
from hart_salt.node.bootstrap import InstallSpec, Script
from tests.machines import requirements, salt_package
from tests.machines.machines import Machine, MachineHost
from tests.machines.test_cloud_machines import RAN, install, ok, spec_for, use_repository

_missing = requirements.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")

HOST_KEY, CLIENT_KEY = ssh.make_key("host"), ssh.make_key("hart-0123456789abcd")


def functions(*, master: bool = False, forbid_passwords: bool = True, **settings: Any) -> str:
    """Return the script up to its first step, without what redirects its output and writes the result document."""
    spec = InstallSpec("hart-salt") if master else None
    script = Script(
        "debian", HOST_KEY.private, CLIENT_KEY.public, "MASTER", "3008", Settings(**settings),
        forbid_passwords=forbid_passwords,
        spec=spec,
    )  # fmt: skip
    text = bootstrap.render(script).split("\nbegin ssh\n")[0]
    return re.sub(r"^(exec >> .*|trap .*)\n", "", text, flags=re.MULTILINE)


#: variant → the script's functions, a file on the machine
LIBRARIES = {
    "minion": functions(),
    "plain": functions(forbid_passwords=False),
    "master": functions(master=True),
    "image": functions(salt_source="none", security_upgrades="off"),
}


@pytest.fixture(scope="module")
def host() -> Iterator[MachineHost]:
    with MachineHost() as opened:
        yield opened


@pytest.fixture(scope="module")
def machine(host: MachineHost) -> Machine:
    made = host.boot(spec_for(host, 1, files={f"/root/{name}.sh": text for name, text in LIBRARIES.items()}))
    made.wait(RAN)
    ok(made, use_repository(host, host.repository_key) + "apt-get update -qq")
    return made


def do(machine: Machine, program: str, library: str = "minion") -> str:
    """Run shell commands after the script's functions, from a clean /run/hart."""
    return ok(machine, f"rm -rf /run/hart; sh -c {shlex.quote(f'. /root/{library}.sh; {program}')}")


def start(machine: Machine, configuration: str = "id: web\n") -> str:
    """Run the commands of the master's session that start the minion."""
    return ok(machine, f"printf %s {shlex.quote(configuration)} | sh /run/hart/start")


def remove_salt(machine: Machine) -> None:
    ok(
        machine,
        "DEBIAN_FRONTEND=noninteractive apt-get purge -qq 'salt-*' && rm -rf /etc/salt /etc/systemd/system/salt*",
    )


# Salt's service


@pytest.mark.parametrize("release", salt_package.other_versions())
def test_a_service_that_is_held_is_installed_by_scripts_of_every_age_and_starts_when_it_may(
    machine: Machine, release: str
) -> None:
    packages = f"salt-minion={release} salt-master={release} salt-common={release}"
    do(machine, "hold salt-minion.service; hold salt-master.service; write_start")
    ok(machine, f"DEBIAN_FRONTEND=noninteractive apt-get install -qq --allow-downgrades {packages}")
    ok(machine, "systemctl restart salt-minion salt-master")
    assert machine.run("systemctl is-active salt-minion salt-master")[1].split() == ["inactive", "inactive"]
    start(machine)
    machine.wait("systemctl is-active salt-minion")
    assert ok(machine, "systemctl is-enabled salt-minion").strip() == "enabled"
    ok(machine, "systemctl stop salt-minion")
    links = "/etc/systemd/system/multi-user.target.wants/salt-{}.service"
    held = "/etc/systemd/system/salt-master.service.d/zzz-hart.conf"
    left = ok(machine, "find /etc/systemd/system ! -type d -name '*salt*' -o -name '*hart*'").split()
    assert sorted(left) == [links.format("master"), links.format("minion"), held]
    remove_salt(machine)


def test_a_mask_of_the_image_goes(machine: Machine) -> None:
    ok(machine, "systemctl mask salt-minion")
    do(machine, "hold salt-minion.service; write_start")
    older = salt_package.other_versions()[0]
    ok(machine, install(older))
    start(machine)
    machine.wait("systemctl is-active salt-minion")
    remove_salt(machine)


def test_a_node_that_reboots_half_way_starts_no_minion(machine: Machine) -> None:
    do(machine, "hold salt-minion.service")
    ok(machine, install(salt_package.other_versions()[0]))
    machine.stop()
    machine.start()
    machine.wait("cloud-init status | grep -q done")
    assert ok(machine, "systemctl is-enabled salt-minion").strip() == "enabled"
    assert machine.run("systemctl is-active salt-minion")[1].strip() == "inactive"
    remove_salt(machine)


# sshd

SSHD = "/etc/ssh/sshd_config"
#: what is done to the image's sshd before the bootstrap
IMAGES = {
    "as it is": "true",
    "without an Include": f"sed -i /^Include/d {SSHD}",
    "without a line end": f"printf 'UsePAM yes\\nMaxSessions 5' > {SSHD}",
    "empty": f": > {SSHD}",
    "a link": f"mv {SSHD} /root/sshd && ln -s /root/sshd {SSHD} && sed -i --follow-symlinks /^Include/d {SSHD}",
    "a host key before the Include": f"sed -i '1i HostKey /etc/ssh/ssh_host_ed25519_key' {SSHD}",
    "a host key in a drop-in": "echo HostKey /etc/ssh/ssh_host_ed25519_key > /etc/ssh/sshd_config.d/00-a.conf",
    "root only with a password": f"printf 'PermitRootLogin no\\nAuthenticationMethods publickey,password\\n' > {SSHD}",
    "any method written out": f"echo AuthenticationMethods any >> {SSHD}",
    "only other users": f"printf 'AllowUsers debian\\nDenyUsers root\\nAllowGroups sudo\\n' >> {SSHD}",
    "a match for root": f"printf 'Match User root\\n  ForceCommand false\\n  PermitRootLogin no\\n' >> {SSHD}",
    "a forced command for root": "mkdir -p /root/.ssh && echo 'command=\"false\" @KEY@' > /root/.ssh/authorized_keys",
    "a locked root": "passwd --lock root",
}


@pytest.mark.parametrize("image", IMAGES)
def test_root_logs_in_during_the_bootstrap_and_sshd_s_files_are_as_before_after_it(
    machine: Machine, image: str
) -> None:
    ok(machine, "rm -rf /root/saved /root/.ssh && cp -a /etc/ssh /root/saved")
    ok(machine, IMAGES[image].replace("@KEY@", CLIENT_KEY.public))
    before = ok(machine, LISTED)
    try:
        do(machine, "open_ssh; write_seal", "plain")
        assert said(machine) == "root\n"
        ok(machine, "rm -rf /root/.ssh; sh /run/hart/seal < /dev/null")
        assert ok(machine, LISTED) == before
    finally:
        ok(machine, "passwd --unlock root || true; rm -rf /etc/ssh && mv /root/saved /etc/ssh && systemctl reload ssh")


#: the files of sshd with their modes and contents
LISTED = (
    "cd /etc/ssh && for file in $(find . -type f -o -type l | sort); do stat -c '%n %a %U %F' $file; cat $file; done"
)


def said(machine: Machine) -> str:
    """Return what a command prints in a session. After a reload, sshd does not listen for a moment."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return asyncio.run(logged_in(machine))
        except (OSError, asyncssh.Error) as error:
            if time.monotonic() > deadline:
                pytest.fail(f"{error}: {machine.run('sshd -T | grep -i ^hostkey; journalctl -u ssh -n 20 -o cat')}")
            time.sleep(0.1)


async def logged_in(machine: Machine) -> str:
    """Log in as the master does, and return what a command prints."""
    address = machine.spec.public_ip or ""
    known = f"{address} {HOST_KEY.public}".encode()
    async with asyncssh.connect(
        address, username="root", known_hosts=asyncssh.import_known_hosts(known.decode()), config=None, agent_path=None,
        client_keys=[asyncssh.import_private_key(CLIENT_KEY.private)],
    ) as session:  # fmt: skip
        return str((await session.run("id -un", check=True)).stdout)
