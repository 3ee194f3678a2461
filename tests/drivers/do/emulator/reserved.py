"""
Reserved addresses (digitalocean/openapi, specification/resources/reserved_ips; the vendor's subset lacks them).

A droplet can have one at most, and the account three by default (docs.digitalocean.com, reserved IP limits). While a
droplet or an address is being changed, another change of it is refused as pending (digitalocean/doctl#493,
digitalocean/terraform-provider-digitalocean#1034). The messages of other refusals are not known.
"""

from __future__ import annotations

from typing import Any

from tests.drivers.do.emulator import answers
from tests.drivers.do.emulator import catalog as catalogue
from tests.drivers.do.emulator.answers import Refusal
from tests.drivers.do.emulator.routes import ROUTER, body_of, route, text
from tests.drivers.do.emulator.state import Action, Reserved, World
from tests.emulation.backend import Addresses
from tests.emulation.http import Answer, Request

LIMIT = 3
PENDING_ADDRESS = "The reserved IP already has a pending event."
PENDING_DROPLET = "Droplet already has a pending event."


ROUTER.lists("/reserved_ips", "reserved", answers.reserved, "reserved_ips")


@route("POST", "/reserved_ips")
def reserve(world: World, request: Request) -> Answer:
    """Reserve an address in a region and answer 202."""
    region = text(body_of(request), "region")
    if region not in catalogue.OPEN_REGIONS:
        raise Refusal(422, "Region is not available")
    if len(world.state.reserved) >= LIMIT:
        raise Refusal(422, "You have reached your reserved IP limit.")
    return Answer(202, {"reserved_ip": answers.reserved(world, new_reserved(world, region)), "links": {}})


def new_reserved(world: World, region: str) -> Reserved:
    """Return a new reserved address, which no droplet has yet."""
    made = Reserved(str(world.machines.backend.take(True).public), region)
    world.state.reserved[made.ip] = made
    return made


@route("GET", "/reserved_ips/{}")
def get_reserved(world: World, request: Request, ip: str) -> Answer:
    """Return one reserved address."""
    return Answer(200, {"reserved_ip": answers.reserved(world, answers.found(world.state.reserved, ip))})


@route("DELETE", "/reserved_ips/{}")
def delete_reserved(world: World, request: Request, ip: str) -> Answer:
    """Release a reserved address and answer 204."""
    one = answers.found(world.state.reserved, ip)
    if one.is_locked(world.clock()):
        raise Refusal(422, PENDING_ADDRESS)
    del world.state.reserved[ip]
    world.machines.backend.give_back(Addresses(ip, ""))
    return Answer(204)


@route("POST", "/reserved_ips/{}/actions")
def act(world: World, request: Request, ip: str) -> Answer:
    """Answer 201 to ``assign``, which can also move the address from another droplet, or to ``unassign``."""
    one, data = answers.found(world.state.reserved, ip), body_of(request)
    kind = data.get("type")
    if kind not in ("assign", "unassign"):
        raise Refusal(422, "You specified an invalid action type.")
    if one.is_locked(world.clock()):
        raise Refusal(422, PENDING_ADDRESS)
    if world.settings.pending_events:
        world.settings.pending_events -= 1
        raise Refusal(422, PENDING_DROPLET)
    if kind == "unassign" and one.droplet_id is None:
        raise Refusal(422, "The reserved IP is not assigned to a Droplet.")
    one.change(_droplet_id(world, one, data) if kind == "assign" else None, world.clock() + world.settings.assign_after)
    return Answer(201, {"action": _action(world, one, f"{kind}_ip")})


def _droplet_id(world: World, one: Reserved, data: dict[str, Any]) -> int:
    droplet = answers.found(world.state.droplets, data.get("droplet_id"))
    if droplet.region != one.region:
        raise Refusal(422, "The Droplet is in another region than the reserved IP.")
    if any(it.droplet_id == droplet.id and it is not one for it in world.state.reserved.values()):
        raise Refusal(422, "Droplet already has a reserved IP.")
    return int(droplet.id)


def _action(world: World, one: Reserved, kind: str) -> dict[str, Any]:
    action = Action(next(world.ids), kind, 0, one.region, world.clock(), one.changed, "reserved_ip")
    world.state.actions[action.id] = action
    return {**answers.action(world, action), "resource_id": int(one.ip.replace(".", ""))}
