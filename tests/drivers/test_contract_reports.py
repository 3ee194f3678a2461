"""
The contract for input and output: what a provider gets for a node, and what a driver reports.

The tests run over every driver and compare with the provider's own state. ``local`` has no choice of places, sizes,
images and states.
"""

from __future__ import annotations

import random
import re

import pytest

from hart_salt.base.errors import InvalidRequest
from hart_salt.drivers.contract import Driver
from hart_salt.model import Instance
from tests.drivers.environment import CloudEnvironment, Environment, launch, launch_node
from tests.drivers.environments import CLOUDS
from tests.emulation.faults import MachineFault

ON_CLOUDS = pytest.mark.parametrize("environment", CLOUDS, indirect=True)

KILOBYTE = 1024
#: text in the name of a release's image
RELEASES = {
    "bookworm": r"debian.?12", "trixie": r"debian.?13", "jammy": r"22.?04", "noble": r"24.?04", "resolute": r"26.?04",
}  # fmt: skip
#: text that is special in shells, XML, JSON, templates and forms
AWKWARD = "# ä€ \U0001f600 \" ' \\ \\n & < > ]]> %41 + $HOME `x` {{ y }} {% z %} \t \r\n\n  "


def only(driver: Driver, made: Instance) -> Instance:
    """Return the only listed instance."""
    return next(one for one in driver.instances(made.region) if one.instance_id == made.instance_id)


# user-data


def script(size: int) -> str:
    """Return a script of ``size`` bytes that compresses badly and does not end with a line end."""
    begin = f"#!/bin/sh\nexit 0\n{AWKWARD}"
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
    return begin + "".join(random.Random(7).choices(letters, k=size - len(begin.encode())))  # noqa: S311 - no secret


def test_user_data_arrives_unchanged_up_to_the_providers_limit(environment: Environment, driver: Driver) -> None:
    for size in dict.fromkeys((16 * KILOBYTE, environment.user_data_limit or 64 * KILOBYTE)):
        text = script(size)
        assert len(text.encode()) == size
        made = launch_node(driver, environment.node(f"n{size}"), text)
        assert environment.user_data(made) == text
        driver.terminate(made)


@ON_CLOUDS
def test_user_data_beyond_the_limit_is_refused_and_never_cut(environment: CloudEnvironment, driver: Driver) -> None:
    if environment.user_data_limit is None:
        text = script(256 * KILOBYTE)
        made = launch_node(driver, environment.node("a"), text)
        assert environment.user_data(made) == text
        return
    with pytest.raises(InvalidRequest):
        launch_node(driver, environment.node("a"), script(2 * environment.user_data_limit))
    assert environment.left() == {}


# places, sizes, images


@ON_CLOUDS
def test_region_and_zone_are_those_of_the_node(environment: CloudEnvironment, driver: Driver) -> None:
    for region, zone in environment.places.items():
        made = launch(environment, driver, f"n.{region}", region=region, zone=zone)
        given = environment.given(made)
        assert (given.region, given.zone) == (region, zone)
        for seen in (made, only(driver, made), driver.instance(made)):
            assert seen is not None
            assert (seen.region, seen.zone) == (region, zone)
        driver.terminate(made)
    assert environment.left() == {}


@ON_CLOUDS
def test_the_size_is_that_of_the_node(environment: CloudEnvironment, driver: Driver) -> None:
    name, _ = environment.other_size
    made = launch(environment, driver, size=name)
    assert {environment.given(made).size, made.size, only(driver, made).size} == {name}


def test_memory_is_in_megabytes(environment: Environment, driver: Driver) -> None:
    node = environment.node("a")
    wanted = {node.size: environment.memory_mb}
    if isinstance(environment, CloudEnvironment):
        wanted |= [environment.other_size]
    listed = {size.name: size.memory_mb for size in driver.sizes(node.region)}
    for name, memory in wanted.items():
        size = driver.size(name, node.region)
        assert size is not None
        assert (listed[name], size.memory_mb) == (memory, memory)


@ON_CLOUDS
def test_the_image_is_that_of_the_release(environment: CloudEnvironment, driver: Driver) -> None:
    offered = {image.setting: image for image in driver.images(environment.node("a").region)}
    for name, pattern in RELEASES.items():
        assert offered[name].available
        made = launch_node(driver, environment.with_settings(f"n-{name}", image=name))
        assert re.search(pattern, environment.given(made).image, re.IGNORECASE), name


@ON_CLOUDS
def test_lists_for_users_have_all_pages(environment: CloudEnvironment) -> None:
    region = environment.node("a").region

    def asked() -> list[set[object]]:
        driver = environment.driver(**environment.narrow)
        return [{it.name for it in driver.regions()}, {it.name for it in driver.sizes(region)},
                {it.setting for it in driver.images(region) if it.available}]  # fmt: skip

    whole = asked()
    environment.cloud.settings.page_cap = 2
    assert asked() == whole


# tags


@ON_CLOUDS
def test_the_users_tags_are_on_the_instance(environment: CloudEnvironment, driver: Driver) -> None:
    made = launch_node(driver, environment.with_settings("a", tags=["web", "blue"]))
    assert {"web", "blue"} <= environment.given(made).tags
    with_values = environment.with_settings("b", tags={"env": "prod"})
    if driver.objections(with_values):
        return  # its tags have no values, and the objection says so
    assert "env:prod" in environment.given(launch_node(driver, with_values)).tags


@ON_CLOUDS
def test_the_users_tags_cannot_change_the_owner_of_an_instance(environment: CloudEnvironment, driver: Driver) -> None:
    node = environment.with_settings("a", tags={"hart-owner": "me"})
    assert driver.objections(node)
    made = launch_node(driver, node)  # although hart launches no node with objections
    assert [one.instance_id for one in environment.driver().instances(made.region)] == [made.instance_id]


def test_role_and_minion_id_are_reported_unchanged(environment: Environment, driver: Driver) -> None:
    made = launch(environment, driver, "web-1.Example.com", role="db.Main")
    seen = only(environment.driver(), made)
    assert (seen.minion_id, seen.role) == (made.minion_id, made.role) == ("web-1.Example.com", "db.Main")


# states and addresses


@ON_CLOUDS
def test_each_state_of_the_vendor_has_a_state_of_hart(environment: CloudEnvironment, driver: Driver) -> None:
    region = environment.node("a").region
    for said, state in environment.states.items():
        environment.cloud.faults.add(environment.listing(said))
        seen = [one.state for one in driver.instances(region)]
        assert (said, seen) == (said, [] if state == "gone" else [state])


@ON_CLOUDS
def test_an_instance_is_pending_then_running_with_its_addresses_then_stopped(
    environment: CloudEnvironment, driver: Driver
) -> None:
    began = environment.time()
    environment.cloud.faults.add(MachineFault(address_lists=1))
    made = launch(environment, driver)
    addresses = environment.given(made).addresses
    assert (made.state, made.public_ip) == ("pending", None)
    seen = only(driver, made)
    assert (seen.state, seen.public_ip) == ("pending", None)
    assert abs((seen.created or 0) - began) <= 5
    environment.time.advance(60)
    early = only(driver, made)
    assert (early.state, early.public_ip) == ("running", None)
    seen = only(driver, made)
    assert (seen.state, seen.public_ip, seen.private_ip or "") == ("running", addresses.public, addresses.private)
    assert seen.public_ip
    environment.stop(made)
    assert only(driver, made).state == "stopped"


@ON_CLOUDS
def test_a_node_without_a_public_address_gets_none(environment: CloudEnvironment, driver: Driver) -> None:
    made = launch_node(driver, environment.private("a"))
    environment.time.advance(60)
    addresses, seen = environment.given(made).addresses, only(driver, made)
    assert (addresses.public, seen.public_ip) == (None, None)
    assert seen.private_ip == addresses.private != ""
