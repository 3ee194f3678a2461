"""
Machines of the test cloud: each boots like a provider's, installs Salt as a user would, and is removed without a trace.
"""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.machines import cache, cgroups, requirements, salt_package, slots
from tests.machines.machines import Machine, MachineHost, Spec

_missing = requirements.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")

ROOT = Path(__file__).parents[2]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1111111111111111111111111111111111111111111 somebody"
USER_DATA = """#!/bin/sh
echo "$(hostname) $(id -u) $(cat /proc/sys/kernel/random/boot_id)" >> /root/ran
"""
RAN = "cat /root/ran"

BUILDS = """
import sys, time
from tests.machines import cache
log = open(sys.argv[1], "a", buffering=1)
def build(place):
    (place / "file").write_text("half")
    log.write("begun\\n")
    time.sleep(float(sys.argv[2]))
    log.write("ended\\n")
assert (cache.built("thing", build) / "file").exists()
"""

Boot = Callable[..., Machine]


@pytest.fixture(scope="module")
def host() -> Iterator[MachineHost]:
    with MachineHost() as opened:
        yield opened


def spec_for(host: MachineHost, number: int, **changes: object) -> Spec:
    fields: dict[str, Any] = {
        "instance_id": str(3000000 + number), "hostname": f"web-{number}", "user_data": USER_DATA,
        "public_keys": (KEY,), "datasource": "digitalocean", "public_ip": host.network.take("public"),
        "private_ip": host.network.take("private"), **changes,
    }  # fmt: skip
    return Spec(**fields)


@pytest.fixture
def boot(host: MachineHost) -> Iterator[Boot]:
    """Return a function that boots a machine for one test."""
    booted: list[Machine] = []

    def begin(**changes: object) -> Machine:
        machine = host.boot(spec_for(host, len(host.machines), **changes))
        booted.append(machine)
        return machine

    yield begin
    for machine in booted:
        machine.kill()


def banner(address: str, timeout: float = 300) -> bytes:
    deadline = time.monotonic() + timeout
    while True:
        try:
            with socket.create_connection((address, 22), 1) as connection:
                return connection.recv(8)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def use_repository(host: MachineHost, key: str) -> str:
    """Return the commands that configure Salt's repository."""
    return f"""
        mkdir -p /etc/apt/keyrings
        echo {shlex.quote(key)} > /etc/apt/keyrings/salt.asc
        echo 'deb [signed-by=/etc/apt/keyrings/salt.asc] {host.repository_url} stable main' \
            > /etc/apt/sources.list.d/salt.list
    """


def install(version: str = "") -> str:
    pin = f"={version}" if version else ""
    return f"DEBIAN_FRONTEND=noninteractive apt-get install -qq salt-minion{pin} salt-common{pin}"


def ok(machine: Machine, command: str, timeout: float = 120) -> str:
    code, output = machine.run(command, timeout)
    assert code == 0, f"{command}: {output[-2000:]}"
    return output


def test_cloud_init_reads_the_providers_metadata_and_runs_the_user_data(boot: Boot) -> None:
    machine = boot(metadata={"region": "ams3"}, files={"/usr/local/bin/mine": "#!/bin/sh\necho yes\n"})
    assert machine.wait(RAN).split()[:2] == [machine.spec.hostname, "0"]
    machine.wait("cloud-init status | grep -q done")
    assert "DataSourceDigitalOcean" in ok(machine, "cloud-init status --long")
    ok(machine, f"grep -q 'Running on DigitalOcean. droplet_id={machine.spec.instance_id}' /var/log/cloud-init.log")
    assert ok(machine, "cloud-init query availability_zone").strip() == "ams3"
    assert KEY in ok(machine, "cat /root/.ssh/authorized_keys")
    assert ok(machine, "cat /var/log/cloud-init.log | grep -c -E ' (WARNING|ERROR)' || true").strip() == "0"
    assert ok(machine, "/usr/local/bin/mine") == "yes\n"
    assert machine.service is not None
    assert "/metadata/v1.json" in machine.service.asked
    machine.wait("systemctl is-system-running")


def test_sshd_answers_at_the_public_and_the_private_address(boot: Boot) -> None:
    machine = boot()
    assert banner(machine.spec.public_ip or "") == b"SSH-2.0-"
    assert banner(machine.spec.private_ip) == b"SSH-2.0-"


def test_a_private_machine_has_only_one_address_and_reaches_the_repository(boot: Boot, host: MachineHost) -> None:
    machine = boot(public_ip=None)
    assert banner(machine.spec.private_ip) == b"SSH-2.0-"
    addresses = ok(machine, "ip -4 -oneline address show scope global")
    assert [line.split()[1] for line in addresses.splitlines()] == ["eth1"]
    ok(machine, "apt-get update -qq --error-on=any")


def test_machines_reach_each_other_and_resolve_names_but_reach_nothing_else(boot: Boot, host: MachineHost) -> None:
    first, second = boot(), boot()
    banner(first.spec.public_ip or "")
    host.dns["salt.example.com"] = host.address
    connect = "python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)'"
    second.wait(f"{connect} {first.spec.public_ip} 22")
    assert host.address in ok(second, "getent ahostsv4 salt.example.com")
    assert second.run("getent hosts other.example.com")[0] != 0
    assert second.run(f"{connect} 192.0.2.1 80")[0] != 0
    forwarding = Path(f"/proc/sys/net/ipv4/conf/hart{host.slot.number}/forwarding").read_text()
    assert forwarding.strip() == "0", "what a machine sends elsewhere must end here, also where the host is a router"


def test_salt_is_installed_and_started_as_its_own_package_does(boot: Boot, host: MachineHost) -> None:
    host.dns["salt"] = host.address  # the start of a minion that cannot resolve its master does not end
    machine = boot()
    machine.wait(RAN)
    ok(machine, use_repository(host, host.repository_key))
    ok(machine, "apt-get update -qq --error-on=any")
    ok(machine, install(salt_package.version()))
    assert salt_package.version() in ok(machine, "salt-call --version")
    assert ok(machine, "systemctl is-enabled salt-minion").strip() == "enabled"
    assert machine.run("systemctl is-active salt-minion")[1].strip() in ("active", "activating")
    assert "/etc/salt/minion " in ok(machine, "dpkg-query --show --showformat='${Conffiles}' salt-minion")


def test_a_masked_salt_minion_is_installed_and_starts_only_when_unmasked(boot: Boot, host: MachineHost) -> None:
    machine = boot()
    machine.wait(RAN)
    ok(machine, use_repository(host, host.repository_key))
    ok(machine, "systemctl mask salt-minion && apt-get update -qq")
    ok(machine, install(salt_package.version()))
    assert machine.run("systemctl is-active salt-minion")[1].strip() == "inactive"
    assert machine.run("pgrep -f '[s]alt-minion'")[0] == 1
    ok(machine, "systemctl unmask salt-minion")
    ok(machine, f"mkdir -p /etc/salt/minion.d; echo 'master: {host.address}' > /etc/salt/minion.d/test.conf")
    ok(machine, "systemctl enable --quiet --no-block --now salt-minion")
    machine.wait("pgrep -f '[s]alt-minion'")
    machine.wait("systemctl is-active salt-minion")


def test_every_version_can_be_installed_and_an_unknown_one_is_an_error(boot: Boot, host: MachineHost) -> None:
    machine = boot()
    machine.wait(RAN)
    ok(machine, use_repository(host, host.repository_key) + "apt-get update -qq")
    shown = ok(machine, "apt-cache madison salt-minion")
    assert all(version in shown for version in [salt_package.version(), *salt_package.other_versions()])
    older = salt_package.other_versions()[0]
    ok(machine, install(older))
    assert ok(machine, "salt-call --version").split()[-1] == older
    assert ok(machine, "systemctl is-active salt-minion").strip() == "active"
    code, output = machine.run(install("1.2.3"))
    assert code != 0
    assert "1.2.3" in output


def test_a_repository_signed_with_another_key_is_refused(boot: Boot, host: MachineHost) -> None:
    machine = boot()
    machine.wait(RAN)
    ok(machine, use_repository(host, host.wrong_key))
    code, output = machine.run("apt-get update --error-on=any")
    assert code != 0
    assert "NO_PUBKEY" in output or "not signed" in output
    assert machine.run(install())[0] != 0


@pytest.mark.parametrize("style", ["one-line", "deb822"])
def test_an_image_lacks_security_upgrades(boot: Boot, style: str) -> None:
    machine = boot(apt_sources=style)
    machine.wait(RAN)
    ok(machine, "apt-get update -qq --error-on=any")
    upgradable = ok(machine, "apt list --upgradable 2>/dev/null")
    assert "behind-security/bookworm-security 1.0-1+fix1 all" in upgradable
    assert "behind-updates/bookworm-updates 1.0-2 all" in upgradable
    assert (machine.run("test -e /etc/apt/sources.list")[0] == 0) is (style == "one-line")


def test_a_snapshot_boots_as_another_instance_with_the_first_ones_files(boot: Boot, host: MachineHost) -> None:
    first = boot()
    first.wait(RAN)
    first.wait("cloud-init status | grep -q done")
    ok(first, "echo kept > /root/kept; rm /etc/motd")
    keys = ok(first, "cat /etc/ssh/ssh_host_ed25519_key.pub")
    second = boot(image=host.snapshot(first))
    assert first.state() == "stopped"
    second.wait(f"grep {second.spec.hostname} /root/ran")
    assert ok(second, "cat /root/kept") == "kept\n"
    assert second.run("test -e /etc/motd")[0] == 1
    assert ok(second, "cat /etc/ssh/ssh_host_ed25519_key.pub") != keys


def test_a_reboot_or_power_cycle_keeps_the_disk_and_does_not_run_the_user_data_again(boot: Boot) -> None:
    machine = boot()
    machine.wait(RAN)
    machine.wait("cloud-init status | grep -q done")
    ok(machine, "touch /run/before")
    machine.run("systemctl reboot")
    machine.wait("test ! -e /run/before")
    machine.wait("cloud-init status | grep -q done")
    assert len(ok(machine, RAN).splitlines()) == 1
    machine.start()
    machine.wait("cloud-init status | grep -q done")
    assert len(ok(machine, RAN).splitlines()) == 1


def test_debian_13_boots_and_runs_the_same_package(boot: Boot, host: MachineHost) -> None:
    machine = boot(image="debian-13")
    machine.wait(RAN, timeout=600)
    assert ok(machine, "cat /etc/debian_version").startswith("13")
    ok(machine, use_repository(host, host.repository_key) + "apt-get update -qq --error-on=any")
    ok(machine, "systemctl mask salt-minion")
    ok(machine, install(salt_package.version()))
    assert salt_package.version() in ok(machine, "salt-call --version")


def test_killing_a_machine_that_has_just_started_leaves_nothing(host: MachineHost) -> None:
    for pause in (0, 0.1, 0.4):
        machine = host.boot(spec_for(host, 900))
        time.sleep(pause)
        machine.kill()
        machine.kill()
        assert machine.state() == "gone"
        assert not machine.place.root.exists()
        assert not machine.cgroup.exists()


def test_concurrent_processes_build_once_and_an_interrupted_build_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = [sys.executable, "-c", BUILDS, str(tmp_path / "log")]
    cut = subprocess.Popen([*command, "600"], cwd=ROOT)
    while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text():
        time.sleep(0.01)
    cut.kill()
    cut.wait(120)
    both = [subprocess.Popen([*command, "0.5"], cwd=ROOT) for _ in range(2)]
    assert [each.wait(300) for each in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "begun\nbegun\nended\n"
    assert sorted(path.name for path in cache.directory().iterdir()) == ["thing", "thing.lock"]


def traces(number: int) -> dict[str, object]:
    """Return everything that a session can leave on the host."""
    links = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True, check=True).stdout
    session = [str(path) for path in (cache.directory() / "sessions").glob(f"{number}-*")]
    top = cgroups.root()
    return {
        "links": [line for line in links.splitlines() if f" hart{number}" in line],
        "namespaces": [path.name for path in Path("/run/netns").glob(f"hart{number}-*")],
        "cgroups": [str(path) for path in [top / f"hart-cloud-{number}" if top else Path("/nowhere")] if path.exists()],
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if "/sessions/" in line],
        "directories": session,
        "locks": [str(path) for path in slots.DIRECTORY.glob(f"{number}.*")],
        "processes": [pid for pid in _pids() if any(directory in _command(pid) for directory in session)],
    }


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace") + str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""


def test_closing_leaves_nothing_on_the_host() -> None:
    with MachineHost() as host:
        number = host.slot.number
        machine = host.boot(spec_for(host, 1))
        host.boot(spec_for(host, 2))
        machine.wait(RAN)
        assert all(traces(number)[kind] for kind in ("links", "namespaces", "cgroups", "directories", "locks"))
    assert {kind: found for kind, found in traces(number).items() if found} == {}


KILLED = """
import time
from tests.machines.machines import MachineHost
from tests.machines.test_cloud_machines import RAN, spec_for
host = MachineHost()
machine = host.boot(spec_for(host, 1))
machine.wait(RAN)
print(host.slot.number, machine.cgroup, flush=True)
time.sleep(600)
"""


def test_the_next_session_removes_what_a_killed_session_left(host: MachineHost) -> None:
    crashed = subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert crashed.stdout is not None
    number, cgroup = crashed.stdout.readline().split()
    crashed.send_signal(signal.SIGKILL)
    crashed.wait(120)
    crashed.stdout.close()
    assert int(number) != host.slot.number
    assert cgroups.processes(Path(cgroup))
    with MachineHost():
        # Its number does not matter: the files and all processes of the dead session are gone.
        assert not Path(cgroup).exists()
    assert {kind: found for kind, found in traces(int(number)).items() if found} == {}
