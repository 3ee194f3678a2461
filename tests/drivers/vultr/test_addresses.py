"""Further addresses at Vultr, through its emulated API: each kind, refusals, and faults of the calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hart_salt.base.errors import DriverError, InvalidRequest, TemporaryFailure
from hart_salt.drivers.vultr import driver as vultr
from hart_salt.model import ADDITIONAL, PRIVATE, RESERVED, AddressRequest, Instance, IpAddress
from tests.drivers.do.driver import Time
from tests.drivers.vultr.driver import launch, node, open_cloud
from tests.drivers.vultr.emulator.cloud import Vultr as Cloud
from tests.emulation import faults
from tests.emulation.faults import Fault

ATTACH, DETACH = r"/reserved-ips/[0-9a-f-]+/attach$", r"/reserved-ips/[0-9a-f-]+/detach$"
BUY, RELEASE = r"/instances/[0-9a-f-]+/ipv4$", r"/instances/[0-9a-f-]+/ipv4/[0-9.]+$"
JOIN, LEAVE = r"/vpcs/attach$", r"/vpcs/detach$"
KINDS = (RESERVED, ADDITIONAL, PRIVATE)
ADDING = ((RESERVED, ATTACH), (ADDITIONAL, BUY), (PRIVATE, JOIN))
TAKING = ((RESERVED, "POST", DETACH), (ADDITIONAL, "DELETE", RELEASE), (PRIVATE, "POST", LEAVE))


@pytest.fixture
def cloud(time: Time) -> Iterator[Cloud]:
    with open_cloud(time, check_answers=True) as cloud:
        yield cloud


def request(kind: str, cloud: Cloud) -> AddressRequest:
    """Return a request that can be granted."""
    if kind == RESERVED:
        return AddressRequest(kind, cloud.add_reserved("ams"))
    if kind == PRIVATE:
        return AddressRequest(kind, vpc=cloud.add_vpc("of-the-account", "ams"))
    return AddressRequest(kind)


def writes(cloud: Cloud) -> list[str]:
    """Return the paths of the calls that change something, without the create."""
    return [one.path for one in cloud.calls if one.method != "GET" and not one.path.endswith("/instances")]


def held(cloud: Cloud, instance: Instance) -> int:
    """Return the number of further addresses that the instance has in the account."""
    it = cloud.state.instances[instance.instance_id]
    own = [one for one in cloud.state.reserved.values() if one.instance_id == it.id]
    return len(own) + len(it.additional) + len(it.vpc_ids)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_address_is_added_with_one_call_and_removed_with_one(
    cloud: Cloud, driver: vultr.Vultr, instance: Instance, kind: str
) -> None:
    wanted = request(kind, cloud)
    found = driver.find_address(instance, wanted)
    assert (found.there, writes(cloud)) == (False, [])
    given = driver.add_address(instance, found)
    assert given.there
    assert given.ip
    assert driver.find_address(instance, wanted) == given
    assert list(driver.addresses(instance)) == [given]
    assert len(writes(cloud)) == 1
    for _ in range(2):
        driver.remove_address(instance, IpAddress(given.kind, given.ip, given.handle))
    assert held(cloud, instance) == 0
    assert len([call for call in cloud.calls if call.status in (202, 204) and call.path in writes(cloud)]) == 2


def test_public_addresses_are_beside_the_main_one_and_cause_no_restart(
    cloud: Cloud, driver: vultr.Vultr, instance: Instance
) -> None:
    for kind in (RESERVED, ADDITIONAL):
        given = driver.add_address(instance, driver.find_address(instance, request(kind, cloud)))
        assert (given.beside, given.prefix, given.mac, given.restarts) == (instance.public_ip, 32, "", False)
        assert "may work only after a restart" in given.note
    assert cloud.state.instances[instance.instance_id].restarts == 0
    assert sorted(one.kind for one in driver.addresses(instance)) == [ADDITIONAL, RESERVED]


def test_a_private_address_has_its_interface_and_announces_a_restart(
    cloud: Cloud, driver: vultr.Vultr, instance: Instance
) -> None:
    found = driver.find_address(instance, request(PRIVATE, cloud))
    assert found.restarts
    given = driver.add_address(instance, found)
    assert (given.mac, given.prefix, given.mtu) == ("5a:02:04:5e:00:28", 20, 1450)
    assert given.ip == cloud.state.instances[instance.instance_id].addresses.private


def test_the_vpc_can_be_left_out_if_the_region_has_only_one(
    cloud: Cloud, driver: vultr.Vultr, instance: Instance
) -> None:
    with pytest.raises(InvalidRequest, match="name the VPC with vpc=ID; ams has: none"):
        driver.find_address(instance, AddressRequest(PRIVATE))
    cloud.add_vpc("elsewhere", "ewr")
    one = cloud.add_vpc("here", "ams")
    assert driver.find_address(instance, AddressRequest(PRIVATE)).handle == one
    other = cloud.add_vpc("also here", "ams")
    with pytest.raises(InvalidRequest, match=f"{one}, {other}"):
        driver.find_address(instance, AddressRequest(PRIVATE))


def test_impossible_addresses_are_refused_with_what_to_do(
    cloud: Cloud, driver: vultr.Vultr, instance: Instance, time: Time
) -> None:
    free, far = cloud.add_reserved("ams"), cloud.add_reserved("ewr")
    launch(driver, node("other.example.com"))
    time.advance(60)
    other = next(one for one in driver.instances() if one.minion_id == "other.example.com")
    taken = cloud.add_reserved("ams")
    driver.add_address(other, driver.find_address(other, AddressRequest(RESERVED, taken)))
    before = len(writes(cloud))
    for wanted, text in {
        AddressRequest(RESERVED, "192.0.2.1"): f"no reserved address 192.0.2.1; free in this region: {free}$",
        AddressRequest(RESERVED, far): "is in the region ewr, but the node is in ams",
        AddressRequest(RESERVED, taken): f"attached to the instance {other.instance_id}: detach it there first",
        AddressRequest(PRIVATE, vpc="no-such"): "ams has no VPC no-such; it has: none",
    }.items():
        with pytest.raises(InvalidRequest, match=text):
            driver.find_address(instance, wanted)
    assert len(writes(cloud)) == before


def test_further_public_addresses_need_a_public_ipv4_address(cloud: Cloud, driver: vultr.Vultr, time: Time) -> None:
    launch(driver, node(options={"ipv6": True, "disable_public_ipv4": True}))
    time.advance(60)
    (instance,) = driver.instances()
    for kind in (RESERVED, ADDITIONAL):
        with pytest.raises(InvalidRequest, match="no public IPv4 address"):
            driver.find_address(instance, request(kind, cloud))


@pytest.mark.parametrize(("kind", "path"), ADDING)
@pytest.mark.parametrize("answer", ["lost", "502 but done", "late"])
def test_after_a_lost_answer_the_driver_reads_the_state_and_requests_nothing_twice(
    cloud: Cloud, driver: vultr.Vultr, instance: Instance, kind: str, path: str, answer: str
) -> None:
    found = driver.find_address(instance, request(kind, cloud))
    if answer == "502 but done":
        cloud.faults.add(Fault("POST", path, status=502, answer=faults.HTML.format(502), when="after"))
    else:
        cloud.faults.add(faults.lost_answer(path))
    if answer == "late":
        cloud.settings.ipv4_after = 1.0
    given = driver.add_address(instance, found)
    assert (given.there, held(cloud, instance), cloud.count("POST", path)) == (True, 1, 1)


@pytest.mark.parametrize(("kind", "path"), ADDING)
def test_a_dropped_call_without_effect_is_an_uncertain_failure(
    cloud: Cloud, driver: vultr.Vultr, instance: Instance, kind: str, path: str
) -> None:
    found = driver.find_address(instance, request(kind, cloud))
    cloud.faults.add(Fault("POST", path, drop=True))
    with pytest.raises(TemporaryFailure) as caught:
        driver.add_address(instance, found)
    assert caught.value.uncertain
    assert (held(cloud, instance), cloud.count("POST", path)) == (0, 1)


@pytest.mark.parametrize(("kind", "path"), ADDING)
def test_a_throttled_call_is_retried_and_a_refused_one_is_not(
    cloud: Cloud, driver: vultr.Vultr, instance: Instance, kind: str, path: str
) -> None:
    found = driver.find_address(instance, request(kind, cloud))
    cloud.faults.add(Fault("POST", path, status=400, answer={"error": "No.", "status": 400}))
    with pytest.raises(InvalidRequest, match="No"):
        driver.add_address(instance, found)
    assert held(cloud, instance) == 0
    cloud.faults.add(faults.throttled(path, "POST", retry_after=5))
    assert driver.add_address(instance, found).there
    assert (held(cloud, instance), cloud.count("POST", path)) == (1, 3)


@pytest.mark.parametrize(("kind", "method", "path"), TAKING)
@pytest.mark.parametrize("how", ["lost", "throttled", "500"])
def test_an_address_can_be_removed_despite_failed_calls(
    cloud: Cloud, driver: vultr.Vultr, instance: Instance, kind: str, method: str, path: str, how: str
) -> None:
    given = driver.add_address(instance, driver.find_address(instance, request(kind, cloud)))
    cloud.faults.add({
        "lost": faults.lost_answer(path, method), "throttled": faults.throttled(path, method),
        "500": Fault(method, path, status=500),
    }[how])  # fmt: skip
    try:
        driver.remove_address(instance, given)
    except DriverError as error:
        # A POST that failed without effect is not retried automatically, but can be repeated.
        assert (method, how, isinstance(error, TemporaryFailure)) == ("POST", "500", True)
        driver.remove_address(instance, given)
    assert held(cloud, instance) == 0


def test_a_failed_detach_is_reported_with_vultrs_message(cloud: Cloud, driver: vultr.Vultr, instance: Instance) -> None:
    given = driver.add_address(instance, driver.find_address(instance, request(RESERVED, cloud)))
    cloud.settings.stuck = True
    with pytest.raises(InvalidRequest, match="please restart your server from the control panel"):
        driver.remove_address(instance, given)


def test_an_additional_address_is_released_with_its_instance(
    cloud: Cloud, driver: vultr.Vultr, instance: Instance
) -> None:
    driver.add_address(instance, driver.find_address(instance, AddressRequest(ADDITIONAL)))
    assert cloud.state.left()["additional addresses"] != []
    driver.terminate(instance)
    assert cloud.state.left()["additional addresses"] == []
