"""The emulated Compute Engine serves a client that is not hart's: apache-libcloud's driver."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from libcloud.common import google
from libcloud.compute.drivers.gce import GCENodeDriver
from libcloud.compute.providers import get_driver
from libcloud.compute.types import NodeState, Provider

from tests.drivers.do.driver import Time
from tests.drivers.gce.emulator.cloud import ComputeEngine
from tests.drivers.gce.emulator.state import Settings

DISK = {
    "autoDelete": True, "boot": True, "type": "PERSISTENT", "mode": "READ_WRITE",
    "initializeParams": {"diskSizeGb": 10, "diskType": "zones/us-east1-c/diskTypes/pd-ssd",
                         "sourceImage": "projects/debian-cloud/global/images/family/debian-13"},
}  # fmt: skip


@pytest.fixture
def cloud(time: Time) -> Iterator[ComputeEngine]:
    with ComputeEngine(settings=Settings(staging_after=4, running_after=10), clock=time) as cloud:
        yield cloud
        assert cloud.defects == []
        assert [text for text in cloud.said_against() if "answer" in text] == []


@pytest.fixture
def driver(cloud: ComputeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GCENodeDriver:
    # The driver has no setting for its address or for that of its token server.
    of_driver: Callable[[GCENodeDriver], dict[str, Any]] = GCENodeDriver._ex_connection_class_kwargs
    monkeypatch.setattr(
        GCENodeDriver, "_ex_connection_class_kwargs", lambda self: {**of_driver(self), "url": cloud.base_url}
    )
    login = google.GoogleServiceAcctAuthConnection
    monkeypatch.setattr(login, "__init__", functools.partialmethod(login.__init__, url=cloud.base_url))
    account = cloud.service_account
    made = get_driver(Provider.GCE)(
        account.email, account.key, project=cloud.project, auth_type="SA", credential_file=str(tmp_path / "token")
    )
    assert isinstance(made, GCENodeDriver)
    return made


def test_the_client_gets_its_token_from_the_token_server(cloud: ComputeEngine, driver: GCENodeDriver) -> None:
    assert driver.ex_get_zone("us-east1-b").name == "us-east1-b"
    assert cloud.count("POST", "/token$") == 1


def test_sizes_zones_regions_and_disk_types_are_listed(driver: GCENodeDriver) -> None:
    assert [size.name for size in driver.list_sizes("us-central1-a") if size.ram == 2048] == ["e2-small"]
    zones = {zone.name: zone.status for zone in driver.ex_list_zones()}
    assert (len(zones), zones["us-central1-f"]) == (14, "DOWN")
    (region,) = [region for region in driver.ex_list_regions() if region.name == "us-east1"]
    assert [zone.name for zone in region.zones] == ["us-east1-a", "us-east1-b", "us-east1-c", "us-east1-d"]
    assert driver.ex_get_disktype("pd-ssd", "us-east1-b").name == "pd-ssd"


def test_create_list_destroy(cloud: ComputeEngine, driver: GCENodeDriver, time: Time) -> None:
    cloud.settings.staging_after = cloud.settings.running_after = 0  # the client waits for the operation in real time
    for number in range(4):
        driver.create_node(
            f"app-{number}", "e2-small", None, location="us-east1-c", ex_tags=["web"], ex_labels={"team": "x"},
            ex_metadata={"startup-script": "#!/bin/sh\n"}, ex_disks_gce_struct=[DISK], description=f"app.{number}",
        )  # fmt: skip
    nodes = sorted(driver.list_nodes("us-east1-c"), key=lambda node: node.name)
    assert [node.name for node in nodes] == [f"app-{number}" for number in range(4)]
    assert {node.state for node in nodes} == {NodeState.RUNNING}
    assert (len(nodes[0].public_ips), len(nodes[0].private_ips)) == (1, 1)
    assert cloud.user_data()["app.1"] == "#!/bin/sh\n"
    everywhere = {node.name for node in driver.list_nodes()}
    assert everywhere == {node.name for node in nodes}
    assert driver.ex_set_node_tags(nodes[0], ["db"])
    assert driver.ex_get_node("app-0", "us-east1-c").extra["tags"] == ["db"]
    assert driver.ex_set_node_metadata(nodes[0], {"a": "b"})
    assert all(driver.destroy_node(node) for node in nodes)
    assert cloud.left()["instances"] == cloud.left()["disks"] == []


def test_firewall_rules(cloud: ComputeEngine, driver: GCENodeDriver) -> None:
    rule = driver.ex_create_firewall(
        "ssh", [{"IPProtocol": "tcp", "ports": ["22"]}], source_ranges=["203.0.113.7/32"], target_tags=["web"]
    )
    assert (rule.name, rule.source_ranges, rule.target_tags) == ("ssh", ["203.0.113.7/32"], ["web"])
    assert {rule.name for rule in driver.ex_list_firewalls()} == {"default-allow-ssh", "ssh"}
    assert driver.ex_destroy_firewall(rule)
    assert cloud.left()["firewall rules"] == []


def test_subnets(driver: GCENodeDriver) -> None:
    (subnet,) = driver.ex_list_subnetworks("us-east1")
    assert (subnet.name, subnet.network.name) == ("default", "default")
