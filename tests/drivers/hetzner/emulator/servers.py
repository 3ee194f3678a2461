"""Servers: create, lists, labels, protection, power and delete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.drivers.hetzner.emulator import answers, catalog, form
from tests.drivers.hetzner.emulator.answers import Refusal, invalid
from tests.drivers.hetzner.emulator.routes import ROUTER, body_of, route
from tests.drivers.hetzner.emulator.state import NEVER, Server, World
from tests.emulation.http import Answer, Request

PLACEMENT = "error during placement"


@route("POST", "/servers")
def create(world: World, request: Request) -> Answer:
    """Create a server and answer 201. Without an SSH key it gets a password, which is also mailed."""
    data = body_of(request)
    for field in form.against_create(data):
        raise invalid(field)
    made = _make(world, data, _plan(world, data))
    password = None if made.key_ids else world.secret()
    if password:
        world.state.mails.append(made.name)
    lasts = world.settings.running_after
    commands = ["start_server", *(["attach_to_network"] if made.network_ids else [])]
    return Answer(201, {
        "server": answers.server(world, made),
        "action": answers.action(world, world.act("create_server", made.id, lasts / 2)),
        "next_actions": [answers.action(world, world.act(name, made.id, lasts)) for name in commands],
        "root_password": password,
    })  # fmt: skip


def _plan(world: World, data: dict[str, Any]) -> dict[str, Any]:
    """Return the server's fields that depend on the project. Everything is checked before anything is created."""
    state = world.state
    if any(it.name == data["name"] for it in state.servers.values()):
        raise Refusal(409, "server name is already used", "uniqueness_error", ["name"])
    kind = _one(catalog.server_types(), data["server_type"], "server_type")
    place = _one(catalog.locations(), data.get("location") or "fsn1", "location")
    if place["name"] not in [it["location"] for it in kind["prices"]]:
        raise invalid("location", "unsupported location for server type")
    image = _image(world, data["image"], kind["architecture"], kind["disk"])
    keys = [_one(map(answers.key, state.keys.values()), one, "ssh_keys")["id"] for one in data.get("ssh_keys") or []]
    firewalls = [one["firewall"] for one in data.get("firewalls") or []]
    for one in firewalls:
        answers.found(state.firewalls, one, "firewall")
    if len(state.servers) >= world.settings.server_limit:
        raise Refusal(403, "server limit reached", "resource_limit_exceeded")
    if kind["name"] in (*world.settings.sold_out, *world.settings.no_host_for):
        raise Refusal(412, PLACEMENT, "resource_unavailable")
    net = _networks(world, data, place["network_zone"])
    if firewalls and not net["ipv4"] and not net["ipv6"]:
        raise Refusal(422, "server has no public interface", "private_net_only_server")
    return {"server_type": kind["name"], "location": place["name"], "image": image, "key_ids": keys,
            "firewall_ids": firewalls, **net}  # fmt: skip


def _one(things: Any, wanted: str | int, field: str) -> Mapping[str, Any]:
    """Return the entry with this id or name."""
    for it in things:
        if str(wanted) in (str(it["id"]), it["name"]):
            found: Mapping[str, Any] = it
            return found
    raise invalid(field)


def _image(world: World, wanted: str | int, architecture: str, disk: int) -> dict[str, Any]:
    """Return an image; of several with the name, the one for the server type's architecture."""
    images = [*catalog.system_images(), *map(answers.snapshot, world.state.snapshots.values())]
    named = [it for it in images if str(wanted) in (str(it["id"]), it["name"])]
    fitting = [it for it in named if it["architecture"] == architecture]
    if not named:
        raise Refusal(404, "image not found", "not_found")
    if not fitting or fitting[0]["status"] != "available":
        raise invalid("image", "image architecture does not fit the server type")
    if fitting[0]["disk_size"] > disk:
        raise invalid("image", "image disk is bigger than server type disk")
    return fitting[0]


def _networks(world: World, data: dict[str, Any], zone: str) -> dict[str, Any]:
    public = data.get("public_net") or {}
    ipv4, ipv6 = public.get("enable_ipv4", True), public.get("enable_ipv6", True)
    networks = data.get("networks") or []
    for one in networks:
        if zone not in answers.found(world.state.networks, one, "network").zones:
            raise Refusal(422, "network has no subnet in the network zone", "invalid_input", ["networks"])
    if not (ipv4 or ipv6 or networks):
        raise invalid("public_net", "server needs a public or a private network")
    return {"network_ids": networks, "ipv4": ipv4, "ipv6": ipv6}


def _make(world: World, data: dict[str, Any], plan: dict[str, Any]) -> Server:
    """Create the server; nothing can fail at this point."""
    now, name = world.clock(), data["name"]
    fault = world.faults.of_machine(name)
    made = Server(
        id=next(world.ids),
        name=name,
        user_data=data.get("user_data") or "",
        labels=dict(data.get("labels") or {}),
        volumes=list(data.get("volumes") or []),
        addresses=world.machines.backend.take(plan["ipv4"]),
        created=now,
        running_at=NEVER if fault.never_active else now + world.settings.running_after,
        fault=fault,
        **plan,
    )
    world.state.servers[made.id] = made
    world.state.made += 1
    _boot(world, made)
    return made


def _boot(world: World, it: Server) -> None:
    private = {} if it.network_ids else {"private_ip": ""}
    world.boot(
        it, hostname=it.name, public_keys=tuple(world.state.keys[key_id].public_key for key_id in it.key_ids),
        image=it.image["name"] or str(it.image["id"]), image_name=it.image["description"], tags=tuple(it.labels),
        region=it.location, size=it.server_type, **private,
    )  # fmt: skip


# lists


@route("GET", "/servers")
def list_servers(world: World, request: Request) -> Answer:
    """List the servers that match the name and the label selector."""
    shown = [it for it in world.state.servers.values() if it.is_listed(world.clock()) and _fits(world, it, request)]
    return answers.page(world, request, "servers", shown, lambda it: answers.report(world, it))


def _fits(world: World, it: Server, request: Request) -> bool:
    name, selector = request.first("name"), request.first("label_selector")
    if world.settings.ignores_selectors:
        selector = None
    return name in (None, it.name) and selects(selector or "", it.labels)


def selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Return whether the labels match a selector: ``key``, ``key=value`` or ``key==value``, separated by commas."""
    for part in filter(None, selector.split(",")):
        key, equals, value = part.replace("==", "=").partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


ROUTER.shows("/servers", "server", lambda world, it: server_of(world, it), answers.report)


# changes


@route("PUT", "/servers/{}")
def change_server(world: World, request: Request, server_id: str) -> Answer:
    """Change a server; the new labels replace all old ones."""
    it, data = server_of(world, server_id), body_of(request)
    for field in form.against_labels(data.get("labels") or {}):
        raise invalid(field)
    it.labels = dict(data.get("labels", it.labels))
    it.name = data.get("name") or it.name
    return Answer(200, {"server": answers.server(world, it)})


@route("DELETE", "/servers/{}")
def delete_server(world: World, request: Request, server_id: str) -> Answer:
    """Delete a server and answer 200 with an action; volumes are detached and stay."""
    it = server_of(world, server_id)
    if it.is_protected(world.clock()):
        raise Refusal(403, "server deletion is protected", "protected")
    locked = it.deleted_at is not None or world.clock() < it.created + world.settings.locked_for
    if it.refuse_delete or locked or it.is_busy():
        it.refuse_delete = max(0, it.refuse_delete - 1)
        raise Refusal(423)
    if it.ignore_delete:
        it.ignore_delete -= 1
    else:
        world.remove(it)
    return Answer(200, {"action": answers.action(world, world.act("delete_server", it.id, world.settings.gone_after))})


@route("POST", "/servers/{}/actions/change_protection")
def change_protection(world: World, request: Request, server_id: str) -> Answer:
    """Change the protection and answer 201."""
    it, data = server_of(world, server_id), body_of(request)
    if data.get("delete") != data.get("rebuild"):
        raise invalid("delete")
    it.protected, it.was_protected = bool(data.get("delete")), it.is_protected(world.clock())
    it.protection_at = world.clock() + world.settings.protected_after
    return _acted(world, "change_protection", it, lasts=world.settings.protected_after)


@route("POST", "/servers/{}/actions/shutdown")
def shut_down(world: World, request: Request, server_id: str) -> Answer:
    """Ask the operating system to shut down; the action is over once it was asked."""
    it = free(world, server_id)
    ignored = world.settings.ignores_shutdown
    return _acted(world, "shutdown_server", it, None if ignored else lambda: _turn(world, it, "off"))


@route("POST", "/servers/{}/actions/poweroff")
def power_off(world: World, request: Request, server_id: str) -> Answer:
    """Cut the power of a server."""
    it = free(world, server_id)
    return _acted(world, "stop_server", it, lambda: _turn(world, it, "off"))


@route("POST", "/servers/{}/actions/poweron")
def power_on(world: World, request: Request, server_id: str) -> Answer:
    """Start a server; its status follows from its times again."""
    it = free(world, server_id)
    return _acted(world, "start_server", it, lambda: _turn(world, it, ""))


@route("POST", "/servers/{}/actions/reboot")
@route("POST", "/servers/{}/actions/reset")
def restart(world: World, request: Request, server_id: str) -> Answer:
    """Restart a server, by its operating system or by its power switch."""
    it = free(world, server_id)
    it.reboots += 1
    return _acted(world, "reboot_server", it, lambda: world.machines.restart(str(it.id)))


@route("POST", "/servers/{}/actions/change_type")
def change_type(world: World, request: Request, server_id: str) -> Answer:
    """Change the type of a server that is off; its disk grows only if ``upgrade_disk`` is true."""
    it, data = free(world, server_id), body_of(request)
    kind = _one(catalog.server_types(), data.get("server_type", ""), "server_type")
    if it.status != "off":
        raise Refusal(422, "server must be stopped", "server_not_stopped")
    now = catalog.server_type(it.server_type)
    disk = it.disk or now["disk"]
    if kind["architecture"] != now["architecture"] or kind["disk"] < disk:
        raise Refusal(422, "server type is not compatible", "invalid_server_type")
    if kind["name"] in (*world.settings.sold_out, *world.settings.no_host_for):
        raise Refusal(412, PLACEMENT, "resource_unavailable")
    error = ("resource_unavailable", PLACEMENT) if world.settings.fails_resize else None

    def change() -> None:
        it.server_type, it.disk = kind["name"], kind["disk"] if data.get("upgrade_disk") else disk

    return _acted(world, "change_server_type", it, None if error else change, error)


def free(world: World, server_id: str) -> Server:
    """Return a server on which no action is in progress."""
    it = server_of(world, server_id)
    if it.is_busy():
        raise Refusal(423)
    return it


def _turn(world: World, it: Server, status: str) -> None:
    if it.status != status:
        (world.machines.halt if status else world.machines.start)(str(it.id))
    it.status = status


def _acted(
    world: World, command: str, it: Server, effect: Callable[[], object] | None = None,
    error: tuple[str, str] | None = None, lasts: float | None = None,
) -> Answer:  # fmt: skip
    """Begin an action with an effect at its end, and answer 201; ``lasts`` is for one that blocks no other."""
    end = world.act_on(it, effect or (lambda: None)) if lasts is None else world.clock() + lasts
    action = world.act(command, it.id, end - world.clock())
    action.error = error
    return Answer(201, {"action": answers.action(world, action)})


def server_of(world: World, server_id: str) -> Server:
    """Return the server with this id."""
    return answers.found(world.state.servers, server_id, "server")
