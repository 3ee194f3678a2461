"""
A whole run of a driver: create, list, sweep, destroy, check, import, addresses, and what people ask for.

``tests/drivers/test_rights.py`` records its calls. Each cloud adds the settings and calls that only it has.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

from hart_salt.drivers.capabilities import SnapshotSupport
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.rights import Rights
from hart_salt.model import ADDITIONAL, OK, PRIVATE, RESERVED, UNKNOWN, AddressRequest, Instance, Node
from tests.drivers import imaging
from tests.drivers.clouds import module_of
from tests.drivers.do.emulator.client import public_key
from tests.drivers.environment import CLIENT_KEY, OWNER, USER_DATA, CloudEnvironment, launch_node
from tests.drivers.hetzner.emulator.state import Firewall
from tests.emulation.emulator import Call


def rights_of(cloud_name: str) -> Rights:
    """Return the table of a driver."""
    rights: Rights = importlib.import_module(f"hart_salt.drivers.{cloud_name}.rights").RIGHTS
    return rights


def name_of(cloud_name: str, cloud: Any, call: Call) -> str:
    """Return a recorded call in the form of the table."""
    if cloud_name == "ec2":
        found = parse_qs(call.text).get("Action")
        return found[0] if found else "GetServiceQuota" if "QuotaCode" in call.text else "GetProducts"
    name: str = cloud.called(call.method, call.path)
    return name


def calls_of(environment: CloudEnvironment, cloud_name: str) -> list[str]:
    """Return the calls so far in the form of the table, without repetitions."""
    calls = [call for call in environment.cloud.calls if "/token" not in call.path and call.path != "/address"]
    return list(dict.fromkeys(name_of(cloud_name, environment.cloud, call) for call in calls))


# the clouds: each function sets up the account, and returns the node to launch, and nodes that are only checked


def _do(environment: CloudEnvironment) -> list[Node]:
    from tests.drivers.do.test_driver import firewall

    cloud = environment.cloud
    vpc = module_of("do").Client(cloud).make("vpcs", "vpc", name="own", region="nyc3")["id"]
    return [environment.with_settings("web-1.example.com", options={"firewall": firewall(cloud), "vpc": vpc})]


def _hetzner(environment: CloudEnvironment) -> list[Node]:
    cloud = environment.cloud
    cloud.add_network("inside", "eu-central")
    cloud.state.firewalls[7] = Firewall(7, "ssh", 0)
    return [environment.with_settings("web-1.example.com", options={"network": "inside", "firewall": "ssh"})]


def _vultr(environment: CloudEnvironment) -> list[Node]:
    cloud = environment.cloud
    client = module_of("vultr").Client(cloud)
    cloud.add_snapshot("own")
    options = {
        "firewall_group": client.make("firewalls", "firewall_group", description="ssh")["id"],
        "ssh_keys": [client.make("ssh-keys", "ssh_key", name="a", ssh_key=public_key())["id"]],
    }
    private = environment.private("private.example.com")
    return [environment.with_settings("web-1.example.com", options=options), private]


def _ec2(environment: CloudEnvironment) -> list[Node]:
    environment.cloud.add_profile("web")
    volume = {"ResourceType": "volume", "Tags": [{"Key": "hart-owner", "Value": OWNER}]}
    client = module_of("ec2").boto(environment.cloud)
    client.create_volume(AvailabilityZone="eu-west-1a", Size=8, TagSpecifications=[volume])
    options = {"instance_profile": "web", "keep_volumes": True}
    return [environment.with_settings("web-1.example.com", zone="eu-west-1b", options=options)]


def _gce(environment: CloudEnvironment) -> list[Node]:
    cloud = environment.cloud
    cloud.add_image("own")
    launch_node(environment.driver(), environment.node("lost.example.com"))
    for disk in cloud.state.disks.values():
        disk.auto_delete = False
    for instance in list(cloud.state.instances.values()):
        cloud._world.remove(instance)
    own = environment.with_settings("own.example.com", image="own")
    return [
        environment.with_settings("web-1.example.com", options={"service_account": "a@p.iam", "keep_volumes": True}),
        own,
    ]


CLOUDS: Mapping[str, Callable[[CloudEnvironment], list[Node]]] = {
    "do": _do, "ec2": _ec2, "gce": _gce, "hetzner": _hetzner, "vultr": _vultr,
}  # fmt: skip


# the run


def run(environment: CloudEnvironment, cloud_name: str) -> list[str]:
    """Make a whole run, and return its calls; calls that set up the account do not count, and lack no rights."""
    denied, environment.cloud.settings.denied = environment.cloud.settings.denied, ()
    node, *others = CLOUDS[cloud_name](environment)
    imported = environment.by_hand("old-1.example.com")
    environment.cloud.calls.clear()
    environment.cloud.settings.denied = denied
    driver = environment.driver(**environment.narrow)
    for one in others:
        assert not driver.objections(one)
    _offer(driver, node)
    for found in (driver.check_rights(node), driver.check_quota(node, 1)):
        assert found is not None
        assert denied or found.result in (OK, UNKNOWN), found
    instance = _create(environment, driver, node)
    _addresses(environment, driver, instance)
    _images(environment, driver, instance)
    _everyday(environment, driver, instance)
    _sweep(environment, driver, node)
    _import(driver, imported)
    if cloud_name == "ec2":  # reports without tags cost another call
        bare = [{"Key": key} for key in ("Name", "theirs")]
        module_of("ec2").boto(environment.cloud).delete_tags(Resources=[imported], Tags=bare)
        assert driver.candidates("old-1.example.com", imported)
    driver.terminate(instance)
    return calls_of(environment, cloud_name)


def _offer(driver: Driver, node: Node) -> None:
    driver.check()
    assert driver.regions()
    assert driver.sizes(node.region)
    assert driver.sizes(None)
    assert driver.size(node.size, node.region)
    assert driver.images(node.region)
    assert not driver.objections(node)
    assert all(lookup() for lookup in driver.lookups(node).values())


def _create(environment: CloudEnvironment, driver: Driver, node: Node) -> Instance:
    with driver.access("b1", CLIENT_KEY, [node]) as access:
        instance = driver.launch(node, USER_DATA, access)
        driver.instances(node.region)
        environment.time.advance(60)
        (listed,) = driver.instances(node.region)
        driver.settle(listed)
    assert driver.instance(instance)
    driver.kept_volumes(instance)
    assert driver.interruptions([replace(listed, spot=True)]) == {}
    for on in (True, False):
        driver.protect(listed, on=on)
    return listed


def _addresses(environment: CloudEnvironment, driver: Driver, instance: Instance) -> None:
    if not (ip := environment.reserve()):
        return
    requests = [AddressRequest(RESERVED, ip)]
    if driver.provider.driver == "vultr":
        vpc = environment.cloud.add_vpc("more", "ams")
        requests += [AddressRequest(ADDITIONAL), AddressRequest(PRIVATE, vpc=vpc)]
    for request in requests:
        added = driver.add_address(instance, driver.find_address(instance, request))
        assert driver.addresses(instance)
        driver.remove_address(instance, added)


def _images(environment: CloudEnvironment, driver: Driver, instance: Instance) -> None:
    """Make an image of the instance, copy it where that is possible, and delete it; delete one in the making, too."""
    if not isinstance(driver, SnapshotSupport):
        return
    settings, here = environment.cloud.settings, instance.region or ""
    settings.image_after = 20.0
    driver.power_off(instance, force=True)
    new = imaging.new_image(environment, region=here)
    image = imaging.made(environment, driver, instance, new)
    copies = []
    if not driver.images_everywhere:
        region, wide = next(one for one in environment.places if one != here), environment.driver()
        copy = imaging.settled(environment, wide, wide.copy_image(image, region))
        assert copy is not None
        copies = [copy] if copy.image_id != image.image_id else []
    for one in (*copies, image):
        driver.delete_image(one)
    begun = driver.make_image(instance, replace(new, name=f"{new.name[:-2]}b8", batch="b8"))
    assert [one.batch for one in imaging.half_made(driver)] == ["b8"]
    driver.delete_image(begun)
    environment.time.advance(600)
    assert driver.baked_images() == []
    settings.image_after = 0.0
    driver.power_on(instance)


def _everyday(environment: CloudEnvironment, driver: Driver, instance: Instance) -> None:
    """Restart, stop, resize and start the instance, and set its tags."""
    settings, region = environment.cloud.settings, instance.region or ""
    for force in (False, True):
        driver.reboot(instance, force=force)
    settings.ignores_shutdown = True
    driver.power_off(instance)
    settings.ignores_shutdown = False
    size = driver.size(environment.larger, region)
    assert size is not None
    assert not driver.resize_objections(instance, size)
    driver.resize(instance, size.name)
    driver.power_on(instance)
    driver.power_off(instance, force=True)
    driver.power_on(instance)
    driver.set_tags(instance, {"team": "blue"}, [])
    driver.set_tags(instance, {"plain": ""}, ["team"])
    assert "plain" in driver.user_tags(instance)


def _sweep(environment: CloudEnvironment, driver: Driver, node: Node) -> None:
    """Remove what a killed call left, while its instance still uses it."""
    killed = environment.driver(**environment.narrow)
    lost = replace(environment.node("lost-1.example.com", batch="b2"), zone=node.zone)
    with killed.access("b2", public_key(), [lost]) as access:
        instance = killed.launch(lost, USER_DATA, access)
        environment.time.advance(60)
        for leftover in driver.leftovers():
            driver.remove(leftover)
        driver.terminate(instance)
        assert driver.leftovers() == []


def _import(driver: Driver, instance_id: str) -> None:
    (candidate,) = driver.candidates("old-1.example.com", instance_id)
    driver.candidates("old-1.example.com")
    driver.adopt(candidate.instance, "other.example.com", "db")
    driver.adopt(candidate.instance, "other.example.com", None)
    driver.release(candidate.instance)


def of_page(text: str) -> dict[str, list[str]]:
    """Return the rights that a page of the documentation names, by what they are needed for."""
    (table,) = re.findall(r"^\| \w+ \| needed for \|\n\| --- \| --- \|\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [line.strip("|").split(" | ") for line in table.splitlines()]
    return {purpose.strip(): re.findall(r"`([^`]+)`", rights) for rights, purpose in rows}
