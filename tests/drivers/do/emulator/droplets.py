"""Droplets after their creation: reports, actions and delete."""

from __future__ import annotations

import re
from typing import Any

from tests.drivers.do.emulator import answers
from tests.drivers.do.emulator import catalog as catalogue
from tests.drivers.do.emulator.answers import Refusal
from tests.drivers.do.emulator.images import snapshot
from tests.drivers.do.emulator.routes import ROUTER, body_of, route, text
from tests.drivers.do.emulator.state import Droplet, World
from tests.emulation.http import Answer, Request

PENDING = "Droplet already has a pending event."
#: actions that turn the droplet on or off, and the new state
POWER = {"power_off": False, "shutdown": False, "power_on": True}
RESTARTS = ("reboot", "power_cycle")
#: texts of refusals, as clients report them
NOT_ON, NOT_OFF = "Droplet is currently off. Please power it on to run this event.", "Droplet must be powered off."
SMALLER_DISK = "This size is not available because it has a smaller disk."
ACTIONS = re.compile(
    "enable_backups|disable_backups|reboot|power_cycle|shutdown|power_off|power_on|restore|password_reset|resize"
    "|rebuild|rename|change_kernel|enable_ipv6|snapshot"
)


@route("GET", "/droplets")
def list_droplets(world: World, request: Request) -> Answer:
    """List all droplets, or those with a tag or a name. GPU droplets have a separate list, which is empty here."""
    tag, name, kind = (request.first(word) for word in ("tag_name", "name", "type"))
    if tag is not None and (name is not None or kind is not None):
        raise Refusal(422, "tag_name cannot be combined with name or type.")
    if kind not in (None, "droplets", "gpus"):
        raise Refusal(422, "type must be droplets or gpus.")
    droplets = [] if kind == "gpus" else [it for it in world.state.droplets.values() if it.is_listed(world.clock())]
    if tag is not None:
        spelling = world.state.tags.get(tag.lower())
        droplets = [it for it in droplets if spelling in it.tags]
    if name is not None:
        droplets = [it for it in droplets if it.name == name]
    return answers.page(world, request, "droplets", droplets, lambda it: answers.report(world, it))


ROUTER.shows("/droplets", "droplet", lambda world, it: _droplet(world, it), answers.report)


@route("DELETE", "/droplets/{}")
def delete_droplet(world: World, request: Request, droplet_id: str) -> Answer:
    """Begin to delete a droplet and answer 204. A switch selects the behaviour for a ``new`` one: see ``Settings``."""
    _delete(world, _droplet(world, droplet_id))
    return Answer(204)


@route("DELETE", "/droplets")
def delete_tagged(world: World, request: Request) -> Answer:
    """Delete all droplets with a tag. Without a tag, nothing is deleted."""
    tag = request.first("tag_name")
    if not tag:
        raise Refusal(422, "tag_name is required.")
    spelling = answers.found(world.state.tags, tag.lower())
    for droplet in [it for it in world.state.droplets.values() if spelling in it.tags]:
        if droplet.deleted_at is None:
            _delete(world, droplet)
    return Answer(204)


def _delete(world: World, droplet: Droplet) -> None:
    is_new = droplet.status(world.clock()) == "new"
    switch = world.settings.delete_new if is_new else "done"
    if droplet.deleted_at is not None or switch == "refused" or droplet.is_busy():
        raise Refusal(422, PENDING)
    if droplet.refuse_delete:
        droplet.refuse_delete -= 1
        raise Refusal(422, PENDING)
    if droplet.ignore_delete:
        droplet.ignore_delete -= 1
        return
    if switch != "ignored":
        world.remove(droplet)


@route("GET", "/droplets/{}/actions")
def list_actions(world: World, request: Request, droplet_id: str) -> Answer:
    """List the actions of a droplet."""
    droplet = _droplet(world, droplet_id)
    actions = [it for it in world.state.actions.values() if it.resource_id == droplet.id]
    return answers.page(world, request, "actions", actions, lambda it: answers.action(world, it))


@route("GET", "/droplets/{}/actions/{}")
@route("GET", "/actions/{}")
def get_action(world: World, request: Request, *segments: str) -> Answer:
    """Return one action."""
    action = answers.found(world.state.actions, answers.number(segments[-1]))
    return Answer(200, {"action": answers.action(world, action)})


@route("GET", "/actions")
def list_all_actions(world: World, request: Request) -> Answer:
    """List all actions of the account."""
    actions = list(world.state.actions.values())
    return answers.page(world, request, "actions", actions, lambda it: answers.action(world, it))


@route("POST", "/droplets/{}/actions")
def act(world: World, request: Request, droplet_id: str) -> Answer:
    """Turn on or off, restart, resize, rename or snapshot a droplet. While an action is in progress, refuse others."""
    droplet = _droplet(world, droplet_id)
    data = body_of(request)
    kind = text(data, "type")
    if not ACTIONS.fullmatch(kind):
        raise Refusal(422, "You specified an invalid action type.")
    if droplet.status(world.clock()) == "new":
        raise Refusal(422, PENDING)
    if droplet.is_busy():
        raise Refusal(422, PENDING)
    if kind in (*POWER, *RESTARTS):
        return _act(world, droplet, kind, _power(world, droplet, kind))
    if kind == "resize":
        return _act(world, droplet, kind, _resize(world, droplet, data), failed=world.settings.fails_resize)
    if kind == "rename":
        droplet.name = text(data, "name")
    elif kind == "snapshot":
        return _act(world, droplet, kind, snapshot(world, droplet, data), failed=world.settings.fails_image)
    else:
        raise Refusal(501, f"The test cloud does not know the action {kind}.")
    return _act(world, droplet, kind, world.clock())


def _act(world: World, droplet: Droplet, kind: str, done: float, *, failed: bool = False) -> Answer:
    action = world.act(kind, droplet, done)
    action.failed = failed
    return Answer(201, {"action": answers.action(world, action)})


def _power(world: World, droplet: Droplet, kind: str) -> float:
    """Begin an action for the power, and return when it ends."""
    if kind in ("shutdown", *RESTARTS) and not droplet.powered:
        raise Refusal(422, NOT_ON)
    name = str(droplet.id)
    if kind in RESTARTS:
        droplet.reboots += 1
        return world.act_on(droplet, lambda: world.machines.restart(name))
    if kind == "shutdown" and world.settings.ignores_shutdown:
        return world.act_on(droplet, lambda: None)

    def turn() -> None:
        if droplet.powered != POWER[kind]:
            (world.machines.start if POWER[kind] else world.machines.halt)(name)
        droplet.powered = POWER[kind]

    return world.act_on(droplet, turn)


def _resize(world: World, droplet: Droplet, data: dict[str, Any]) -> float:
    """Begin to change the size of a droplet that is off, and return when that ends."""
    slug, now = text(data, "size"), catalogue.size(droplet.size)["disk"]
    disk = droplet.disk or now
    if droplet.powered:
        raise Refusal(422, NOT_OFF)
    if not catalogue.has_size(slug) or droplet.region not in catalogue.size(slug)["regions"]:
        raise Refusal(422, "You specified an invalid size for Droplet creation.")
    if slug in world.settings.sold_out_sizes:
        raise Refusal(422, "Size is currently unavailable.")
    wanted = catalogue.size(slug)["disk"]
    if wanted < disk:
        raise Refusal(422, SMALLER_DISK)

    def change() -> None:
        if not world.settings.fails_resize:
            droplet.size, droplet.disk = slug, wanted if data.get("disk") else disk

    return world.act_on(droplet, change)


def _droplet(world: World, droplet_id: str) -> Droplet:
    return answers.found(world.state.droplets, answers.number(droplet_id))
