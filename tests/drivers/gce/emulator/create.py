"""
``instances.insert``: what it accepts, and what it refuses.

The order of the checks is not known. This module refuses at once; the operation reports missing capacity and some
quotas later: ``Settings.late_error``.
"""

from __future__ import annotations

import re
from typing import Any

from tests.drivers.gce.emulator import catalog as catalogue
from tests.drivers.gce.emulator.answers import Refusal, invalid, last, missing
from tests.drivers.gce.emulator.routes import body_of, repeatable, route
from tests.drivers.gce.emulator.state import NEVER, Disk, Image, Instance, Operation, Subnet, World
from tests.emulation.backend import BootRequest
from tests.emulation.http import Request

NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
LABEL_KEY, LABEL_VALUE = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}")
METADATA_KEY = re.compile(r"[a-zA-Z0-9_-]{1,127}")
LABELS, TAGS = 64, 64
VALUE_LIMIT, METADATA_LIMIT = 262_144, 512 * 1024
EMAIL = re.compile(r"default|[^@\s]+@[^@\s]+")
ACCESS = {"accessConfigs": "ONE_TO_ONE_NAT", "ipv6AccessConfigs": "DIRECT_IPV6"}


@route("POST", "/zones/{}/instances", body="Instance")
@repeatable
def insert(world: World, request: Request, project: str, zone: str) -> Operation:
    """Create an instance. It runs when the operation ends; if the operation fails, the instance is gone again."""
    body = body_of(request, "Instance")
    if zone not in catalogue.all_zones():
        raise missing(f"projects/{project}/zones/{zone}")
    image = _check(world, body, zone)
    if any(it.zone == zone and it.name == body["name"] for it in world.state.instances.values()):
        path = f"projects/{project}/zones/{zone}/instances/{body['name']}"
        raise Refusal(409, f"The resource '{path}' already exists", "alreadyExists")
    if len(world.state.instances) >= world.settings.instance_limit:
        raise Refusal(403, f"Quota 'INSTANCES' exceeded. Limit: {world.settings.instance_limit}.0", "quotaExceeded")
    return _make(world, body, zone, image)


def check_labels(field: str, labels: dict[str, str]) -> None:
    """Refuse labels with invalid characters, or too many labels."""
    if len(labels) > LABELS:
        raise invalid(field, len(labels), f"There may be {LABELS} labels at the most")
    for key, value in labels.items():
        if not LABEL_KEY.fullmatch(key):
            raise invalid(field, key, "Label keys: lowercase letters, numbers, dashes, underscores")
        if not LABEL_VALUE.fullmatch(value):
            raise invalid(field, value, "Label values: lowercase letters, numbers, dashes, underscores")


def check_tags(items: list[str]) -> None:
    """Refuse network tags that are not names, duplicates, or too many tags."""
    if len(items) > TAGS or len(set(items)) < len(items):
        raise invalid("tags.items", items, "Too many tags, or one of them twice")
    for tag in items:
        if not NAME.fullmatch(tag):
            raise invalid("tags.items", tag, f"Must be a match of regex '{NAME.pattern}'")


def check_metadata(items: list[dict[str, str]]) -> None:
    """Refuse duplicate or invalid keys, and metadata that is too large."""
    keys = [item.get("key", "") for item in items]
    if len(set(keys)) < len(keys):
        raise invalid("metadata.items", keys, "Duplicate metadata key")
    for item in items:
        key = item.get("key", "")
        if not METADATA_KEY.fullmatch(key):
            raise invalid("metadata.items.key", key, f"Must be a match of regex '{METADATA_KEY.pattern}'")
        if len(item.get("value", "").encode()) > VALUE_LIMIT:
            raise invalid("metadata.items.value", "…", f"Value is too large: maximum size {VALUE_LIMIT} bytes")
    if sum(len(item.get("value", "").encode()) for item in items) > METADATA_LIMIT:
        raise invalid("metadata", "…", "The metadata is too large")


def _check(world: World, body: dict[str, Any], zone: str) -> Image:
    if not NAME.fullmatch(body.get("name", "")):
        raise invalid("resource.name", body.get("name", ""), f"Must be a match of regex '{NAME.pattern}'")
    check_labels("resource.labels", body.get("labels", {}))
    check_tags(body.get("tags", {}).get("items", []))
    check_metadata(body.get("metadata", {}).get("items", []))
    machine = _machine_type(body, zone)
    image = _disks(world, body, zone, machine)
    _network(world, body, zone)
    for account in body.get("serviceAccounts", []):
        if not EMAIL.fullmatch(account.get("email", "")) or not account.get("scopes"):
            raise invalid("resource.serviceAccounts", account, "A service account needs an email and scopes")
        if not all(scope.startswith("https://www.googleapis.com/auth/") for scope in account["scopes"]):
            raise invalid("resource.serviceAccounts[0].scopes", account["scopes"], "The specified scope is invalid")
    _scheduling(body.get("scheduling", {}))
    if any(body.get("shieldedInstanceConfig", {}).values()) and "UEFI_COMPATIBLE" not in image.features:
        raise invalid("resource.shieldedInstanceConfig", "", "Shielded VM needs a UEFI-compatible disk")
    return image


def _machine_type(body: dict[str, Any], zone: str) -> dict[str, Any]:
    wanted = body.get("machineType", "")
    found = re.fullmatch(r"(?:.*/)?zones/([^/]+)/machineTypes/([^/]+)", wanted)
    if not found or found[1] != zone:
        raise invalid("resource.machineType", wanted, "The referenced machine type is not of this zone")
    machine = catalogue.size(zone, found[2])
    if machine is None:
        why = f"Machine type with name '{found[2]}' does not exist in zone '{zone}'."
        raise invalid("resource.machineType", wanted, why)
    return machine


def _disks(world: World, body: dict[str, Any], zone: str, machine: dict[str, Any]) -> Image:
    disks = body.get("disks", [])
    boot = [disk for disk in disks if disk.get("boot")]
    if len(boot) != 1 or disks[0] is not boot[0]:
        raise invalid("resource.disks", len(boot), "The first disk must be the boot disk")
    for disk in disks:
        _disk(disk, zone)
    params = boot[0].get("initializeParams", {})
    image = image_by_link(world, params.get("sourceImage", ""))
    if image is None or image.status != "READY":
        raise invalid("resource.disks[0].initializeParams.sourceImage", params.get("sourceImage"),
                      "The referenced image resource cannot be found.")  # fmt: skip
    if image.architecture != machine["architecture"]:
        raise invalid("resource.disks[0]", image.name, f"The machine type is {machine['architecture']}")
    if int(params.get("diskSizeGb", image.disk_size)) < image.disk_size:
        raise invalid("resource.disks[0].initializeParams.diskSizeGb", params["diskSizeGb"],
                      f"Requested disk size cannot be smaller than the image size ({image.disk_size} GB)")  # fmt: skip
    return image


def _disk(disk: dict[str, Any], zone: str) -> None:
    params = disk.get("initializeParams", {})
    kind = last(params.get("diskType", f"zones/{zone}/diskTypes/pd-standard"))
    if kind not in catalogue.DISK_TYPES or f"zones/{zone}/" not in params.get("diskType", f"zones/{zone}/"):
        raise invalid("resource.disks.initializeParams.diskType", params.get("diskType"), "There is no such disk type")
    scratch = disk.get("type", "PERSISTENT") == "SCRATCH"
    if scratch != (kind == "local-ssd"):
        raise invalid("resource.disks.type", disk.get("type"), "Local SSDs are SCRATCH disks, and no others are")
    if scratch and (disk.get("boot") or "diskSizeGb" in params):
        raise invalid("resource.disks", "SCRATCH", "A local SSD has a fixed size and is no boot disk")
    if "provisionedIops" in params and kind not in catalogue.WITH_IOPS:
        raise invalid("resource.disks.initializeParams.provisionedIops", kind, "Not supported for this disk type")
    check_labels("resource.disks.initializeParams.labels", params.get("labels", {}))


def image_by_link(world: World, link: str) -> Image | None:
    """Return the image of a link; for a family, the newest image that is not deprecated."""
    found = re.search(r"(?:projects/([^/]+)/)?global/images/(family/)?([^/]+)$", link)
    if not found:
        return None
    project = found[1] or world.project
    ours = [it for it in world.state.images if it.project == project]
    if found[2]:
        return next((it for it in reversed(ours) if it.family == found[3] and not it.deprecated), None)
    return next((it for it in ours if found[3] in (it.name, str(it.id))), None)


def _network(world: World, body: dict[str, Any], zone: str) -> Subnet:
    interfaces = body.get("networkInterfaces", [])
    if len(interfaces) != 1:
        raise invalid("resource.networkInterfaces", len(interfaces), "At least one network interface is required")
    interface = interfaces[0]
    subnet = _subnet(world, interface, zone)
    for name, kind in ACCESS.items():
        for access in interface.get(name, []):
            if access.get("type") != kind:
                raise invalid(f"resource.networkInterfaces[0].{name}", access, f"The type must be {kind}")
    if interface.get("stackType") == "IPV4_IPV6" and not subnet.ipv6:
        raise invalid("resource.networkInterfaces[0].stackType", "IPV4_IPV6", "The subnetwork is not dual-stack")
    if interface.get("ipv6AccessConfigs") and interface.get("stackType") != "IPV4_IPV6":
        raise invalid("resource.networkInterfaces[0].ipv6AccessConfigs", "", "The interface is IPV4_ONLY")
    return subnet


def _subnet(world: World, interface: dict[str, Any], zone: str) -> Subnet:
    region = catalogue.region_of(zone)
    network = last(interface.get("network", "global/networks/default"))
    wanted = interface.get("subnetwork", "")
    there = [it for it in world.state.subnets if it.region == region and it.purpose == "PRIVATE"]
    if not wanted:
        there = [it for it in there if it.network == network]
        if not there or network not in world.state.networks:
            raise invalid("resource.networkInterfaces[0].network", network, "The network has no subnet in this region")
        return there[0]
    found = [it for it in there if wanted.endswith(f"regions/{it.region}/subnetworks/{it.name}")]
    if not found or ("network" in interface and found[0].network != network):
        raise invalid("resource.networkInterfaces[0].subnetwork", wanted, "The subnetwork cannot be found here")
    return found[0]


def _scheduling(scheduling: dict[str, Any]) -> None:
    model = scheduling.get("provisioningModel", "STANDARD")
    if model not in ("STANDARD", "SPOT"):
        raise invalid("resource.scheduling.provisioningModel", model, "It is STANDARD or SPOT")
    if model == "STANDARD" and "instanceTerminationAction" in scheduling:
        raise invalid("resource.scheduling.instanceTerminationAction", "", "Only for SPOT, or with a time limit")
    if model == "SPOT" and scheduling.get("automaticRestart"):
        raise invalid("resource.scheduling.automaticRestart", True, "A SPOT instance is not restarted")


def _make(world: World, body: dict[str, Any], zone: str, image: Image) -> Operation:
    """Make the instance after all checks."""
    settings, now = world.settings, world.clock()
    fault = world.faults.of_machine(str(body.get("description") or body["name"]))
    public = bool(body["networkInterfaces"][0].get("accessConfigs"))
    late = settings.late_error
    hangs = fault.never_active or late
    instance = Instance(
        id=next(world.ids), zone=zone, body=body, image=image.made_of,
        addresses=world.machines.backend.take(public), created=now,
        staging_at=NEVER if hangs else now + settings.staging_after,
        running_at=NEVER if hangs else now + settings.running_after,
        metadata=list(body.get("metadata", {}).get("items", [])), tags=list(body.get("tags", {}).get("items", [])),
        fault=fault,
    )  # fmt: skip
    world.state.instances[instance.id] = instance
    world.state.made.append(instance.minion)
    _make_disks(world, instance, image)
    after = settings.late_after if late else settings.running_after
    operation = world.begin("insert", f"zones/{zone}", f"zones/{zone}/instances/{instance.name}", instance.id, after)
    if late:
        operation.errors = [(late, f"The zone '{zone}' does not have enough resources available ({late}).")]
        operation.http_status, operation.effect = settings.late_status, lambda: world.remove(instance)
    elif fault.never_active or settings.stuck_creates:
        operation.done_at = NEVER
    if not late and not fault.never_boots:
        world.machines.boot(_boot_request(instance))
    return operation


def _make_disks(world: World, instance: Instance, image: Image) -> None:
    for number, disk in enumerate(instance.body["disks"]):
        params = disk.get("initializeParams", {})
        made = Disk(
            id=next(world.ids), name=instance.name if disk.get("boot") else f"{instance.name}-{number}",
            zone=instance.zone, size=int(params.get("diskSizeGb", image.disk_size)),
            type=last(params.get("diskType", "pd-standard")), labels=params.get("labels", {}),
            source_image=image.name if disk.get("boot") else "", created=world.clock(), user=instance.id,
            auto_delete=bool(disk.get("autoDelete")), architecture=image.architecture,
        )  # fmt: skip
        world.state.disks[made.id] = made


def _boot_request(instance: Instance) -> BootRequest:
    """Return what the machine boots with; it sees its current metadata, not that of the create call."""
    return BootRequest(
        instance_id=str(instance.id), hostname=instance.name, user_data=instance.user_data, public_keys=(),
        public_ip=instance.addresses.public, private_ip=instance.addresses.private,
        image=instance.image, image_name=instance.image, tags=tuple(instance.tags),
        region=catalogue.region_of(instance.zone) or "", size=last(instance.body["machineType"]),
        fail_at=instance.fault.fail_at, impostor=instance.fault.impostor,
        metadata={
            "attributes": lambda: {item["key"]: item.get("value", "") for item in instance.metadata},
            "notices": instance.notices,
        },
    )  # fmt: skip
