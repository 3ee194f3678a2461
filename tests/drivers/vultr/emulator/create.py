"""
``POST /v2/instances``: what it accepts, what it refuses, and with which message.

The order of the checks is not known. Messages are the vendor's where users reported them. All refusals are 400.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from tests.drivers.vultr.emulator import answers
from tests.drivers.vultr.emulator import catalog as catalogue
from tests.drivers.vultr.emulator.answers import Refusal
from tests.drivers.vultr.emulator.network import new_vpc
from tests.drivers.vultr.emulator.routes import body_of, route
from tests.drivers.vultr.emulator.state import NEVER, Instance, Snapshot, World
from tests.emulation.http import Answer, Request

SOURCES = ("os_id", "snapshot_id", "iso_id", "app_id", "image_id")
SNAPSHOT_OS = 164  #: ``os_id`` of an instance that was made from a snapshot
TAGS_LIMIT = 99  #: 50 were accepted and 100 were not (tent, 3.3)
LISTS = ("tags", "sshkey_id", "attach_vpc")
FLAGS = ("enable_ipv6", "disable_public_ipv4", "vpc_only", "enable_vpc", "activation_email", "ddos_protection")


@route("POST", "/instances")
def create(world: World, request: Request) -> Answer:
    """Create an instance and answer 202. Only this answer has root's first password; it has no address yet."""
    data = body_of(request)
    _check_form(data)
    made = _make(world, data, _plan(world, data))
    return Answer(202, {"instance": answers.instance(world, made, password=True)})


def _check_form(data: dict[str, Any]) -> None:
    """Refuse a body that is wrong for any account. Vultr ignores unknown fields."""
    for name in LISTS:
        value = data.get(name) or []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise Refusal(400, f"Invalid {name}.")
    for name in FLAGS:
        if not isinstance(data.get(name, False), bool):
            raise Refusal(400, f"Invalid {name}.")
    if len(data.get("tags") or []) > TAGS_LIMIT:
        raise Refusal(400, "Too many tags.")
    if data.get("backups", "disabled") not in ("enabled", "disabled"):
        raise Refusal(400, "Invalid backups.")
    decoded(data.get("user_data") or "")


def decoded(user_data: Any) -> str:
    """Return the user-data as the machine sees it. Raises ``Refusal`` if it is not in base64."""
    try:
        return base64.b64decode(user_data, validate=True).decode()
    except (binascii.Error, ValueError, TypeError) as error:
        raise Refusal(400, "Invalid user_data.") from error


def number(value: Any) -> Any:
    """Return the number if it was written as a string, and everything else unchanged."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _plan(world: World, data: dict[str, Any]) -> dict[str, Any]:
    """Return the instance's fields that depend on the account. Everything is checked before anything is created."""
    region, plan = data.get("region", ""), data.get("plan")
    if region not in catalogue.REGIONS:
        raise Refusal(400, "Invalid region.")
    if not catalogue.has_plan(plan):
        raise Refusal(400, "Invalid plan chosen.")
    if plan not in stock(world, region):
        raise Refusal(400, "Server add failed: plan is not available in the selected region")
    source = _source(world, data)
    for key_id in data.get("sshkey_id") or []:
        if key_id not in world.state.keys:
            raise Refusal(400, "Invalid SSH key ID.")
    group_id = data.get("firewall_group_id") or ""
    if group_id and group_id not in world.state.groups:
        raise Refusal(400, "Invalid firewall group ID.")
    if len(world.state.instances) >= world.settings.instance_limit:
        raise Refusal(
            400, "Server add failed: You have reached the maximum number of active instances for this account."
        )
    return {**source, "region": region, "plan": plan, "firewall_group_id": group_id, **_network(world, data, region)}


def stock(world: World, region: str) -> list[str]:
    """Return the plans that a region has now."""
    plans = [plan["id"] for plan in catalogue.plans() if region in plan["locations"]]
    return [plan for plan in plans if plan not in world.settings.sold_out]


def _source(world: World, data: dict[str, Any]) -> dict[str, Any]:
    given = [name for name in SOURCES if data.get(name)]
    if given == ["os_id"]:
        os_id = number(data["os_id"]) if world.settings.tolerate_text else data["os_id"]
        if not catalogue.has_system(os_id):
            raise Refusal(400, "Invalid os_id.")
        return {"os_id": os_id, "snapshot": None}
    if given == ["snapshot_id"]:
        snapshot: Snapshot | None = world.state.snapshots.get(data["snapshot_id"])
        if snapshot is None or snapshot.status != "complete":
            raise Refusal(400, "Invalid snapshot_id.")
        if snapshot.disk > catalogue.plan(data["plan"])["disk"]:
            raise Refusal(400, "The plan is too small for this snapshot.")  # the real text is not known
        return {"os_id": SNAPSHOT_OS, "snapshot": snapshot}
    if len(given) == 1:
        raise Refusal(400, f"The test cloud boots nothing by {given[0]}.")
    raise Refusal(400, f"Please provide exactly one of {', '.join(SOURCES)}.")


def _network(world: World, data: dict[str, Any], region: str) -> dict[str, Any]:
    vpc_ids, vpc_only = data.get("attach_vpc") or [], data.get("vpc_only", False)
    for vpc_id in vpc_ids:
        if vpc_id not in world.state.vpcs:
            raise Refusal(400, "Invalid VPC ID.")
        if world.state.vpcs[vpc_id].region != region:
            raise Refusal(400, "The VPC network is not in the instance's region.")
    if not vpc_ids and data.get("enable_vpc"):
        vpc_ids = [_only_vpc(world, region)]
    if vpc_only and not any(world.state.vpcs[vpc_id].gateways for vpc_id in vpc_ids):
        raise Refusal(400, "vpc_only requires a VPC with a NAT gateway.")
    ipv6 = data.get("enable_ipv6", False) and not vpc_only
    # Without IPv6 the option has no effect (description of disable_public_ipv4).
    ipv4 = not vpc_only and not (ipv6 and data.get("disable_public_ipv4"))
    return {"vpc_ids": vpc_ids, "vpc_only": vpc_only, "ipv6": ipv6, "ipv4": ipv4}


def _only_vpc(world: World, region: str) -> str:
    """Return the region's VPC, and create it if there is none. If there are several, the request must name one."""
    here = [vpc.id for vpc in world.state.vpcs.values() if vpc.region == region]
    if len(here) > 1:
        raise Refusal(400, "There are several VPCs in this region: use attach_vpc.")
    return here[0] if here else new_vpc(world, region, f"made for an instance in {region}").id


def _make(world: World, data: dict[str, Any], plan: dict[str, Any]) -> Instance:
    """Create an instance; nothing can fail at this point."""
    now, label = world.clock(), data.get("label") or ""
    fault = world.faults.of_machine(label)
    made = Instance(
        id=world.uuid(),
        label=label,
        hostname=data.get("hostname") or "vultr.guest",
        user_data=decoded(data.get("user_data") or ""),
        tags=list(data.get("tags") or ([data["tag"]] if data.get("tag") else [])),
        key_ids=list(data.get("sshkey_id") or []),
        backups=data.get("backups") == "enabled",
        user_scheme=data.get("user_scheme") or "root",
        addresses=world.machines.backend.take(plan["ipv4"]),
        created=now,
        active_at=NEVER if fault.never_active else now + world.settings.active_after,
        password=world.secret("{Aa0"),
        console=world.secret("djJ8"),
        fault=fault,
        **plan,
    )
    world.state.instances[made.id] = made
    world.state.made += 1
    if data.get("activation_email", True):
        world.state.mails.append(label)
    _boot(world, made)
    return made


def _boot(world: World, it: Instance) -> None:
    image = (it.snapshot.id, it.snapshot.description) if it.snapshot else (str(it.os_id), catalogue.system(it.os_id))
    private = {} if it.vpc_ids else {"private_ip": ""}
    keys = tuple(world.state.keys[key_id].ssh_key for key_id in it.key_ids)
    world.boot(it, hostname=it.hostname, public_keys=keys, image=image[0], image_name=image[1], tags=tuple(it.tags),
               region=it.region, size=it.plan, **private)  # fmt: skip
