"""Reserved addresses at DigitalOcean, through its emulated API: refusals, delays and faults."""

from __future__ import annotations

import pytest

from hart_salt.base.errors import InvalidRequest, TemporaryFailure
from hart_salt.drivers.do import driver as do
from hart_salt.model import ADDITIONAL, PRIVATE, RESERVED, AddressRequest, Instance
from tests.drivers.do.driver import Time, launch, node
from tests.drivers.do.emulator.cloud import DigitalOcean as Cloud
from tests.emulation import faults
from tests.emulation.faults import Fault

ACTIONS = r"/reserved_ips/[0-9.]+/actions$"
RESERVED_LIST = r"/reserved_ips$"


def assigned(cloud: Cloud) -> list[str]:
    return cloud.state.left()["assigned"]


def test_a_reserved_address_needs_no_configuration_on_the_node(
    cloud: Cloud, driver: do.DigitalOcean, instance: Instance
) -> None:
    found = driver.find_address(instance, AddressRequest(RESERVED, cloud.add_reserved("nyc3")))
    assert (found.on_node, found.restarts, found.there) == (False, False, False)
    assert "still sends from its public address" in found.note


def test_the_driver_waits_for_a_slow_assignment(
    cloud: Cloud, driver: do.DigitalOcean, instance: Instance, time: Time
) -> None:
    ip = cloud.add_reserved("nyc3")
    cloud.settings.assign_after = 11
    driver.add_address(instance, driver.find_address(instance, AddressRequest(RESERVED, ip)))
    assert (assigned(cloud), sum(time.waits) >= 10) == ([ip], True)
    driver.remove_address(instance, driver.find_address(instance, AddressRequest(RESERVED, ip)))
    assert (assigned(cloud), cloud.count("POST", ACTIONS)) == ([], 2)


def test_a_locked_address_does_not_count_as_assigned(
    cloud: Cloud, driver: do.DigitalOcean, instance: Instance, time: Time
) -> None:
    """The API refuses the next change of an address while it is locked, whichever droplet it shows."""
    ip = cloud.add_reserved("nyc3")
    locked = {"ip": ip, "region": {"slug": "nyc3"}, "droplet": {"id": int(instance.instance_id)}, "locked": True}
    cloud.faults.add(Fault("GET", f"/reserved_ips/{ip}$", status=200, answer={"reserved_ip": locked}, times=2))
    driver.add_address(instance, driver.find_address(instance, AddressRequest(RESERVED, ip)))
    assert (cloud.faults.pending(), len(time.waits)) == ([], 2)


def test_an_assignment_that_never_ends_is_an_uncertain_failure(
    cloud: Cloud, driver: do.DigitalOcean, instance: Instance
) -> None:
    ip = cloud.add_reserved("nyc3")
    cloud.settings.assign_after = 3600
    with pytest.raises(TemporaryFailure, match="is still being changed") as caught:
        driver.add_address(instance, driver.find_address(instance, AddressRequest(RESERVED, ip)))
    assert caught.value.uncertain


def test_a_change_is_retried_while_the_droplet_has_a_pending_event(
    cloud: Cloud, driver: do.DigitalOcean, instance: Instance
) -> None:
    ip = cloud.add_reserved("nyc3")
    cloud.settings.pending_events = 3
    driver.add_address(instance, driver.find_address(instance, AddressRequest(RESERVED, ip)))
    assert (assigned(cloud), cloud.count("POST", ACTIONS)) == ([ip], 4)
    cloud.settings.pending_events = 1000
    with pytest.raises(InvalidRequest, match="pending event"):
        driver.remove_address(instance, driver.find_address(instance, AddressRequest(RESERVED, ip)))


def test_impossible_addresses_are_refused_with_what_to_do(
    cloud: Cloud, driver: do.DigitalOcean, instance: Instance, time: Time
) -> None:
    free, far, taken = (cloud.add_reserved(region) for region in ("nyc3", "fra1", "nyc3"))
    launch(driver, node("other.example.com"))
    time.advance(60)
    other = next(one for one in driver.instances() if one.minion_id == "other.example.com")
    driver.add_address(other, driver.find_address(other, AddressRequest(RESERVED, taken)))
    for wanted, text in {
        AddressRequest(RESERVED, "192.0.2.1"): f"no reserved address 192.0.2.1; free in this region: {free} ?",
        AddressRequest(RESERVED, far): "is in fra1, but the node is in nyc3",
        AddressRequest(RESERVED, taken): f"the droplet {other.instance_id} has {taken}: remove it from there first",
        AddressRequest(ADDITIONAL): "a second public address must be a reserved one: use kind=reserved",
    }.items():
        with pytest.raises(InvalidRequest, match=text):
            driver.find_address(instance, wanted)
    with pytest.raises(InvalidRequest, match=f"one reserved address; the node has {taken}"):
        driver.find_address(other, AddressRequest(RESERVED, free))
    assert cloud.count("POST", ACTIONS) == 1


def test_a_droplet_has_its_private_address_from_its_creation(
    cloud: Cloud, driver: do.DigitalOcean, instance: Instance
) -> None:
    found = driver.find_address(instance, AddressRequest(PRIVATE))
    assert (found.there, found.on_node, found.ip) == (True, False, instance.private_ip)


def test_the_public_address_is_the_droplets_own(
    cloud: Cloud, driver: do.DigitalOcean, instance: Instance, time: Time
) -> None:
    """A droplet shows its reserved address as a second public one, in any order.

    One call per list finds out which.
    """
    launch(driver, node("other.example.com"))
    time.advance(60)
    before = {one.minion_id: one.public_ip for one in driver.instances()}
    assert cloud.count("GET", RESERVED_LIST) == 0
    driver.add_address(instance, driver.find_address(instance, AddressRequest(RESERVED, cloud.add_reserved("nyc3"))))
    cloud.calls.clear()
    for _ in range(8):  # the emulator shuffles the addresses
        assert {one.minion_id: one.public_ip for one in driver.instances()} == before
        found, imported = driver.instance(instance), driver.candidates(instance.minion_id)
        assert found is not None
        assert {found.public_ip, imported[0].instance.public_ip} == {instance.public_ip}
    assert cloud.count("GET", RESERVED_LIST) == 3 * 8


def test_without_the_right_for_reserved_addresses_a_list_shows_one_of_both(
    cloud: Cloud, driver: do.DigitalOcean, instance: Instance
) -> None:
    ip = cloud.add_reserved("nyc3")
    driver.add_address(instance, driver.find_address(instance, AddressRequest(RESERVED, ip)))
    cloud.faults.add(Fault("GET", RESERVED_LIST, status=403))
    (found,) = driver.instances()
    assert found.public_ip in (ip, instance.public_ip)


@pytest.mark.parametrize("kind", ["assign", "unassign"])
@pytest.mark.parametrize("how", ["lost", "502 but done", "throttled"])
def test_after_a_lost_answer_the_driver_reads_the_state(
    cloud: Cloud, driver: do.DigitalOcean, instance: Instance, kind: str, how: str
) -> None:
    wanted = AddressRequest(RESERVED, cloud.add_reserved("nyc3"))
    if kind == "unassign":
        driver.add_address(instance, driver.find_address(instance, wanted))
    cloud.faults.add({
        "lost": faults.lost_answer(ACTIONS), "throttled": faults.throttled(ACTIONS, "POST"),
        "502 but done": Fault("POST", ACTIONS, status=502, answer=faults.HTML.format(502), when="after"),
    }[how])  # fmt: skip
    act = driver.add_address if kind == "assign" else driver.remove_address
    act(instance, driver.find_address(instance, wanted))
    assert assigned(cloud) == ([wanted.ip] if kind == "assign" else [])
    assert cloud.count("POST", ACTIONS, body=f'"{kind}"') == 1 + (how == "throttled")


def test_a_call_that_did_nothing_is_an_uncertain_failure(
    cloud: Cloud, driver: do.DigitalOcean, instance: Instance
) -> None:
    found = driver.find_address(instance, AddressRequest(RESERVED, cloud.add_reserved("nyc3")))
    cloud.faults.add(Fault("POST", ACTIONS, drop=True))
    with pytest.raises(TemporaryFailure) as caught:
        driver.add_address(instance, found)
    assert (caught.value.uncertain, assigned(cloud), cloud.count("POST", ACTIONS)) == (True, [], 1)


def test_a_refusal_is_reported_and_not_retried(cloud: Cloud, driver: do.DigitalOcean, instance: Instance) -> None:
    found = driver.find_address(instance, AddressRequest(RESERVED, cloud.add_reserved("nyc3")))
    cloud.faults.add(Fault("POST", ACTIONS, status=422, answer={"id": "unprocessable_entity", "message": "No."}))
    with pytest.raises(InvalidRequest, match="No"):
        driver.add_address(instance, found)
    assert cloud.count("POST", ACTIONS) == 1
