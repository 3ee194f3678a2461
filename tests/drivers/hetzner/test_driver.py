"""The driver ``hetzner`` against the emulated Hetzner Cloud: what it requests, understands and leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hart_salt.base.errors import AuthError, InvalidRequest, TemporaryFailure
from hart_salt.drivers.hetzner import driver as hetzner
from hart_salt.model import Instance, Price
from tests.drivers.do.driver import BATCH, KEY, SCRIPT, Time
from tests.drivers.do.emulator.client import public_key
from tests.drivers.hetzner.driver import CREATE, NOWHERE, Client, create_body, driver_of, launch, left, node
from tests.drivers.hetzner.emulator.cloud import Hetzner as Cloud
from tests.drivers.tested import OWNER
from tests.emulation.faults import Fault

OWN = {"hart": "", "hart-owner": OWNER, "hart-batch": BATCH, "hart-role": "db.main"}
ANY = Instance(NOWHERE, "a", "running")
EMPTY = {"servers": [], "meta": {"pagination": {"next_page": None}}}


# launch


def test_the_create_call_of_a_plain_node(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    instance = launch(driver, node())
    body = create_body(cloud)
    (key,) = body.pop("ssh_keys")
    assert body == {
        "name": "w1.example.com",
        "location": "fsn1",
        "server_type": "cx23",
        "image": "debian-13",
        "labels": OWN,
        "user_data": SCRIPT,
        "public_net": {"enable_ipv4": True, "enable_ipv6": False},
    }
    assert isinstance(key, int)
    assert (instance.state, instance.role, instance.batch) == ("pending", "db.main", BATCH)
    # No password was sent by mail, and the key is removed.
    assert (left(cloud), cloud.user_data()) == ({"servers": ["w1.example.com"]}, {"w1.example.com": SCRIPT})


def test_the_launched_instance(driver: hetzner.Hetzner, time: Time) -> None:
    began = time()
    first = launch(driver, node())
    time.advance(10)
    assert driver.instances() == [
        dataclasses.replace(first, state="running", public_ip="203.0.113.4", created=began, region="fsn1", size="cx23")
    ]


@pytest.mark.parametrize("text", ["#!/bin/sh\n# \u00e4\u20ac\n", "#!/bin/sh\n" + "# x\n" * 4093 + "#", "x" * 32 * 1024])
def test_user_data_arrives_unchanged(cloud: Cloud, driver: hetzner.Hetzner, text: str) -> None:
    with driver.access(BATCH, KEY, []) as access:
        driver.launch(node(), text, access)
    assert cloud.user_data() == {"w1.example.com": text}


def test_user_data_that_is_too_large_is_refused(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    with driver.access(BATCH, KEY, []) as access, pytest.raises(InvalidRequest, match="user_data"):
        driver.launch(node(), "x" * (32 * 1024 + 1), access)
    assert left(cloud) == {}


@pytest.mark.parametrize(
    ("setting", "size", "sent", "taken"),
    [
        ("bookworm", "cx23", "debian-12", ("debian-12", "x86")),
        ("trixie", "cx23", "debian-13", ("debian-13", "x86")),
        ("jammy", "cx23", "ubuntu-22.04", ("ubuntu-22.04", "x86")),
        ("noble", "cx23", "ubuntu-24.04", ("ubuntu-24.04", "x86")),
        ("noble", "cax11", "ubuntu-24.04", ("ubuntu-24.04", "arm")),
        ("rocky-9", "cx23", "rocky-9", ("rocky-9", "x86")),
        ("1001", "cax11", 1001, ("debian-12", "arm")),
    ],
)
def test_an_image_by_code_name_name_or_id(
    cloud: Cloud, driver: hetzner.Hetzner, setting: str, size: str, sent: str, taken: tuple[str, str]
) -> None:
    wanted = dataclasses.replace(node(image=setting), size=size)
    assert driver.objections(wanted) == []
    launch(driver, wanted)
    (server,) = cloud.state.servers.values()
    assert create_body(cloud)["image"] == sent
    assert (server.image["name"], server.image["architecture"]) == taken


def test_a_snapshot(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    wanted = node(image=str(cloud.add_snapshot("golden")))
    assert driver.objections(wanted) == []
    launch(driver, wanted)
    (server,) = cloud.state.servers.values()
    assert server.image["description"] == "golden"


@pytest.mark.parametrize(
    ("tags", "labels"),
    [
        (["web", "web", "a:b"], {"web": "", "a": "b"}),
        ({"Env": "Prod-A_B.c", "team": "", "example.com/tier": "1"}, {"Env": "Prod-A_B.c", "team": "",
                                                                      "example.com/tier": "1"}),
    ],
)  # fmt: skip
def test_tags_of_the_user(cloud: Cloud, driver: hetzner.Hetzner, tags: Any, labels: dict[str, str]) -> None:
    assert driver.objections(node(tags=tags)) == []
    launch(driver, node(tags=tags))
    assert create_body(cloud)["labels"] == {**OWN, **labels}


def test_tags_of_the_user_do_not_replace_those_of_hart(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    launch(driver, node(tags={"hart-owner": "me", "hart": "x", "hart-batch": ""}))
    assert create_body(cloud)["labels"] == OWN


def test_resources_of_the_project_by_id_and_by_name(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    client = Client(cloud)
    firewall = client.make("firewalls", "firewall", name="ssh")["id"]
    keys = [client.make("ssh_keys", "ssh_key", name=name, public_key=public_key())["id"] for name in "ab"]
    network = cloud.add_network("inside", "eu-central")
    by_id = {"firewall": str(firewall), "network": str(network), "ssh_keys": list(map(str, keys))}
    by_name = {"firewall": "ssh", "network": "inside", "ssh_keys": ["a", "b"]}
    for name, options in (("one", by_id), ("two", by_name)):
        wanted = node(name, options={**options, "ipv6": True})
        assert driver.objections(wanted) == []
        launch(driver, wanted)
    for server in cloud.state.servers.values():
        assert (server.firewall_ids, server.network_ids, server.key_ids[1:], server.ipv6) == (
            [firewall], [network], keys, True,
        )  # fmt: skip


@pytest.mark.parametrize("option", ["firewall", "network"])
def test_a_resource_that_the_project_does_not_have_prevents_the_create(
    cloud: Cloud, driver: hetzner.Hetzner, option: str
) -> None:
    with pytest.raises(InvalidRequest, match=f"the project has no {option} nowhere"):
        launch(driver, node(options={option: "nowhere"}))
    assert cloud.count("POST", CREATE) == 0


def test_each_list_of_the_project_is_requested_once_per_batch(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    cloud.add_network("inside", "eu-central")
    with driver.access(BATCH, KEY, []) as access, ThreadPoolExecutor(8) as pool:
        wanted = [node(name, options={"network": "inside"}) for name in "abcdefgh"]
        list(pool.map(lambda one: driver.launch(one, SCRIPT, access), wanted))
    assert cloud.count("GET", "/v1/networks") == 1


# addresses


def test_a_private_network_beside_the_public_address(cloud: Cloud, driver: hetzner.Hetzner, time: Time) -> None:
    cloud.settings.attached_after = 5
    cloud.add_network("inside", "eu-central")
    wanted = node(options={"network": "inside"}, private_networking=True, connect_via="private")
    assert driver.objections(wanted) == []
    assert launch(driver, wanted).private_ip is None
    time.advance(10)
    (instance,) = driver.instances()
    assert (instance.public_ip, instance.private_ip) == ("203.0.113.4", "10.120.0.4")


def test_without_a_public_address(cloud: Cloud, driver: hetzner.Hetzner, time: Time) -> None:
    cloud.add_network("inside", "us-east", "eu-central")
    wanted = node(public_ip=False, options={"network": "inside"})
    assert driver.objections(wanted) == []
    launch(driver, wanted)
    assert create_body(cloud)["public_net"] == {"enable_ipv4": False, "enable_ipv6": False}
    time.advance(10)
    (instance,) = driver.instances()
    assert (instance.state, instance.public_ip, instance.private_ip) == ("running", None, "10.120.0.4")


# what operators see


def test_check_returns_the_number_of_servers(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    for name in ("a", "b"):
        Client(cloud).create(name)
    assert driver.check() == "a project with 2 servers"


def test_the_error_for_a_read_only_token_says_what_to_do(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    cloud.reading.add(cloud.token)
    assert driver.check()
    with pytest.raises(AuthError, match=r"token_readonly, .*\); create a token that can read and write"):
        launch(driver, node())


def test_regions(driver: hetzner.Hetzner) -> None:
    regions = {region.name: region for region in driver.regions()}
    one = regions["fsn1"]
    assert (one.description, one.available, one.zones) == ("Falkenstein, DE", True, ())


def test_sizes_have_their_price_currency_and_stock(cloud: Cloud, driver: hetzner.Hetzner, time: Time) -> None:
    cloud.settings.sold_out = ("ccx13",)
    sizes = {size.name: size for size in driver.sizes("ash")}
    assert {name: size.available for name, size in sizes.items()} == {"cpx11": True, "ccx13": False}
    one = sizes["cpx11"]
    assert (one.memory_mb, one.cpus, one.disk_gb, one.monthly_price, one.currency) == (2048, 2.0, 40.0, 4.99, "EUR")
    assert one.description == "CPX11, shared, x86"
    everywhere = {size.name: size for size in driver.sizes(None)}
    assert (everywhere["cpx11"].monthly_price, everywhere["tiny"].memory_mb) == (4.35, 512)
    assert driver.size("cx23", "ash") is None
    assert cloud.count("GET", "/server_types") == 1


def test_prices_of_several_locations_take_two_calls(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    prices = driver.prices({"fsn1": {"cpx11"}, "ash": {"cpx11", "ccx13"}})
    assert prices["fsn1", "cpx11"] == Price(4.35, "EUR")
    assert prices["ash", "cpx11"] == Price(4.99, "EUR")
    assert (cloud.count("GET", "/server_types"), cloud.count("GET", "/pricing")) == (1, 1)


def test_a_size_without_locations(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    """The API had no locations in a size before 2025-09-24."""
    listed = Client(cloud).get("server_types")
    kinds = [{**it, "locations": None, "deprecated": it["name"] == "cx23"} for it in listed["server_types"]]
    cloud.faults.add(Fault("GET", "/server_types", status=200, answer={**listed, "server_types": kinds}))
    sizes = {size.name: size.available for size in driver.sizes("fsn1")}
    assert (sizes["cx23"], sizes["cax11"]) == (False, True)


def test_a_size_is_in_stock_where_one_of_the_requested_locations_has_it(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    listed = Client(cloud).get("server_types")
    for kind in listed["server_types"]:
        kind["locations"] = [{**it, "available": it["name"] == "nbg1"} for it in kind["locations"]]
    cloud.faults.add(Fault("GET", "/server_types", status=200, answer=listed))
    stock = {
        region: next(size.available for size in driver.sizes(region) if size.name == "cx23")
        for region in ("fsn1", "nbg1", None)
    }
    assert stock == {"fsn1": False, "nbg1": True, None: True}


def test_images(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    done, pending = cloud.add_snapshot("done"), cloud.add_snapshot("pending")
    cloud.state.snapshots[pending].status = "creating"
    images = {image.setting: image for image in driver.images("fsn1")}
    assert set(images) == {"bookworm", "trixie", "jammy", "noble", "resolute", str(done), str(pending)}
    assert [image.setting for image in images.values() if not image.available] == [str(pending)]
    assert images["bookworm"].description == "debian-12 (arm, x86)"
    assert images[str(done)].description == "done"


# instances


def test_a_list_has_all_its_pages(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    cloud.settings.server_limit = 500
    client = Client(cloud)
    for number in range(110):
        client.create(f"n{number}", labels={"hart": "", "hart-owner": OWNER})
    assert {instance.minion_id for instance in driver.instances()} == {f"n{number}" for number in range(110)}
    assert cloud.count("GET", CREATE) == cloud.count("GET", CREATE, "per_page=50") == 3


SECOND: Mapping[str, Any] = {"method": "GET", "path": CREATE, "query": "(^|&)page=2"}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(**SECOND, status=429), Fault(**SECOND, status=500), Fault(**SECOND, status=502, answer="<html>"),
        Fault(**SECOND, status=200, answer="<html>"), Fault(**SECOND, status=200, answer={"servers": []}),
        Fault(**SECOND, status=200, answer={**EMPTY, "meta": {"pagination": {}}}), Fault(**SECOND, drop=True),
        Fault(**SECOND, status=200, answer={**EMPTY, "meta": {"pagination": {"next_page": 2}}}),
        Fault(**SECOND, status=200, answer={**EMPTY, "meta": {"pagination": {"next_page": "3"}}}),
        Fault(**SECOND, status=200, answer={**EMPTY, "meta": {"pagination": {"next_page": 0}}}),
    ],
)  # fmt: skip
def test_a_list_restarts_when_a_page_fails_once(cloud: Cloud, driver: hetzner.Hetzner, fault: Fault) -> None:
    cloud.settings.page_cap = 1
    for name in "abc":
        Client(cloud).create(name, labels={"hart-owner": OWNER})
    cloud.faults.add(fault)
    assert [instance.minion_id for instance in driver.instances()] == ["a", "b", "c"]


def test_a_page_that_keeps_failing_is_an_error_and_not_a_shorter_list(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    cloud.settings.page_cap = 1
    for name in "abc":
        Client(cloud).create(name, labels={"hart-owner": OWNER})
    cloud.faults.add(Fault(**{**SECOND, "query": "(^|&)page=3"}, status=500, times=None))
    with pytest.raises(TemporaryFailure):
        driver.instances()
    cloud.faults.clear()


def test_only_instances_of_this_master_are_listed(cloud: Cloud, time: Time, driver: hetzner.Hetzner) -> None:
    client = Client(cloud)
    client.create("unlabelled")
    client.create("somebody-elses", labels={"hart": ""})
    client.create("shouting", labels={"hart-owner": OWNER.upper()})
    launch(driver_of(cloud, time, owner="cd34" * 4), node("other"))
    launch(driver, node("mine"))
    assert [instance.minion_id for instance in driver.instances()] == ["mine"]
    assert cloud.count("GET", CREATE, f"label_selector=hart-owner={OWNER}") == 1
    cloud.settings.ignores_selectors = True
    assert [instance.minion_id for instance in driver.instances()] == ["mine"]


def test_an_empty_filter_is_never_sent(cloud: Cloud, driver: hetzner.Hetzner) -> None:
    with pytest.raises(InvalidRequest, match="empty filter"):
        driver.candidates("")
    assert cloud.calls == []


@pytest.mark.parametrize("facts", [{}, {"public_net": None, "location": None, "created": "soon"},
                                   {"public_net": {"ipv4": None}, "private_net": None, "status": "unknown"},
                                   {"private_net": [{"network": 7}], "server_type": None, "image": None}])  # fmt: skip
def test_an_answer_with_most_fields_missing(cloud: Cloud, driver: hetzner.Hetzner, facts: dict[str, Any]) -> None:
    report = {"id": int(NOWHERE), "name": "a", "labels": {"hart-owner": OWNER}, **facts}
    cloud.faults.add(Fault("GET", CREATE, status=200, answer={**EMPTY, "servers": [report]}))
    (instance,) = driver.instances()
    assert instance == Instance(NOWHERE, "a", "pending")


def test_the_location_in_the_form_of_older_answers(driver: hetzner.Hetzner) -> None:
    report = {"id": 7, "datacenter": {"name": "hel1-dc2", "location": {"name": "hel1"}}}
    assert driver._instance(report).region == "hel1"


@pytest.mark.parametrize(
    ("status", "locked", "state"),
    [
        ("initializing", True, "pending"), ("starting", True, "pending"), ("running", False, "running"),
        ("running", True, "running"), ("migrating", True, "running"), ("stopping", False, "stopped"),
        ("off", False, "stopped"), ("off", True, "pending"), ("deleting", True, "gone"),
        ("rebuilding", True, "pending"), ("unknown", False, "pending"), ("something-new", False, "pending"),
    ],
)  # fmt: skip
def test_states(driver: hetzner.Hetzner, status: str, locked: bool, state: str) -> None:
    assert driver._instance({"id": 7, "status": status, "locked": locked}).state == state


def test_a_server_that_is_being_created_is_never_reported_as_stopped(driver: hetzner.Hetzner, time: Time) -> None:
    launch(driver, node())
    states = []
    for _ in range(20):
        states.append(driver.instances()[0].state)
        time.advance(0.6)
    assert set(states) == {"pending", "running"}
