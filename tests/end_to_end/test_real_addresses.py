"""Further addresses on a machine that really boots, restarts for one of them, and is rebooted afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from tests.drivers.vultr import in_tables as cloud_vultr
from tests.drivers.vultr.emulator.cloud import Vultr
from tests.end_to_end import real_cloud, tools
from tests.end_to_end.conftest import Ran
from tests.end_to_end.real_cloud import RealCloud, ok
from tests.machines import requirements

_missing = requirements.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")

MINION = "web-1.example"
ADDRESSES = "ip -o -4 address show scope global | awk '{ print $2, $4 }'"
#: networkd sets a metric on the network's own route at the first boot, and none after later boots
ROUTES = "ip -4 route | grep -v 'dev eth1' | sed 's/ metric 1024 *$//; s/ *$//'"


@pytest.fixture
def cloud(factories: FactoriesManager) -> Iterator[RealCloud]:
    with real_cloud.opened(factories, cloud_vultr.CLOUD) as opened:
        yield opened


def done(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran
    entry: dict[str, Any] = ran.data[MINION]
    assert entry["result"] is True, ran
    return entry


def test_addresses_work_at_once_and_after_reboots_and_go_with_their_removal_and_the_node(cloud: RealCloud) -> None:
    assert isinstance(cloud.cloud, Vultr)
    first = done(cloud.create(MINION, security_upgrades="off"))
    machine, run = cloud.machine(MINION), cloud.master.run
    machine.wait(cloud.kind.booted)
    before, routes = ok(machine, ADDRESSES), ok(machine, ROUTES)
    reserved = cloud.cloud.add_reserved("ams")
    vpc = cloud.cloud.add_vpc("of-the-account", "ams")

    # One that is added at once, by a drop-in to networkd's configuration of the interface.
    given = done(run("hart.add_ip", MINION, f"ip={reserved}"))
    assert (given["changed"], given["interface"], given["ip"]) == (True, "eth0", reserved)
    assert real_cloud.host_key_at(reserved) in [" ".join(key.split()[:2]) for key in first["ssh_host_keys"]]
    assert ok(machine, ROUTES) == routes
    ok(machine, "systemctl restart systemd-networkd")
    machine.wait(f"ip -o -4 address show dev eth0 | grep -qF {reserved}/32")

    # One that is bought, and one whose network comes with a restart: the reserved one is there after it.
    bought = done(run("hart.add_ip", MINION, "kind=additional"))
    boot = ok(machine, "cat /proc/sys/kernel/random/boot_id; systemctl show -P UserspaceTimestampMonotonic")
    inside = done(run("hart.add_ip", MINION, "kind=private", f"vpc={vpc}", "reboot=True"))
    assert ok(machine, "cat /proc/sys/kernel/random/boot_id; systemctl show -P UserspaceTimestampMonotonic") != boot
    assert (inside["interface"], bought["interface"]) == ("eth1", "eth0")
    expected = {f"eth0 {reserved}/32", f"eth0 {bought['ip']}/32", f"eth1 {inside['ip']}/20"}
    assert expected == {*ok(machine, ADDRESSES).splitlines()} - {*before.splitlines()}
    calls = len(cloud.cloud.calls)
    for request in ([f"ip={reserved}"], ["kind=additional"], ["kind=private"]):
        assert done(run("hart.add_ip", MINION, *request))["changed"] is False
    assert {call.method for call in cloud.cloud.calls[calls:]} == {"GET"}

    # Another reboot changes nothing of it, and the node works as before.
    machine.stop()
    machine.start(cold=True)
    tools.until(lambda: cloud.pings(MINION), "the minion answers after the reboot")
    machine.wait("systemctl is-system-running --wait | grep -q running")
    assert {*ok(machine, ADDRESSES).splitlines()} == {*before.splitlines(), *expected}
    assert ok(machine, "cat /sys/class/net/eth1/mtu") == "1450"
    assert ok(machine, ROUTES) == routes
    assert real_cloud.host_key_at(bought["ip"]) == real_cloud.host_key_at(first["public_ip"])

    assert done(run("hart.remove_ip", MINION, f"ip={reserved}"))["changed"] is True
    assert f"eth0 {reserved}/32" not in ok(machine, ADDRESSES).splitlines()
    assert ok(machine, f"find /etc/systemd -name 'hart-address-{reserved}*'") == ""
    assert cloud.cloud.state.left()["attached addresses"] == []
    assert (cloud.cloud.defects, cloud.cloud.machines.failures, cloud.cloud.said_against()) == ([], [], [])
    cloud.destroy(MINION)
    assert cloud.cloud.state.left()["additional addresses"] == []
    assert set(cloud.left()) <= {"VPCs"}
