"""What a project has beside servers, and what is on offer."""

from __future__ import annotations

from typing import Any

from tests.drivers.hetzner.emulator import answers, catalog, form
from tests.drivers.hetzner.emulator.answers import Refusal, invalid
from tests.drivers.hetzner.emulator.routes import ROUTER, body_of, route, text
from tests.drivers.hetzner.emulator.servers import selects
from tests.drivers.hetzner.emulator.state import Firewall, Key, Network, Snapshot, World
from tests.emulation.http import Answer, Request

# on offer


@route("GET", "/locations")
def list_locations(world: World, request: Request) -> Answer:
    """All locations."""
    return _named(world, request, "locations", catalog.locations())


@route("GET", "/server_types")
def list_server_types(world: World, request: Request) -> Answer:
    """All server types, with what each costs where."""
    return _named(world, request, "server_types", catalog.server_types(world.settings.sold_out))


@route("GET", "/pricing")
def pricing(world: World, request: Request) -> Answer:
    """What things cost."""
    return Answer(200, {"pricing": catalog.pricing()})


@route("GET", "/images")
def list_images(world: World, request: Request) -> Answer:
    """Distributions, and the project's own images."""
    images = [*catalog.system_images(), *map(answers.snapshot, world.state.snapshots.values())]
    for name in ("type", "architecture", "status"):
        wanted = request.query.get(name)
        images = [it for it in images if not wanted or it[name] in wanted]
    return _named(world, request, "images", images)


def _named(world: World, request: Request, field: str, things: list[dict[str, Any]]) -> Answer:
    """All of them, or the one of a name; of some there are labels as well."""
    name, selector = request.first("name"), request.first("label_selector") or ""
    shown = [it for it in things if name in (None, it["name"]) and selects(selector, it.get("labels") or {})]
    return answers.page(world, request, field, shown, lambda it: it)


# SSH keys


def _key(world: World, key_id: str) -> Key:
    return answers.found(world.state.keys, key_id, "SSH key")


# Servers that have a key keep it.
ROUTER.shows("/ssh_keys", "ssh_key", _key, lambda world, it: answers.key(it))
ROUTER.deletes("/ssh_keys", "keys", _key)


@route("GET", "/ssh_keys")
def list_keys(world: World, request: Request) -> Answer:
    """All of them, by name and label."""
    return _named(world, request, "ssh_keys", [answers.key(it) for it in world.state.keys.values()])


@route("POST", "/ssh_keys")
def add_key(world: World, request: Request) -> Answer:
    """201. Neither name nor key may be there already."""
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


# networks, firewalls, snapshots, actions


@route("GET", "/networks")
def list_networks(world: World, request: Request) -> Answer:
    """All of them."""
    return _named(world, request, "networks", [answers.network(world, it) for it in world.state.networks.values()])


@route("POST", "/networks")
def create_network(world: World, request: Request) -> Answer:
    """201."""
    data = body_of(request)
    zones = [one["network_zone"] for one in data.get("subnets") or []]
    return Answer(201, {"network": answers.network(world, new_network(world, text(data, "name"), zones))})


def new_network(world: World, name: str, zones: list[str]) -> Network:
    """A private network with a subnet in each of the zones."""
    made = Network(next(world.ids), name, zones, world.clock())
    world.state.networks[made.id] = made
    return made


@route("GET", "/firewalls")
def list_firewalls(world: World, request: Request) -> Answer:
    """All of them."""
    return _named(world, request, "firewalls", [answers.firewall(world, it) for it in world.state.firewalls.values()])


@route("POST", "/firewalls")
def create_firewall(world: World, request: Request) -> Answer:
    """201."""
    made = Firewall(next(world.ids), text(body_of(request), "name"), world.clock())
    world.state.firewalls[made.id] = made
    return Answer(201, {"firewall": answers.firewall(world, made), "actions": []})


def add_snapshot(world: World, description: str, architecture: str = "x86") -> Snapshot:
    """An image of the project's own."""
    made = Snapshot(next(world.ids), description, architecture, world.clock())
    world.state.snapshots[made.id] = made
    return made


@route("GET", "/actions/{}")
def get_action(world: World, request: Request, action_id: str) -> Answer:
    """How far it is."""
    return Answer(200, {"action": answers.action(world, answers.found(world.state.actions, action_id, "action"))})
