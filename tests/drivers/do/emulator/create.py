"""
``POST /v2/droplets``: what it accepts, what it refuses, and with which message.

The order of the checks is not known. Messages are the vendor's where users reported them. All refusals are 422 with the
same ``id``, except for a missing VPC, which is a 404.
"""

from __future__ import annotations

import re
from typing import Any

from tests.drivers.do.emulator import answers
from tests.drivers.do.emulator import catalog as catalogue
from tests.drivers.do.emulator.answers import Refusal
from tests.drivers.do.emulator.routes import body_of, route
from tests.drivers.do.emulator.state import NEVER, Droplet, Image, World
from tests.emulation.backend import Addresses
from tests.emulation.http import Answer, Request

NAME = re.compile(r"[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]")
TAG = re.compile(r"[a-zA-Z0-9_\-:]{1,255}")
NAME_LIMIT = 255
NAMES_LIMIT = 10
USER_DATA_LIMIT = 64 * 1024
LISTS = ("names", "ssh_keys", "tags", "volumes")
FLAGS = ("backups", "ipv6", "monitoring", "private_networking", "with_droplet_agent", "public_networking")


def check_form(data: dict[str, Any]) -> None:
    """Raise ``Refusal`` for a body that is wrong for any account."""
    for name in LISTS:
        if not isinstance(data.get(name) or [], list):
            raise Refusal(422, f"{name} must be an array.")
    for name in FLAGS:
        if not isinstance(data.get(name, False), bool):
            raise Refusal(422, f"{name} must be a boolean.")
    if not isinstance(data.get("user_data") or "", str):
        raise Refusal(422, "user_data must be a string.")
    _names(data)
    for tag in data.get("tags") or []:
        if not isinstance(tag, str) or not TAG.fullmatch(tag):
            raise Refusal(422, f"Tags {tag} is invalid: only letters, numbers, colons, dashes and underscores")


@route("POST", "/droplets", check=check_form)
def create(world: World, request: Request) -> Answer:
    """Create droplets and answer 202. This does not mean success: the actions show it. There are no addresses yet."""
    data = body_of(request)
    names = _names(data)
    plan = _plan(world, data, len(names))
    droplets = [_make(world, name, plan) for name in names]
    links = {"actions": [_action(world, request, droplet) for droplet in droplets]}
    if world.settings.no_action_links:
        links = {}
    if "names" in data:
        body: dict[str, Any] = {"droplets": [answers.droplet(world, droplet) for droplet in droplets]}
    else:
        body = {"droplet": answers.droplet(world, droplets[0])}
    return Answer(202, {**body, "links": links})


def _names(data: dict[str, Any]) -> list[str]:
    if ("name" in data) == ("names" in data):
        raise Refusal(422, "Name can't be blank" if "name" not in data else "Give either name or names.")
    names = (data["names"] or []) if "names" in data else [data["name"]]
    if not 1 <= len(names) <= NAMES_LIMIT:
        raise Refusal(422, f"You may create up to {NAMES_LIMIT} droplets at a time.")
    for name in names:
        if not isinstance(name, str) or len(name) > NAME_LIMIT or not NAME.fullmatch(name):
            raise Refusal(422, "Name Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)")
    return names


def _plan(world: World, data: dict[str, Any], count: int) -> dict[str, Any]:
    """Return the droplet's fields except its name. Everything is checked before anything is created."""
    image = _image(world, data.get("image"))
    region = _region(world, data.get("region"), image)
    size = _size(world, data.get("size"), region, image)
    keys = [_key(world, name) for name in data.get("ssh_keys") or []]
    user_data = data.get("user_data") or ""
    if len(user_data.encode()) > USER_DATA_LIMIT:
        raise Refusal(422, "User data is too long (maximum is 64 KiB)")
    public, ipv6 = data.get("public_networking", True), data.get("ipv6", False)
    if ipv6 and not public:
        raise Refusal(422, "IPv6 cannot be enabled when public networking is disabled.")
    if len(world.state.droplets) + count > world.settings.droplet_limit:
        raise Refusal(422, "creating this/these droplet(s) will exceed your droplet limit")
    vpc_uuid = _vpc(world, data.get("vpc_uuid"), region)
    volumes = [_volume(world, name, region) for name in data.get("volumes") or []]
    if volumes and count > 1:
        raise Refusal(422, "Volumes cannot be attached when more than one droplet is created.")
    return {
        "size": size,
        "image": image,
        "region": region,
        "vpc_uuid": vpc_uuid,
        "tags": list(dict.fromkeys(world.name_tag(name) for name in data.get("tags") or [])),
        "user_data": user_data,
        "ipv6": ipv6,
        "monitoring": data.get("monitoring", False),
        "backups": data.get("backups", False),
        "with_droplet_agent": data.get("with_droplet_agent"),
        "public_networking": public,
        "volume_ids": volumes,
        "key_ids": keys,
    }


def _image(world: World, wanted: Any) -> Image:
    for image in world.state.images.values():
        # Clients send the id as a number or as a string.
        if wanted is not None and str(wanted) in (str(image.id), image.slug):
            return image
    raise Refusal(422, "You specified an invalid image for Droplet creation.")


def _region(world: World, wanted: Any, image: Image) -> str:
    if wanted is None:
        choice = [slug for slug in image.regions if slug not in world.settings.full_regions]
    elif catalogue.has_region(wanted):
        choice = [wanted]
    else:
        choice = [slug for slug in catalogue.regions_like(str(wanted)) if slug in image.regions]
        if not choice:
            raise Refusal(422, "You specified an invalid region for Droplet creation.")
    region = choice[0] if choice else None
    if region is None or region not in catalogue.OPEN_REGIONS or region in world.settings.full_regions:
        raise Refusal(422, "Region is not available")
    if region not in image.regions:
        raise Refusal(422, "The image you specified is not available in the selected region.")
    return region


def _size(world: World, wanted: Any, region: str, image: Image) -> str:
    if not isinstance(wanted, str) or not catalogue.has_size(wanted):
        raise Refusal(422, "You specified an invalid size for Droplet creation.")
    size = catalogue.size(wanted)
    if region not in size["regions"] or wanted in world.settings.sold_out_sizes:
        raise Refusal(422, "Size is not available in this region.")
    if size["disk"] < image.min_disk_size:
        raise Refusal(422, "You cannot create a Droplet from this image with a smaller disk.")
    return wanted


def _key(world: World, wanted: Any) -> int:
    for key in world.state.keys.values():
        if str(wanted) in (str(key.id), key.fingerprint):
            return key.id
    raise Refusal(422, f"{wanted} are invalid key identifiers for Droplet creation.")


def _vpc(world: World, wanted: Any, region: str) -> str:
    if wanted is None:
        return world.region_vpc(region).id
    vpc = answers.found(world.state.vpcs, wanted)
    if vpc.region != region:
        raise Refusal(422, "Failed to resolve VPC: it is in another region.")
    return vpc.id


def _volume(world: World, wanted: Any, region: str) -> str:
    volume = world.state.volumes.get(wanted)
    if volume is None:
        raise Refusal(422, "Volumes could not be found.")
    if volume.region != region:
        raise Refusal(422, "Volumes must be in the same region as the Droplet.")
    if volume.droplet_ids:
        raise Refusal(422, "Volume is already attached to a Droplet.")
    return volume.id


def _make(world: World, name: str, plan: dict[str, Any]) -> Droplet:
    """Create a droplet; nothing can fail at this point."""
    now = world.clock()
    fault = world.faults.of_machine(name)
    droplet = Droplet(
        id=next(world.ids),
        name=name,
        addresses=world.machines.backend.take(plan["public_networking"]),
        created=now,
        active_at=NEVER if fault.never_active else now + world.settings.active_after,
        password_mailed=not plan["key_ids"],
        fault=fault,
        **plan,
    )
    world.state.droplets[droplet.id] = droplet
    for volume_id in droplet.volume_ids:
        world.state.volumes[volume_id].droplet_ids.append(droplet.id)
    if droplet.password_mailed:
        world.state.passwords_mailed.append(name)
    _boot(world, droplet)
    return droplet


def add(world: World, name: str, data: dict[str, Any], created: float) -> Droplet:
    """Add a droplet that has been active since ``created``; it has no machine, and addresses without a route."""
    number = next(world.ids)
    host = ".".join(map(str, number.to_bytes(4, "big")[1:]))
    addresses = Addresses(f"198.{host}", f"10.{host}")
    droplet = Droplet(
        id=number, name=name, addresses=addresses, created=created, active_at=created, password_mailed=False,
        **_plan(world, data, 1),
    )  # fmt: skip
    world.state.droplets[number] = droplet
    return droplet


def _boot(world: World, droplet: Droplet) -> None:
    image, keys = droplet.image, tuple(world.state.keys[number].public_key for number in droplet.key_ids)
    world.boot(
        droplet, hostname=droplet.name, public_keys=keys, image=image.slug or str(image.id), image_name=image.name,
        tags=tuple(droplet.tags), region=droplet.region, size=droplet.size,
    )  # fmt: skip


def _action(world: World, request: Request, droplet: Droplet) -> dict[str, Any]:
    kind = "multiple_create" if len(body_of(request).get("names") or []) > 1 else "create"
    action = world.act(kind, droplet, droplet.active_at)
    return {"id": action.id, "rel": kind, "href": f"{request.base_url}/v2/actions/{action.id}"}
