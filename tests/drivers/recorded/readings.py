"""What hart's verbs make of recorded answers, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from hart_salt.base.errors import DriverError, kind_of
from hart_salt.config.settings import Settings
from hart_salt.drivers.ec2 import prices
from hart_salt.model import IMAGE_PENDING, BakedImage, Instance, Node
from tests.drivers.recorded.answers import Recorded
from tests.drivers.recorded.replay import OWN_PAIRS, Change, replayed
from tests.drivers.tested import OWNER

OWN_TAGS = [f"hart-owner:{OWNER}", "hart-role:app"]
OWN_LABELS = {"hart-owner": OWNER, "hart-role": "app"}
#: a description of a snapshot at Vultr
DESCRIPTION = f"hart-app-202611301200-b1 hart-owner:{OWNER} hart-batch:b1 hart-role:app hart-complete:0"
OWN: Change = lambda body: body  # noqa: E731
NAMELESS = "00000000-0000-4000-8000-000000000123"
MASTER = "198.51.100.7/32"

Reading = Callable[[Any, Recorded], Any]


def read(answer: Recorded, change: Change = OWN) -> Any:
    """Return what hart makes of an answer: the error of a refusal, or the result of the verb that it belongs to."""
    tags = [] if change is OWN else OWN_PAIRS
    with replayed(answer, change, tags) as driver:
        if answer.status >= 300:
            return _refusal(driver, answer)
        return reading_of(answer)(driver, answer)


def reading_of(answer: Recorded) -> Reading:
    """Return the reading of an answer by its path."""
    known = READINGS[answer.cloud]
    for path, reading in known.items():
        method, _, wanted = path.rpartition(" ")
        if answer.method in ("", method or "GET") and _matches(answer.path, wanted):
            return reading
    raise AssertionError(f"no verb reads {answer}")


def _matches(path: str, wanted: str) -> bool:
    parts, pattern = path.split("/"), wanted.split("/")
    return len(parts) == len(pattern) and all(one in ("*", part) for part, one in zip(parts, pattern, strict=True))


def owned(answer: Recorded) -> Change:
    """Return a change that makes every instance, disk and rule of an answer this master's, as its cloud marks that."""
    return {"ec2": _owned_ec2, "gce": _owned_gce, "hetzner": _owned_hetzner}.get(answer.cloud, _owned_flat)


def _owned_flat(page: Any) -> Any:
    listed: Any = page.get("droplets", page.get("instances")) if isinstance(page, dict) else None
    for one in listed or ():
        one["tags"] = [*(one.get("tags") or []), *OWN_TAGS]
    if isinstance(page, dict) and isinstance(page.get("snapshot"), dict):
        page["snapshot"]["description"] = DESCRIPTION
    return page


def _owned_hetzner(page: Any) -> Any:
    listed: Any = page.get("servers") if isinstance(page, dict) else None
    image = page.get("image") if isinstance(page, dict) else None
    for one in [*(listed or ()), *([image] if isinstance(image, dict) else [])]:
        one["labels"] = {**(one.get("labels") or {}), **OWN_LABELS}
    return page


def _owned_gce(page: Any) -> Any:
    scopes = page.get("items", {})
    for scope in scopes.values() if isinstance(scopes, dict) else ():
        for one in [*scope.get("instances", ()), *scope.get("disks", ())]:
            one["labels"] = {**one.get("labels", {}), **OWN_LABELS}
    for rule in scopes if isinstance(scopes, list) and "firewalls" in page.get("id", "") else ():
        rule["name"] = f"hart-{OWNER}-{rule['name']}"
    for image in scopes if isinstance(scopes, list) and "images" in page.get("id", "") else ():
        image["labels"] = {**image.get("labels", {}), **OWN_LABELS}
    return page


def _owned_ec2(page: Any) -> Any:
    """An instance without tags stays so: EC2 does not promise them."""
    if isinstance(page, str):
        return page
    for reservation in page.get("Reservations", ()):
        for one in reservation["Instances"]:
            if one.get("Tags"):
                one["Tags"] = [*one["Tags"], *OWN_PAIRS]
    named = ("Volumes", "SecurityGroups", "Images", "Snapshots")
    for one in [thing for name in named for thing in page.get(name, ())]:
        one["Tags"] = [*one.get("Tags", ()), *OWN_PAIRS]
    return page


# verbs


def plain(thing: Any) -> Any:
    """Return an object of the model as a dict of its non-default fields."""
    fields = {one.name: getattr(thing, one.name) for one in dataclasses.fields(thing)}
    usual = {one.name: one.default for one in dataclasses.fields(thing)}
    return {name: value for name, value in fields.items() if value != usual[name]}


def plains(things: Any) -> Any:
    """Return the same for each of them, without their dates' fractions."""
    return [plain(one) for one in things]


def _instances(driver: Any, answer: Recorded) -> Any:
    return plains(driver.instances())


def _instance(driver: Any, answer: Recorded) -> Any:
    zone = answer.path.split("/")[1] if answer.cloud == "gce" else None
    found = driver.instance(Instance(answer.path.rpartition("/")[2], "w1", "running", zone=zone))
    return None if found is None else plain(found)


def _created(driver: Any, answer: Recorded) -> Any:
    return plain(driver._instance(driver._api.post(driver.path, {}, driver.field)))


def _sizes(region: str) -> Reading:
    def sizes(driver: Any, answer: Recorded) -> Any:
        return {"all": plains(driver.sizes(None)), region: plains(driver.sizes(region))}

    return sizes


def _regions(driver: Any, answer: Recorded) -> Any:
    return plains(driver.regions())


def _images(driver: Any, answer: Recorded) -> Any:
    """Return the images of the account, and the releases that the answer has."""
    return plains(it for it in driver.images(None) if it.available or not it.setting.isalpha())


def _images_and_baked(driver: Any, answer: Recorded) -> Any:
    return {"images": _images(driver, answer), "baked": plains(driver.baked_images())}


def _baked(driver: Any, answer: Recorded) -> Any:
    found = driver.baked_image(BakedImage(answer.path.rpartition("/")[2], "", IMAGE_PENDING))
    return None if found is None else plain(found)


def _image_made(driver: Any, answer: Recorded) -> Any:
    images = driver._images
    return plain(images.read(driver._api.post(answer.path, {}, images.field)))


def _account(driver: Any, answer: Recorded) -> Any:
    return driver.check()


def _leftovers(driver: Any, answer: Recorded) -> Any:
    return plains(driver.leftovers())


def _key(driver: Any, answer: Recorded) -> Any:
    return driver._make_key("k", {})


def _keys(driver: Any, answer: Recorded) -> Any:
    return {"leftovers": plains(driver.leftovers()), "k": driver._key_named("test1")}


def _addresses(driver: Any, answer: Recorded) -> Any:
    name = NAMELESS
    if answer.cloud == "do":
        name = next((str(it["droplet"]["id"]) for it in answer.body["reserved_ips"] if it["droplet"]), "1")
    return plains(driver.addresses(Instance(name, "w1", "running", region="nyc3")))


def _refusal(driver: Any, answer: Recorded) -> Any:
    try:
        _ask_once(driver, answer)
    except DriverError as error:
        assert _said(answer.body) in " ".join(str(error).split()), str(error)
        return {"error": kind_of(error), **_details(error)}
    raise AssertionError(f"{answer} is not an error")


def _said(body: Any) -> str:
    """Return what the vendor says; nothing if it is not JSON."""
    if not isinstance(body, dict):
        return ""
    inner = body.get("error") or body.get("Error") or body
    inner = (body.get("messages") or [inner])[0]
    text = inner if isinstance(inner, str) else inner.get("message") or inner.get("Message")
    return " ".join(str(text).split())


def _details(error: DriverError) -> Mapping[str, Any]:
    details = {name: getattr(error, name, None) for name in ("retry_after", "uncertain")}
    if type(error).__name__ == "StillThere":
        details["again"] = True
    return {name: value for name, value in details.items() if value}


def _ask_once(driver: Any, answer: Recorded) -> None:
    """Make the request once: what is retried is tested elsewhere."""
    if answer.cloud == "ec2":
        words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in answer.path).strip("_")
        driver._api._ask_once("ec2", "us-east-1", "Amazon EC2 in us-east-1", lambda client: getattr(client, words)())
    elif answer.cloud == "gce":
        service, fields = _service(answer.path)
        driver._parts.api._call(service, "get" if fields else "list", fields)
    else:
        driver._api._ask(answer.method, answer.path, {})


def _service(path: str) -> tuple[str, dict[str, str]]:
    parts = path.split("/")
    return ("instances", {"zone": parts[1], "instance": parts[3]}) if parts[0] == "zones" else (parts[1], {})


# EC2


def _node(cloud: str, region: str, **options: Any) -> Node:
    import importlib

    module = importlib.import_module(f"hart_salt.drivers.{cloud}.driver")
    return Node("w1", None, cloud, cloud, region, None, "t", Settings(), module.Options(**options), {})


def _ec2_created(driver: Any, answer: Recorded) -> Any:
    from hart_salt.drivers.ec2 import request

    made = driver._api.call("us-east-1", "run_instances", field="Instances", ImageId="a", MinCount=1, MaxCount=1)
    return plain(request.instance(made["Instances"][0], "us-east-1"))


def _ec2_terminated(driver: Any, answer: Recorded) -> Any:
    return driver.terminate(Instance("i-0123456789abcdef0", "w1", "running", region="us-east-1"))


def _ec2_prices(driver: Any, answer: Recorded) -> Any:
    return prices._prices(answer.body["PriceList"])


def _ec2_place(driver: Any, answer: Recorded) -> Any:
    try:
        return dataclasses.asdict(driver._parts.networks.place(_node("ec2", "us-east-1")))
    except DriverError as error:
        return str(error)


def _ec2_groups(driver: Any, answer: Recorded) -> Any:
    networks = driver._parts.networks
    groups = networks._groups("us-east-1")
    return {
        "lets_in": networks.lets_in("us-east-1", "vpc-1", [{"IpPermissions": [one]} for one in _rules(groups)], MASTER),
        "leftovers": plains(driver.leftovers()),
    }


def _rules(groups: Any) -> Any:
    return [rule for group in groups for rule in group["IpPermissions"] if not rule.get("UserIdGroupPairs")]


def _ec2_interfaces(driver: Any, answer: Recorded) -> Any:
    rule = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-0"}]}
    return driver._parts.networks.lets_in("us-east-1", "vpc-1", [{"IpPermissions": [rule]}], MASTER)


# Compute Engine


def _operations(driver: Any, answer: Recorded) -> Any:
    inserts = driver._parts.inserts
    for one in answer.body["items"] if "insert" in answer.name else ():
        inserts.add(one["name"], Instance(str(one["targetId"]), "w1", "pending", zone="us-central1-a"))
    failed = plains(inserts.failed().values())
    api = driver._parts.api
    errors = [api.failure_of(one) for one in api.list_of("zone_operations", zone="us-central1-a")]
    return {"failed": failed, "errors": [error and kind_of(error) for error in errors]}


def _gce_subnet(driver: Any, answer: Recorded) -> Any:
    return driver._parts.catalogue.subnet(_node("gce", "us-central1")).name


def _gce_zone_sizes(driver: Any, answer: Recorded) -> Any:
    driver._parts.catalogue.zones = lambda region: ("us-central1-a",)
    return plains(driver.sizes("us-central1"))


def _gce_images(driver: Any, answer: Recorded) -> Any:
    catalogue = driver._parts.catalogue
    catalogue._found = lambda *_, **fields: None  # no family is recorded
    images = plains(it for it in driver.images(None) if it.available or "-" in it.setting)
    return {"images": images, "baked": plains(driver.baked_images())}


# Hetzner


def _networks(driver: Any, answer: Recorded) -> Any:
    from hart_salt.drivers.hetzner import rules

    return {"named": rules.id_of("mynet", driver._known("networks"), "network")}


def _hetzner_list(driver: Any, answer: Recorded) -> Any:
    return {"instances": plains(driver.instances()), "account": driver.check()}


READINGS: Mapping[str, Mapping[str, Reading]] = {
    "do": {
        "droplets": _instances, "droplets/*": _instance, "POST droplets": _created, "reserved_ips": _addresses,
        "sizes": _sizes("nyc1"), "regions": _regions, "images": _images, "account": _account,
        "account/keys": _keys, "POST account/keys": _key, "tags": _leftovers,
        "firewalls": lambda driver, answer: driver._is_firewall("12345"),
    },
    "vultr": {
        "instances": _instances, "instances/*": _instance, "POST instances": _created, "plans": _sizes("ewr"),
        "regions/*/availability": lambda driver, answer: sorted(driver._offer.available("ewr")),
        "regions": _regions, "os": _images, "snapshots": _images, "account": _account,
        "POST snapshots": _image_made, "snapshots/*": _baked,
        "instances/*/ipv4": _addresses, "reserved-ips": _addresses, "instances/*/vpcs": _addresses,
        "vpcs/*": lambda driver, answer: driver._api.get(answer.path, "vpc")["v4_subnet_mask"],
    },
    "hetzner": {
        "servers": _hetzner_list, "servers/*": _instance, "POST servers": _created, "server_types": _sizes("fsn1"),
        "pricing": lambda driver, answer: driver._api.get("pricing", "pricing")["currency"],
        "locations": _regions, "images": _images, "images/*": _baked,
        "POST servers/*/actions/create_image": _image_made,
        "ssh_keys": _keys, "POST ssh_keys": _key, "networks": _networks,
    },
    "ec2": {
        "DescribeInstances": _instances, "RunInstances": _ec2_created, "TerminateInstances": _ec2_terminated,
        "DescribeInstanceTypes": _sizes("us-east-1"), "DescribeInstanceTypeOfferings": _sizes("us-east-1"),
        "DescribeRegions": _regions, "DescribeAvailabilityZones": _regions, "DescribeImages": _images_and_baked,
        "GetProducts": _ec2_prices, "DescribeVolumes": _leftovers, "DescribeSecurityGroups": _ec2_groups,
        "DescribeSnapshots": _leftovers, "DescribeSubnets": _ec2_place, "DescribeNetworkInterfaces": _ec2_interfaces,
    },
    "gce": {
        "aggregated/instances": _instances, "zones/*/instances/*": _instance, "zones/*/operations": _operations,
        "aggregated/machineTypes": lambda driver, answer: plains(driver.sizes(None)),
        "zones/*/machineTypes": _gce_zone_sizes,
        "regions": _regions, "zones": _regions, "global/images": _gce_images, "": _account,
        "global/firewalls": _leftovers, "aggregated/disks": _leftovers, "regions/*/subnetworks": _gce_subnet,
    },
}  # fmt: skip
