"""The driver ``gce`` against an emulated Compute Engine: what it asks for, and the state that it leaves."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hart_salt.drivers import gce
from hart_salt.errors import InvalidRequest, QuotaExceeded, TemporaryFailure
from hart_salt.model import Leftover
from tests.cloud.faults import Fault, MachineFault
from tests.cloud.gce import ComputeEngine as Cloud
from tests.cloud.gce_answers import error
from tests.functional.do_driver import Time
from tests.functional.gce_driver import (
    ACCESS,
    BATCH,
    INSERT,
    INSTANCE,
    KEY,
    LIST,
    OPERATION,
    OPERATIONS,
    OWNER,
    RULES,
    SCRIPT,
    ZONE,
    driver_of,
    launch,
    left,
    node,
    open_cloud,
)

STOCKOUT = "ZONE_RESOURCE_POOL_EXHAUSTED"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def cloud(time: Time) -> Iterator[Cloud]:
    with open_cloud(time) as cloud:
        yield cloud


@pytest.fixture
def driver(cloud: Cloud, time: Time) -> gce.ComputeEngine:
    return driver_of(cloud, time)


def create_body(cloud: Cloud) -> dict[str, Any]:
    (call,) = [call for call in cloud.calls if call.method == "POST" and re.search(INSERT, call.path)]
    return dict(call.body)


def listing(shown: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "compute#instanceAggregatedList", "items": {f"zones/{ZONE}": {"instances": [shown]}}}


# the create call


def test_the_create_call_of_a_plain_node(cloud: Cloud, driver: gce.ComputeEngine):
    launch(driver, node())
    labels = {"hart": "", "hart-owner": OWNER, "hart-batch": BATCH, "hart-role": "db_main"}
    assert create_body(cloud) == {
        "name": "hart-com-example-w1-2a349865",
        "description": "w1.example.com",
        "machineType": f"zones/{ZONE}/machineTypes/e2-small",
        "labels": labels,
        "tags": {"items": [ACCESS]},
        "disks": [{
            "boot": True, "autoDelete": True, "type": "PERSISTENT", "mode": "READ_WRITE",
            "initializeParams": {
                "sourceImage": "projects/debian-cloud/global/images/debian-12-bookworm-v20261110",
                "diskSizeGb": "10", "diskType": f"zones/{ZONE}/diskTypes/pd-ssd", "labels": labels,
            },
        }],
        "networkInterfaces": [{
            "network": "projects/hart-test-1/global/networks/default",
            "subnetwork": "projects/hart-test-1/regions/us-central1/subnetworks/default",
            "stackType": "IPV4_ONLY",
            "accessConfigs": [{"type": "ONE_TO_ONE_NAT", "name": "External NAT"}],
        }],
        "metadata": {"items": [
            {"key": "startup-script", "value": SCRIPT},
            {"key": "block-project-ssh-keys", "value": "TRUE"},
            {"key": "enable-oslogin", "value": "FALSE"},
            {"key": "hart-role", "value": "db.Main"},
        ]},
        "shieldedInstanceConfig": {
            "enableSecureBoot": True, "enableVtpm": True, "enableIntegrityMonitoring": True,
        },
        "scheduling": {"provisioningModel": "STANDARD"},
    }  # fmt: skip


def test_no_service_account_and_no_ssh_keys_unless_asked(cloud: Cloud, driver: gce.ComputeEngine):
    launch(driver, node())
    body = create_body(cloud)
    assert body.get("serviceAccounts", []) == []
    keys = [item["key"] for item in body["metadata"]["items"]]
    assert "ssh-keys" not in keys
    assert "sshKeys" not in keys


def test_the_instance_that_comes_of_it(driver: gce.ComputeEngine, time: Time):
    first = launch(driver, node())
    assert (first.state, first.role, first.batch, first.minion_id) == ("pending", "db.Main", BATCH, "w1.example.com")
    time.advance(10)
    (listed,) = driver.instances()
    expected = dataclasses.replace(
        first, state="running", public_ip="203.0.113.4", private_ip="10.120.0.4", created=listed.created
    )
    assert listed == expected
    assert listed.created == pytest.approx(time() - 10, abs=5)


def test_the_disk_and_local_ssds(cloud: Cloud, driver: gce.ComputeEngine):
    options = {
        "volume_type": "hyperdisk-balanced", "volume_size": 50, "volume_iops": 4000, "local_ssds": 2,
        "labels": {"env": "prod"},
    }  # fmt: skip
    launch(driver, node(options=options))
    boot, *local = create_body(cloud)["disks"]
    params = boot["initializeParams"]
    assert (params["diskSizeGb"], params["provisionedIops"]) == ("50", "4000")
    assert params["diskType"].endswith("/hyperdisk-balanced")
    assert (params["labels"]["env"], params["labels"]["hart-owner"]) == ("prod", OWNER)
    scratch = {"diskType": f"zones/{ZONE}/diskTypes/local-ssd"}
    assert local == [{"autoDelete": True, "type": "SCRATCH", "interface": "NVME", "initializeParams": scratch}] * 2


def test_spot_instances_go_when_their_time_is_over(cloud: Cloud, driver: gce.ComputeEngine):
    launch(driver, node(options={"spot": True}))
    expected = {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"}
    assert create_body(cloud)["scheduling"] == expected


def test_without_a_public_address(cloud: Cloud, driver: gce.ComputeEngine, time: Time):
    launch(driver, node(public_ip=False, connect_via="private"))
    assert "accessConfigs" not in create_body(cloud)["networkInterfaces"][0]
    time.advance(10)
    (instance,) = driver.instances()
    assert (instance.state, instance.public_ip, instance.private_ip) == ("running", None, "10.120.0.4")


def test_ipv6(cloud: Cloud, driver: gce.ComputeEngine):
    cloud.add_subnet("both", "us-central1", "own", ipv6=True)
    launch(driver, node(options={"ipv6": True, "subnet": "both"}))
    interface = create_body(cloud)["networkInterfaces"][0]
    assert interface["stackType"] == "IPV4_IPV6"
    assert interface["ipv6AccessConfigs"][0]["type"] == "DIRECT_IPV6"


@pytest.mark.parametrize(
    ("options", "scopes"),
    [
        ({"service_account": "default"}, ["logging.write", "monitoring.write"]),
        ({"service_account": "a@p.iam", "scopes": ["cloud-platform", "storage-ro"]},
         ["cloud-platform", "devstorage.read_only"]),
        ({"service_account": "a@p.iam", "scopes": "https://www.googleapis.com/auth/compute"}, ["compute"]),
    ],
)  # fmt: skip
def test_a_service_account_on_request(cloud: Cloud, driver: gce.ComputeEngine, options: Any, scopes: list[str]):
    launch(driver, node(options=options))
    account = {
        "email": options["service_account"],
        "scopes": [f"https://www.googleapis.com/auth/{scope}" for scope in scopes],
    }
    assert create_body(cloud)["serviceAccounts"] == [account]


def test_os_login_on_request(cloud: Cloud, driver: gce.ComputeEngine):
    launch(driver, node(options={"enable_oslogin": True}))
    assert {"key": "enable-oslogin", "value": "TRUE"} in create_body(cloud)["metadata"]["items"]


def test_network_tags_and_labels_of_the_user(cloud: Cloud, driver: gce.ComputeEngine):
    launch(driver, node(tags=["web", "web", "db"], options={"labels": {"team": "x"}}))
    body = create_body(cloud)
    assert body["tags"]["items"] == ["web", "db", ACCESS]
    assert body["labels"]["team"] == "x"


@pytest.mark.parametrize(
    ("setting", "size", "image"),
    [
        ("bookworm", "e2-small", "debian-cloud/global/images/debian-12-bookworm-v20261110"),
        ("trixie", "e2-custom-2-4096", "debian-cloud/global/images/debian-13-trixie-v20261110"),
        ("trixie", "t2a-standard-1", "debian-cloud/global/images/debian-13-trixie-arm64-v20261110"),
        ("jammy", "e2-small", "ubuntu-os-cloud/global/images/ubuntu-2204-jammy-v20261105"),
        ("noble", "c4a-standard-1", "ubuntu-os-cloud/global/images/ubuntu-2404-noble-arm64-v20261106"),
        ("debian-12-bookworm-v20261013", "e2-small", "debian-cloud/global/images/debian-12-bookworm-v20261013"),
        ("own", "e2-small", "hart-test-1/global/images/own"),
        ("global/images/own", "e2-small", "hart-test-1/global/images/own"),
        ("https://www.googleapis.com/compute/v1/projects/debian-cloud/global/images/family/debian-13", "e2-small",
         "debian-cloud/global/images/debian-13-trixie-v20261110"),
    ],
)  # fmt: skip
def test_an_image_by_code_name_name_or_link(
    cloud: Cloud, driver: gce.ComputeEngine, setting: str, size: str, image: str
):
    cloud.add_image("own")
    wanted = node(image=setting, size=size)
    assert driver.objections(wanted) == []
    launch(driver, wanted)
    assert create_body(cloud)["disks"][0]["initializeParams"]["sourceImage"] == f"projects/{image}"


def test_an_image_that_no_shielded_machine_can_start_is_started_without(cloud: Cloud, driver: gce.ComputeEngine):
    cloud.add_image("old", features=())
    launch(driver, node(image="old"))
    assert not any(create_body(cloud)["shieldedInstanceConfig"].values())


def test_a_subnet_by_name_or_the_only_one_of_a_network(cloud: Cloud, driver: gce.ComputeEngine):
    cloud.add_subnet("front", "us-central1", "own")
    cloud.add_subnet("proxies", "us-central1", "own", purpose="REGIONAL_MANAGED_PROXY")
    launch(driver, node(options={"network": "own"}))
    interface = create_body(cloud)["networkInterfaces"][0]
    assert interface["subnetwork"].endswith("/subnetworks/front")
    assert interface["network"].endswith("/networks/own")


def test_the_only_subnet_is_one_that_instances_can_be_in(cloud: Cloud, driver: gce.ComputeEngine):
    cloud.add_subnet("proxies", "us-central1", "default", purpose="REGIONAL_MANAGED_PROXY")
    launch(driver, node())
    assert create_body(cloud)["networkInterfaces"][0]["subnetwork"].endswith("/subnetworks/default")


# a create that is repeated


def test_a_create_whose_answer_is_lost_is_repeated_with_its_request_id(cloud: Cloud, driver: gce.ComputeEngine):
    cloud.faults.add(Fault("POST", INSERT, when="after", drop=True, times=2))
    instance = launch(driver, node())
    creates = [call for call in cloud.calls if call.method == "POST" and re.search(INSERT, call.path)]
    assert len(creates) == 3
    assert len({call.query["requestId"][0] for call in creates}) == 1
    assert (cloud.made(), [str(number) for number in cloud.state.instances]) == (1, [instance.instance_id])


def test_the_request_id_is_the_same_in_another_process_and_another_for_another_node(cloud: Cloud, time: Time):
    for driver, name in ((driver_of(cloud, time), "a"), (driver_of(cloud, time), "a"), (driver_of(cloud, time), "b")):
        launch(driver, node(name))
    ids = [call.query["requestId"][0] for call in cloud.calls if call.method == "POST" and re.search(INSERT, call.path)]
    assert (ids[0] == ids[1], ids[0] == ids[2]) == (True, False)
    assert cloud.left()["instances"] == ["a", "b"]


def test_a_name_that_is_taken_by_this_very_create_is_its_instance(cloud: Cloud, driver: gce.ComputeEngine):
    cloud.settings.remembers_requests = False
    cloud.settings.late_error, cloud.settings.late_after = STOCKOUT, 60
    cloud.faults.add(Fault("POST", INSERT, when="after", drop=True))
    instance = launch(driver, node())
    assert (instance.minion_id, instance.batch, instance.zone) == ("w1.example.com", BATCH, ZONE)
    # Its create is known again as well.
    assert driver._parts.inserts._under_way != {}


def test_a_name_that_somebody_else_has_is_refused(cloud: Cloud, time: Time, driver: gce.ComputeEngine):
    launch(driver_of(cloud, time, owner="cd34" * 4), node())
    with pytest.raises(InvalidRequest, match="has an instance hart-com-example-w1-2a349865 already, which this call"):
        launch(driver, dataclasses.replace(node(), batch="00" * 6))
    assert cloud.made() == 1


# creates that fail late


@pytest.mark.parametrize("status", [503, None])
@pytest.mark.parametrize("after", [0, 30])
def test_a_create_that_fails_late_is_reported_with_the_reason(
    cloud: Cloud, driver: gce.ComputeEngine, time: Time, status: int | None, after: float
):
    cloud.settings.late_error, cloud.settings.late_status, cloud.settings.late_after = STOCKOUT, status, after
    first = launch(driver, node())
    assert first.state == "pending"
    if after:
        assert [(it.state, it.problem) for it in driver.instances()] == [("pending", "")]
        time.advance(after)
    (gone,) = driver.instances()
    assert (gone.instance_id, gone.state, gone.minion_id, gone.batch) == (
        first.instance_id, "gone", "w1.example.com", BATCH,
    )  # fmt: skip
    assert f"({STOCKOUT})" in gone.problem
    driver.terminate(gone)
    assert (driver.instances(), left(cloud)) == ([], {})


def test_an_instance_that_is_still_listed_has_the_problem_of_its_create(
    cloud: Cloud, driver: gce.ComputeEngine, time: Time
):
    cloud.settings.late_error = STOCKOUT
    first = launch(driver, node())
    shown = {
        "id": first.instance_id, "name": "a", "status": "STOPPING", "labels": {"hart-owner": OWNER},
        "zone": f"projects/p/zones/{ZONE}",
    }  # fmt: skip
    cloud.faults.add(Fault("GET", LIST, status=200, answer=listing(shown)))
    (instance,) = driver.instances()
    assert (instance.state, STOCKOUT in instance.problem) == ("stopped", True)


def test_a_quota_that_is_told_with_the_create_s_own_answer(cloud: Cloud, driver: gce.ComputeEngine):
    operation = {
        "id": "7", "name": "operation-7", "status": "DONE", "targetId": "8",
        "error": {"errors": [{"code": "QUOTA_EXCEEDED", "message": "Quota 'CPUS' exceeded."}]},
    }  # fmt: skip
    cloud.faults.add(Fault("POST", INSERT, status=200, answer=operation))
    with pytest.raises(QuotaExceeded, match=r"Quota 'CPUS' exceeded. \(QUOTA_EXCEEDED\)"):
        launch(driver, node())


def test_creates_under_way_are_looked_at_once_a_zone_and_not_any_more_when_they_have_ended(
    cloud: Cloud, driver: gce.ComputeEngine, time: Time
):
    wanted = [node(f"n{number}", zone=zone) for number in range(4) for zone in ("us-central1-a", ZONE)]
    wanted = [dataclasses.replace(it, minion_id=f"{it.minion_id}-{it.zone}") for it in wanted]
    with driver.access(BATCH, KEY, wanted) as access:
        for one in wanted:
            driver.launch(one, SCRIPT, access)
        before = len(cloud.calls)
        driver.instances()
        assert cloud.count("GET", OPERATIONS) == 2
        assert len(cloud.calls) - before == 3
        time.advance(10)
        assert {it.state for it in driver.instances()} == {"running"}
        assert cloud.count("GET", OPERATIONS) == 4
        driver.instances()
        assert cloud.count("GET", OPERATIONS) == 4


def test_many_creates_are_asked_for_in_parts_that_an_address_can_hold(cloud: Cloud, driver: gce.ComputeEngine):
    wanted = [node(f"n{number}") for number in range(60)]
    with driver.access(BATCH, KEY, wanted) as access:
        for one in wanted:
            driver.launch(one, SCRIPT, access)
        driver.instances()
    asked = [call for call in cloud.calls if re.search(OPERATIONS, call.path)]
    assert len(asked) == 2
    assert max(len(call.query["filter"][0]) for call in asked) < 6000


# instances


def test_a_list_has_all_its_pages_and_all_zones(cloud: Cloud, driver: gce.ComputeEngine):
    cloud.settings.page_cap = 2
    for number, zone in enumerate(("us-central1-a", ZONE, "us-central1-c", ZONE, ZONE)):
        launch(driver, node(f"n{number}", zone=zone))
    before = cloud.count("GET", LIST)
    assert sorted(it.minion_id for it in driver.instances()) == ["n0", "n1", "n2", "n3", "n4"]
    assert cloud.count("GET", LIST) - before == 3


def test_a_filter_that_the_server_passes_over_makes_nothing_ours(cloud: Cloud, driver: gce.ComputeEngine):
    shown = {"id": "7", "name": "a", "labels": {"hart-owner": "other"}}
    cloud.faults.add(Fault("GET", LIST, status=200, answer=listing(shown)))
    assert driver.instances() == []


def test_a_report_with_little_in_it(cloud: Cloud, driver: gce.ComputeEngine):
    shown = {"id": "7", "name": "a", "labels": {"hart-owner": OWNER}, "status": "SOMETHING_NEW", "newField": 1}
    cloud.faults.add(Fault("GET", LIST, status=200, answer=listing(shown)))
    (it,) = driver.instances()
    assert (it.instance_id, it.minion_id, it.state, it.zone, it.public_ip, it.created) == (
        "7", "a", "pending", None, None, None,
    )  # fmt: skip


def test_a_stopped_instance(cloud: Cloud, driver: gce.ComputeEngine, time: Time):
    launch(driver, node())
    time.advance(10)
    for instance in cloud.state.instances.values():
        instance.stopped = True
    assert [it.state for it in driver.instances()] == ["stopped"]


def test_a_zone_that_cannot_be_asked_is_no_empty_zone(cloud: Cloud, driver: gce.ComputeEngine):
    launch(driver, node())
    cloud.settings.unreachable_zones = ("us-east1-b",)
    assert len(driver.instances("us-central1")) == 1
    for region in (None, "us-east1"):
        with pytest.raises(TemporaryFailure, match="cannot say what is in us-east1-b"):
            driver.instances(region)


def test_a_zone_whose_scope_says_that_it_could_not_be_asked(cloud: Cloud, driver: gce.ComputeEngine):
    scope = {"warning": {"code": "UNREACHABLE", "message": "The zone is not reachable."}}
    answer = {"kind": "compute#instanceAggregatedList", "items": {"zones/us-east1-b": scope}}
    cloud.faults.add(Fault("GET", LIST, status=200, answer=answer, times=None))
    assert driver.instances("us-central1") == []
    with pytest.raises(TemporaryFailure, match="cannot say what is in us-east1-b"):
        driver.instances()
    cloud.faults.clear()


# access


def test_the_temporary_firewall_rule(cloud: Cloud, driver: gce.ComputeEngine):
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


def test_the_rule_is_of_the_node_s_network_and_from_where_the_user_says(cloud: Cloud, driver: gce.ComputeEngine):
    cloud.add_subnet("front", "us-central1", "own")
    with driver.access(BATCH, KEY, [node(options={"subnet": "front", "connect_from": "198.51.100.0/24"})]):
        rule = cloud.state.firewalls[ACCESS].body
    assert (rule["network"].rpartition("/")[2], rule["sourceRanges"]) == ("own", ["198.51.100.0/24"])


def test_behind_a_nat_the_service_says_where_the_master_is(cloud: Cloud, driver: gce.ComputeEngine):
    driver._source = lambda towards: "192.168.1.2"
    with driver.access(BATCH, KEY, [node()]):
        assert cloud.state.firewalls[ACCESS].body["sourceRanges"] == ["203.0.113.77/32"]


def test_for_private_addresses_the_master_s_own_counts(cloud: Cloud, driver: gce.ComputeEngine):
    asked = []
    driver._source = lambda towards: asked.append(towards) or "10.128.0.9"
    with driver.access(BATCH, KEY, [node(connect_via="private")]):
        assert cloud.state.firewalls[ACCESS].body["sourceRanges"] == ["10.128.0.9/32"]
    (address,) = asked
    assert address == str(cloud.state.subnets[2].range).replace(".0/20", ".1")


def test_no_rule_for_no_nodes(cloud: Cloud, driver: gce.ComputeEngine):
    with driver.access(BATCH, KEY, []):
        assert left(cloud) == {}
    assert cloud.calls == []


def test_a_rule_of_a_lost_create_is_removed(cloud: Cloud, driver: gce.ComputeEngine):
    cloud.faults.add(Fault("POST", RULES, when="after", status=500, times=30))
    with pytest.raises(TemporaryFailure, match="500"), driver.access(BATCH, KEY, [node()]):
        pytest.fail("there is no access")
    cloud.faults.clear()
    assert left(cloud) == {}


def test_a_rule_that_cannot_be_removed_is_named(cloud: Cloud, driver: gce.ComputeEngine):
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


def test_settling_takes_tag_and_script_and_leaves_the_rest(cloud: Cloud, driver: gce.ComputeEngine):
    instance = launch(driver, node(tags=["web"]))
    driver.settle(instance)
    (there,) = cloud.state.instances.values()
    assert there.tags == ["web"]
    assert [item["key"] for item in there.metadata] == ["block-project-ssh-keys", "enable-oslogin", "hart-role"]
    before = len(cloud.calls)
    driver.settle(instance)
    assert len(cloud.calls) - before == 1  # a look, and nothing to do
    assert [it.role for it in driver.instances()] == ["db.Main"]


@pytest.mark.parametrize("what", ["setTags", "setMetadata"])
def test_what_somebody_else_changes_meanwhile_stays(cloud: Cloud, driver: gce.ComputeEngine, what: str):
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


def test_metadata_that_changes_all_the_time(cloud: Cloud, driver: gce.ComputeEngine):
    instance = launch(driver, node())
    cloud.faults.add(Fault("POST", "setTags", status=412, times=5))
    with pytest.raises(InvalidRequest, match="412 conditionNotMet"):
        driver.settle(instance)


def test_settling_waits_for_its_operations_and_reads_their_errors(cloud: Cloud, driver: gce.ComputeEngine):
    instance = launch(driver, node())
    done = {"id": "7", "name": "operation-7", "status": "DONE", "error": {"errors": [{"code": "INTERNAL_ERROR"}]}}
    cloud.faults.add(Fault("GET", OPERATION, status=200, answer=done))
    with pytest.raises(TemporaryFailure, match="INTERNAL_ERROR"):
        driver.settle(instance)


# terminate


def test_terminate_is_repeatable_and_takes_the_disks_along(cloud: Cloud, driver: gce.ComputeEngine):
    instance = launch(driver, node(options={"local_ssds": 1}))
    assert len(cloud.state.disks) == 2
    for _ in range(2):
        driver.terminate(instance)
    assert (left(cloud), cloud.state.disks) == ({}, {})


def test_terminate_goes_by_the_id_and_never_by_a_name_that_another_has_by_now(
    cloud: Cloud, driver: gce.ComputeEngine
):
    old = launch(driver, node())
    driver.terminate(old)
    new = launch(driver, node())
    driver.terminate(dataclasses.replace(old, minion_id="w1.example.com"))
    assert [it.instance_id for it in driver.instances()] == [new.instance_id]


@pytest.mark.parametrize("fault", [MachineFault(refuse_delete=2), MachineFault(ignore_delete=2)])
def test_an_instance_that_does_not_go_at_once(cloud: Cloud, driver: gce.ComputeEngine, fault: MachineFault):
    cloud.faults.add(fault)
    driver.terminate(launch(driver, node()))
    assert left(cloud) == {}


def test_terminate_waits_until_it_is_gone(cloud: Cloud, driver: gce.ComputeEngine):
    cloud.settings.delete_after = 90
    driver.terminate(launch(driver, node()))
    assert driver.instances() == []


def test_an_instance_that_never_goes(cloud: Cloud, driver: gce.ComputeEngine, time: Time):
    cloud.settings.delete_after = 10**6
    instance = launch(driver, node())
    time.waits.clear()
    with pytest.raises(TemporaryFailure):
        driver.terminate(instance)
    assert 300 < sum(time.waits) < 4500


def test_an_answer_to_the_delete_that_is_lost(cloud: Cloud, driver: gce.ComputeEngine):
    instance = launch(driver, node())
    cloud.faults.add(Fault("DELETE", INSTANCE, when="after", drop=True))
    driver.terminate(instance)
    assert left(cloud) == {}


# leftovers


def test_a_disk_that_lost_its_instance_is_a_leftover(cloud: Cloud, time: Time, driver: gce.ComputeEngine):
    launch(driver, node())
    launch(driver_of(cloud, time, owner="cd34" * 4), node("theirs"))
    assert driver.leftovers() == []
    for disk in cloud.state.disks.values():
        disk.auto_delete = False
    for instance in list(cloud.state.instances.values()):
        cloud._world.remove(instance)
    (leftover,) = driver.leftovers()
    disk = next(disk for disk in cloud.state.disks.values() if "com-example-w1" in disk.name)
    assert leftover == Leftover(
        "disk", disk.name, f"disks/{ZONE}/{disk.id}", BATCH, "us-central1", pytest.approx(disk.created, abs=0.01)
    )
    for _ in range(2):
        driver.remove(leftover)
    assert driver.leftovers() == []
    assert len(cloud.state.disks) == 1


# for people


def test_check_names_project_and_account(cloud: Cloud, driver: gce.ComputeEngine):
    assert driver.check() == "project hart-test-1 as hart@hart-test-1.iam.gserviceaccount.com"


def test_regions_with_the_zones_that_can_be_had(driver: gce.ComputeEngine):
    regions = {region.name: region for region in driver.regions()}
    assert regions["us-central1"].zones == ("us-central1-a", "us-central1-b", "us-central1-c")
    assert regions["us-east1"].zones == ("us-east1-b", "us-east1-c", "us-east1-d")
    assert regions["us-east1"].description == "Moncks Corner, South Carolina, USA"


def test_sizes_without_prices_and_retired_ones_marked(driver: gce.ComputeEngine):
    sizes = {size.name: size for size in driver.sizes("us-central1")}
    small = sizes["e2-small"]
    assert (small.memory_mb, small.cpus, small.monthly_price, small.available) == (2048, 2.0, None, True)
    assert not sizes["f1-micro"].available
    assert "t2a-standard-1" in sizes
    assert "t2a-standard-1" not in {size.name for size in driver.sizes("us-east1")}
    assert "t2a-standard-1" in {size.name for size in driver.sizes(None)}


def test_one_size_is_asked_for_by_its_name_custom_ones_too(cloud: Cloud, driver: gce.ComputeEngine):
    size = driver.size("e2-custom-2-4096", "us-central1")
    assert size is not None
    assert (size.cpus, size.memory_mb) == (2.0, 4096)
    assert driver.size("t2a-standard-1", "us-east1") is None
    assert cloud.count("GET", r"/machineTypes$") == 0


def test_images(cloud: Cloud, driver: gce.ComputeEngine):
    cloud.add_image("golden")
    cloud.add_image("older", deprecated=True)
    images = {image.setting: image for image in driver.images("us-central1")}
    assert images["bookworm"].description == "debian-12-bookworm-v20261110"
    shown = {name: image.available for name, image in images.items()}
    releases = dict.fromkeys(("bookworm", "trixie", "jammy", "noble"), True)
    assert shown == {**releases, "golden": True, "older": False}


def test_what_there_is_is_asked_for_once(cloud: Cloud, driver: gce.ComputeEngine):
    for number in range(5):
        assert driver.objections(node(f"n{number}")) == []
    asked = [call.path.rpartition("/")[2] for call in cloud.calls]
    assert sorted(asked) == ["debian-12", "e2-small", "subnetworks"]


# threads


def test_calls_from_many_threads(cloud: Cloud, driver: gce.ComputeEngine):
    names = [f"n{number}" for number in range(24)]
    with driver.access(BATCH, KEY, [node()]) as access, ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda name: driver.launch(node(name), SCRIPT, access), names))
        assert sorted(instance.minion_id for instance in made) == sorted(names)
        assert set(pool.map(lambda _: len(driver.instances()), range(16))) == {24}
        list(pool.map(driver.settle, made))
        list(pool.map(driver.terminate, made))
    assert left(cloud) == {}
