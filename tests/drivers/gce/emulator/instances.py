"""Instances and disks after their creation: reports, changes, and deletion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.drivers.gce.emulator import answers
from tests.drivers.gce.emulator import catalog as catalogue
from tests.drivers.gce.emulator.answers import Refusal, invalid, missing, when
from tests.drivers.gce.emulator.create import NAME, check_labels, check_metadata, check_tags
from tests.drivers.gce.emulator.filter import parse
from tests.drivers.gce.emulator.routes import body_of, repeatable, route
from tests.drivers.gce.emulator.state import Disk, Instance, Operation, World, fingerprint
from tests.emulation.http import Answer, Request


@route("GET", "/zones/{}/instances", "InstanceList")
def list_instances(world: World, request: Request, project: str, zone: str) -> Answer:
    """List the instances of a zone."""
    found = [report for scope, report in _reports(world, request) if scope == f"zones/{zone}"]
    return answers.listing(world, request, "instanceList", found)


@route("GET", "/aggregated/instances", "InstanceAggregatedList")
def all_instances(world: World, request: Request, project: str) -> Answer:
    """List the instances of all zones."""
    return answers.aggregated(world, request, "instanceAggregatedList", "instances", _reports(world, request))


def _reports(world: World, request: Request) -> list[tuple[str, dict[str, Any]]]:
    """Return what lists show, ordered by zone and name; the request of a later page does not count as another list."""
    matches = parse(request.first("filter"))
    found = []
    ordered = sorted(world.state.instances.values(), key=lambda it: (it.zone, it.name))
    for instance in ordered:
        if instance.is_listed(world.clock(), counts=not request.first("pageToken")):
            shown = report(world, instance)
            if matches(shown):
                found.append((f"zones/{instance.zone}", shown))
    return found


def report(world: World, it: Instance) -> dict[str, Any]:
    """Return an instance as the API shows it."""
    path = f"projects/{world.project}/zones/{it.zone}"
    zone = answers.link(path)
    status = it.status(world.clock())
    kept = ("name", "description", "serviceAccounts", "scheduling")
    shown = {name: it.body[name] for name in kept if name in it.body}
    labels = it.body.get("labels", {})
    return {
        **shown,
        **({"labels": labels} if labels else {}),
        "labelFingerprint": fingerprint(labels),
        "kind": "compute#instance",
        "id": str(it.id),
        "creationTimestamp": when(it.created),
        "status": status,
        "zone": zone,
        "machineType": f"{zone}/machineTypes/{answers.last(it.body['machineType'])}",
        "selfLink": f"{zone}/instances/{it.name}",
        "networkInterfaces": [_interface(world, it, status == "RUNNING")],
        "disks": [{"deviceName": disk.name, "boot": disk.name == it.name, "autoDelete": disk.auto_delete,
                   "source": f"{zone}/disks/{disk.name}"} for disk in world.state.disks.values() if disk.user == it.id],
        "tags": {"fingerprint": fingerprint(it.tags), **({"items": it.tags} if it.tags else {})},
        "metadata": {"kind": "compute#metadata", "fingerprint": fingerprint(it.metadata),
                     **({"items": it.metadata} if it.metadata else {})},
        "deletionProtection": bool(it.body.get("deletionProtection")),
        "shieldedInstanceConfig": it.body.get("shieldedInstanceConfig", {}),
    }  # fmt: skip


def _interface(world: World, it: Instance, running: bool) -> dict[str, Any]:
    """Return the network interface; its public address appears some time after the instance runs."""
    wanted = it.body["networkInterfaces"][0]
    shown = {**wanted, "name": "nic0", "networkIP": it.addresses.private}
    if not wanted.get("accessConfigs"):
        return shown
    access = {**wanted["accessConfigs"][0], "kind": "compute#accessConfig"}
    if running and it.address_lists:
        it.address_lists -= 1
    elif running and world.clock() >= it.running_at + world.settings.address_after:
        access["natIP"] = it.addresses.public
    return {**shown, "accessConfigs": [access]}


@route("GET", "/zones/{}/instances/{}", "Instance")
def get_instance(world: World, request: Request, project: str, zone: str, name: str) -> Answer:
    """Return an instance by name or id."""
    return Answer(200, report(world, _instance(world, zone, name)))


def _instance(world: World, zone: str, name: str) -> Instance:
    if not name.isdecimal() and not NAME.fullmatch(name):
        raise invalid("instance", name, f"Must be a match of regex '{NAME.pattern}|[1-9][0-9]{{0,19}}'")
    for instance in world.state.instances.values():
        if instance.zone == zone and name in (instance.name, str(instance.id)):
            return instance
    raise missing(f"projects/{world.project}/zones/{zone}/instances/{name}")


@route("DELETE", "/zones/{}/instances/{}")
@repeatable
def delete_instance(world: World, request: Request, project: str, zone: str, name: str) -> Operation:
    """
    Delete an instance.

    A delete during another change is refused. ``ignore_delete``: the delete is accepted and fails later.
    """
    instance = _instance(world, zone, name)
    if instance.body.get("deletionProtection"):
        why = "Resource cannot be deleted if it's protected against deletion."
        raise Refusal(400, f"Invalid resource usage: '{why}'.", "invalidResourceUsage")
    if instance.refuse_delete or instance.deleting:
        instance.refuse_delete = max(0, instance.refuse_delete - 1)
        path = f"projects/{project}/zones/{zone}/instances/{instance.name}"
        raise Refusal(400, f"The resource '{path}' is not ready", "resourceNotReady")
    if instance.ignore_delete:
        instance.ignore_delete -= 1
        operation = _begin(world, instance, "delete", lambda: None)
        operation.errors = [("INTERNAL_ERROR", "Internal error. Please try again.")]
        return operation
    instance.deleting = True
    operation = _begin(world, instance, "delete", lambda: world.remove(instance))
    operation.done_at = world.clock() + world.settings.delete_after
    return operation


def _begin(world: World, instance: Instance, kind: str, effect: Any) -> Operation:
    scope = f"zones/{instance.zone}"
    after = world.settings.operation_after
    return world.begin(kind, scope, f"{scope}/instances/{instance.name}", instance.id, after, effect)


@route("POST", "/zones/{}/instances/{}/setDeletionProtection")
@repeatable
def set_deletion_protection(world: World, request: Request, project: str, zone: str, name: str) -> Operation:
    """Protect an instance against deletion, or remove the protection; the default is to protect it."""
    instance, wanted = _instance(world, zone, name), request.first("deletionProtection") != "false"
    return _begin(world, instance, "setDeletionProtection", lambda: instance.body.update(deletionProtection=wanted))


@route("POST", "/zones/{}/instances/{}/stop")
@repeatable
def stop_instance(world: World, request: Request, project: str, zone: str, name: str) -> Operation:
    """Stop an instance; its ephemeral address is released."""
    instance = _ready(world, project, zone, name)
    return _power(world, instance, "stop", lambda: _turn(world, instance, on=False))


@route("POST", "/zones/{}/instances/{}/start")
@repeatable
def start_instance(world: World, request: Request, project: str, zone: str, name: str) -> Operation:
    """Start an instance, which gets another ephemeral address."""
    instance = _ready(world, project, zone, name)
    return _power(world, instance, "start", lambda: _turn(world, instance, on=True))


@route("POST", "/zones/{}/instances/{}/reset")
@repeatable
def reset_instance(world: World, request: Request, project: str, zone: str, name: str) -> Operation:
    """Cut the power of a running instance and start it."""
    instance = _ready(world, project, zone, name)
    if instance.stopped:
        raise _not_ready(project, zone, instance)
    instance.reboots += 1
    return _power(world, instance, "reset", lambda: world.machines.restart(str(instance.id)))


@route("POST", "/zones/{}/instances/{}/setMachineType", body="InstancesSetMachineTypeRequest")
@repeatable
def set_machine_type(world: World, request: Request, project: str, zone: str, name: str) -> Operation:
    """Change the machine type of a stopped instance."""
    instance = _ready(world, project, zone, name)
    wanted = answers.last(body_of(request, "InstancesSetMachineTypeRequest").get("machineType", ""))
    if catalogue.size(zone, wanted) is None:
        raise missing(f"projects/{project}/zones/{zone}/machineTypes/{wanted}")
    if not instance.stopped:
        raise Refusal(400, "Invalid resource usage: 'The instance must be stopped.'.", "invalidResourceUsage")
    fails = world.settings.fails_resize
    body = {"machineType": f"zones/{zone}/machineTypes/{wanted}"}
    operation = _power(world, instance, "setMachineType", lambda: None if fails else instance.body.update(body))
    operation.errors = [("ZONE_RESOURCE_POOL_EXHAUSTED", "The zone does not have enough resources.")] if fails else []
    return operation


def _ready(world: World, project: str, zone: str, name: str) -> Instance:
    """Return an instance on which no operation for the power is in progress."""
    instance = _instance(world, zone, name)
    if instance.is_busy() or instance.deleting:
        raise _not_ready(project, zone, instance)
    return instance


def _not_ready(project: str, zone: str, instance: Instance) -> Refusal:
    path = f"projects/{project}/zones/{zone}/instances/{instance.name}"
    return Refusal(400, f"The resource '{path}' is not ready", "resourceNotReady")


def _power(world: World, instance: Instance, kind: str, effect: Callable[[], object]) -> Operation:
    end = world.act_on(instance, effect)
    operation = _begin(world, instance, kind, lambda: None)
    operation.done_at = end
    return operation


def _turn(world: World, instance: Instance, *, on: bool) -> None:
    if instance.stopped == on:
        (world.machines.start if on else world.machines.halt)(str(instance.id))
        if on:
            world.readdress(instance)
    instance.stopped = not on


@route("POST", "/zones/{}/instances/{}/setTags", body="Tags")
@repeatable
def set_tags(world: World, request: Request, project: str, zone: str, name: str) -> Operation:
    """Replace all network tags."""
    return _set(world, request, _instance(world, zone, name), "tags", check_tags)


@route("POST", "/zones/{}/instances/{}/setMetadata", body="Metadata")
@repeatable
def set_metadata(world: World, request: Request, project: str, zone: str, name: str) -> Operation:
    """Replace all metadata."""
    return _set(world, request, _instance(world, zone, name), "metadata", check_metadata)


@route("POST", "/zones/{}/instances/{}/setLabels", body="InstancesSetLabelsRequest")
@repeatable
def set_labels(world: World, request: Request, project: str, zone: str, name: str) -> Operation:
    """Replace all labels of an instance; the labels of its disks stay as they are."""
    instance = _instance(world, zone, name)
    body = body_of(request, "InstancesSetLabelsRequest")
    if body.get("labelFingerprint") != fingerprint(instance.body.get("labels", {})):
        why = "Labels fingerprint either invalid or resource labels have changed"
        raise Refusal(412, why, "conditionNotMet")
    labels = body.get("labels", {})
    check_labels("labels", labels)
    # A new mapping, because the disks share that of the create call.
    return _begin(world, instance, "setLabels", lambda: instance.body.update(labels=labels))


@route("POST", "/zones/{}/instances/{}/setDiskAutoDelete")
@repeatable
def set_disk_auto_delete(world: World, request: Request, project: str, zone: str, name: str) -> Operation:
    """Set whether a disk is deleted with its instance."""
    instance = _instance(world, zone, name)
    device, flag = request.first("deviceName"), request.first("autoDelete")
    found = [it for it in world.state.disks.values() if it.user == instance.id and it.name == device]
    if not found or flag not in ("true", "false"):
        raise invalid("deviceName" if not found else "autoDelete", str(device), "No such disk is attached")

    def effect() -> None:
        found[0].auto_delete = flag == "true"

    return _begin(world, instance, "setDiskAutoDelete", effect)


def _set(
    world: World, request: Request, instance: Instance, what: str, check: Callable[[list[Any]], None]
) -> Operation:
    """Replace tags or metadata; an outdated fingerprint is refused."""
    body = body_of(request, what.title())
    if body.get("fingerprint") != fingerprint(getattr(instance, what)):
        raise Refusal(412, f"Supplied fingerprint does not match current {what} fingerprint.", "conditionNotMet")
    items = body.get("items", [])
    check(items)
    return _begin(world, instance, f"set{what.title()}", lambda: setattr(instance, what, items))


# disks


@route("GET", "/aggregated/disks", "DiskAggregatedList")
def all_disks(world: World, request: Request, project: str) -> Answer:
    """List the disks of all zones."""
    matches = parse(request.first("filter"))
    shown = [(f"zones/{disk.zone}", _disk(world, disk)) for disk in world.state.disks.values()]
    found = sorted((pair for pair in shown if matches(pair[1])), key=lambda pair: pair[0])
    return answers.aggregated(world, request, "diskAggregatedList", "disks", found)


def _disk(world: World, disk: Disk) -> dict[str, Any]:
    zone = answers.link(f"projects/{world.project}/zones/{disk.zone}")
    shown: dict[str, Any] = {
        "kind": "compute#disk", "id": str(disk.id), "name": disk.name, "sizeGb": str(disk.size), "zone": zone,
        "status": "READY", "creationTimestamp": when(disk.created), "type": f"{zone}/diskTypes/{disk.type}",
        "selfLink": f"{zone}/disks/{disk.name}",
    }  # fmt: skip
    user = world.state.instances.get(disk.user or 0)
    if user is not None:
        shown["users"] = [f"{zone}/instances/{user.name}"]
    return {**shown, **({"labels": disk.labels} if disk.labels else {})}


@route("GET", "/zones/{}/disks/{}", "Disk")
def get_disk(world: World, request: Request, project: str, zone: str, name: str) -> Answer:
    """Return a disk by name or id."""
    return Answer(200, _disk(world, _find_disk(world, zone, name)))


@route("DELETE", "/zones/{}/disks/{}")
@repeatable
def delete_disk(world: World, request: Request, project: str, zone: str, name: str) -> Operation:
    """Delete a disk; a disk in use is refused."""
    disk = _find_disk(world, zone, name)
    path = f"zones/{zone}/disks/{disk.name}"
    if disk.user is not None:
        raise Refusal(400, f"The disk resource '{path}' is already being used", "resourceInUseByAnotherResource")
    after = world.settings.operation_after
    return world.begin("delete", f"zones/{zone}", path, disk.id, after, lambda: world.state.disks.pop(disk.id, None))


def _find_disk(world: World, zone: str, name: str) -> Disk:
    for disk in world.state.disks.values():
        if disk.zone == zone and name in (disk.name, str(disk.id)):
            return disk
    raise missing(f"projects/{world.project}/zones/{zone}/disks/{name}")


# sizes and types of disks of a zone


@route("GET", "/zones/{}/machineTypes", "MachineTypeList")
def list_sizes(world: World, request: Request, project: str, zone: str) -> Answer:
    """List the machine types of a zone, without custom ones."""
    if zone not in catalogue.all_zones():
        raise missing(f"projects/{project}/zones/{zone}")
    found = [_size(project, zone, it) for it in catalogue.sizes(zone)]
    return answers.listing(world, request, "machineTypeList", found)


@route("GET", "/aggregated/machineTypes", "MachineTypeAggregatedList")
def all_sizes(world: World, request: Request, project: str) -> Answer:
    """List the machine types of all zones."""
    found = [
        (f"zones/{zone}", _size(project, zone, it)) for zone in catalogue.all_zones() for it in catalogue.sizes(zone)
    ]
    return answers.aggregated(world, request, "machineTypeAggregatedList", "machineTypes", found)


@route("GET", "/zones/{}/machineTypes/{}", "MachineType")
def get_size(world: World, request: Request, project: str, zone: str, name: str) -> Answer:
    """Return a machine type of a zone, which can be a custom one."""
    found = catalogue.size(zone, name) if zone in catalogue.all_zones() else None
    if found is None:
        raise missing(f"projects/{project}/zones/{zone}/machineTypes/{name}")
    return Answer(200, _size(project, zone, found))


def _size(project: str, zone: str, facts: dict[str, Any]) -> dict[str, Any]:
    path = f"projects/{project}/zones/{zone}/machineTypes/{facts['name']}"
    number = sum(path.encode()) * 1009
    return {"kind": "compute#machineType", "id": str(number), "zone": zone, **facts,
            "selfLink": answers.link(path)}  # fmt: skip


@route("GET", "/zones/{}/diskTypes", "DiskTypeList")
def list_disk_types(world: World, request: Request, project: str, zone: str) -> Answer:
    """List the types of disks of a zone."""
    found = [_disk_type(project, zone, name) for name in catalogue.DISK_TYPES]
    return answers.listing(world, request, "diskTypeList", found)


@route("GET", "/zones/{}/diskTypes/{}", "DiskType")
def get_disk_type(world: World, request: Request, project: str, zone: str, name: str) -> Answer:
    """Return a type of disks of a zone."""
    if name not in catalogue.DISK_TYPES:
        raise missing(f"projects/{project}/zones/{zone}/diskTypes/{name}")
    return Answer(200, _disk_type(project, zone, name))


def _disk_type(project: str, zone: str, name: str) -> dict[str, Any]:
    place = answers.link(f"projects/{project}/zones/{zone}")
    return {"kind": "compute#diskType", "id": str(sum(name.encode()) + 30000), "name": name, "zone": place,
            "description": name, "selfLink": f"{place}/diskTypes/{name}"}  # fmt: skip
