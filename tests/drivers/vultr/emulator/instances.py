"""Instances after their creation: reports, changes, power and delete."""

from __future__ import annotations

import base64
import functools

from tests.drivers.vultr.emulator import answers
from tests.drivers.vultr.emulator import catalog as catalogue
from tests.drivers.vultr.emulator.answers import Refusal
from tests.drivers.vultr.emulator.create import decoded
from tests.drivers.vultr.emulator.routes import ROUTER, body_of, route
from tests.drivers.vultr.emulator.state import Instance, World
from tests.emulation.http import Answer, Request

LOCKED = "Unable to destroy server: Unable to remove VM: Server is currently locked"
PENDING = "Unable to destroy server: Server is already pending destruction."


@route("GET", "/instances")
def list_instances(world: World, request: Request) -> Answer:
    """List all instances, or those that match all filters; an empty filter matches everything."""
    shown = [it for it in world.state.instances.values() if it.is_listed(world.clock()) and _fits(world, it, request)]
    return answers.page(world, request, "instances", shown, lambda it: answers.report(world, it))


def _fits(world: World, it: Instance, request: Request) -> bool:
    """Return whether an instance matches the filters. Tags are not case-sensitive; the rest is exact (tent, 3.3)."""
    tag = request.first("tag")
    if tag:
        fold = str if world.settings.case_matters else str.lower
        if fold(tag) not in [fold(one) for one in it.tags]:
            return False
    facts = answers.instance(world, it)
    wanted = {name: request.first(name) for name in ("label", "hostname", "region", "main_ip", "firewall_group_id")}
    return all(not value or facts[name] == value for name, value in wanted.items())


ROUTER.shows("/instances", "instance", lambda world, it: instance_of(world, it), answers.report)


@route("DELETE", "/instances/{}")
def delete_instance(world: World, request: Request, instance_id: str) -> Answer:
    """Delete an instance and answer 204: a running server is gone at once. A locked one stays, with a 500."""
    it = instance_of(world, instance_id)
    if it.deleted_at is not None:
        raise Refusal(world.settings.pending_status, PENDING)
    if it.refuse_delete:
        it.refuse_delete -= 1
        raise Refusal(500, LOCKED)
    if is_locked(world, it):
        raise Refusal(500, LOCKED)
    if it.ignore_delete:
        it.ignore_delete -= 1
        return Answer(204)
    world.remove(it)
    return Answer(204)


def is_locked(world: World, it: Instance) -> bool:
    """Return whether another action on an instance is in progress. That a snapshot is one is an assumption."""
    return world.clock() < it.created + world.settings.locked_for or answers.is_saved(world, it)


@route("PATCH", "/instances/{}")
def change_instance(world: World, request: Request, instance_id: str) -> Answer:
    """Change an instance and answer 202. New tags replace all old ones, null keeps them; an empty group detaches."""
    it, data = instance_of(world, instance_id), body_of(request)
    group_id = data.get("firewall_group_id")
    if group_id and group_id not in world.state.groups:
        raise Refusal(400, "Invalid firewall group ID.")
    if data.get("plan") not in (None, it.plan, *_upgrades(world, it)):
        raise Refusal(400, "Invalid plan chosen.")
    user_data = decoded(data["user_data"]) if data.get("user_data") is not None else it.user_data
    it.firewall_group_id = it.firewall_group_id if group_id is None else group_id
    it.user_data = user_data
    if data.get("plan") not in (None, it.plan):
        world.act_on(it, lambda: _change_plan(world, it, data["plan"]))
    it.tags = list(data["tags"]) if data.get("tags") is not None else it.tags
    it.label = data.get("label") or it.label
    return Answer(202, {"instance": answers.instance(world, it), "job_ids": []})


def _change_plan(world: World, it: Instance, plan: str) -> None:
    """Change the plan, and start the instance with it."""
    if world.settings.fails_resize:
        return
    it.plan = plan
    if not it.powered:
        it.powered = True
        world.machines.start(it.id)


def _upgrades(world: World, it: Instance) -> list[str]:
    """Return the plans that an instance can be upgraded to: of its type, larger, and in its region."""
    now = catalogue.plan(it.plan)
    return [
        plan["id"]
        for plan in catalogue.plans()
        if plan["type"] == now["type"]
        and plan["disk"] > now["disk"]
        and it.region in plan["locations"]
        and plan["id"] not in world.settings.sold_out
    ]


@route("GET", "/instances/{}/upgrades")
def upgrades(world: World, request: Request, instance_id: str) -> Answer:
    """Return what an instance can be upgraded to: plans, operating systems and applications (govultr)."""
    plans = _upgrades(world, instance_of(world, instance_id))
    kind = request.first("type") or "all"
    found = {"plans": plans} if kind == "plans" else {"plans": plans, "os": [], "applications": []}
    return Answer(200, {"upgrades": found})


@route("GET", "/instances/{}/user-data")
def get_user_data(world: World, request: Request, instance_id: str) -> Answer:
    """Return the user-data as it was sent, in base64."""
    data = base64.b64encode(instance_of(world, instance_id).user_data.encode()).decode()
    return Answer(200, {"user_data": {"data": data}})


@route("POST", "/instances/{}/halt")
def halt(world: World, request: Request, instance_id: str) -> Answer:
    """Halt an instance, which cuts its power, and answer 204, even if it is off."""
    return _power(world, [instance_id], False)


@route("POST", "/instances/{}/reboot")
def reboot(world: World, request: Request, instance_id: str) -> Answer:
    """Restart an instance, or start one that is off, and answer 204."""
    it = instance_of(world, instance_id)
    it.reboots += 1
    return _power(world, [instance_id], True)


@route("POST", "/instances/{}/start")
def start(world: World, request: Request, instance_id: str) -> Answer:
    """Start an instance and answer 204."""
    return _power(world, [instance_id], True)


@route("POST", "/instances/halt")
def halt_several(world: World, request: Request) -> Answer:
    """Halt several instances and answer 204."""
    return _power(world, body_of(request).get("instance_ids") or [], False)


@route("POST", "/instances/start")
@route("POST", "/instances/reboot")
def start_several(world: World, request: Request) -> Answer:
    """Start several instances and answer 204."""
    return _power(world, body_of(request).get("instance_ids") or [], True)


def _power(world: World, ids: list[str], on: bool) -> Answer:
    for it in [instance_of(world, instance_id) for instance_id in ids]:
        world.act_on(it, functools.partial(_turn, world, it, on=on))
    return Answer(204)


def _turn(world: World, it: Instance, *, on: bool) -> None:
    """Turn an instance on or off; one that is on is restarted."""
    machines = world.machines
    if on or it.powered:
        ((machines.restart if it.powered else machines.start) if on else machines.halt)(it.id)
    it.powered = on


def instance_of(world: World, instance_id: str) -> Instance:
    """Return the instance with this id."""
    return answers.found(world.state.instances, instance_id, "instance ID")
