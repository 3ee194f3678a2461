"""What a project has besides servers, and the catalogue."""

from __future__ import annotations

from typing import Any

from tests.drivers.hetzner.emulator import answers, catalog, form
from tests.drivers.hetzner.emulator.answers import Refusal, invalid
from tests.drivers.hetzner.emulator.routes import ROUTER, body_of, route, text
from tests.drivers.hetzner.emulator.servers import selects
from tests.drivers.hetzner.emulator.state import Firewall, Key, Network, World
from tests.emulation.http import Answer, Request

# the catalogue


@route("GET", "/locations")
def list_locations(world: World, request: Request) -> Answer:
    """List all locations."""
    return named(world, request, "locations", catalog.locations())


@route("GET", "/server_types")
def list_server_types(world: World, request: Request) -> Answer:
    """List all server types, with the price of each in each location."""
    return named(world, request, "server_types", catalog.server_types(world.settings.sold_out))


@route("GET", "/pricing")
def pricing(world: World, request: Request) -> Answer:
    """Return the prices."""
    return Answer(200, {"pricing": catalog.pricing()})


def named(world: World, request: Request, field: str, things: list[dict[str, Any]]) -> Answer:
    """Return one page of a list, filtered by name and, for resources with labels, by label selector."""
    name, selector = request.first("name"), request.first("label_selector") or ""
    shown = [it for it in things if name in (None, it["name"]) and selects(selector, it.get("labels") or {})]
    return answers.page(world, request, field, shown, lambda it: it)


# SSH keys


def _key(world: World, key_id: str) -> Key:
    return answers.found(world.state.keys, key_id, "SSH key")


# A server keeps its key when the key is deleted.
ROUTER.shows("/ssh_keys", "ssh_key", _key, lambda world, it: answers.key(it))
ROUTER.deletes("/ssh_keys", "keys", _key)


@route("GET", "/ssh_keys")
def list_keys(world: World, request: Request) -> Answer:
    """List the SSH keys, filtered by name and label."""
    return named(world, request, "ssh_keys", [answers.key(it) for it in world.state.keys.values()])


@route("POST", "/ssh_keys")
def add_key(world: World, request: Request) -> Answer:
    """Add an SSH key and answer 201; its name and its key must both be new."""
    data = body_of(request)
    name, line = text(data, "name"), text(data, "public_key").strip()
    for field in form.against_labels(data.get("labels") or {}):
        raise invalid(field)
    if not line.startswith(("ssh-", "ecdsa-")) or len(line.split()) < 2:
        raise invalid("public_key")
    for it in world.state.keys.values():
        if name == it.name:
            raise Refusal(409, "SSH key with the same name already exists", "uniqueness_error", ["name"])
        if line.split()[:2] == it.public_key.split()[:2]:
            raise Refusal(409, "SSH key with the same fingerprint already exists", "uniqueness_error", ["public_key"])
    made = Key(next(world.ids), name, line, dict(data.get("labels") or {}), world.clock())
    world.state.keys[made.id] = made
    return Answer(201, {"ssh_key": answers.key(made)})


# networks, firewalls, actions


@route("GET", "/networks")
def list_networks(world: World, request: Request) -> Answer:
    """List the networks."""
    return named(world, request, "networks", [answers.network(world, it) for it in world.state.networks.values()])


@route("POST", "/networks")
def create_network(world: World, request: Request) -> Answer:
    """Create a network and answer 201."""
    data = body_of(request)
    zones = [one["network_zone"] for one in data.get("subnets") or []]
    return Answer(201, {"network": answers.network(world, new_network(world, text(data, "name"), zones))})


def new_network(world: World, name: str, zones: list[str]) -> Network:
    """Add a private network with a subnet in each of the zones, and return it."""
    made = Network(next(world.ids), name, zones, world.clock())
    world.state.networks[made.id] = made
    return made


@route("GET", "/firewalls")
def list_firewalls(world: World, request: Request) -> Answer:
    """List the firewalls."""
    return named(world, request, "firewalls", [answers.firewall(world, it) for it in world.state.firewalls.values()])


@route("POST", "/firewalls")
def create_firewall(world: World, request: Request) -> Answer:
    """Create a firewall and answer 201."""
    made = Firewall(next(world.ids), text(body_of(request), "name"), world.clock())
    world.state.firewalls[made.id] = made
    return Answer(201, {"firewall": answers.firewall(world, made), "actions": []})


@route("GET", "/actions/{}")
def get_action(world: World, request: Request, action_id: str) -> Answer:
    """Return an action with its progress."""
    return Answer(200, {"action": answers.action(world, answers.found(world.state.actions, action_id, "action"))})
