"""Images: the distributions, and the snapshots of servers (docs.hetzner.cloud; hcloud-python, images/client.py)."""

from __future__ import annotations

from typing import Any

from tests.drivers.hetzner.emulator import answers, catalog, form
from tests.drivers.hetzner.emulator.answers import Refusal, invalid
from tests.drivers.hetzner.emulator.project import named
from tests.drivers.hetzner.emulator.routes import ROUTER, body_of, route
from tests.drivers.hetzner.emulator.servers import free
from tests.drivers.hetzner.emulator.state import Server, Snapshot, World
from tests.emulation.http import Answer, Request

#: what the calls that create and change a snapshot accept (cloudpanel-io/cloudpanel-ce#659)
FIELDS = ("type", "description", "labels")
FAILED = ("action_failed", "Action failed")


@route("GET", "/images")
def list_images(world: World, request: Request) -> Answer:
    """List the distributions and the images of the project."""
    images = [*catalog.system_images(), *map(answers.snapshot, world.state.snapshots.values())]
    for name in ("type", "architecture", "status"):
        wanted = request.query.get(name)
        images = [it for it in images if not wanted or it[name] in wanted]
    return named(world, request, "images", images)


def _snapshot(world: World, image_id: str) -> Snapshot:
    return answers.found(world.state.snapshots, image_id, "image")


ROUTER.shows("/images", "image", _snapshot, lambda world, it: answers.snapshot(it))


@route("POST", "/servers/{}/actions/create_image")
def create_image(world: World, request: Request, server_id: str) -> Answer:
    """Begin a snapshot and answer 201 with it and the action. The server is locked until the action is over."""
    it, data = free(world, server_id), body_of(request)
    _check(data)
    if data.get("type") == "backup":
        raise Refusal(422, "backups are not enabled", "backups_not_enabled")  # the real code is not known
    limit = world.settings.image_limit
    if limit is not None and len(world.state.snapshots) >= limit:
        raise Refusal(403, "snapshot limit exceeded", "resource_limit_exceeded")
    made = _begin(world, it, data.get("description") or it.name, dict(data.get("labels") or {}))
    action = world.act("create_image", it.id, world.settings.image_after)
    action.error = FAILED if world.settings.fails_image else None
    return Answer(201, {"image": answers.snapshot(made), "action": answers.action(world, action)})


def _begin(world: World, it: Server, description: str, labels: dict[str, str]) -> Snapshot:
    kind = catalog.server_type(it.server_type)
    made = add_snapshot(world, description, kind["architecture"])
    made.status, made.labels, made.disk, made.server = "creating", labels, it.disk or kind["disk"], (it.id, it.name)
    made.done_at = world.clock() + world.settings.image_after
    it.later.append((made.done_at, lambda: None))
    if it.status == "off":  # a back end keeps only the disk of a machine that is off
        world.machines.save(str(it.id), str(made.id))
    return made


def _check(data: dict[str, Any]) -> None:
    for name in data:
        if name not in FIELDS:
            raise invalid(name, f"invalid input: unknown field name '{name}'")
    labels = data.get("labels") or {}
    if not isinstance(labels, dict) or list(form.against_labels(labels)):
        raise invalid("labels")
    if data.get("type", "snapshot") not in ("snapshot", "backup"):
        raise invalid("type")


@route("PUT", "/images/{}")
def change_image(world: World, request: Request, image_id: str) -> Answer:
    """Change a snapshot; the new labels replace all old ones."""
    it, data = _snapshot(world, image_id), body_of(request)
    _check(data)
    it.labels = dict(data.get("labels", it.labels))
    it.description = data.get("description") or it.description
    return Answer(200, {"image": answers.snapshot(it)})


@route("DELETE", "/images/{}")
def delete_image(world: World, request: Request, image_id: str) -> Answer:
    """Delete a snapshot and answer 204; the servers that were made of it stay."""
    it = _snapshot(world, image_id)
    if it.protected:
        raise Refusal(403, "image deletion is protected", "protected")
    if it.status == "creating" and world.settings.keeps_creating:
        raise Refusal(423, "cannot perform operation because image is locked")
    forget(world, it)
    return Answer(204)


def forget(world: World, it: Snapshot) -> None:
    """Remove a snapshot, and its disk at the back end."""
    del world.state.snapshots[it.id]
    world.machines.forget(str(it.id))


@route("POST", "/images/{}/actions/change_protection")
def change_protection(world: World, request: Request, image_id: str) -> Answer:
    """Change the protection and answer 201."""
    it = _snapshot(world, image_id)
    it.protected = bool(body_of(request).get("delete"))
    return Answer(201, {"action": answers.action(world, world.act("change_protection", it.id, 0.0))})


def add_snapshot(world: World, description: str, architecture: str = "x86") -> Snapshot:
    """Add an image of the project and return it."""
    made = Snapshot(next(world.ids), description, architecture, world.clock())
    world.state.snapshots[made.id] = made
    return made
