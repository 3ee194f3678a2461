"""The driver ``vultr`` against the emulated Vultr: what it requests, understands and leaves."""

from __future__ import annotations

import base64
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hart_salt.base.errors import AuthError, InvalidRequest
from hart_salt.drivers.vultr import driver as vultr
from hart_salt.model import Instance, Price
from tests.drivers.do.driver import BATCH, KEY, NOWHERE, SCRIPT, Time
from tests.drivers.do.emulator.client import public_key
from tests.drivers.tested import OWNER
from tests.drivers.vultr.driver import CREATE, INSTANCE, create_body, driver_of, launch, left, node
from tests.drivers.vultr.emulator.client import Client
from tests.drivers.vultr.emulator.cloud import Vultr as Cloud
from tests.emulation.faults import Fault

# launch


def test_the_create_call_of_a_plain_node(cloud: Cloud, driver: vultr.Vultr) -> None:
    instance = launch(driver, node())
    assert create_body(cloud) == {
        "label": "w1.example.com",
        "hostname": "w1.example.com",
        "region": "ams",
        "plan": "vc2-1c-1gb",
        "os_id": 2625,
        "tags": ["hart", f"hart-owner:{OWNER}", f"hart-batch:{BATCH}", "hart-role:db.main"],
        "user_data": base64.b64encode(SCRIPT.encode()).decode(),
        "enable_ipv6": False,
        "backups": "disabled",
        "activation_email": False,
    }
    assert (instance.state, instance.role, instance.batch, instance.public_ip) == ("pending", "db.main", BATCH, None)
    assert (left(cloud), cloud.user_data()) == ({"instances": ["w1.example.com"]}, {"w1.example.com": SCRIPT})


def test_the_launched_instance(cloud: Cloud, driver: vultr.Vultr, time: Time) -> None:
    began = time()
    first = launch(driver, node())
    time.advance(10)
    assert driver.instances() == [dataclasses.replace(first, state="running", public_ip="203.0.113.4", created=began)]


@pytest.mark.parametrize("text", ["#!/bin/sh\n# \u00e4\u20ac\n", "#!/bin/sh\n" + "# x\n" * 8000])
def test_user_data_arrives_unchanged(cloud: Cloud, driver: vultr.Vultr, text: str) -> None:
    with driver.access(BATCH, KEY, []) as access:
        driver.launch(node(), text, access)
    assert cloud.user_data() == {"w1.example.com": text}


@pytest.mark.parametrize(("option", "shown"), [("ipv6", "ipv6"), ("backups", "backups")])
def test_flags_reach_the_instance(cloud: Cloud, driver: vultr.Vultr, option: str, shown: str) -> None:
    launch(driver, node(options={option: True}))
    (instance,) = cloud.state.instances.values()
    assert {name: getattr(instance, name) for name in ("ipv6", "backups")} == {
        "ipv6": False, "backups": False, shown: True,
    }  # fmt: skip


def test_a_snapshot(cloud: Cloud, driver: vultr.Vultr) -> None:
    snapshot = cloud.add_snapshot("golden")
    launch(driver, node(image=snapshot))
    (instance,) = cloud.state.instances.values()
    assert instance.snapshot is not None
    assert instance.snapshot.description == "golden"
    assert "os_id" not in create_body(cloud)


def test_the_images_are_requested_once_per_batch(cloud: Cloud, driver: vultr.Vultr) -> None:
    with driver.access(BATCH, KEY, []) as access, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: driver.launch(node(name), SCRIPT, access), "abcdefgh"))
    assert cloud.count("GET", "/v2/os$") == 1


def test_an_image_that_does_not_exist_is_never_requested(cloud: Cloud, driver: vultr.Vultr) -> None:
    with pytest.raises(InvalidRequest, match="no image bullseye"):
        launch(driver, node(image="bullseye"))
    assert cloud.count("POST") == 0


def test_a_firewall_group_and_keys_of_the_user(cloud: Cloud, driver: vultr.Vultr) -> None:
    client = Client(cloud)
    group = client.make("firewalls", "firewall_group", description="ssh")["id"]
    keys = [client.make("ssh-keys", "ssh_key", name=name, ssh_key=public_key())["id"] for name in "ab"]
    wanted = node(options={"firewall_group": group, "ssh_keys": keys})
    assert driver.objections(wanted) == []
    launch(driver, wanted)
    (instance,) = cloud.state.instances.values()
    assert (instance.firewall_group_id, instance.key_ids) == (group, keys)


def test_only_the_instance_is_created(cloud: Cloud, driver: vultr.Vultr) -> None:
    Client(cloud).make("firewalls", "firewall_group", description="somebody's")
    launch(driver, node())
    assert cloud.count("POST") == 2  # the test's own, and the create call
    (instance,) = cloud.state.instances.values()
    assert (instance.firewall_group_id, instance.key_ids, instance.vpc_ids) == ("", [], [])


# addresses


def test_no_placeholder_is_mistaken_for_an_address(cloud: Cloud, driver: vultr.Vultr, time: Time) -> None:
    cloud.settings.address_after = 5
    launch(driver, node(options={"ipv6": True}))
    for seconds, address in ((10, None), (5, "203.0.113.4")):
        time.advance(seconds)
        (instance,) = driver.instances()
        assert (instance.state, instance.public_ip, instance.private_ip) == ("running", address, None)


@pytest.mark.parametrize("text", ["0.0.0.0", "", "::", None, "soon", 7])  # noqa: S104 - nobody listens there
def test_values_that_are_not_addresses(cloud: Cloud, driver: vultr.Vultr, text: Any) -> None:
    report = {"id": NOWHERE, "tags": [f"hart-owner:{OWNER}"], "status": "active", "main_ip": text, "internal_ip": text}
    page = {"instances": [report], "meta": {"links": {"next": ""}}}
    cloud.faults.add(Fault("GET", CREATE, status=200, answer=page))
    (instance,) = driver.instances()
    assert (instance.public_ip, instance.private_ip) == (None, None)


def test_a_vpc_of_the_user(cloud: Cloud, driver: vultr.Vultr, time: Time) -> None:
    vpc = cloud.add_vpc("own", "ams")
    cloud.add_vpc("other", "ams")
    wanted = node(options={"vpc": vpc}, private_networking=True, connect_via="private")
    assert driver.objections(wanted) == []
    launch(driver, wanted)
    body = create_body(cloud)
    assert (body["attach_vpc"], "enable_vpc" in body) == ([vpc], False)
    time.advance(10)
    (instance,) = driver.instances()
    assert (instance.public_ip, instance.private_ip) == ("203.0.113.4", "10.120.0.4")


@pytest.mark.parametrize("there", [0, 1])
def test_private_networking_uses_the_vpc_of_the_region(
    cloud: Cloud, driver: vultr.Vultr, time: Time, there: int
) -> None:
    cloud.add_vpc("elsewhere", "fra")
    made = [cloud.add_vpc("own", "ams") for _ in range(there)]
    wanted = node(private_networking=True)
    assert driver.objections(wanted) == []
    launch(driver, wanted)
    time.advance(10)
    (instance,) = cloud.state.instances.values()
    assert [cloud.state.vpcs[vpc_id].region for vpc_id in instance.vpc_ids] == ["ams"]
    assert instance.vpc_ids == made or not made
    assert driver.instances()[0].private_ip == "10.120.0.4"


def test_without_a_public_address(cloud: Cloud, driver: vultr.Vultr, time: Time) -> None:
    vpc = cloud.add_vpc("own", "ams", gateway=True)
    wanted = node(public_ip=False, options={"vpc": vpc})
    assert driver.objections(wanted) == []
    launch(driver, wanted)
    body = create_body(cloud)
    assert (body["vpc_only"], body["attach_vpc"], body["enable_ipv6"]) == (True, [vpc], False)
    time.advance(10)
    (instance,) = driver.instances()
    assert (instance.public_ip, instance.private_ip) == (None, "10.120.0.4")


def test_with_only_a_public_ipv6_address(cloud: Cloud, driver: vultr.Vultr, time: Time) -> None:
    wanted = node(options={"ipv6": True, "disable_public_ipv4": True})
    assert driver.objections(wanted) == []
    launch(driver, wanted)
    (made,) = cloud.state.instances.values()
    assert (made.ipv4, made.ipv6) == (False, True)
    assert driver.instances()[0].public_ip is None
    time.advance(10)
    assert str(driver.instances()[0].public_ip).startswith("2001:db8:")


# functions for people


def test_check_names_the_account(driver: vultr.Vultr) -> None:
    assert driver.check() == "account owner@example.org"


ANY = Instance(NOWHERE, "a", "running")


def test_a_refused_source_address_is_reported_with_what_to_do(cloud: Cloud, driver: vultr.Vultr, time: Time) -> None:
    cloud.settings.allowed = ("192.0.2.1",)
    with pytest.raises(AuthError, match=r"Unauthorized IP address: 127\.0\.0\.1 \(401\); .* Access Control$"):
        driver.check()
    assert time.waits == []


def test_regions(driver: vultr.Vultr) -> None:
    regions = {region.name: region for region in driver.regions()}
    assert (regions["ams"].description, regions["ams"].available, regions["ams"].zones) == ("Amsterdam, NL", True, ())


def test_sizes_with_prices_and_stock(cloud: Cloud, driver: vultr.Vultr) -> None:
    cloud.settings.sold_out = ("vhf-1c-2gb",)
    sizes = {size.name: size for size in driver.sizes("ams")}
    one = sizes["vc2-1c-1gb"]
    assert (one.memory_mb, one.cpus, one.disk_gb, one.monthly_price, one.available) == (1024, 1.0, 25.0, 5.0, True)
    assert not sizes["vhf-1c-2gb"].available  # the plan's own list of regions still has this one
    assert "vc2-1c-0.5gb-v6" not in sizes
    everywhere = {size.name: size for size in driver.sizes(None)}
    assert everywhere["vc2-1c-0.5gb-v6"].monthly_price == 2.5
    assert [size.name for size in everywhere.values() if not size.available] == ["vdc-4c-32gb"]
    assert cloud.count("GET", "availability") == 1


def test_the_price_is_unknown_where_a_region_has_its_own(cloud: Cloud, driver: vultr.Vultr) -> None:
    plans = Client(cloud).get("plans")["plans"]
    answer = {"plans": [{**plan, "location_cost": {"sao": {}}} for plan in plans], "meta": {"links": {"next": ""}}}
    cloud.faults.add(Fault("GET", "/v2/plans", status=200, answer=answer))
    prices = [driver.size("vc2-1c-1gb", region) for region in ("ams", "sao")]
    assert [size and size.monthly_price for size in prices] == [5.0, None]


def test_prices_of_several_regions_take_one_list_of_plans(cloud: Cloud, driver: vultr.Vultr) -> None:
    """Stock does not matter: the plan of an existing node may be sold out."""
    cloud.settings.sold_out = ("vhf-1c-2gb",)
    prices = driver.prices({"ams": {"vc2-1c-1gb", "vhf-1c-2gb"}, "sao": {"vc2-1c-1gb"}})
    assert prices["ams", "vc2-1c-1gb"] == Price(5.0)
    assert prices.keys() == {("ams", "vc2-1c-1gb"), ("ams", "vhf-1c-2gb"), ("sao", "vc2-1c-1gb")}
    assert (cloud.count("GET", "/v2/plans"), cloud.count("GET", "availability")) == (1, 0)


def test_the_price_of_a_node_is_unknown_where_its_region_has_its_own(cloud: Cloud, driver: vultr.Vultr) -> None:
    plans = Client(cloud).get("plans")["plans"]
    answer = {"plans": [{**plan, "location_cost": {"sao": {}}} for plan in plans], "meta": {"links": {"next": ""}}}
    cloud.faults.add(Fault("GET", "/v2/plans", status=200, answer=answer))
    assert driver.prices({"sao": {"vc2-1c-1gb"}, "ams": {"vc2-1c-1gb"}}) == {("ams", "vc2-1c-1gb"): Price(5.0)}


def test_images(cloud: Cloud, driver: vultr.Vultr) -> None:
    done, pending = cloud.add_snapshot("done"), cloud.add_snapshot("pending")
    cloud.state.snapshots[pending].status = "pending"
    images = {image.setting: image for image in driver.images("ams")}
    assert set(images) == {"bookworm", "trixie", "jammy", "noble", "resolute", done, pending}
    assert [image.setting for image in images.values() if not image.available] == [pending]
    assert images["bookworm"].description == "Debian 12 x64 (bookworm)"  # and not the one for i386


def test_a_release_that_is_not_offered_is_marked(cloud: Cloud, driver: vultr.Vultr) -> None:
    listed = {"os": [{"id": 1, "name": "Debian 12 x64 (bookworm)", "arch": "x64"}], "meta": {"links": {"next": ""}}}
    cloud.faults.add(Fault("GET", "/v2/os", status=200, answer=listed))
    assert [image.setting for image in driver.images(None) if image.available] == ["bookworm"]


# instances


def test_a_list_has_all_its_pages(cloud: Cloud, driver: vultr.Vultr) -> None:
    cloud.settings.instance_limit = 500
    cloud.settings.page_cap = 100
    client = Client(cloud)
    for number in range(210):
        client.create(f"n{number}", tags=["hart", f"hart-owner:{OWNER}"])
    assert {instance.minion_id for instance in driver.instances()} == {f"n{number}" for number in range(210)}
    assert cloud.count("GET", CREATE) == 3
    assert cloud.count("GET", CREATE, "per_page=500") == 3


def test_only_instances_of_this_master_are_listed(cloud: Cloud, time: Time, driver: vultr.Vultr) -> None:
    client = Client(cloud)
    client.create("untagged")
    client.create("somebody-elses", tags=["hart"])
    client.create("shouting", tags=["hart", f"HART-OWNER:{OWNER.upper()}"])
    launch(driver_of(cloud, time, owner="cd34" * 4), node("other"))
    launch(driver, node("mine"))
    assert [instance.minion_id for instance in driver.instances()] == ["mine"]
    # The server returned one more.
    assert [it["label"] for it in client.get("instances", tag=f"hart-owner:{OWNER}")["instances"]] == [
        "shouting", "mine",
    ]  # fmt: skip


def test_if_the_server_ignores_the_filter_foreign_instances_are_not_listed(cloud: Cloud, driver: vultr.Vultr) -> None:
    page = {"instances": [Client(cloud).create("theirs")], "meta": {"links": {"next": ""}}}
    cloud.faults.add(Fault("GET", CREATE, status=200, answer=page))
    assert driver.instances() == []


def test_an_empty_filter_is_never_sent(cloud: Cloud, driver: vultr.Vultr) -> None:
    Client(cloud).create("theirs")
    assert len(Client(cloud).get("instances", tag="")["instances"]) == 1  # this is the reason
    with pytest.raises(InvalidRequest, match="empty filter"):
        driver._api.listed("instances", "instances", tag="")
    assert cloud.count("GET", CREATE) == 1  # by the test itself


@pytest.mark.parametrize("facts", [{}, {"main_ip": None, "region": None, "date_created": "soon"},
                                   {"status": "resizing", "power_status": "running"}])  # fmt: skip
def test_an_answer_with_most_fields_missing(cloud: Cloud, driver: vultr.Vultr, facts: dict[str, Any]) -> None:
    report = {"id": NOWHERE, "label": "a", "tags": [f"hart-owner:{OWNER}"], **facts}
    page = {"instances": [report], "meta": {"links": {"next": ""}}}
    cloud.faults.add(Fault("GET", CREATE, status=200, answer=page))
    (instance,) = driver.instances()
    assert (instance.instance_id, instance.state, instance.public_ip, instance.created) == (
        NOWHERE, "pending", None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "power", "server", "state"),
    [
        ("pending", "running", "none", "pending"), ("pending", "stopped", "none", "pending"),
        ("active", "running", "installingbooting", "running"), ("active", "running", "locked", "running"),
        ("active", "running", "ok", "running"), ("active", "stopped", "none", "pending"),
        ("active", "stopped", "locked", "pending"), ("active", "stopped", "installingbooting", "pending"),
        ("active", "stopped", "ok", "stopped"), ("suspended", "stopped", "ok", "stopped"),
        ("resizing", "running", "ok", "pending"),
    ],
)  # fmt: skip
def test_states(status: str, power: str, server: str, state: str) -> None:
    report = {"id": NOWHERE, "status": status, "power_status": power, "server_status": server}
    instance = vultr._instance(report)
    assert (instance.state, bool(instance.problem)) == (state, status == "suspended")


def test_the_driver_does_not_wait_for_the_server_status(cloud: Cloud, driver: vultr.Vultr, time: Time) -> None:
    cloud.settings.ok_after = 10**6
    launch(driver, node())
    time.advance(10)
    (instance,) = driver.instances()
    assert (instance.state, instance.public_ip) == ("running", "203.0.113.4")


# access


def test_access_makes_no_calls(cloud: Cloud, driver: vultr.Vultr) -> None:
    with pytest.raises(ZeroDivisionError), driver.access(BATCH, KEY, []) as access:
        assert (access.batch, access.client_public_key, access.handle) == (BATCH, KEY, {})
        raise ZeroDivisionError
    assert cloud.calls == []
    assert driver.leftovers() == []


# terminate


def test_any_other_500_of_a_delete_is_retried(cloud: Cloud, driver: vultr.Vultr, time: Time) -> None:
    cloud.faults.add(Fault("DELETE", INSTANCE, status=500, times=3))
    driver.terminate(launch(driver, node()))
    assert (left(cloud), time.waits) == ({}, [0.5, 1, 2])
