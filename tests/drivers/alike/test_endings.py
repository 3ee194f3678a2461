"""
What all APIs with a token share: termination, parallel calls, and a refused token.

A delete can be refused temporarily, have no effect, or be slow.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from hart_salt.base.errors import AuthError, TemporaryFailure
from hart_salt.drivers.contract import Driver
from hart_salt.model import Instance
from tests.drivers.tested import BATCH, KEY, SCRIPT, Time
from tests.emulation.emulator import Emulator
from tests.emulation.faults import MachineFault
from tests.emulation.stateful import StatefulEmulator

#: an id without an instance
NOWHERE = {"do": "4711", "hetzner": "999999999", "vultr": "5a4981aa-9653-4bd1-bef5-d6bff52042e4"}
NO_IDS = {
    "hetzner": ["", ".", "..", "a1", f"{NOWHERE['hetzner']}/actions/poweroff", "\u0661", f"{NOWHERE['hetzner']}\n"],
    "vultr": ["", ".", "..", "4711", f"{NOWHERE['vultr']}/vpcs", "halt", f"{NOWHERE['vultr']}\n"],
}
LOCKED = {"hetzner": r"server is locked \(423 locked", "vultr": r"Server is currently locked \(500\)"}
#: the call that switches an instance off
OFF = {"hetzner": "servers/{}/actions/poweroff", "vultr": "instances/{}/halt"}
BAD_TOKEN = {
    "hetzner": r"^Hetzner: unable to authenticate \(401 unauthorized, request 1e30f35cca296a67\)$",
    "vultr": r"^Vultr: Invalid API token\. \(401\)$",
}


@pytest.mark.parametrize("cloud_name", NOWHERE)
def test_terminate_is_repeatable(
    cloud_name: str, own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver
) -> None:
    instance = own.launch(driver, own.node())
    for _ in range(2):
        driver.terminate(instance)
    driver.terminate(Instance(NOWHERE[cloud_name], "a", "running"))
    assert own.left(cloud) == {}


@pytest.mark.parametrize(("cloud_name", "instance_id"), [(name, it) for name, ids in NO_IDS.items() for it in ids])
def test_an_invalid_instance_id_is_never_sent(
    cloud_name: str, cloud: StatefulEmulator[Any, Any], driver: Driver, instance_id: str
) -> None:
    driver.terminate(Instance(instance_id, "a", "running"))
    assert cloud.calls == []


@pytest.mark.parametrize("cloud_name", ["do", "ec2", "hetzner", "vultr"])
@pytest.mark.parametrize("fault", [MachineFault(refuse_delete=3), MachineFault(ignore_delete=3)])
def test_an_instance_that_is_not_deleted_at_once(
    own: ModuleType, cloud: Emulator, driver: Driver, time: Time, fault: MachineFault
) -> None:
    cloud.faults.add(fault)
    driver.terminate(own.launch(driver, own.node()))
    assert (own.left(cloud), time.waits) == ({}, [1, 2, 4])


@pytest.mark.parametrize("cloud_name", LOCKED)
def test_an_instance_that_is_locked_while_it_is_made_is_deleted_later(
    cloud_name: str, own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver, time: Time
) -> None:
    cloud.settings.locked_for = 130
    instance = own.launch(driver, own.node())
    if cloud_name == "vultr":
        path = f"instances/{instance.instance_id}"
        assert own.Client(cloud).get(path)["instance"]["server_status"] == "locked"
    driver.terminate(instance)
    assert (own.left(cloud), 130 <= sum(time.waits) < 150) == ({}, True)


@pytest.mark.parametrize(
    ("cloud_name", "switches"),
    [("hetzner", {}), ("vultr", {"pending_status": 400}), ("vultr", {"pending_status": 500})],
)
def test_an_instance_that_is_being_deleted_is_polled_until_it_is_gone(
    own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver, time: Time, switches: dict[str, Any]
) -> None:
    vars(cloud.settings).update(gone_after=12, **switches)
    driver.terminate(own.launch(driver, own.node()))
    assert (driver.instances(), time.waits) == ([], [1, 2, 4, 8])


@pytest.mark.parametrize("cloud_name", LOCKED)
def test_an_instance_that_is_never_deleted(
    cloud_name: str, own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver, time: Time
) -> None:
    cloud.settings.locked_for = 10**6
    with pytest.raises(TemporaryFailure, match=LOCKED[cloud_name]):
        driver.terminate(own.launch(driver, own.node()))
    assert 150 < sum(time.waits) < 240


@pytest.mark.parametrize(("cloud_name", "path"), OFF.items())
def test_an_instance_that_was_switched_off_is_stopped(
    own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver, time: Time, path: str
) -> None:
    instance = own.launch(driver, own.node())
    time.advance(10)
    assert [it.state for it in driver.instances()] == ["running"]
    own.Client(cloud).call("POST", path.format(instance.instance_id))
    assert [it.state for it in driver.instances()] == ["stopped"]


@pytest.mark.parametrize("cloud_name", BAD_TOKEN)
def test_a_bad_token(cloud_name: str, own: ModuleType, cloud: StatefulEmulator[Any, Any], time: Time) -> None:
    driver = own.driver_of(cloud, time, token="WRONG")  # noqa: S106 - refused on purpose
    ending = Instance(NOWHERE[cloud_name], "a", "running")
    for call in (driver.check, driver.instances, lambda: driver.images(None), lambda: driver.terminate(ending)):
        with pytest.raises(AuthError, match=BAD_TOKEN[cloud_name]):
            call()
    assert time.waits == []


@pytest.mark.parametrize("cloud_name", ["hetzner", "vultr"])
def test_settling_asks_for_nothing(own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver) -> None:
    instance = own.launch(driver, own.node())
    before = len(cloud.calls)
    driver.settle(instance)
    assert len(cloud.calls) == before


@pytest.mark.parametrize("cloud_name", NOWHERE)
def test_calls_from_many_threads(
    cloud_name: str, own: ModuleType, cloud: StatefulEmulator[Any, Any], driver: Driver
) -> None:
    if cloud_name == "do":
        cloud.settings.minute_limit = None
    with driver.access(BATCH, KEY, []) as access, ThreadPoolExecutor(16) as pool:
        names = [f"n{number}" for number in range(24)]
        made = list(pool.map(lambda name: driver.launch(own.node(name), SCRIPT, access), names))
        assert sorted(instance.minion_id for instance in made) == sorted(names)
        assert set(pool.map(lambda _: len(driver.instances()), range(16))) == {24}
        list(pool.map(driver.terminate, made))
    assert own.left(cloud) == {}
