"""The emulated DigitalOcean behaves as the vendor is known to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import digitalocean
import pytest
import requests

from tests.drivers.do.emulator.client import SPEC, Client, Clock, public_key
from tests.drivers.do.emulator.cloud import SPECIFICATION, DigitalOcean
from tests.drivers.do.emulator.state import Settings
from tests.emulation import schema
from tests.emulation.backend import NoMachines, recorded


@pytest.fixture
def cloud(clock: Clock) -> Iterator[DigitalOcean]:
    settings = Settings(active_after=10, gone_after=2, check_answers=True)
    with DigitalOcean(NoMachines(), settings=settings, clock=clock) as cloud:
        yield cloud
        assert cloud.defects == []
        assert [text for text in cloud.said_against() if "answer" in text] == []


@pytest.fixture
def manager(cloud: DigitalOcean, monkeypatch: pytest.MonkeyPatch) -> digitalocean.Manager:
    monkeypatch.setenv("DIGITALOCEAN_END_POINT", cloud.endpoint)
    return digitalocean.Manager(token=cloud.token)


def addresses(droplet: dict[str, Any]) -> dict[str, str]:
    return {net["type"]: net["ip_address"] for net in droplet["networks"]["v4"]}


# the life cycle of a droplet


def test_a_droplet_is_new_then_active_with_addresses_then_gone(
    cloud: DigitalOcean, client: Client, clock: Clock
) -> None:
    droplet = client.create(tags=["hart"])
    assert (droplet["status"], droplet["networks"]) == ("new", {"v4": [], "v6": []})
    clock.advance(10)
    droplet = client.get(f"droplets/{droplet['id']}")["droplet"]
    assert droplet["status"] == "active"
    assert addresses(droplet) == {"public": "203.0.113.4", "private": "10.120.0.4"}
    assert client.call("DELETE", f"droplets/{droplet['id']}").status_code == 204
    assert client.get(f"droplets/{droplet['id']}")["droplet"]["locked"]
    assert "pending event" in client.call("DELETE", f"droplets/{droplet['id']}").json()["message"]
    clock.advance(2)
    gone = client.call("GET", f"droplets/{droplet['id']}")
    assert (gone.status_code, gone.json()["id"]) == (404, "not_found")
    assert client.call("DELETE", f"droplets/{droplet['id']}").status_code == 404
    assert {kind: names for kind, names in cloud.state.left().items() if names} == {"tags": ["hart"]}


def test_the_machine_boots_at_create_and_ends_at_delete(cloud: DigitalOcean, client: Client) -> None:
    key = client.call("POST", "account/keys", {"name": "k", "public_key": public_key()}).json()["ssh_key"]
    droplet = client.create(user_data="#!/bin/sh\n", ssh_keys=[key["id"]], tags=["a:b"])
    assert cloud.settle(10)
    request = recorded(cloud.machines).booted[str(droplet["id"])]
    assert (request.hostname, request.user_data, request.image) == ("app-1", "#!/bin/sh\n", "debian-12-x64")
    assert (request.public_keys, request.tags) == ((key["public_key"],), ("a:b",))
    client.call("DELETE", f"droplets/{droplet['id']}")
    assert cloud.settle(10)
    assert recorded(cloud.machines).killed == [str(droplet["id"])]


def test_the_order_of_the_addresses_changes(client: Client, clock: Clock) -> None:
    droplet = client.create()
    clock.advance(10)
    first = {client.get(f"droplets/{droplet['id']}")["droplet"]["networks"]["v4"][0]["type"] for _ in range(30)}
    assert first == {"public", "private"}


def test_a_droplet_without_public_networking_has_a_private_address_only(client: Client, clock: Clock) -> None:
    droplet = client.create(public_networking=False)
    clock.advance(10)
    assert set(addresses(client.get(f"droplets/{droplet['id']}")["droplet"])) == {"private"}


def test_actions_end_when_the_droplet_is_active(client: Client, clock: Clock) -> None:
    answer = client.call("POST", "droplets", {"name": "app-1", **SPEC}).json()
    link = answer["links"]["actions"][0]
    assert link["href"] == f"{client.cloud.endpoint}actions/{link['id']}"
    assert client.get(f"actions/{link['id']}")["action"]["status"] == "in-progress"
    clock.advance(10)
    assert client.get(f"actions/{link['id']}")["action"]["status"] == "completed"


def test_several_droplets_in_one_call(cloud: DigitalOcean, client: Client) -> None:
    answer = client.call("POST", "droplets", {"names": ["a", "b", "c"], **SPEC})
    assert [it["name"] for it in answer.json()["droplets"]] == ["a", "b", "c"]
    assert len(answer.json()["links"]["actions"]) == len(cloud.state.droplets) == 3


def test_delete_by_tag_deletes_all_droplets_with_the_tag_and_no_others(
    cloud: DigitalOcean, client: Client, clock: Clock
) -> None:
    for name, tag in (("a", "old"), ("b", "old"), ("c", "kept")):
        client.create(name, tags=[tag])
    assert client.call("DELETE", "droplets").status_code == 422
    assert client.call("DELETE", "droplets?tag_name=OLD").status_code == 204
    clock.advance(2)
    assert cloud.state.left()["droplets"] == ["c"]


@pytest.mark.parametrize(("switch", "status"), [("refused", 422), ("ignored", 204)])
def test_a_delete_of_a_new_droplet_can_fail(
    cloud: DigitalOcean, client: Client, clock: Clock, switch: str, status: int
) -> None:
    cloud.settings.delete_new = switch
    droplet = client.create()
    assert client.call("DELETE", f"droplets/{droplet['id']}").status_code == status
    clock.advance(10)
    assert cloud.state.left()["droplets"] == ["app-1"]
    assert client.call("DELETE", f"droplets/{droplet['id']}").status_code == 204
    clock.advance(2)
    assert cloud.state.left()["droplets"] == []


# lists


def test_pages_link_to_the_host_of_the_request(client: Client) -> None:
    for number in range(5):
        client.create(f"app-{number}", tags=["t"])
    data = client.get("droplets", per_page=2, tag_name="t", page=2)
    assert [it["name"] for it in data["droplets"]] == ["app-2", "app-3"]
    assert data["meta"] == {"total": 5}
    pages = data["links"]["pages"]
    assert set(pages) == {"first", "prev", "next", "last"}
    assert pages["next"].startswith(client.cloud.endpoint)
    assert (
        requests.get(pages["next"], headers={"Authorization": f"Bearer {client.cloud.token}"}, timeout=120).json()[
            "droplets"
        ][0]["name"]
        == "app-4"
    )


def test_filters_of_the_list(client: Client) -> None:
    client.create("a", tags=["Prod"])
    client.create("b", tags=["prod", "other"])
    tagged = client.get("droplets", tag_name="PROD")["droplets"]
    assert [it["name"] for it in tagged] == ["a", "b"]
    assert tagged[1]["tags"] == ["Prod", "other"]  # the first spelling is canonical
    assert [it["name"] for it in client.get("droplets", name="b")["droplets"]] == ["b"]
    assert client.get("droplets", tag_name="none")["droplets"] == client.get("droplets", type="gpus")["droplets"] == []
    assert client.call("GET", "droplets?tag_name=a&name=b").status_code == 422
    assert client.call("GET", "droplets?per_page=201").status_code == 422


def test_the_catalogue(cloud: DigitalOcean, client: Client) -> None:
    snapshot = cloud.add_snapshot("with-salt", image_id=777)
    slugs = {it["slug"] for it in client.get("images", type="distribution")["images"]}
    assert {"debian-12-x64", "debian-13-x64", "ubuntu-22-04-x64", "ubuntu-24-04-x64"} <= slugs
    assert [it["id"] for it in client.get("images", private="true")["images"]] == [snapshot] == [777]
    client.create(image=777)
    client.create("app-2", image="777")
    sizes = {it["slug"]: it for it in client.get("sizes")["sizes"]}
    assert sizes["s-1vcpu-1gb"]["price_monthly"] == 6.0
    assert not sizes["s-8vcpu-32gb"]["available"]
    regions = {it["slug"]: it for it in client.get("regions")["regions"]}
    assert regions["nyc3"]["available"]
    assert not regions["nyc2"]["available"]


def test_a_snapshot_exists_from_the_end_of_its_action_and_keeps_the_disk(
    cloud: DigitalOcean, client: Client, clock: Clock
) -> None:
    droplet = client.create()
    clock.advance(10)
    cloud.settings.image_after = 60
    path = f"droplets/{droplet['id']}"
    action = client.make(f"{path}/actions", "action", type="snapshot", name="mine")
    for method, where, body in (("DELETE", path, None), ("POST", f"{path}/actions", {"type": "power_off"})):
        assert "pending event" in client.call(method, where, body).json()["message"]
    clock.advance(59)
    assert client.get("images", private="true")["images"] == []
    clock.advance(1)
    assert client.get(f"{path}/actions/{action['id']}")["action"]["status"] == "completed"
    (image,) = client.get("images", private="true")["images"]
    assert (image["name"], image["regions"], image["min_disk_size"], image["tags"]) == ("mine", ["nyc3"], 25, [])
    client.make(f"images/{image['id']}/actions", "action", type="transfer", region="ams3")
    refused = client.call("POST", f"images/{image['id']}/actions", {"type": "transfer", "region": "nyc3"})
    assert (refused.status_code, client.call("DELETE", f"images/{image['id']}").status_code) == (422, 422)
    clock.advance(60)
    assert client.get(f"images/{image['id']}")["image"]["regions"] == ["nyc3", "ams3"]
    second = client.create("app-2", image=image["id"], region="ams3")
    assert cloud.settle(10)
    backend = recorded(cloud.machines)
    assert backend.saved[backend.booted[str(second["id"])].image].hostname == "app-1"
    assert client.call("DELETE", f"images/{image['id']}").status_code == 204
    assert cloud.settle(10)
    assert backend.saved == {}


def test_an_errored_snapshot_makes_no_image(cloud: DigitalOcean, client: Client, clock: Clock) -> None:
    droplet = client.create()
    clock.advance(10)
    cloud.settings.fails_image = True
    action = client.make(f"droplets/{droplet['id']}/actions", "action", type="snapshot", name="mine")
    assert action["status"] == "errored"
    assert (client.get("images", private="true")["images"], recorded(cloud.machines).saved) == ([], {})


# refusals


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": "under_score"}, "hostname characters"),
        ({"name": "a" * 256}, "hostname characters"),
        ({"names": ["a"]}, "either"),
        ({"size": "s-huge"}, "invalid size"),
        ({"size": "s-8vcpu-32gb"}, "Size is not available"),
        ({"size": "m-2vcpu-16gb", "region": "blr1"}, "Size is not available"),
        ({"image": "debian-99-x64"}, "invalid image"),
        ({"image": 1}, "invalid image"),
        ({"region": "mars1"}, "invalid region"),
        ({"region": "nyc2"}, "Region is not available"),
        ({"ssh_keys": [99]}, "99 are invalid key identifiers for Droplet creation."),
        ({"user_data": "x" * 65537}, "64 KiB"),
        ({"tags": ["a=b"]}, "a=b"),
        ({"tags": "a"}, "array"),
        ({"ipv6": "yes"}, "boolean"),
        ({"public_networking": False, "ipv6": True}, "public networking"),
        ({"volumes": ["nothing"]}, "Volumes"),
    ],
)
def test_a_create_is_refused_with_the_vendor_s_message(client: Client, body: dict[str, Any], words: str) -> None:
    status, message = client.refused(**body)
    assert status == 422
    assert words in message


def test_a_vpc_that_does_not_exist_is_a_404(client: Client) -> None:
    assert client.refused(vpc_uuid="default-nyc3")[0] == 404


def test_capacity_and_quota(cloud: DigitalOcean, client: Client) -> None:
    cloud.settings.full_regions = ("nyc3",)
    assert client.refused() == (422, "Region is not available")
    assert client.create(region="nyc")["region"]["slug"] == "nyc1"
    cloud.settings.sold_out_sizes = ("s-1vcpu-1gb",)
    assert client.refused(region="ams3") == (422, "Size is not available in this region.")
    cloud.settings.droplet_limit = 1
    assert "exceed your droplet limit" in client.refused(region="ams3", size="c-2")[1]


def test_more_than_ten_names_are_refused(client: Client) -> None:
    names = {"names": [f"a{number}" for number in range(11)], **SPEC}
    assert client.call("POST", "droplets", names).status_code == 422


def test_a_create_without_a_key_mails_a_password(cloud: DigitalOcean, client: Client) -> None:
    client.create()
    assert cloud.state.passwords_mailed == ["app-1"]


def test_a_wrong_token(cloud: DigitalOcean) -> None:
    answer = requests.get(cloud.endpoint + "droplets", headers={"Authorization": "Bearer no"}, timeout=120)
    assert (answer.status_code, answer.json()["message"]) == (401, "Unable to authenticate you")


def test_a_body_that_is_not_json(cloud: DigitalOcean) -> None:
    head = {"Authorization": f"Bearer {cloud.token}"}
    assert requests.post(cloud.endpoint + "droplets", data="{", headers=head, timeout=120).status_code == 400


@pytest.mark.parametrize("path", ["nothing", "droplets/nothing", "droplets/1", "account/keys/1", "tags/none"])
def test_a_resource_that_does_not_exist(client: Client, path: str) -> None:
    assert client.call("GET", path).json()["id"] == "not_found"


# keys, tags, firewalls, volumes, VPCs


def test_keys(client: Client) -> None:
    line = public_key()
    answer = client.call("POST", "account/keys", {"name": "one", "public_key": line})
    key = answer.json()["ssh_key"]
    assert answer.status_code == 201
    again = client.call("POST", "account/keys", {"name": "two", "public_key": line})
    assert (again.status_code, again.json()["message"]) == (422, "SSH Key is already in use on your account")
    assert client.call("POST", "account/keys", {"name": "bad", "public_key": "ssh-x AAAA"}).status_code == 422
    assert client.create(ssh_keys=[key["id"]])
    assert client.create("app-2", ssh_keys=[key["fingerprint"]])
    assert client.call("DELETE", f"account/keys/{key['fingerprint']}").status_code == 204
    assert client.call("DELETE", f"account/keys/{key['id']}").status_code == 404


def test_tags_remain_without_droplets_and_count_their_resources(client: Client) -> None:
    droplet = client.create(tags=["a:b"])
    assert client.get("tags/A:B")["tag"]["resources"]["droplets"]["count"] == 1
    resources = {"resources": [{"resource_id": str(droplet["id"]), "resource_type": "droplet"}]}
    assert client.call("DELETE", "tags/a:b/resources", resources).status_code == 204
    assert client.get("tags/a:b")["tag"]["resources"]["count"] == 0
    assert client.call("POST", "tags/a:b/resources", resources).status_code == 204
    assert client.call("DELETE", "tags/a:b").status_code == 204
    assert client.get(f"droplets/{droplet['id']}")["droplet"]["tags"] == []


def test_the_refusal_of_a_tag_has_its_own_form(client: Client) -> None:
    answer = client.call("POST", "tags", {"name": "a=b"})
    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "messages", "root_causes"}


def test_a_firewall(cloud: DigitalOcean, client: Client, clock: Clock) -> None:
    droplet = client.create(tags=["batch:1"])
    rule = {"protocol": "tcp", "ports": "22", "sources": {"addresses": ["192.0.2.1/32"]}}
    body = {"name": "ssh", "inbound_rules": [rule], "tags": ["batch:1"]}
    answer = client.call("POST", "firewalls", body)
    assert (answer.status_code, answer.json()["firewall"]["status"]) == (202, "waiting")
    path = f"firewalls/{answer.json()['firewall']['id']}"
    assert client.get(path)["firewall"]["status"] == "succeeded"
    assert client.call("POST", "firewalls", body).status_code == 409
    assert client.call("POST", "firewalls", {**body, "name": "fw", "tags": ["none"]}).status_code == 400
    assert client.call("POST", "firewalls", {**body, "name": "fw", "inbound_rules": []}).status_code == 400
    assert client.call("POST", f"{path}/droplets", {"droplet_ids": [droplet["id"]]}).status_code == 204
    assert client.get(path)["firewall"]["droplet_ids"] == [droplet["id"]]
    client.call("DELETE", f"droplets/{droplet['id']}")
    clock.advance(2)
    assert client.get(path)["firewall"]["droplet_ids"] == []
    assert client.call("DELETE", path).status_code == 204
    assert cloud.state.left()["firewalls"] == []


def test_volumes_are_attached_at_create_and_detached_at_delete(
    cloud: DigitalOcean, client: Client, clock: Clock
) -> None:
    spec = {"name": "data", "region": "nyc3", "size_gigabytes": 10}
    volume = client.call("POST", "volumes", spec).json()["volume"]
    droplet = client.create(volumes=[volume["id"]])
    assert client.get(f"volumes/{volume['id']}")["volume"]["droplet_ids"] == [droplet["id"]]
    assert "already attached" in client.refused(volumes=[volume["id"]])[1]
    assert client.call("DELETE", f"volumes/{volume['id']}").status_code == 409
    client.call("DELETE", f"droplets/{droplet['id']}")
    clock.advance(2)
    assert client.get(f"volumes/{volume['id']}")["volume"]["droplet_ids"] == cloud.state.left()["attached"] == []


def test_a_region_has_a_default_vpc(client: Client) -> None:
    droplet = client.create()
    vpc = client.get(f"vpcs/{droplet['vpc_uuid']}")["vpc"]
    assert (vpc["default"], vpc["region"]) == (True, "nyc3")
    own = client.call("POST", "vpcs", {"name": "own", "region": "ams3"}).json()["vpc"]
    assert client.create("app-2", region="ams3", vpc_uuid=own["id"])["vpc_uuid"] == own["id"]
    assert client.refused(vpc_uuid=own["id"])[0] == 422


# limits


def test_each_answer_has_the_number_of_calls_left_in_the_hour(client: Client, clock: Clock) -> None:
    client.get("account")
    clock.advance(60)
    headers = client.call("GET", "account").headers
    assert (headers["ratelimit-limit"], headers["ratelimit-remaining"]) == ("5000", "4998")
    assert float(headers["ratelimit-reset"]) == clock.now - 60 + 3600  # when the oldest call expires


def test_a_burst_is_throttled_with_retry_after(cloud: DigitalOcean, client: Client, clock: Clock) -> None:
    cloud.settings.minute_limit = 2
    client.get("account")
    clock.advance(20)
    client.get("account")
    answer = client.call("GET", "account")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "40")
    clock.advance(40)
    client.get("account")


def test_the_hourly_limit_has_no_retry_after(cloud: DigitalOcean, client: Client) -> None:
    cloud.settings.hourly_limit = 1
    client.get("account")
    answer = client.call("GET", "account")
    assert answer.status_code == 429
    assert "retry-after" not in answer.headers


def test_keys_can_be_listed_ten_times_a_minute(client: Client) -> None:
    for _ in range(10):
        client.get("account/keys")
    assert client.call("GET", "account/keys").status_code == 429


# python-digitalocean


def test_python_digitalocean_works_from_create_to_delete(
    cloud: DigitalOcean, manager: digitalocean.Manager, clock: Clock
) -> None:
    key = digitalocean.SSHKey(token=cloud.token, name="k", public_key=public_key())
    key.create()
    droplet = digitalocean.Droplet(
        token=cloud.token, name="app-1", tags=["t"], ssh_keys=[key.id], size_slug="s-1vcpu-1gb",
        image="debian-12-x64", region="nyc3", user_data="#!/bin/sh\n",
    )  # fmt: skip
    droplet.create()
    clock.advance(10)
    (seen,) = manager.get_all_droplets(tag_name="t")
    assert (seen.id, seen.status, seen.private_ip_address) == (droplet.id, "active", "10.120.0.4")
    assert [action.type for action in seen.get_actions()] == ["create"]
    assert manager.get_account().droplet_limit == 25
    assert {size.slug for size in manager.get_all_sizes()} >= {"s-1vcpu-1gb"}
    assert {region.slug for region in manager.get_all_regions()} >= {"nyc3"}
    assert {image.slug for image in manager.get_distro_images()} >= {"debian-12-x64"}
    assert seen.destroy()
    assert key.destroy()
    clock.advance(2)
    with pytest.raises(digitalocean.NotFoundError):
        manager.get_droplet(droplet.id)
    assert cloud.state.left()["keys"] == []


def test_its_null_vpc_can_be_refused_as_in_the_description(cloud: DigitalOcean, manager: digitalocean.Manager) -> None:
    if schema.find(SPECIFICATION) is None:
        pytest.skip("the vendor's description is not beside this checkout")
    cloud.settings.tolerate_nulls = False
    with pytest.raises(digitalocean.DataReadError, match="vpc_uuid"):
        digitalocean.Droplet(
            token=cloud.token, name="a", size_slug="c-2", image="debian-12-x64", region="nyc3"
        ).create()
    assert cloud.state.left()["droplets"] == []
