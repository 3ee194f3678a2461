"""The driver ``gce`` launches instances: the create call, its retries, and creates that fail late."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from hart_salt.base.errors import InvalidRequest, QuotaExceeded
from hart_salt.drivers.gce import driver as gce
from tests.drivers.do.driver import Time
from tests.drivers.gce.driver import (
    ACCESS,
    INSERT,
    INSTANCE,
    KEY,
    LIST,
    OPERATION,
    OPERATIONS,
    RULES,
    STOCKOUT,
    ZONE,
    create_body,
    driver_of,
    launch,
    left,
    listing,
    node,
    open_cloud,
)
from tests.drivers.gce.emulator.cloud import ComputeEngine as Cloud
from tests.drivers.tested import BATCH, OWNER, SCRIPT
from tests.emulation.faults import Fault

# the create call


def test_the_create_call_of_a_plain_node(cloud: Cloud, driver: gce.ComputeEngine) -> None:
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


def test_by_default_there_is_no_service_account_and_no_ssh_key(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    launch(driver, node())
    body = create_body(cloud)
    assert body.get("serviceAccounts", []) == []
    keys = [item["key"] for item in body["metadata"]["items"]]
    assert "ssh-keys" not in keys
    assert "sshKeys" not in keys


def test_the_launched_instance_is_listed_with_the_same_facts(driver: gce.ComputeEngine, time: Time) -> None:
    first = launch(driver, node())
    assert (first.state, first.role, first.batch, first.minion_id) == ("pending", "db.Main", BATCH, "w1.example.com")
    time.advance(10)
    (listed,) = driver.instances()
    expected = dataclasses.replace(
        first, state="running", public_ip="203.0.113.4", private_ip="10.120.0.4", created=listed.created
    )
    assert listed == expected
    assert listed.created == pytest.approx(time() - 10, abs=5)


def test_options_of_the_disk_and_local_ssds_are_sent(cloud: Cloud, driver: gce.ComputeEngine) -> None:
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


def test_a_spot_instance_is_deleted_when_the_vendor_ends_it(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    launch(driver, node(options={"spot": True}))
    expected = {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"}
    assert create_body(cloud)["scheduling"] == expected


def test_a_node_can_have_no_public_address(cloud: Cloud, driver: gce.ComputeEngine, time: Time) -> None:
    launch(driver, node(public_ip=False, connect_via="private"))
    assert "accessConfigs" not in create_body(cloud)["networkInterfaces"][0]
    time.advance(10)
    (instance,) = driver.instances()
    assert (instance.state, instance.public_ip, instance.private_ip) == ("running", None, "10.120.0.4")


def test_a_node_can_have_an_ipv6_address(cloud: Cloud, driver: gce.ComputeEngine) -> None:
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
def test_a_service_account_is_sent_if_it_is_set(
    cloud: Cloud, driver: gce.ComputeEngine, options: Any, scopes: list[str]
) -> None:
    launch(driver, node(options=options))
    account = {
        "email": options["service_account"],
        "scopes": [f"https://www.googleapis.com/auth/{scope}" for scope in scopes],
    }
    assert create_body(cloud)["serviceAccounts"] == [account]


def test_os_login_is_enabled_if_it_is_set(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    launch(driver, node(options={"enable_oslogin": True}))
    assert {"key": "enable-oslogin", "value": "TRUE"} in create_body(cloud)["metadata"]["items"]


def test_the_users_network_tags_and_labels_are_sent(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    launch(driver, node(tags=["web", "web", "db"], options={"labels": {"team": "x"}}))
    body = create_body(cloud)
    assert body["tags"]["items"] == ["web", "db", ACCESS]
    assert body["labels"]["team"] == "x"


@pytest.mark.parametrize(
    ("setting", "size", "project", "image"),
    [
        ("bookworm", "e2-small", "debian-cloud", "debian-12-bookworm-v20261110"),
        ("trixie", "e2-custom-2-4096", "debian-cloud", "debian-13-trixie-v20261110"),
        ("trixie", "t2a-standard-1", "debian-cloud", "debian-13-trixie-arm64-v20261110"),
        ("jammy", "e2-small", "ubuntu-os-cloud", "ubuntu-2204-jammy-v20261105"),
        ("noble", "c4a-standard-1", "ubuntu-os-cloud", "ubuntu-2404-noble-arm64-v20261106"),
        ("debian-12-bookworm-v20261013", "e2-small", "debian-cloud", "debian-12-bookworm-v20261013"),
        *((setting, "e2-small", "hart-test-1", "own") for setting in ("own", "global/images/own")),
        ("https://www.googleapis.com/compute/v1/projects/debian-cloud/global/images/family/debian-13", "e2-small",
         "debian-cloud", "debian-13-trixie-v20261110"),
    ],
)  # fmt: skip
def test_an_image_is_set_by_code_name_or_name_or_link(
    cloud: Cloud, driver: gce.ComputeEngine, setting: str, size: str, project: str, image: str
) -> None:
    cloud.add_image("own")
    wanted = node(image=setting, size=size)
    assert driver.objections(wanted) == []
    launch(driver, wanted)
    (disk,) = create_body(cloud)["disks"]
    assert disk["initializeParams"]["sourceImage"] == f"projects/{project}/global/images/{image}"


def test_shielding_is_off_for_an_image_that_does_not_support_it(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    cloud.add_image("old", features=())
    launch(driver, node(image="old"))
    assert not any(create_body(cloud)["shieldedInstanceConfig"].values())


def test_the_only_subnet_of_a_network_is_used(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    cloud.add_subnet("front", "us-central1", "own")
    cloud.add_subnet("proxies", "us-central1", "own", purpose="REGIONAL_MANAGED_PROXY")
    launch(driver, node(options={"network": "own"}))
    interface = create_body(cloud)["networkInterfaces"][0]
    assert interface["subnetwork"].endswith("/subnetworks/front")
    assert interface["network"].endswith("/networks/own")


def test_subnets_that_cannot_have_instances_are_ignored(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    cloud.add_subnet("proxies", "us-central1", "default", purpose="REGIONAL_MANAGED_PROXY")
    launch(driver, node())
    assert create_body(cloud)["networkInterfaces"][0]["subnetwork"].endswith("/subnetworks/default")


# retries of a create


def test_a_create_whose_answer_is_lost_is_retried_with_its_request_id(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    cloud.faults.add(Fault("POST", INSERT, when="after", drop=True, times=2))
    instance = launch(driver, node())
    creates = [call for call in cloud.calls if call.method == "POST" and re.search(INSERT, call.path)]
    assert len(creates) == 3
    assert len({call.query["requestId"][0] for call in creates}) == 1
    assert (cloud.made(), [str(number) for number in cloud.state.instances]) == (1, [instance.instance_id])


def test_the_request_id_is_the_same_in_every_process_and_different_for_each_node(cloud: Cloud, time: Time) -> None:
    for driver, name in ((driver_of(cloud, time), "a"), (driver_of(cloud, time), "a"), (driver_of(cloud, time), "b")):
        launch(driver, node(name))
    ids = [call.query["requestId"][0] for call in cloud.calls if call.method == "POST" and re.search(INSERT, call.path)]
    assert (ids[0] == ids[1], ids[0] == ids[2]) == (True, False)
    assert cloud.left()["instances"] == ["a", "b"]


def test_a_retry_whose_name_is_taken_returns_the_instance_of_the_first_attempt(
    cloud: Cloud, driver: gce.ComputeEngine
) -> None:
    cloud.settings.remembers_requests = False
    cloud.settings.late_error, cloud.settings.late_after = STOCKOUT, 60
    cloud.faults.add(Fault("POST", INSERT, when="after", drop=True))
    instance = launch(driver, node())
    assert (instance.minion_id, instance.batch, instance.zone) == ("w1.example.com", BATCH, ZONE)
    # The driver follows its create operation again, too.
    assert driver._parts.inserts._under_way != {}


@pytest.mark.parametrize(("owner", "batch"), [("cd34" * 4, BATCH), (OWNER, "00" * 6)])
def test_a_name_of_another_owner_or_batch_is_refused(
    cloud: Cloud, time: Time, driver: gce.ComputeEngine, owner: str, batch: str
) -> None:
    cloud.settings.remembers_requests = False
    launch(driver_of(cloud, time, owner=owner), node())
    with pytest.raises(InvalidRequest, match="already has an instance hart-com-example-w1-2a349865, which this call"):
        launch(driver, dataclasses.replace(node(), batch=batch))
    assert cloud.made() == 1


# creates that fail late


@pytest.mark.parametrize("status", [503, None])
@pytest.mark.parametrize("after", [0, 30])
def test_a_create_that_fails_late_is_reported_with_the_reason(
    cloud: Cloud, driver: gce.ComputeEngine, time: Time, status: int | None, after: float
) -> None:
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


def test_an_instance_that_is_still_listed_reports_why_its_create_failed(
    cloud: Cloud, driver: gce.ComputeEngine, time: Time
) -> None:
    cloud.settings.late_error = STOCKOUT
    first = launch(driver, node())
    shown = {
        "id": first.instance_id, "name": "a", "status": "STOPPING", "labels": {"hart-owner": OWNER},
        "zone": f"projects/p/zones/{ZONE}",
    }  # fmt: skip
    cloud.faults.add(Fault("GET", LIST, status=200, answer=listing(shown)))
    (instance,) = driver.instances()
    assert (instance.state, STOCKOUT in instance.problem) == ("stopped", True)


def test_a_quota_error_in_the_answer_to_the_create_call_is_reported(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    operation = {
        "id": "7", "name": "operation-7", "status": "DONE", "targetId": "8",
        "error": {"errors": [{"code": "QUOTA_EXCEEDED", "message": "Quota 'CPUS' exceeded."}]},
    }  # fmt: skip
    cloud.faults.add(Fault("POST", INSERT, status=200, answer=operation))
    with pytest.raises(QuotaExceeded, match=r"Quota 'CPUS' exceeded. \(QUOTA_EXCEEDED\)"):
        launch(driver, node())


def test_creates_under_way_are_polled_once_per_zone_until_they_end(
    cloud: Cloud, driver: gce.ComputeEngine, time: Time
) -> None:
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


def test_polls_of_many_creates_are_split_to_limit_the_length_of_a_url(cloud: Cloud, driver: gce.ComputeEngine) -> None:
    wanted = [node(f"n{number}") for number in range(60)]
    with driver.access(BATCH, KEY, wanted) as access:
        for one in wanted:
            driver.launch(one, SCRIPT, access)
        driver.instances()
    asked = [call for call in cloud.calls if re.search(OPERATIONS, call.path)]
    assert len(asked) == 2
    assert max(len(call.query["filter"][0]) for call in asked) < 6000


# number of calls


def calls_for(count: int) -> dict[str, int]:
    """Return the number of calls in a batch's whole life, by kind."""
    time = Time()
    with open_cloud(time) as cloud:
        driver = driver_of(cloud, time)
        nodes = [node(f"n{number}") for number in range(count)]
        with driver.access(BATCH, KEY, nodes) as access:
            made = [driver.launch(one, SCRIPT, access) for one in nodes]
            while {instance.state for instance in driver.instances()} != {"running"}:
                time.sleep(driver.poll_interval)
            for instance in made:
                driver.settle(instance)
        up = {
            "create": cloud.count("POST", INSERT),
            "list": cloud.count("GET", LIST) + cloud.count("GET", OPERATIONS),
            "settle": cloud.count("GET", INSTANCE) + cloud.count("POST", "/set(Tags|Metadata)$")
            + cloud.count("GET", "/zones/.+" + OPERATION),
            "access": cloud.count("POST", RULES) + cloud.count("DELETE", RULES)
            + cloud.count("GET", "/global" + OPERATION),
            "what there is": cloud.count("GET", "/(machineTypes|family)/[^/]+$|/subnetworks$"),
        }  # fmt: skip
        assert sum(up.values()) == len(cloud.calls), "a call that is not counted"
        return up


def test_the_number_of_calls_per_instance_does_not_grow(capsys: pytest.CaptureFixture[str]) -> None:
    counted = {count: calls_for(count) for count in (1, 3, 10)}
    with capsys.disabled():
        for count, up in counted.items():
            print(f"\nCompute Engine, calls for {count}: {up}", end="")
    for count, up in counted.items():
        assert (up["create"], up["access"], up["what there is"]) == (count, counted[1]["access"], 3)
        # An instance runs after 10 s, and each poll, every 3 s, is two lists; settling is three calls and polls.
        assert up["list"] <= 10
        assert up["settle"] == count * counted[1]["settle"]
        assert counted[1]["settle"] <= 3 + 6
