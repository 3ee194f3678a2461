"""
Snapshots: images of instances.

The calls are those of the vendor's description, put-snapshots-snapshot-id among them, and its client for Go
(vultr/govultr, snapshot.go); the texts of the refusals are not known. Where the behaviour is not known either, a switch
selects one of two.
"""

from __future__ import annotations

from tests.drivers.vultr.emulator import answers
from tests.drivers.vultr.emulator import catalog as catalogue
from tests.drivers.vultr.emulator.answers import Refusal
from tests.drivers.vultr.emulator.instances import instance_of, is_locked
from tests.drivers.vultr.emulator.routes import ROUTER, body_of, route, text
from tests.drivers.vultr.emulator.state import Instance, Snapshot, World
from tests.emulation.http import Answer, Request

LOCKED = "Unable to create snapshot: Server is currently locked"
LIMIT = "You have reached the maximum number of snapshots for this account."
PENDING = "Unable to delete snapshot: it is not complete."


def _snapshot(world: World, snapshot_id: str) -> Snapshot:
    return answers.found(world.state.snapshots, snapshot_id, "snapshot ID")


ROUTER.lists("/snapshots", "snapshots", lambda world, it: answers.snapshot(it), by="description")
ROUTER.shows("/snapshots", "snapshot", _snapshot, lambda world, it: answers.snapshot(it))


@route("POST", "/snapshots")
def create_snapshot(world: World, request: Request) -> Answer:
    """Begin a snapshot and answer 201. The instance is locked until it is complete."""
    data = body_of(request)
    it = instance_of(world, text(data, "instance_id"))
    if is_locked(world, it) or it.is_busy():
        raise Refusal(500, LOCKED)
    limit = world.settings.image_limit
    if limit is not None and len(world.state.snapshots) >= limit:
        raise Refusal(400, LIMIT)
    kept = str(data.get("description") or "")[: world.settings.description_limit]
    made = add_snapshot(world, kept, it.os_id, catalogue.plan(it.plan)["disk"])
    _begin(world, it, made)
    return Answer(201, {"snapshot": answers.snapshot(made)})


def _begin(world: World, it: Instance, made: Snapshot) -> None:
    made.instance_id, made.status = it.id, "pending"
    made.done_at = world.clock() + world.settings.image_after
    if not it.powered:  # a back end keeps only the disk of a machine that is off
        world.machines.save(it.id, made.id)


@route("PUT", "/snapshots/{}")
def change_snapshot(world: World, request: Request, snapshot_id: str) -> Answer:
    """Replace the description and answer 204."""
    it = _snapshot(world, snapshot_id)
    it.description = text(body_of(request), "description")[: world.settings.description_limit]
    return Answer(204)


@route("DELETE", "/snapshots/{}")
def delete_snapshot(world: World, request: Request, snapshot_id: str) -> Answer:
    """Delete a snapshot and answer 204; the instances that were made of it stay."""
    it = _snapshot(world, snapshot_id)
    if it.status == "pending" and world.settings.keeps_pending:
        raise Refusal(400, PENDING)
    forget(world, it)
    return Answer(204)


def forget(world: World, it: Snapshot) -> None:
    """Remove a snapshot, and its disk at the back end."""
    del world.state.snapshots[it.id]
    world.machines.forget(it.id)


def add_snapshot(world: World, description: str, os_id: int, disk: int = 10) -> Snapshot:
    """Add a complete image of the account, whose disk has so many GB, and return it."""
    made = Snapshot(world.uuid(), description, os_id, world.clock(), disk)
    world.state.snapshots[made.id] = made
    return made
