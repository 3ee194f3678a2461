"""The emulated Hetzner Cloud serves a client that is not ours: hcloud, the vendor's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hcloud
import pytest
from hcloud.firewalls import Firewall
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.networks import NetworkSubnet
from hcloud.server_types import ServerType
from hcloud.servers import ServerCreatePublicNetwork
from hcloud.ssh_keys import SSHKey

from tests.drivers.do.emulator.client import Clock, public_key
from tests.drivers.hetzner.emulator.cloud import Hetzner
from tests.drivers.hetzner.emulator.state import Settings

#: hcloud's own types allow nearly every field of an answer to be absent
Client = Any
SPEC: dict[str, Any] = {
    "server_type": ServerType(name="cx23"),
    "image": Image(name="debian-12"),
    "location": Location(name="nbg1"),
}


@pytest.fixture
def cloud(clock: Clock) -> Iterator[Hetzner]:
    with Hetzner(settings=Settings(running_after=10, page_cap=3, burst=None), clock=clock) as cloud:
        yield cloud
        assert cloud.defects == []
        assert cloud.said_against() == []


@pytest.fixture
def client(cloud: Hetzner) -> Client:
    return hcloud.Client(token=cloud.token, api_endpoint=cloud.endpoint, poll_interval=0)


def test_the_catalogue(client: Client) -> None:
    kind = client.server_types.get_by_name("cax11")
    assert (kind.cores, kind.memory, kind.disk, kind.architecture, kind.cpu_type) == (2, 4.0, 40, "arm", "shared")
    assert {it["location"]: it["price_monthly"]["net"] for it in kind.prices}["fsn1"] == "3.7900000000"
    assert {(it.location.name, it.available) for it in kind.locations} == {(n, True) for n in ("fsn1", "nbg1", "hel1")}
    assert [len(client.server_types.get_all()), len(client.locations.get_all())] == [5, 5]
    image = client.images.get_by_name_and_architecture("debian-12", "arm")
    assert (image.os_flavor, image.os_version, image.architecture) == ("debian", "12", "arm")
    assert {it.type for it in client.images.get_all(type=["system"])} == {"system"}
    assert client.locations.get_by_name("ash").network_zone == "us-east"


def test_images_of_servers(cloud: Hetzner, client: Client, clock: Clock) -> None:
    cloud.settings.image_after = 60.0
    server = client.servers.create(name="app-1", **SPEC).server
    clock.advance(10)
    server.power_off().wait_until_finished()
    made = server.create_image(description="golden", type="snapshot", labels={"a": "b"})
    assert (made.action.command, made.action.status, made.image.status) == ("create_image", "running", "creating")
    with pytest.raises(hcloud.APIException) as caught:
        server.power_on()
    assert caught.value.code == "locked"
    clock.advance(60)
    made.action.wait_until_finished()
    (image,) = client.images.get_all(type=["snapshot"], label_selector="a==b")
    assert (image.id, image.status, image.description) == (made.image.id, "available", "golden")
    assert (image.image_size, image.disk_size, image.created_from.id) == (2.3, 40, server.id)
    assert image.update(labels={"c": ""}).labels == {"c": ""}
    image.change_protection(delete=True).wait_until_finished()
    with pytest.raises(hcloud.APIException) as caught:
        image.delete()
    assert caught.value.code == "protected"
    client.images.get_by_id(image.id).change_protection(delete=False)
    second = client.servers.create(name="app-2", **{**SPEC, "image": image}).server
    assert second.image.id == image.id
    assert image.delete()
    assert client.images.get_all(type=["snapshot"]) == []


def test_create_list_change_destroy(cloud: Hetzner, client: Client, clock: Clock) -> None:
    key = client.ssh_keys.create(name="k", public_key=public_key(), labels={"a": "b"})
    for number in range(5):
        made = client.servers.create(
            name=f"app-{number}", ssh_keys=[SSHKey(name="k")], user_data="#!/bin/sh\n", labels={"t": "1"}, **SPEC
        )
        assert (made.server.status, made.server.locked, made.root_password) == ("initializing", True, None)
        assert (made.action.command, [it.command for it in made.next_actions]) == ("create_server", ["start_server"])
        assert made.action.status == "running"
    clock.advance(10)
    made.action.wait_until_finished()
    client.servers.create(name="other", ssh_keys=[key], **SPEC)
    servers = client.servers.get_all(label_selector="t==1")  # two pages
    assert [it.name for it in servers] == [f"app-{number}" for number in range(5)]
    assert {it.status for it in servers} == {"running"}
    assert len({it.public_net.ipv4.ip for it in servers}) == 5
    assert {(it.location.name, it.server_type.name, it.image.name) for it in servers} == {("nbg1", "cx23", "debian-12")}
    assert client.servers.get_by_name("app-3").id == servers[3].id
    assert servers[0].update(labels={"u": ""}).labels == {"u": ""}
    assert [it.name for it in client.servers.get_all(label_selector="u")] == ["app-0"]
    for server in client.servers.get_all():
        server.delete().wait_until_finished()
    assert client.ssh_keys.get_by_name("k").id == key.id
    assert key.delete()
    assert client.servers.get_all() == []
    assert sum(map(len, cloud.left().values())) == 0


def test_networks_and_firewalls(client: Client, clock: Clock) -> None:
    subnet = NetworkSubnet(ip_range="10.120.0.0/24", type="cloud", network_zone="eu-central")
    network = client.networks.create(name="inside", ip_range="10.120.0.0/16", subnets=[subnet])
    firewall = client.firewalls.create(name="ssh").firewall
    key = client.ssh_keys.create(name="k", public_key=public_key())
    public = ServerCreatePublicNetwork(enable_ipv4=True, enable_ipv6=False)
    server = client.servers.create(
        name="app-1", ssh_keys=[key], networks=[network], public_net=public,
        firewalls=[Firewall(id=firewall.id)], **SPEC
    ).server  # fmt: skip
    assert server.private_net[0].ip.startswith("10.120.")
    assert (server.public_net.ipv6, server.public_net.firewalls[0].firewall.id) == (None, firewall.id)
    assert [it.id for it in client.networks.get_by_name("inside").servers] == [server.id]
    inside = ServerCreatePublicNetwork(enable_ipv4=False, enable_ipv6=False)
    server = client.servers.create(name="app-2", ssh_keys=[key], networks=[network], public_net=inside, **SPEC).server
    assert (server.public_net.ipv4, server.public_net.ipv6) == (None, None)


def test_power_and_protection(cloud: Hetzner, client: Client, clock: Clock) -> None:
    server = client.servers.create(name="app-1", **SPEC).server
    assert cloud.state.mails == ["app-1"]
    clock.advance(10)
    server.power_off().wait_until_finished()
    assert client.servers.get_by_id(server.id).status == "off"
    server.power_on()
    assert client.servers.get_by_id(server.id).status == "running"
    server.change_protection(delete=True, rebuild=True)
    assert client.servers.get_by_id(server.id).protection == {"delete": True, "rebuild": True}
    with pytest.raises(hcloud.APIException) as caught:
        server.delete()
    assert caught.value.code == "protected"


def test_hcloud_understands_the_errors(cloud: Hetzner, client: Client) -> None:
    client.servers.create(name="app-1", **SPEC)
    refusals: dict[str, dict[str, Any]] = {
        "uniqueness_error": {"name": "app-1"},
        "invalid_input": {"name": "app-2", "labels": {"a b": "c"}},
        "not_found": {"name": "app-2", "image": Image(name="none")},
    }
    for code, changed in refusals.items():
        with pytest.raises(hcloud.APIException) as caught:
            client.servers.create(**{**SPEC, **changed})
        assert (caught.value.code, caught.value.correlation_id) == (code, "1e30f35cca296a67")
    with pytest.raises(hcloud.APIException) as caught:
        client.servers.get_by_id(1)
    assert caught.value.code == "not_found"
    cloud.tokens.clear()
    with pytest.raises(hcloud.APIException) as caught:
        client.servers.get_all()
    assert caught.value.code == "unauthorized"
    cloud.calls.clear()  # one of them is wrong on purpose
