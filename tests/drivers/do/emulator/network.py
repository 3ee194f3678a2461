"""
Firewalls, VPCs and volumes.

The description at hand is a subset of the vendor's. It has firewalls without the calls that add and remove single
droplets and tags, VPCs without the call for a single VPC, and no volumes; those calls follow the vendor's published
reference.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from tests.drivers.do.emulator import answers
from tests.drivers.do.emulator import catalog as catalogue
from tests.drivers.do.emulator.answers import Refusal
from tests.drivers.do.emulator.routes import ROUTER, body_of, route, text
from tests.drivers.do.emulator.state import Firewall, Volume, Vpc, World
from tests.emulation.http import Answer, Request

FIREWALL_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.\-]+")
VPC_NAME = re.compile(r"[a-zA-Z0-9\-.]+")
VOLUME_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
PORTS = re.compile(r"0|all|\d{1,5}(-\d{1,5})?")
PROTOCOLS = ("tcp", "udp", "icmp")
PEERS = {"inbound_rules": "sources", "outbound_rules": "destinations"}
SIZE_LIMIT = 16 * 1024  #: maximum size of a volume in GiB
VOLUMES_OF_A_DROPLET = 7


# firewalls


def _firewall(world: World, firewall_id: str) -> Firewall:
    return answers.found(world.state.firewalls, firewall_id)


ROUTER.lists("/firewalls", "firewalls", lambda world, it: answers.firewall(it))
ROUTER.shows("/firewalls", "firewall", _firewall, lambda world, it: answers.firewall(it))
ROUTER.deletes("/firewalls", "firewalls", _firewall)


@route("POST", "/firewalls")
def create_firewall(world: World, request: Request) -> Answer:
    """Create a firewall and answer 202; its status is ``waiting`` at first. Names are unique in the account."""
    data = body_of(request)
    name = _firewall_name(world, data, None)
    firewall = Firewall(world.uuid(), name, world.clock(), **_firewall_fields(world, data))
    world.state.firewalls[firewall.id] = firewall
    shown = answers.firewall(firewall)
    pending = [{"droplet_id": it, "removing": False, "status": "waiting"} for it in firewall.droplet_ids]
    return Answer(202, {"firewall": {**shown, "status": "waiting", "pending_changes": pending}})


@route("PUT", "/firewalls/{}")
def change_firewall(world: World, request: Request, firewall_id: str) -> Answer:
    """Replace a whole firewall: a field that is left out becomes empty."""
    firewall = _firewall(world, firewall_id)
    data = body_of(request)
    firewall.name = _firewall_name(world, data, firewall)
    for name, value in _firewall_fields(world, data).items():
        setattr(firewall, name, value)
    return Answer(200, {"firewall": answers.firewall(firewall)})


@route("POST", "/firewalls/{}/droplets")
@route("DELETE", "/firewalls/{}/droplets")
def change_droplets(world: World, request: Request, firewall_id: str) -> Answer:
    """Add or remove droplets and answer 204. Added droplets must exist."""
    firewall, data = _firewall(world, firewall_id), body_of(request)
    named = _droplet_ids(world, data) if request.method == "POST" else data.get("droplet_ids") or []
    firewall.droplet_ids = _changed(request, firewall.droplet_ids, named)
    return Answer(204)


@route("POST", "/firewalls/{}/tags")
@route("DELETE", "/firewalls/{}/tags")
def change_tags(world: World, request: Request, firewall_id: str) -> Answer:
    """Add or remove tags and answer 204. Tags must exist, also those that are removed."""
    firewall = _firewall(world, firewall_id)
    firewall.tags = _changed(request, firewall.tags, _firewall_tags(world, body_of(request)))
    return Answer(204)


def _changed(request: Request, members: list[Any], named: list[Any]) -> list[Any]:
    if request.method == "POST":
        return list(dict.fromkeys([*members, *named]))
    return [it for it in members if it not in named]


def _firewall_name(world: World, data: dict[str, Any], itself: Firewall | None) -> str:
    name = text(data, "name")
    if not FIREWALL_NAME.fullmatch(name):
        raise Refusal(400, "name can only contain alphanumeric characters, periods and dashes")
    if any(it.name == name and it is not itself for it in world.state.firewalls.values()):
        raise Refusal(409, "duplicate name")
    return name


def _firewall_fields(world: World, data: dict[str, Any]) -> dict[str, Any]:
    if not any(data.get(kind) for kind in PEERS):
        raise Refusal(400, "at least one rule is required")
    return {
        **{kind: [_rule(it, peers) for it in data.get(kind) or []] for kind, peers in PEERS.items()},
        "droplet_ids": _droplet_ids(world, data),
        "tags": _firewall_tags(world, data),
    }


def _rule(rule: Any, peers: str) -> dict[str, Any]:
    if not isinstance(rule, dict) or rule.get("protocol") not in PROTOCOLS:
        raise Refusal(400, f"protocol must be one of {', '.join(PROTOCOLS)}")
    ports = rule.get("ports", "0" if rule["protocol"] == "icmp" else None)
    if not isinstance(ports, str) or not PORTS.fullmatch(ports):
        raise Refusal(400, "invalid ports")
    if not isinstance(rule.get(peers), dict) or not any(rule[peers].values()):
        raise Refusal(400, f"{peers} are required")
    for address in rule[peers].get("addresses") or []:
        _check_network(address)
    return {**rule, "ports": ports}


def _check_network(address: Any) -> None:
    try:
        ipaddress.ip_network(address, strict=False)
    except ValueError as error:
        raise Refusal(400, f"{address} is not an address or a network") from error


def _droplet_ids(world: World, data: dict[str, Any]) -> list[int]:
    wanted = data.get("droplet_ids") or []
    for droplet_id in wanted:
        if droplet_id not in world.state.droplets:
            raise Refusal(400, f"droplet {droplet_id} was not found")
    return list(wanted)


def _firewall_tags(world: World, data: dict[str, Any]) -> list[str]:
    """Return the canonical tags of a firewall, which must exist: a firewall does not create tags."""
    spellings = [world.state.tags.get(str(tag).lower()) for tag in data.get("tags") or []]
    if None in spellings:
        raise Refusal(400, "one or more tags do not exist")
    return [spelling for spelling in spellings if spelling]


# VPCs

ROUTER.lists("/vpcs", "vpcs", lambda world, it: answers.vpc(it))
ROUTER.shows("/vpcs", "vpc", lambda world, it: answers.found(world.state.vpcs, it), lambda world, it: answers.vpc(it))


@route("POST", "/vpcs")
def create_vpc(world: World, request: Request) -> Answer:
    """Create a VPC and answer 201."""
    data = body_of(request)
    name, region = text(data, "name"), text(data, "region")
    if not VPC_NAME.fullmatch(name) or any(vpc.name == name for vpc in world.state.vpcs.values()):
        raise Refusal(422, "name is invalid or taken")
    if region not in catalogue.OPEN_REGIONS:
        raise Refusal(422, "region is invalid")
    ip_range = data.get("ip_range") or f"10.{20 + len(world.state.vpcs) % 80}.0.0/20"
    _check_network(ip_range)
    vpc = Vpc(world.uuid(), name, region, ip_range, world.clock(), data.get("description") or "")
    world.state.vpcs[vpc.id] = vpc
    return Answer(201, {"vpc": answers.vpc(vpc)})


# volumes


def _volume(world: World, volume_id: str) -> Volume:
    return answers.found(world.state.volumes, volume_id)


ROUTER.shows("/volumes", "volume", _volume, lambda world, it: answers.volume(it))


@route("GET", "/volumes")
def list_volumes(world: World, request: Request) -> Answer:
    """List all volumes, or those with a name or in a region."""
    name, region = request.first("name"), request.first("region")
    volumes = [it for it in world.state.volumes.values() if name in (None, it.name) and region in (None, it.region)]
    return answers.page(world, request, "volumes", volumes, answers.volume)


@route("POST", "/volumes")
def create_volume(world: World, request: Request) -> Answer:
    """Create a volume and answer 201. Names are unique in a region."""
    data = body_of(request)
    name, region, size = text(data, "name"), text(data, "region"), data.get("size_gigabytes")
    if not VOLUME_NAME.fullmatch(name) or region not in catalogue.OPEN_REGIONS:
        raise Refusal(422, "name or region is invalid")
    if not isinstance(size, int) or not 1 <= size <= SIZE_LIMIT:
        raise Refusal(422, "size_gigabytes is invalid")
    if any((it.name, it.region) == (name, region) for it in world.state.volumes.values()):
        raise Refusal(409, "a volume with that name already exists in the region")
    tags = [world.name_tag(str(tag)) for tag in data.get("tags") or []]
    volume = Volume(world.uuid(), name, size, region, world.clock(), data.get("description") or "", tags)
    world.state.volumes[volume.id] = volume
    return Answer(201, {"volume": answers.volume(volume)})


@route("DELETE", "/volumes/{}")
def delete_volume(world: World, request: Request, volume_id: str) -> Answer:
    """Delete a volume that is not attached."""
    volume = _volume(world, volume_id)
    if volume.droplet_ids:
        raise Refusal(409, "volume is attached to a droplet")
    del world.state.volumes[volume_id]
    return Answer(204)


@route("POST", "/volumes/actions")
def act_by_name(world: World, request: Request) -> Answer:
    """Attach or detach the volume that is named in the body."""
    data = body_of(request)
    for volume in world.state.volumes.values():
        if (volume.name, volume.region) == (data.get("volume_name"), data.get("region", volume.region)):
            return _volume_action(world, volume, data)
    raise Refusal(404)


@route("POST", "/volumes/{}/actions")
def act_by_id(world: World, request: Request, volume_id: str) -> Answer:
    """Attach or detach the volume that is named in the path."""
    return _volume_action(world, _volume(world, volume_id), body_of(request))


def _volume_action(world: World, volume: Volume, data: dict[str, Any]) -> Answer:
    kind, droplet_id = data.get("type"), str(data.get("droplet_id"))
    droplet = answers.found(world.state.droplets, answers.number(droplet_id))
    if kind == "attach":
        if volume.droplet_ids or volume.region != droplet.region or len(droplet.volume_ids) >= VOLUMES_OF_A_DROPLET:
            raise Refusal(422, "the volume cannot be attached to this droplet")
        volume.droplet_ids.append(droplet.id)
        droplet.volume_ids.append(volume.id)
    elif kind == "detach":
        if droplet.id not in volume.droplet_ids:
            raise Refusal(422, "the volume is not attached to this droplet")
        volume.droplet_ids.remove(droplet.id)
        droplet.volume_ids.remove(volume.id)
    else:
        raise Refusal(422, "type must be attach or detach")
    action = world.act(f"{kind}_volume", droplet, world.clock())
    action.resource_type = "volume"
    return Answer(202, {"action": {**answers.action(world, action), "resource_id": None}})
