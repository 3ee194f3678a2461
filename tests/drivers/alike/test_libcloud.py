"""The emulated clouds serve apache-libcloud's drivers, which are not ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from libcloud.common.vultr import VultrException
from libcloud.compute.base import NodeDriver
from libcloud.compute.drivers.digitalocean import DigitalOcean_v2_NodeDriver
from libcloud.compute.drivers.vultr import VultrNodeDriverV2
from libcloud.compute.providers import get_driver
from libcloud.compute.types import NodeState, Provider

from tests.drivers.do.emulator.client import Clock, public_key
from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.drivers.do.emulator.state import Settings as SettingsOfDigitalOcean
from tests.drivers.vultr.emulator.cloud import Vultr
from tests.drivers.vultr.emulator.state import Settings as SettingsOfVultr

DIGITALOCEAN = pytest.mark.parametrize("cloud_name", ["do"])
VULTR = pytest.mark.parametrize("cloud_name", ["vultr"])
#: by cloud: what libcloud calls it, the class that serves it, and what that is made with
DRIVERS: dict[str, tuple[str, Any, dict[str, str]]] = {
    "do": (Provider.DIGITAL_OCEAN, DigitalOcean_v2_NodeDriver, {}),
    "vultr": (Provider.VULTR, VultrNodeDriverV2, {"api_version": "2"}),
}


def open_cloud(cloud_name: str, clock: Clock) -> Any:
    """The cloud, with a second page of a few instances."""
    usual: dict[str, Any] = {"active_after": 10, "page_cap": 3, "check_answers": True}
    if cloud_name == "do":
        return DigitalOcean(settings=SettingsOfDigitalOcean(gone_after=2, **usual), clock=clock)
    return Vultr(settings=SettingsOfVultr(second_limit=None, tolerate_text=True, **usual), clock=clock)


@pytest.fixture
def cloud(cloud_name: str, clock: Clock) -> Iterator[Any]:
    with open_cloud(cloud_name, clock) as cloud:
        yield cloud
        assert cloud.defects == []
        assert [text for text in cloud.said_against() if "answer" in text] == []


@pytest.fixture
def driver(cloud_name: str, cloud: Any, monkeypatch: pytest.MonkeyPatch) -> NodeDriver:
    name, kind, more = DRIVERS[cloud_name]
    # The drivers take a host, but do not pass it on.
    monkeypatch.setattr(kind, "_ex_connection_class_kwargs", lambda self: {"url": cloud.base_url})
    return get_driver(name)(cloud.token, **more)


@DIGITALOCEAN
def test_what_is_on_offer_at_digitalocean(driver: DigitalOcean_v2_NodeDriver) -> None:
    sizes = {size.id: size for size in driver.list_sizes()}
    assert (sizes["s-1vcpu-1gb"].ram, sizes["s-1vcpu-1gb"].disk) == (1024, 25)
    slugs = {image.extra["slug"] for image in driver.list_images()}
    assert {"debian-12-x64", "ubuntu-24-04-x64"} <= slugs
    assert {"nyc3", "ams3"} <= {location.id for location in driver.list_locations()}
    assert "nyc2" not in {location.id for location in driver.list_locations()}


@DIGITALOCEAN
def test_create_list_destroy_at_digitalocean(
    cloud: DigitalOcean, driver: DigitalOcean_v2_NodeDriver, clock: Clock
) -> None:
    key = driver.create_key_pair("k", public_key())
    size = next(size for size in driver.list_sizes() if size.name == "s-1vcpu-1gb")
    image = next(image for image in driver.list_images() if image.extra["slug"] == "debian-12-x64")
    location = next(location for location in driver.list_locations() if location.id == "nyc3")
    for number in range(5):
        node = driver.create_node(
            f"app-{number}", size, image, location,
            ex_create_attr={"tags": ["t"], "ssh_keys": [key.fingerprint]}, ex_user_data="#!/bin/sh\n",
        )  # fmt: skip
        assert node.state == NodeState.PENDING
    clock.advance(10)
    nodes = driver.list_nodes()  # two pages
    assert [node.name for node in nodes] == [f"app-{number}" for number in range(5)]
    assert {node.state for node in nodes} == {NodeState.RUNNING}
    assert (len(nodes[0].public_ips), len(nodes[0].private_ips)) == (1, 1)
    assert all(driver.destroy_node(node) for node in nodes)
    assert driver.delete_key_pair(key)
    clock.advance(2)
    assert driver.list_nodes() == []
    assert {kind: names for kind, names in cloud.state.left().items() if names} == {"tags": ["t"]}


@DIGITALOCEAN
def test_power_and_snapshots_at_digitalocean(
    cloud: DigitalOcean, driver: DigitalOcean_v2_NodeDriver, clock: Clock
) -> None:
    size = next(size for size in driver.list_sizes() if size.name == "s-1vcpu-1gb")
    image, location = driver.get_image("debian-12-x64"), driver.list_locations()[0]
    node = driver.create_node("app-1", size, image, location)
    clock.advance(10)
    assert driver.ex_shutdown_node(node)
    assert driver.list_nodes()[0].state == NodeState.STOPPED
    assert driver.ex_power_on_node(node)
    assert driver.create_image(node, "mine")
    assert "mine" in {image.name for image in driver.list_images()}


@DIGITALOCEAN
def test_volumes_at_digitalocean(cloud: DigitalOcean, driver: DigitalOcean_v2_NodeDriver, clock: Clock) -> None:
    size = next(size for size in driver.list_sizes() if size.name == "s-1vcpu-1gb")
    location = next(location for location in driver.list_locations() if location.id == "nyc3")
    node = driver.create_node("app-1", size, driver.get_image("debian-12-x64"), location)
    volume = driver.create_volume(10, "data", location)
    assert driver.attach_volume(node, volume)
    (volume,) = driver.list_volumes()
    assert volume.extra["droplet_ids"] == [int(node.id)]
    assert driver.detach_volume(volume)
    assert driver.destroy_volume(volume)


@VULTR
def test_what_is_on_offer_at_vultr(driver: VultrNodeDriverV2) -> None:
    sizes = {size.id: size for size in driver.list_sizes(ex_list_bare_metals=False)}
    assert (sizes["vc2-1c-1gb"].ram, sizes["vc2-1c-1gb"].disk, sizes["vc2-1c-1gb"].price) == (1024, 25, 5)
    assert {"Debian 12 x64 (bookworm)", "Ubuntu 24.04 LTS x64"} <= {image.name for image in driver.list_images()}
    locations = {location.id: location for location in driver.list_locations()}
    assert locations["ams"].country == "NL"
    assert "vc2-1c-1gb" in driver.ex_list_available_sizes_for_location(locations["ams"])


@VULTR
def test_create_list_destroy_at_vultr(cloud: Vultr, driver: VultrNodeDriverV2, clock: Clock) -> None:
    key = driver.import_key_pair_from_string("k", public_key())
    size = next(it for it in driver.list_sizes(ex_list_bare_metals=False) if it.id == "vc2-1c-1gb")
    image = next(it for it in driver.list_images() if it.name == "Debian 12 x64 (bookworm)")
    location = next(it for it in driver.list_locations() if it.id == "ams")
    for number in range(5):
        node = driver.create_node(
            f"app-{number}", size, location, image, ex_ssh_key_ids=[key.extra["id"]], ex_userdata="#!/bin/sh\n",
            ex_hostname=f"app-{number}", ex_tag="t",
        )  # fmt: skip
        assert node.state == NodeState.PENDING
    clock.advance(10)
    nodes = driver.list_nodes(ex_list_bare_metals=False)  # two pages
    assert [node.name for node in nodes] == [f"app-{number}" for number in range(5)]
    assert {node.state for node in nodes} == {NodeState.RUNNING}
    assert [len(node.public_ips) for node in nodes] == [1] * 5
    assert set(cloud.user_data().values()) == {"#!/bin/sh\n"}
    assert all(driver.destroy_node(node) for node in nodes)
    assert driver.delete_key_pair(key)
    assert driver.list_nodes(ex_list_bare_metals=False) == []
    assert sum(map(len, cloud.left().values())) == 0


@VULTR
def test_power_and_snapshots_at_vultr(driver: VultrNodeDriverV2, clock: Clock) -> None:
    size = next(it for it in driver.list_sizes(ex_list_bare_metals=False) if it.id == "vc2-1c-1gb")
    image = next(it for it in driver.list_images() if it.name == "Debian 12 x64 (bookworm)")
    node = driver.create_node("app-1", size, driver.list_locations()[0], image)
    clock.advance(10)
    assert driver.stop_node(node)
    assert driver.list_nodes(ex_list_bare_metals=False)[0].state == NodeState.STOPPED
    assert driver.start_node(node)
    assert driver.reboot_node(node)
    snapshot = driver.ex_create_snapshot(node, "mine")
    assert [it.extra["description"] for it in driver.ex_list_snapshots()] == ["mine"]
    assert driver.ex_delete_snapshot(snapshot)


@VULTR
def test_errors_are_understood_at_vultr(cloud: Vultr, driver: VultrNodeDriverV2) -> None:
    cloud.tokens.clear()
    with pytest.raises(VultrException) as caught:
        driver.list_nodes(ex_list_bare_metals=False)
    assert (caught.value.code, caught.value.message) == (401, "Invalid API token.")
