"""The driver ``gce`` against an emulated Compute Engine: lists, access, settling, termination, and lists for users."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hart_salt.base.errors import InvalidRequest, NotFound, TemporaryFailure
from hart_salt.drivers.gce import driver as gce
from hart_salt.model import OK, Leftover
from tests.drivers.do.driver import Time
from tests.drivers.gce.driver import (
    ACCESS,
    INSTANCE,
    KEY,
    LIST,
    OPERATION,
    RULES,
    ZONE,
    driver_of,
    launch,
    left,
    listing,
    node,
)
from tests.drivers.gce.emulator.answers import error
from tests.drivers.gce.emulator.cloud import ComputeEngine as Cloud
from tests.drivers.tested import BATCH, OWNER, SCRIPT
from tests.emulation.faults import Fault, MachineFault

# instances


def test_a_list_has_all_pages_and_all_zones(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    cloud.settings.page_cap = 2
    for number, zone in enumerate(("us-central1-a", ZONE, "us-central1-c", ZONE, ZONE)):
        launch(driver, node(f"n{number}", zone=zone))
    before = cloud.count("GET", LIST)
    assert sorted(it.minion_id for it in driver.instances()) == ["n0", "n1", "n2", "n3", "n4"]
    assert cloud.count("GET", LIST) - before == 3


def test_instances_of_other_owners_are_not_listed_when_the_server_ignores_the_filter(
    cloud: Cloud, driver: gce.ComputeEngine
) -> None:
    shown = {"id": "7", "name": "a", "labels": {"hart-owner": "other"}}
    cloud.faults.add(Fault("GET", LIST, status=200, answer=listing(shown)))
    assert driver.instances() == []


def test_a_report_with_few_fields_is_listed(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    shown = {"id": "7", "name": "a", "labels": {"hart-owner": OWNER}, "status": "SOMETHING_NEW", "newField": 1}
    cloud.faults.add(Fault("GET", LIST, status=200, answer=listing(shown)))
    (it,) = driver.instances()
    assert (it.instance_id, it.minion_id, it.state, it.zone, it.public_ip, it.created) == (
        "7", "a", "pending", None, None, None,
    )  # fmt: skip


def test_a_stopped_instance_is_listed_as_stopped(cloud: Cloud, driver: gce.ComputeEngine, time: Time) -> None:
    launch(driver, node())
    time.advance(10)
    for instance in cloud.state.instances.values():
        instance.stopped = True
    assert [it.state for it in driver.instances()] == ["stopped"]


def test_an_unreachable_zone_is_an_error_and_no_empty_list(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    launch(driver, node())
    cloud.settings.unreachable_zones = ("us-east1-b",)
    assert len(driver.instances("us-central1")) == 1
    for region in (None, "us-east1"):
        with pytest.raises(TemporaryFailure, match="cannot list us-east1-b"):
            driver.instances(region)


def test_a_zone_whose_scope_reports_it_as_unreachable_is_an_error(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    scope = {"warning": {"code": "UNREACHABLE", "message": "The zone is not reachable."}}
    answer = {"kind": "compute#instanceAggregatedList", "items": {"zones/us-east1-b": scope}}
    cloud.faults.add(Fault("GET", LIST, status=200, answer=answer, times=None))
    assert driver.instances("us-central1") == []
    with pytest.raises(TemporaryFailure, match="cannot list us-east1-b"):
        driver.instances()
    cloud.faults.clear()


# access


def test_access_makes_a_temporary_firewall_rule_and_removes_it(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    with driver.access(BATCH, KEY, [node()]):
        rule = cloud.state.firewalls[ACCESS].body
        assert rule == {
            "name": ACCESS, "description": "Made by hart on m while instances boot; removed after that.",
            "network": "projects/hart-test-1/global/networks/default", "direction": "INGRESS",
            "allowed": [{"IPProtocol": "tcp", "ports": ["22"]}], "sourceRanges": ["8.8.4.4/32"],
            "targetTags": [ACCESS],
        }  # fmt: skip
        (leftover,) = driver.leftovers()
        assert (leftover.kind, leftover.name, leftover.batch) == ("firewall rule", ACCESS, BATCH)
    assert (left(cloud), driver.leftovers()) == ({}, [])
    assert list(cloud.state.firewalls) == ["default-allow-ssh"]


def test_the_rule_is_for_the_nodes_network_and_the_configured_source(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    cloud.add_subnet("front", "us-central1", "own")
    with driver.access(BATCH, KEY, [node(options={"subnet": "front", "connect_from": "198.51.100.0/24"})]):
        rule = cloud.state.firewalls[ACCESS].body
    assert (rule["network"].rpartition("/")[2], rule["sourceRanges"]) == ("own", ["198.51.100.0/24"])


def test_behind_nat_the_address_service_reports_the_masters_address(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    driver._source = lambda towards: "192.168.1.2"
    with driver.access(BATCH, KEY, [node()]):
        assert cloud.state.firewalls[ACCESS].body["sourceRanges"] == ["203.0.113.77/32"]


def test_with_private_addresses_the_rule_allows_the_masters_own_address(
    cloud: Cloud, driver: gce.ComputeEngine
) -> None:
    asked: list[str] = []

    def source(towards: str) -> str:
        asked.append(towards)
        return "10.128.0.9"

    driver._source = source
    with driver.access(BATCH, KEY, [node(connect_via="private")]):
        assert cloud.state.firewalls[ACCESS].body["sourceRanges"] == ["10.128.0.9/32"]
    (address,) = asked
    assert address == str(cloud.state.subnets[2].range).replace(".0/20", ".1")


def test_without_nodes_there_is_no_rule(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    with driver.access(BATCH, KEY, []):
        assert left(cloud) == {}
    assert cloud.calls == []


def test_a_rule_whose_create_was_not_answered_is_removed(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    cloud.faults.add(Fault("POST", RULES, when="after", status=500, times=30))
    with pytest.raises(TemporaryFailure, match="500"), driver.access(BATCH, KEY, [node()]):
        pytest.fail("there is no access")
    cloud.faults.clear()
    assert left(cloud) == {}


def test_a_rule_that_cannot_be_removed_is_named(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    cloud.faults.add(Fault("DELETE", RULES, status=500, times=None))
    said = f"the temporary firewall rule {ACCESS} could not be removed: .*500"
    with pytest.raises(TemporaryFailure, match=said), driver.access(BATCH, KEY, [node()]):
        pass
    cloud.faults.clear()
    (leftover,) = driver.leftovers()
    driver.remove(leftover)
    driver.remove(leftover)
    assert left(cloud) == {}


# settle


def test_settling_removes_the_temporary_tag_and_the_script_and_nothing_else(
    cloud: Cloud, driver: gce.ComputeEngine
) -> None:
    instance = launch(driver, node(tags=["web"]))
    driver.settle(instance)
    (there,) = cloud.state.instances.values()
    assert there.tags == ["web"]
    assert [item["key"] for item in there.metadata] == ["block-project-ssh-keys", "enable-oslogin", "hart-role"]
    before = len(cloud.calls)
    driver.settle(instance)
    assert len(cloud.calls) - before == 1  # one read, and nothing to change
    assert [it.role for it in driver.instances()] == ["db.Main"]


@pytest.mark.parametrize("what", ["setTags", "setMetadata"])
def test_settling_keeps_what_others_change_at_the_same_time(cloud: Cloud, driver: gce.ComputeEngine, what: str) -> None:
    instance = launch(driver, node())
    (there,) = cloud.state.instances.values()
    answer = error(412, "Supplied fingerprint does not match.", "conditionNotMet")
    cloud.faults.add(Fault("POST", what, status=412, answer=answer))
    there.metadata = [*there.metadata, {"key": "theirs", "value": "1"}]
    there.tags = [*there.tags, "theirs"]
    driver.settle(instance)
    assert left(cloud) == {"instances": ["w1.example.com"]}
    assert (there.tags, there.metadata[-1]["key"]) == (["theirs"], "theirs")
    assert cloud.count("GET", INSTANCE) == 2


def test_settling_fails_if_others_change_the_instance_before_each_attempt(
    cloud: Cloud, driver: gce.ComputeEngine
) -> None:
    instance = launch(driver, node())
    cloud.faults.add(Fault("POST", "setTags", status=412, times=5))
    with pytest.raises(InvalidRequest, match="412 conditionNotMet"):
        driver.settle(instance)


def test_settling_waits_for_its_operations_and_reports_their_errors(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    instance = launch(driver, node())
    done = {"id": "7", "name": "operation-7", "status": "DONE", "error": {"errors": [{"code": "INTERNAL_ERROR"}]}}
    cloud.faults.add(Fault("GET", OPERATION, status=200, answer=done))
    with pytest.raises(TemporaryFailure, match="INTERNAL_ERROR"):
        driver.settle(instance)


# terminate


def test_terminate_can_be_repeated_and_deletes_the_disks(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    instance = launch(driver, node(options={"local_ssds": 1}))
    assert len(cloud.state.disks) == 2
    for _ in range(2):
        driver.terminate(instance)
    assert (left(cloud), cloud.state.disks) == ({}, {})


def test_terminate_uses_the_id_and_never_the_name_which_a_new_instance_can_have(
    cloud: Cloud, driver: gce.ComputeEngine
) -> None:
    old = launch(driver, node())
    driver.terminate(old)
    new = launch(driver, node())
    driver.terminate(dataclasses.replace(old, minion_id="w1.example.com"))
    assert [it.instance_id for it in driver.instances()] == [new.instance_id]


@pytest.mark.parametrize("fault", [MachineFault(refuse_delete=2), MachineFault(ignore_delete=2)])
def test_a_delete_that_is_refused_or_fails_at_first_is_retried(
    cloud: Cloud, driver: gce.ComputeEngine, fault: MachineFault
) -> None:
    cloud.faults.add(fault)
    driver.terminate(launch(driver, node()))
    assert left(cloud) == {}


def test_terminate_waits_until_the_instance_is_gone(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    cloud.settings.delete_after = 90
    driver.terminate(launch(driver, node()))
    assert driver.instances() == []


def test_terminate_has_a_timeout(cloud: Cloud, driver: gce.ComputeEngine, time: Time) -> None:
    cloud.settings.delete_after = 2000
    instance = launch(driver, node())
    time.waits.clear()
    with pytest.raises(TemporaryFailure):
        driver.terminate(instance)
    # One wait for the operation, then two refusals because the instance is still being deleted.
    assert 500 < sum(time.waits) < 600


def test_a_delete_whose_answer_is_lost_succeeds(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    instance = launch(driver, node())
    cloud.faults.add(Fault("DELETE", INSTANCE, when="after", drop=True))
    driver.terminate(instance)
    assert left(cloud) == {}


def test_a_disk_that_is_kept_outlives_its_instance_and_is_reported(
    cloud: Cloud, driver: gce.ComputeEngine, time: Time
) -> None:
    instance = launch(driver, node(options={"keep_volumes": True, "local_ssds": 1}))
    assert driver.kept_volumes(instance) == [], "a node that does not become a minion leaves no disk"
    driver_of(cloud, time).settle(instance)
    (name,) = driver.kept_volumes(instance)
    assert driver.leftovers() == []
    driver.terminate(instance)
    assert [disk.name for disk in cloud.state.disks.values()] == [name]
    (leftover,) = driver.leftovers()
    assert (leftover.name, leftover.keep) == (name, True)
    assert list(driver.kept_volumes(instance)) == []


def test_a_disk_is_kept_before_a_minion_that_was_never_sealed_goes(
    cloud: Cloud, driver: gce.ComputeEngine, time: Time
) -> None:
    instance = launch(driver, node(options={"keep_volumes": True}))
    other = driver_of(cloud, time)
    for _ in range(2):
        other.keep_volumes(instance)
    assert len(other.kept_volumes(instance)) == 1
    other.terminate(instance)
    with pytest.raises(NotFound):
        other.keep_volumes(instance)
    plain = launch(driver, node("w2.example.com"))
    other.keep_volumes(plain)
    assert other.kept_volumes(plain) == []


@pytest.mark.parametrize("change", ["set_tags", "set_metadata"])
def test_a_disk_is_not_kept_until_all_else_of_sealing_has_succeeded(
    driver: gce.ComputeEngine, time: Time, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    instance = launch(driver, node(options={"keep_volumes": True}))
    api = driver._parts.api
    started, wait, doomed = api.change, api.wait, list[Any]()

    def starting(resource: str, method: str, *arguments: Any, **more: Any) -> Any:
        operation = started(resource, method, *arguments, **more)
        doomed.extend([operation] if method == change else [])
        return operation

    def waiting(operation: Any) -> Any:
        if any(operation is one for one in doomed):
            raise TemporaryFailure("the operation failed")
        return wait(operation)

    monkeypatch.setattr(api, "change", starting)
    monkeypatch.setattr(api, "wait", waiting)
    with pytest.raises(TemporaryFailure):
        driver.settle(instance)
    time.advance(60)  # operations that were started have ended
    assert driver.kept_volumes(instance) == []


@pytest.mark.parametrize(
    ("setting", "value", "right"),
    [
        ("keep_volumes", True, "compute.instances.setDiskAutoDelete"),
        ("service_account", "a@p.iam", "compute.instances.setServiceAccount"),
    ],
)
def test_the_rights_of_a_setting_are_checked_only_with_it(
    cloud: Cloud, driver: gce.ComputeEngine, setting: str, value: Any, right: str
) -> None:
    cloud.settings.denied = (right,)
    assert driver.check_rights(node()).result == OK
    found = driver.check_rights(node(options={setting: value}))
    assert (found.result, right in found.sentence) == ("AuthError", True)


def test_a_disk_that_is_not_kept_goes_after_sealing_too(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    instance = launch(driver, node())
    driver.settle(instance)
    driver.terminate(instance)
    assert cloud.state.disks == {}


# leftovers


def test_a_disk_without_its_instance_is_a_leftover(cloud: Cloud, time: Time, driver: gce.ComputeEngine) -> None:
    launch(driver, node())
    launch(driver_of(cloud, time, owner="cd34" * 4), node("theirs"))
    assert driver.leftovers() == []
    for disk in cloud.state.disks.values():
        disk.auto_delete = False
    for instance in list(cloud.state.instances.values()):
        cloud._world.remove(instance)
    (leftover,) = driver.leftovers()
    disk = next(disk for disk in cloud.state.disks.values() if "com-example-w1" in disk.name)
    assert leftover.created == pytest.approx(disk.created, abs=0.01)
    assert leftover == Leftover("disk", disk.name, f"disks/{ZONE}/{disk.id}", BATCH, "us-central1", leftover.created)
    for _ in range(2):
        driver.remove(leftover)
    assert driver.leftovers() == []
    assert len(cloud.state.disks) == 1


@pytest.mark.parametrize(("owner", "left_over"), [("other", []), (OWNER, ["a"])])
def test_disks_of_other_owners_are_no_leftovers_when_the_server_ignores_the_filter(
    cloud: Cloud, driver: gce.ComputeEngine, owner: str, left_over: list[str]
) -> None:
    disk = {"id": "7", "name": "a", "labels": {"hart-owner": owner}, "zone": f"projects/p/zones/{ZONE}"}
    answer = {"kind": "compute#diskAggregatedList", "items": {f"zones/{ZONE}": {"disks": [disk]}}}
    cloud.faults.add(Fault("GET", r"/aggregated/disks$", status=200, answer=answer))
    assert [leftover.name for leftover in driver.leftovers()] == left_over


# lists for users


def test_check_names_project_and_account(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    assert driver.check() == "project hart-test-1 as hart@hart-test-1.iam.gserviceaccount.com"


def test_regions_have_only_available_zones(driver: gce.ComputeEngine) -> None:
    regions = {region.name: region for region in driver.regions()}
    assert regions["us-central1"].zones == ("us-central1-a", "us-central1-b", "us-central1-c")
    assert regions["us-east1"].zones == ("us-east1-b", "us-east1-c", "us-east1-d")
    assert regions["us-east1"].description == "Moncks Corner, South Carolina, USA"


def test_sizes_have_no_prices_and_retired_ones_are_marked(driver: gce.ComputeEngine) -> None:
    sizes = {size.name: size for size in driver.sizes("us-central1")}
    small = sizes["e2-small"]
    assert (small.memory_mb, small.cpus, small.monthly_price, small.available) == (2048, 2.0, None, True)
    assert not sizes["f1-micro"].available
    assert "t2a-standard-1" in sizes
    assert "t2a-standard-1" not in {size.name for size in driver.sizes("us-east1")}
    assert "t2a-standard-1" in {size.name for size in driver.sizes(None)}


def test_no_price_is_asked_for(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    before = len(cloud.calls)
    assert driver.prices({"us-central1": {"e2-small"}}) == {}
    assert len(cloud.calls) == before


def test_one_size_is_requested_by_its_name_also_a_custom_one(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    size = driver.size("e2-custom-2-4096", "us-central1")
    assert size is not None
    assert (size.cpus, size.memory_mb) == (2.0, 4096)
    assert driver.size("t2a-standard-1", "us-east1") is None
    assert cloud.count("GET", r"/machineTypes$") == 0


def test_images_are_listed_by_their_setting_and_deprecated_ones_are_marked(
    cloud: Cloud, driver: gce.ComputeEngine
) -> None:
    cloud.add_image("golden")
    cloud.add_image("older", deprecated=True)
    images = {image.setting: image for image in driver.images("us-central1")}
    assert images["bookworm"].description == "debian-12-bookworm-v20261110"
    shown = {name: image.available for name, image in images.items()}
    releases = dict.fromkeys(("bookworm", "trixie", "jammy", "noble", "resolute"), True)
    assert shown == {**releases, "golden": True, "older": False}


def test_sizes_images_and_subnets_are_requested_once(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    for number in range(5):
        assert driver.objections(node(f"n{number}")) == []
    asked = [call.path.rpartition("/")[2] for call in cloud.calls]
    assert sorted(asked) == ["debian-12", "e2-small", "subnetworks"]


# threads


def test_several_threads_can_use_one_driver(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    names = [f"n{number}" for number in range(24)]
    with driver.access(BATCH, KEY, [node()]) as access, ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda name: driver.launch(node(name), SCRIPT, access), names))
        assert sorted(instance.minion_id for instance in made) == sorted(names)
        assert set(pool.map(lambda _: len(driver.instances()), range(16))) == {24}
        list(pool.map(driver.settle, made))
        list(pool.map(driver.terminate, made))
    assert left(cloud) == {}
