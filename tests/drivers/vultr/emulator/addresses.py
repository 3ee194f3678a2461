"""
Addresses of instances, and reserved addresses.

The calls are those of the vendor's description (vultr/vultr-python-client) and its client for Go (vultr/govultr,
reserved_ip.go and instance.go). Messages of refusals are those that users reported
(vultr/terraform-provider-vultr#322 and #348); of the others, the text is not known.
"""

from __future__ import annotations

from typing import Any

from tests.drivers.vultr.emulator import answers
from tests.drivers.vultr.emulator import catalog as catalogue
from tests.drivers.vultr.emulator.answers import Refusal
from tests.drivers.vultr.emulator.instances import instance_of
from tests.drivers.vultr.emulator.routes import ROUTER, body_of, route
from tests.drivers.vultr.emulator.state import Instance, Reserved, World
from tests.emulation.backend import Addresses
from tests.emulation.http import Answer, Request

TAKEN = "Floating IPv4 address is already attached to another server"
STUCK = "Unable to detach subnet, please restart your server from the control panel"
NETMASK = "255.255.254.0"


# addresses of an instance


@route("GET", "/instances/{}/ipv4")
def list_ipv4(world: World, request: Request, instance_id: str) -> Answer:
    """List the addresses with their kinds; a new one appears after ``Settings.ipv4_after``."""
    it = instance_of(world, instance_id)
    main = [(it.addresses.public, "main_ip")] if it.addresses.public else []
    inside = [(it.addresses.private, "private")] if it.vpc_ids else []
    more = [(ip, "secondary_ip") for ip, since in it.additional.items() if world.clock() >= since]
    more += [(one.subnet, "secondary_ip") for one in world.state.reserved.values() if one.instance_id == it.id]
    shown = [*main, *more, *inside] if it.is_active(world.clock()) else []
    return answers.page(
        world, request, "ipv4s", shown,
        lambda pair: {"ip": pair[0], "netmask": NETMASK, "gateway": "", "type": pair[1], "reverse": ""},
    )  # fmt: skip


@route("POST", "/instances/{}/ipv4")
def add_ipv4(world: World, request: Request, instance_id: str) -> Answer:
    """Add an address and answer 202. By default, the instance is restarted."""
    it = instance_of(world, instance_id)
    if not it.ipv4 or len(it.additional) >= world.settings.ipv4_limit:
        raise Refusal(400, "You have reached the maximum number of IPv4 addresses for this server.")
    ip = str(world.machines.backend.take(True).public)
    it.additional[ip] = world.clock() + world.settings.ipv4_after
    it.restarts += body_of(request).get("reboot", True)
    shown = {"ip": ip, "netmask": NETMASK, "gateway": "", "type": "secondary_ip", "reverse": ""}
    return Answer(202, {"ipv4": shown})


@route("DELETE", "/instances/{}/ipv4/{}")
def delete_ipv4(world: World, request: Request, instance_id: str, ip: str) -> Answer:
    """Remove an additional address and answer 204."""
    it = instance_of(world, instance_id)
    if it.additional.pop(ip, None) is None:
        raise Refusal(400, "Invalid IPv4 address.")
    world.machines.backend.give_back(Addresses(ip, ""))
    return Answer(204)


@route("GET", "/instances/{}/vpcs")
def list_vpcs_of(world: World, request: Request, instance_id: str) -> Answer:
    """List the private networks of an instance."""
    it = instance_of(world, instance_id)
    shown = it.vpc_ids if it.is_active(world.clock()) else []
    return answers.page(
        world, request, "vpcs", shown,
        lambda vpc_id: {"id": vpc_id, "mac_address": it.vpc_mac, "ip_address": it.addresses.private},
    )  # fmt: skip


@route("POST", "/instances/{}/vpcs/attach")
def attach_vpc(world: World, request: Request, instance_id: str) -> Answer:
    """Attach a VPC and answer 204. The instance is restarted, and has one more interface (tent, 3.5)."""
    it, vpc_id = instance_of(world, instance_id), body_of(request).get("vpc_id")
    answers.found(world.state.vpcs, vpc_id, "VPC ID")
    if vpc_id not in it.vpc_ids:
        if not it.vpc_ids:
            it.vpc_mac = int(world.machines.plug(it.id, it.addresses.private).replace(":", ""), 16)
        it.vpc_ids.append(str(vpc_id))
        it.restarts += 1
    return Answer(204)


@route("POST", "/instances/{}/vpcs/detach")
def detach_vpc(world: World, request: Request, instance_id: str) -> Answer:
    """Detach a VPC and answer 204. It is an assumption that this also restarts the instance."""
    it, vpc_id = instance_of(world, instance_id), body_of(request).get("vpc_id")
    if vpc_id not in it.vpc_ids:
        raise Refusal(404, "Invalid VPC ID.")
    it.vpc_ids.remove(str(vpc_id))
    it.restarts += 1
    if not it.vpc_ids:
        world.machines.unplug(it.id)
    return Answer(204)


# reserved addresses


def _reserved(world: World, reserved_id: Any) -> Reserved:
    return answers.found(world.state.reserved, reserved_id, "reserved IP ID")


ROUTER.lists("/reserved-ips", "reserved", lambda world, it: answers.reserved(it), "reserved_ips")
ROUTER.shows("/reserved-ips", "reserved_ip", _reserved, lambda world, it: answers.reserved(it))


@route("POST", "/reserved-ips")
def reserve(world: World, request: Request) -> Answer:
    """Reserve an address and answer 201."""
    data = body_of(request)
    if data.get("region") not in catalogue.REGIONS or data.get("ip_type") != "v4":
        raise Refusal(400, "Invalid region or ip_type.")
    return Answer(201, {"reserved_ip": answers.reserved(new_reserved(world, data["region"], data.get("label") or ""))})


def new_reserved(world: World, region: str, label: str = "") -> Reserved:
    """Return a new reserved address, which no instance has yet."""
    made = Reserved(world.uuid(), region, str(world.machines.backend.take(True).public), label)
    world.state.reserved[made.id] = made
    return made


@route("DELETE", "/reserved-ips/{}")
def delete_reserved(world: World, request: Request, reserved_id: str) -> Answer:
    """Release an address that no instance has."""
    one = _reserved(world, reserved_id)
    if one.instance_id:
        raise Refusal(400, STUCK)
    del world.state.reserved[one.id]
    world.machines.backend.give_back(Addresses(one.subnet, ""))
    return Answer(204)


@route("POST", "/reserved-ips/{}/attach")
def attach(world: World, request: Request, reserved_id: str) -> Answer:
    """Attach an address and answer 204. A second time is refused, even for the same instance."""
    one, instance_id = _reserved(world, reserved_id), str(body_of(request).get("instance_id"))
    it: Instance = instance_of(world, instance_id)
    if one.instance_id:
        raise Refusal(400, TAKEN)
    if it.region != one.region:
        raise Refusal(400, "Invalid region.")
    one.instance_id = it.id
    return Answer(204)


@route("POST", "/reserved-ips/{}/detach")
def detach(world: World, request: Request, reserved_id: str) -> Answer:
    """Detach an address and answer 204."""
    one = _reserved(world, reserved_id)
    if not one.instance_id:
        raise Refusal(400, "Reserved IP is not attached.")
    if world.settings.stuck:
        raise Refusal(400, STUCK)
    one.instance_id = ""
    return Answer(204)
