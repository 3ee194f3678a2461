"""The emulated DigitalOcean serves a client that is not ours: apache-libcloud's driver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from libcloud.compute.base import NodeDriver
from libcloud.compute.drivers.digitalocean import DigitalOcean_v2_NodeDriver
from libcloud.compute.providers import get_driver
from libcloud.compute.types import NodeState, Provider

from tests.drivers.do.emulator.client import Clock, public_key
from tests.drivers.do.emulator.cloud import DigitalOcean
from tests.drivers.do.emulator.state import Settings


@pytest.fixture
def cloud(clock: Clock) -> Iterator[DigitalOcean]:
    settings = Settings(active_after=10, gone_after=2, page_cap=3, check_answers=True)
    with DigitalOcean(settings=settings, clock=clock) as cloud:
        yield cloud
        assert cloud.defects == []
        assert [text for text in cloud.said_against() if "answer" in text] == []


@pytest.fixture
def driver(cloud: DigitalOcean, monkeypatch: pytest.MonkeyPatch) -> NodeDriver:
    # The driver takes a host, but does not pass it on.
    monkeypatch.setattr(
        DigitalOcean_v2_NodeDriver, "_ex_connection_class_kwargs", lambda self: {"url": cloud.origin}
    )
    return get_driver(Provider.DIGITAL_OCEAN)(cloud.token)


def test_what_is_on_offer(driver: NodeDriver):
    sizes = {size.id: size for size in driver.list_sizes()}
    assert (sizes["s-1vcpu-1gb"].ram, sizes["s-1vcpu-1gb"].disk) == (1024, 25)
    slugs = {image.extra["slug"] for image in driver.list_images()}
    assert {"debian-12-x64", "ubuntu-24-04-x64"} <= slugs
    assert {"nyc3", "ams3"} <= {location.id for location in driver.list_locations()}
    assert "nyc2" not in {location.id for location in driver.list_locations()}


def test_create_list_destroy(cloud: DigitalOcean, driver: NodeDriver, clock: Clock):
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


def test_power_and_snapshots(cloud: DigitalOcean, driver: NodeDriver, clock: Clock):
    size = next(size for size in driver.list_sizes() if size.name == "s-1vcpu-1gb")
    image, location = driver.get_image("debian-12-x64"), driver.list_locations()[0]
    node = driver.create_node("app-1", size, image, location)
    clock.advance(10)
    assert driver.ex_shutdown_node(node)
    assert driver.list_nodes()[0].state == NodeState.STOPPED
    assert driver.ex_power_on_node(node)
    assert driver.create_image(node, "mine")
    assert "mine" in {image.name for image in driver.list_images()}


def test_volumes(cloud: DigitalOcean, driver: NodeDriver, clock: Clock):
    size = next(size for size in driver.list_sizes() if size.name == "s-1vcpu-1gb")
    location = next(location for location in driver.list_locations() if location.id == "nyc3")
    node = driver.create_node("app-1", size, driver.get_image("debian-12-x64"), location)
    volume = driver.create_volume(10, "data", location)
    assert driver.attach_volume(node, volume)
    (volume,) = driver.list_volumes()
    assert volume.extra["droplet_ids"] == [int(node.id)]
    assert driver.detach_volume(volume)
    assert driver.destroy_volume(volume)
