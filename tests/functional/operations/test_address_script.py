"""
``address.sh`` on a separate machine: namespaces with a network and the directories that it writes to.

A stand-in for ``systemctl`` runs a unit's commands like systemd; the tests with real machines check what a real one
does after a reboot.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hart_salt.operations.addresses import SCRIPT

MAIN, EXTRA, MAC = "192.0.2.5", "192.0.2.77", "02:00:00:00:00:05"
#: keeps enabled units as links, and "starts" a unit by running its commands
SYSTEMCTL = r"""#!/bin/sh
units=/etc/systemd/system
echo "$*" >> /run/systemctl.calls
case "$*" in
    daemon-reload) ;;
    "is-enabled "*) test -e "$units/enabled-$3" ;;
    "enable "*) touch "$units/enabled-$3" ;;
    "disable "*) sed -n 's/^ExecStop=-//p' "$units/$4.service" | sh; rm -f "$units/enabled-$4" ;;
    "restart "*) test ! -e /run/broken && sed -n 's/^ExecStart=//p' "$units/$2.service" | sh -e ;;
    *) echo "unknown: $*" >&2; exit 9 ;;
esac
"""
SETUP = f"""
mount -t tmpfs none /etc/systemd && mkdir -p /etc/systemd/system /etc/systemd/network
mount -t tmpfs none /run && mkdir -p /run/systemd/netif/links
mount -t tmpfs none /usr/local/sbin && install "$0/systemctl" /usr/local/sbin/systemctl
ip link add eth0 address {MAC} type veth peer name outside
ip link set outside up && ip link set eth0 up && ip address add {MAIN}/24 dev eth0 && ip route add default via 192.0.2.1
touch "$0/ready"; exec sleep 600
"""
MANAGED = """
number=$(ip -o link show eth0 | cut -d: -f1)
echo NETWORK_FILE=/run/systemd/network/10-netplan-eth0.network > /run/systemd/netif/links/$number
"""
DROP_IN = f"/etc/systemd/network/10-netplan-eth0.network.d/hart-address-{EXTRA}.conf"
UNIT = f"/etc/systemd/system/hart-address-{EXTRA}.service"


class Box:
    """The machine."""

    def __init__(self, directory: Path) -> None:
        (directory / "systemctl").write_text(SYSTEMCTL)
        self._process = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation=private", "sh", "-euc", SETUP, str(directory)]
        )
        for _ in range(200):
            if (directory / "ready").exists() or self._process.poll() is not None:
                break
            self.sh("sleep 0.02", check=False)

    def sh(self, command: str, *, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        inside = ["nsenter", f"--target={self._process.pid}", "--net", "--mount", "sh", "-c", command]
        return subprocess.run(inside, input=stdin, capture_output=True, text=True, check=check, timeout=300)

    def script(self, *arguments: str) -> tuple[int, str]:
        """Run the script as a minion does: from its standard input."""
        done = self.sh(f"sh -s -- {' '.join(arguments)}", check=False, stdin=SCRIPT.read_text())
        return done.returncode, (done.stderr if done.returncode else done.stdout).strip()

    def addresses(self, link: str = "eth0") -> list[str]:
        """Return the addresses of an interface."""
        return self.sh(f"ip -o -4 address show dev {link} | awk '{{ print $4 }}'").stdout.split()

    def files(self) -> list[str]:
        """Return the files that the script wrote."""
        return self.sh("find /etc/systemd -name 'hart-*' -o -name '*.network.d' -o -name '*.new'").stdout.split()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@pytest.fixture
def box(root: Path) -> Iterator[Box]:
    tools = all(shutil.which(tool) for tool in ("unshare", "nsenter", "ip"))
    probe = ["unshare", "--net", "--mount", "true"]
    if not tools or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no namespaces can be made here")
    made = Box(root)
    yield made
    made.close()


def test_with_networkd_it_is_a_drop_in_and_works_at_once(box: Box) -> None:
    box.sh(MANAGED)
    routes = box.sh("ip -4 route").stdout
    assert box.script("check", f"{EXTRA}/32", f"beside={MAIN}") == (4, f"{EXTRA}/32 is not configured on eth0")
    assert box.script("add", f"{EXTRA}/32", f"beside={MAIN}") == (0, "changed eth0")
    assert box.addresses() == [f"{MAIN}/24", f"{EXTRA}/32"]
    assert box.sh(f"cat {DROP_IN}").stdout == f"[Address]\nAddress={EXTRA}/32\n"
    assert box.sh(f"stat -c %a {DROP_IN} {Path(DROP_IN).parent}").stdout.split() == ["644", "755"]
    assert box.script("check", f"{EXTRA}/32", f"beside={MAIN}") == (0, "unchanged eth0")
    assert box.sh("ip -4 route").stdout == routes
    assert box.sh("test -e /run/systemctl.calls", check=False).returncode == 1, "networkd was not disturbed"


def test_without_networkd_it_is_a_unit(box: Box) -> None:
    assert box.script("add", f"{EXTRA}/20", f"mac={MAC}", "1450") == (0, "changed eth0")
    assert box.addresses() == [f"{MAIN}/24", f"{EXTRA}/20"]
    assert "mtu 1450" in box.sh("ip link show eth0").stdout
    unit = box.sh(f"cat {UNIT}").stdout
    assert "WantedBy=multi-user.target" in unit
    assert "Wants=" not in unit, "nothing is to be waited for that nobody else waits for"
    assert box.script("check", f"{EXTRA}/20", f"mac={MAC}", "1450") == (0, "unchanged eth0")


@pytest.mark.parametrize("prepare", [MANAGED, "true"])
def test_a_second_time_nothing_is_written(box: Box, prepare: str) -> None:
    box.sh(prepare)
    box.script("add", f"{EXTRA}/32", f"beside={MAIN}")
    stamps = box.sh("find /etc/systemd -type f -printf '%p %i %T@\\n'; cat /run/systemctl.calls", check=False).stdout
    assert box.script("add", f"{EXTRA}/32", f"beside={MAIN}") == (0, "unchanged eth0")
    again = box.sh("find /etc/systemd -type f -printf '%p %i %T@\\n'; cat /run/systemctl.calls", check=False).stdout
    known = "is-enabled --quiet"
    assert [line for line in again.splitlines() if known not in line] == [
        line for line in stamps.splitlines() if known not in line
    ]


@pytest.mark.parametrize("prepare", [MANAGED, "true"])
def test_an_incomplete_address_is_completed(box: Box, prepare: str) -> None:
    box.sh(prepare)
    box.script("add", f"{EXTRA}/32", f"beside={MAIN}")
    box.sh(f"ip address del {EXTRA}/32 dev eth0")
    assert box.script("add", f"{EXTRA}/32", f"beside={MAIN}") == (0, "changed eth0")
    assert f"{EXTRA}/32" in box.addresses()
    box.sh(f"rm -f {DROP_IN} {UNIT}")
    assert box.script("check", f"{EXTRA}/32", f"beside={MAIN}")[0] == 4
    assert box.script("add", f"{EXTRA}/32", f"beside={MAIN}") == (0, "changed eth0")
    assert box.files() != []


@pytest.mark.parametrize("prepare", [MANAGED, "true"])
def test_removing_leaves_nothing_and_is_idempotent(box: Box, prepare: str) -> None:
    box.sh(prepare)
    box.script("add", f"{EXTRA}/32", f"beside={MAIN}")
    for _ in range(2):
        assert box.script("remove", f"{EXTRA}/32", f"beside={MAIN}") == (0, "changed")
    assert (box.addresses(), box.files()) == ([f"{MAIN}/24"], [])


def test_it_is_found_when_another_tool_manages_the_interface(box: Box) -> None:
    """Added under networkd and removed without it, and the other way round."""
    box.sh(MANAGED)
    box.script("add", f"{EXTRA}/32", f"beside={MAIN}")
    box.sh("rm /run/systemd/netif/links/*")
    assert box.script("remove", f"{EXTRA}/32", f"beside={MAIN}") == (0, "changed")
    box.script("add", f"{EXTRA}/32", f"beside={MAIN}")
    box.sh(MANAGED)
    assert box.script("remove", f"{EXTRA}/32", f"beside={MAIN}") == (0, "changed")
    assert (box.addresses(), box.files()) == ([f"{MAIN}/24"], [])


def test_a_failure_is_rolled_back(box: Box) -> None:
    box.sh("touch /run/broken")
    code, _ = box.script("add", f"{EXTRA}/32", f"beside={MAIN}")
    assert code not in (0, 3, 4)
    assert (box.addresses(), box.files()) == ([f"{MAIN}/24"], [])


def test_a_missing_interface_has_its_own_exit_code(box: Box) -> None:
    for place in ("mac=02:00:00:00:00:99", "beside=192.0.2.99"):
        code, said = box.script("add", f"{EXTRA}/32", place)
        assert (code, said) == (3, f"no interface of this machine has {place.partition('=')[2]}")
    assert box.files() == []


def test_an_address_is_not_mistaken_for_a_similar_one(box: Box) -> None:
    """192.0.2.7 is the beginning of 192.0.2.77."""
    box.script("add", f"{EXTRA}/32", f"beside={MAIN}")
    assert box.script("check", "192.0.2.7/32", f"beside={MAIN}")[0] == 4
    box.script("remove", "192.0.2.7/32", f"beside={MAIN}")
    assert f"{EXTRA}/32" in box.addresses()
