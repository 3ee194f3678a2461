"""The driver ``do`` against the emulated DigitalOcean: what it requests, understands and leaves."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hart_salt.base.errors import AuthError, InvalidRequest, TemporaryFailure
from hart_salt.drivers.do import driver as do
from hart_salt.model import Instance, Leftover
from tests.drivers.do.driver import (
    BATCH,
    CREATE,
    KEY,
    NOWHERE,
    SCRIPT,
    Time,
    create_body,
    driver_of,
    launch,
    left,
    node,
)
from tests.drivers.do.emulator.client import Client
from tests.drivers.do.emulator.cloud import DigitalOcean as Cloud
from tests.drivers.tested import OWNER
from tests.emulation import faults
from tests.emulation.faults import Fault

RULES = [{"protocol": "tcp", "ports": "22", "sources": {"addresses": ["192.0.2.1"]}}]


def firewall(cloud: Cloud, **more: Any) -> str:
    answer = Client(cloud).call("POST", "firewalls", {"name": "ssh", "inbound_rules": RULES, **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["firewall"]["id"])


# launch


def test_the_create_call_of_a_plain_node(cloud: Cloud, driver: do.DigitalOcean) -> None:
    with driver.access(BATCH, KEY, []) as access:
        (key,) = cloud.state.keys.values()
        assert (key.name, key.public_key) == (f"hart-{OWNER}-{BATCH}", KEY)
        instance = driver.launch(node(), SCRIPT, access)
    assert create_body(cloud) == {
        "name": "w1.example.com",
        "region": "nyc3",
        "size": "s-1vcpu-1gb",
        "image": "debian-13-x64",
        "ssh_keys": [key.id],
        "tags": ["hart", f"hart-owner:{OWNER}", f"hart-batch:{OWNER}:{BATCH}", "hart-role:db:main"],
        "user_data": SCRIPT,
        "ipv6": False,
        "monitoring": False,
        "backups": False,
        "with_droplet_agent": False,
        "public_networking": True,
    }
    assert (instance.state, instance.role, instance.batch, instance.public_ip) == ("pending", "db.main", BATCH, None)
    assert cloud.state.passwords_mailed == []


def test_the_launched_instance(cloud: Cloud, driver: do.DigitalOcean, time: Time) -> None:
    began = time()
    with driver.access(BATCH, KEY, []) as access:
        first = driver.launch(node(), SCRIPT, access)
        time.advance(10)
        assert driver.instances() == [
            dataclasses.replace(
                first, state="running", public_ip="203.0.113.4", private_ip="10.120.0.4", created=began
            )
        ]  # fmt: skip


@pytest.mark.parametrize("name", ["ipv6", "monitoring", "backups"])
def test_flags_reach_the_droplet(cloud: Cloud, driver: do.DigitalOcean, name: str) -> None:
    launch(driver, node(options={name: True}))
    (droplet,) = cloud.state.droplets.values()
    flags = {flag: getattr(droplet, flag) for flag in ("ipv6", "monitoring", "backups")}
    assert flags == {"ipv6": False, "monitoring": False, "backups": False, name: True}


def test_a_vpc_and_volumes(cloud: Cloud, driver: do.DigitalOcean) -> None:
    client = Client(cloud)
    vpc = client.call("POST", "vpcs", {"name": "own", "region": "nyc3"}).json()["vpc"]["id"]
    volume = client.call("POST", "volumes", {"name": "data", "region": "nyc3", "size_gigabytes": 1}).json()["volume"]
    launch(driver, node(options={"vpc": vpc, "volumes": [volume["id"]]}))
    (droplet,) = cloud.state.droplets.values()
    assert (droplet.vpc_uuid, droplet.volume_ids) == (vpc, [volume["id"]])


def test_a_snapshot(cloud: Cloud, driver: do.DigitalOcean) -> None:
    number = cloud.add_snapshot("golden")
    launch(driver, node(image=number))
    (droplet,) = cloud.state.droplets.values()
    assert droplet.image.name == "golden"


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("trixi", "there is no image trixi, did you mean trixie?; salt-run hart.list_images shows them"),
        ("12345678", "there is no image 12345678; salt-run hart.list_images shows them"),
    ],
)
def test_an_image_that_does_not_exist(cloud: Cloud, driver: do.DigitalOcean, image: str, problem: str) -> None:
    assert [driver.objections(node(name, image=image)) for name in ("a", "b")] == [[problem], [problem]]
    assert cloud.count("GET", "/v2/images/") == 1


def test_only_an_image_that_is_no_code_name_is_looked_up(cloud: Cloud, driver: do.DigitalOcean) -> None:
    number = cloud.add_snapshot("golden")
    assert [driver.objections(node(name, image=number)) for name in ("a", "b")] == [[], []]
    assert cloud.count("GET", "/v2/images/") == 1
    assert driver.objections(node(image="bookworm")) == []
    assert cloud.count("GET", "/v2/images/") == 1


# firewalls


def test_a_firewall_by_its_tag(cloud: Cloud, driver: do.DigitalOcean) -> None:
    Client(cloud).call("POST", "tags", {"name": "fenced"})
    firewall(cloud, tags=["fenced"])
    wanted = node(options={"firewall": "Fenced"})
    assert driver.objections(wanted) == []
    launch(driver, wanted)
    (droplet,) = cloud.state.droplets.values()
    assert "fenced" in droplet.tags
    assert cloud.count("POST", "/v2/firewalls/") == 0


def test_a_firewall_by_its_id(cloud: Cloud, driver: do.DigitalOcean) -> None:
    number = firewall(cloud)
    wanted = node(options={"firewall": number.upper()})
    assert driver.objections(wanted) == []
    instance = launch(driver, wanted)
    assert cloud.state.firewalls[number].droplet_ids == [int(instance.instance_id)]
    driver.terminate(instance)
    assert cloud.state.firewalls[number].droplet_ids == []


@pytest.mark.parametrize("wanted", [NOWHERE, "nothing-has-it"])
def test_a_firewall_that_does_not_exist(cloud: Cloud, driver: do.DigitalOcean, wanted: str) -> None:
    Client(cloud).create(tags=["nothing-has-it"])  # a tag without a firewall protects nothing
    for name in ("a", "b"):
        assert [f"no firewall of the account has the id or the tag {wanted}" in it for it in driver.objections(
            node(name, options={"firewall": wanted}))] == [True]  # fmt: skip
    assert cloud.count("GET", "/v2/firewalls") == 1


def test_if_the_firewall_disappears_no_droplet_is_left_without_it(cloud: Cloud, driver: do.DigitalOcean) -> None:
    with pytest.raises(InvalidRequest, match=f"no firewall {NOWHERE}"):
        launch(driver, node(options={"firewall": NOWHERE}))
    assert left(cloud) == {}


def test_no_other_firewall_is_changed(cloud: Cloud, driver: do.DigitalOcean) -> None:
    number = firewall(cloud)
    launch(driver, node())
    assert cloud.state.firewalls[number].droplet_ids == []
    assert cloud.count("POST", "/v2/firewalls") == 1  # by the test itself


# functions for people


def test_check_names_the_account(cloud: Cloud, driver: do.DigitalOcean) -> None:
    assert driver.check() == "account owner@example.org, up to 25 droplets"


ANY = Instance("1", "a", "running")


def test_a_bad_token(cloud: Cloud, time: Time) -> None:
    driver = driver_of(cloud, time, token="dop_v1_wrong")  # noqa: S106 - it is meant to be refused
    for call in (driver.check, driver.instances, driver.regions, lambda: driver.terminate(ANY)):
        with pytest.raises(AuthError, match=r"Unable to authenticate you \(401 unauthorized, request .*\)") as caught:
            call()
        assert "dop_v1" not in str(caught.value)
    assert time.waits == []


@pytest.mark.parametrize("token", ["dop_v1_ä", "dop_v1\nX: y"])
def test_an_invalid_token(cloud: Cloud, time: Time, token: str) -> None:
    with pytest.raises(AuthError, match="characters that no token has"):
        driver_of(cloud, time, token=token).check()


def test_a_line_end_after_the_token_is_ignored(cloud: Cloud, time: Time) -> None:
    assert "owner@" in driver_of(cloud, time, token=f"{cloud.token}\n").check()


def test_a_locked_account(cloud: Cloud, driver: do.DigitalOcean) -> None:
    facts = {"account": {"status": "locked", "status_message": "unpaid", "email": "a@b"}}
    cloud.faults.add(Fault("GET", "account", status=200, answer=facts))
    with pytest.raises(AuthError, match="locked: unpaid"):
        driver.check()


def test_regions(driver: do.DigitalOcean) -> None:
    regions = {region.name: region for region in driver.regions()}
    assert (regions["nyc3"].description, regions["nyc3"].available, regions["nyc3"].zones) == ("New York 3", True, ())
    assert not regions["nyc2"].available


def test_sizes_with_prices(cloud: Cloud, driver: do.DigitalOcean) -> None:
    cloud.settings.sold_out_sizes = ("c-2",)
    sizes = {size.name: size for size in driver.sizes("lon1")}
    one = sizes["s-1vcpu-1gb"]
    assert (one.memory_mb, one.cpus, one.disk_gb, one.monthly_price, one.available) == (1024, 1.0, 25.0, 6.0, True)
    assert not sizes["c-2"].available
    assert "m-2vcpu-16gb" not in sizes
    everywhere = {size.name: size.available for size in driver.sizes(None)}
    assert everywhere["m-2vcpu-16gb"]
    assert not everywhere["s-8vcpu-32gb"]


def test_images(cloud: Cloud, driver: do.DigitalOcean) -> None:
    here, there = cloud.add_snapshot("here"), cloud.add_snapshot("there", regions=("ams3",))
    images = {image.setting: image for image in driver.images("nyc3")}
    assert set(images) == {"bookworm", "trixie", "jammy", "noble", "resolute", str(here)}
    assert all(image.available for image in images.values())
    assert str(there) in {image.setting for image in driver.images(None)}


def test_a_release_that_is_not_offered_is_marked(cloud: Cloud, driver: do.DigitalOcean) -> None:
    state = cloud.state
    state.images = {number: it for number, it in state.images.items() if it.slug != "debian-13-x64"}
    assert [image.setting for image in driver.images(None) if not image.available] == ["trixie"]


# instances


def test_a_list_has_all_its_pages(cloud: Cloud, driver: do.DigitalOcean) -> None:
    cloud.settings.droplet_limit = 500
    cloud.settings.minute_limit = None
    client = Client(cloud)
    for start in range(0, 210, 10):
        names = [f"n{number}" for number in range(start, start + 10)]
        body = {"names": names, "size": "c-2", "image": "debian-12-x64", "region": "nyc3",
                "tags": ["hart", f"hart-owner:{OWNER}"]}  # fmt: skip
        assert client.call("POST", "droplets", body).status_code == 202
    assert {instance.minion_id for instance in driver.instances()} == {f"n{number}" for number in range(210)}
    assert cloud.count("GET", CREATE) == 2


def test_only_instances_of_this_master_are_listed(cloud: Cloud, time: Time, driver: do.DigitalOcean) -> None:
    client = Client(cloud)
    client.create("untagged")
    client.create("somebody-elses", tags=["hart"])
    launch(driver_of(cloud, time, owner="cd34" * 4), node("other"))
    launch(driver, node("mine"))
    assert [instance.minion_id for instance in driver.instances()] == ["mine"]


def test_if_the_server_ignores_the_filter_foreign_instances_are_not_listed(
    cloud: Cloud, driver: do.DigitalOcean
) -> None:
    droplet = Client(cloud).create("theirs")
    cloud.faults.add(Fault("GET", CREATE, status=200, answer={"droplets": [droplet], "links": {}}))
    assert driver.instances() == []


@pytest.mark.parametrize("facts", [{}, {"networks": {}}, {"networks": None, "region": None, "created_at": "soon"},
                                   {"networks": {"v4": [{"type": "public"}]}, "status": "paused"}])  # fmt: skip
def test_an_answer_with_most_fields_missing(cloud: Cloud, driver: do.DigitalOcean, facts: dict[str, Any]) -> None:
    droplet = {"id": 7, "name": "a", "tags": [f"hart-owner:{OWNER}"], **facts}
    cloud.faults.add(Fault("GET", CREATE, status=200, answer={"droplets": [droplet]}))
    (instance,) = driver.instances()
    assert (instance.instance_id, instance.state, instance.public_ip, instance.created) == ("7", "pending", None, None)


def test_states(cloud: Cloud, driver: do.DigitalOcean, time: Time) -> None:
    instance = launch(driver, node())
    time.advance(10)
    assert [it.state for it in driver.instances()] == ["running"]
    Client(cloud).call("POST", f"droplets/{instance.instance_id}/actions", {"type": "power_off"})
    assert [it.state for it in driver.instances()] == ["stopped"]


# access


def test_access_leaves_nothing(cloud: Cloud, driver: do.DigitalOcean) -> None:
    with driver.access(BATCH, KEY, []) as access:
        driver.terminate(driver.launch(node(), SCRIPT, access))
        key = Leftover("SSH key", f"hart-{OWNER}-{BATCH}", f"account/keys/{access.handle['ssh_key']}", BATCH)
        assert driver.leftovers()[0] == key
    assert (left(cloud), driver.leftovers()) == ({}, [])


def test_access_leaves_nothing_when_the_batch_fails(cloud: Cloud, driver: do.DigitalOcean) -> None:
    with pytest.raises(ZeroDivisionError), driver.access(BATCH, KEY, []):
        raise ZeroDivisionError
    assert left(cloud) == {}


@pytest.mark.parametrize("fault", [faults.lost_answer("account/keys"),
                                   Fault("POST", "account/keys", when="after", status=500),
                                   Fault("POST", "account/keys", when="after", status=201, answer="<a>")])  # fmt: skip
def test_a_key_whose_create_was_not_answered_is_found_and_removed(
    cloud: Cloud, driver: do.DigitalOcean, fault: Fault
) -> None:
    cloud.faults.add(fault)
    launch(driver, node())
    assert cloud.state.left()["keys"] == []
    assert cloud.count("POST", "account/keys") == 1


def test_a_key_that_was_not_created(cloud: Cloud, driver: do.DigitalOcean) -> None:
    cloud.faults.add(Fault("POST", "account/keys", status=500))
    with pytest.raises(TemporaryFailure, match="500"), driver.access(BATCH, KEY, []):
        pytest.fail("there is no access")
    assert left(cloud) == {}


def test_a_key_that_cannot_be_removed_is_named(cloud: Cloud, driver: do.DigitalOcean) -> None:
    always = Fault("DELETE", "account/keys", status=500, times=None)
    cloud.faults.add(always)
    with pytest.raises(TemporaryFailure, match=f"the temporary SSH key hart-{OWNER}-{BATCH} could not be removed"):
        launch(driver, node())
    assert cloud.faults.pending() == [always]
    cloud.faults.clear()
    assert left(cloud) == {"droplets": ["w1.example.com"], "keys": [f"hart-{OWNER}-{BATCH}"]}  # but not its tag
    assert [leftover.kind for leftover in driver.leftovers()] == ["SSH key"]


# terminate


@pytest.mark.parametrize("switch", ["refused", "ignored"])
def test_a_droplet_that_cannot_be_deleted_until_it_is_active(
    cloud: Cloud, driver: do.DigitalOcean, time: Time, switch: str
) -> None:
    cloud.settings.delete_new = switch
    cloud.settings.active_after = 60
    instance = launch(driver, node())
    driver.terminate(instance)
    assert (left(cloud), sum(time.waits) < 75) == ({}, True)


def test_terminate_waits_until_the_droplet_is_gone(cloud: Cloud, driver: do.DigitalOcean, time: Time) -> None:
    cloud.settings.gone_after = 12
    instance = launch(driver, node())
    driver.terminate(instance)
    assert (driver.instances(), time.waits) == ([], [1, 2, 4, 8])


def test_a_droplet_that_is_never_deleted(cloud: Cloud, driver: do.DigitalOcean, time: Time) -> None:
    cloud.settings.gone_after = 10**6
    instance = launch(driver, node())
    with pytest.raises(TemporaryFailure):
        driver.terminate(instance)
    assert 150 < sum(time.waits) < 240
    # Sixteen of them in parallel stay below the limit of 250 calls a minute.
    assert 16 * 60 * cloud.count(".*", "/v2/droplets/") / sum(time.waits) < 250
