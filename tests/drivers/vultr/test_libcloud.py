"""The emulated Vultr serves a client that is not ours: apache-libcloud's driver for API v2."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from libcloud.common.vultr import VultrException
from libcloud.compute.base import NodeDriver
from libcloud.compute.drivers.vultr import VultrNodeDriverV2
from libcloud.compute.providers import get_driver
from libcloud.compute.types import NodeState, Provider

from tests.drivers.do.emulator.client import Clock, public_key
from tests.drivers.vultr.emulator.cloud import Vultr
from tests.drivers.vultr.emulator.state import Settings


@pytest.fixture
def cloud(clock: Clock) -> Iterator[Vultr]:
    settings = Settings(active_after=10, page_cap=3, second_limit=None, tolerate_text=True, check_answers=True)
    with Vultr(settings=settings, clock=clock) as cloud:
        yield cloud
        assert cloud.defects == []
        assert [text for text in cloud.said_against() if "answer" in text] == []


@pytest.fixture
def driver(cloud: Vultr, monkeypatch: pytest.MonkeyPatch) -> NodeDriver:
    # The driver takes a host, but does not pass it on.
    monkeypatch.setattr(
        VultrNodeDriverV2, "_ex_connection_class_kwargs", lambda self: {"url": cloud.origin}
    )
    return get_driver(Provider.VULTR)(cloud.token, api_version="2")


def test_what_is_on_offer(driver: NodeDriver):
    sizes = {size.id: size for size in driver.list_sizes(ex_list_bare_metals=False)}
    assert (sizes["vc2-1c-1gb"].ram, sizes["vc2-1c-1gb"].disk, sizes["vc2-1c-1gb"].price) == (1024, 25, 5)
    assert {"Debian 12 x64 (bookworm)", "Ubuntu 24.04 LTS x64"} <= {image.name for image in driver.list_images()}
    locations = {location.id: location for location in driver.list_locations()}
    assert locations["ams"].country == "NL"
    assert "vc2-1c-1gb" in driver.ex_list_available_sizes_for_location(locations["ams"])


def test_create_list_destroy(cloud: Vultr, driver: NodeDriver, clock: Clock):
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


def test_power_and_snapshots(driver: NodeDriver, clock: Clock):
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


def test_errors_are_understood(cloud: Vultr, driver: NodeDriver):
    cloud.tokens.clear()
    with pytest.raises(VultrException) as caught:
        driver.list_nodes(ex_list_bare_metals=False)
    assert (caught.value.code, caught.value.message) == (401, "Invalid API token.")
