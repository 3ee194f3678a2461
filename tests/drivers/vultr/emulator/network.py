"""VPCs, their NAT gateways, and firewall groups (NAT gateways as in govultr, vpc.go)."""

from __future__ import annotations

import ipaddress
from typing import Any

from tests.drivers.vultr.emulator import answers
from tests.drivers.vultr.emulator import catalog as catalogue
from tests.drivers.vultr.emulator.answers import Refusal
from tests.drivers.vultr.emulator.routes import ROUTER, body_of, route
from tests.drivers.vultr.emulator.state import Group, Vpc, World
from tests.emulation.http import Answer, Request

DESCRIPTION_LIMIT = 255  #: longer text is truncated without an error (tent, 3.10)
RULES_LIMIT = 50
PROTOCOLS = ("icmp", "tcp", "udp", "gre", "esp", "ah")
VPCS_OF_A_REGION = 5


# VPCs


def _vpc(world: World, vpc_id: str) -> Vpc:
    return answers.found(world.state.vpcs, vpc_id, "VPC ID")


ROUTER.lists("/vpcs", "vpcs", lambda world, it: answers.vpc(it))
ROUTER.shows("/vpcs", "vpc", _vpc, lambda world, it: answers.vpc(it))


@route("POST", "/vpcs")
def create_vpc(world: World, request: Request) -> Answer:
    """Create a VPC and answer 201."""
    data = body_of(request)
    region = data.get("region", "")
    if region not in catalogue.REGIONS:
        raise Refusal(400, "Invalid region.")
    if sum(vpc.region == region for vpc in world.state.vpcs.values()) >= VPCS_OF_A_REGION:
        raise Refusal(400, "VPC limit reached for this region")
    subnet, mask = data.get("v4_subnet"), data.get("v4_subnet_mask")
    if subnet is not None:
        _check_network(subnet, mask)
    made = new_vpc(world, region, data.get("description") or "")
    if subnet is not None and mask is not None:
        made.v4_subnet, made.v4_subnet_mask = subnet, mask
    return Answer(201, {"vpc": answers.vpc(made)})


def new_vpc(world: World, region: str, description: str) -> Vpc:
    """Add a VPC with a subnet of the vendor's choice, and return it."""
    subnet = f"10.{64 + len(world.state.vpcs) % 64}.96.0"
    vpc = Vpc(world.uuid(), region, description[:DESCRIPTION_LIMIT], subnet, 20, world.clock())
    world.state.vpcs[vpc.id] = vpc
    return vpc


@route("DELETE", "/vpcs/{}")
def delete_vpc(world: World, request: Request, vpc_id: str) -> Answer:
    """Delete a VPC without servers. Deleted servers still count for a while."""
    vpc = _vpc(world, vpc_id)
    inside = [it.addresses.private for it in world.state.instances.values() if vpc.id in it.vpc_ids]
    address, moment = vpc.freed
    if not inside and world.clock() < moment + world.settings.vpc_busy_for:
        inside = [address]
    if inside:
        raise Refusal(400, f"The following servers are attached to this VPC network: {', '.join(inside)}")
    del world.state.vpcs[vpc.id]
    return Answer(204)


@route("GET", "/vpcs/{}/nat-gateway")
def list_gateways(world: World, request: Request, vpc_id: str) -> Answer:
    """List the NAT gateways of a VPC, which has one at most."""
    vpc = _vpc(world, vpc_id)
    return answers.page(world, request, "nat_gateways", vpc.gateways, lambda it: answers.gateway(vpc, it))


@route("POST", "/vpcs/{}/nat-gateway")
def create_gateway(world: World, request: Request, vpc_id: str) -> Answer:
    """Create a NAT gateway and answer 201."""
    vpc = _vpc(world, vpc_id)
    if vpc.gateways:
        raise Refusal(400, "This VPC has a NAT gateway already.")
    vpc.gateways.append(world.uuid())
    return Answer(201, {"nat_gateway": answers.gateway(vpc, vpc.gateways[0])})


# firewall groups


def _group(world: World, group_id: str) -> Group:
    return answers.found(world.state.groups, group_id, "firewall group ID")


ROUTER.lists("/firewalls", "groups", answers.group, "firewall_groups")
ROUTER.shows("/firewalls", "firewall_group", _group, answers.group)


@route("PUT", "/vpcs/{}")
@route("PUT", "/firewalls/{}")
def describe(world: World, request: Request, thing_id: str) -> Answer:
    """Change the description of a VPC or a firewall group."""
    it: Vpc | Group = _vpc(world, thing_id) if request.path.startswith("/v2/vpcs") else _group(world, thing_id)
    it.description = str(body_of(request).get("description") or "")[:DESCRIPTION_LIMIT]
    return Answer(204)


@route("POST", "/firewalls")
def create_group(world: World, request: Request) -> Answer:
    """Create a firewall group and answer 201. It has no rules, so it lets nothing in."""
    description = str(body_of(request).get("description") or "")[:DESCRIPTION_LIMIT]
    made = Group(world.uuid(), description, world.clock())
    world.state.groups[made.id] = made
    return Answer(201, {"firewall_group": answers.group(world, made)})


@route("DELETE", "/firewalls/{}")
def delete_group(world: World, request: Request, group_id: str) -> Answer:
    """Delete a firewall group, even if it is in use: its instances have no group then (tent, 3.6)."""
    del world.state.groups[_group(world, group_id).id]
    for it in world.state.instances.values():
        if it.firewall_group_id == group_id:
            it.firewall_group_id = ""
    return Answer(204)


@route("GET", "/firewalls/{}/rules")
def list_rules(world: World, request: Request, group_id: str) -> Answer:
    """List all rules of a group."""
    rules = list(_group(world, group_id).rules.values())
    return answers.page(world, request, "firewall_rules", rules, lambda it: it)


@route("POST", "/firewalls/{}/rules")
def add_rule(world: World, request: Request, group_id: str) -> Answer:
    """Add a rule and answer 201. The same rule is refused a second time."""
    group, data = _group(world, group_id), body_of(request)
    rule = _rule(data)
    if any({**it, "id": 0} == {**rule, "id": 0} for it in group.rules.values()):
        raise Refusal(400, "This rule is already defined ")
    if len(group.rules) >= RULES_LIMIT:
        raise Refusal(400, "This group has reached the maximum number of rules.")
    rule["id"] = group.next_rule
    group.next_rule += 1
    group.rules[rule["id"]] = rule
    return Answer(201, {"firewall_rule": rule})


@route("DELETE", "/firewalls/{}/rules/{}")
def delete_rule(world: World, request: Request, group_id: str, number: str) -> Answer:
    """Delete a rule and answer 204."""
    rules = _group(world, group_id).rules
    answers.found(rules, int(number) if number.isdigit() else number, "firewall rule")
    del rules[int(number)]
    return Answer(204)


def _rule(data: dict[str, Any]) -> dict[str, Any]:
    kind, protocol = data.get("ip_type"), str(data.get("protocol")).lower()
    if kind not in ("v4", "v6") or protocol not in PROTOCOLS:
        raise Refusal(400, "Invalid ip_type or protocol.")
    _check_network(data.get("subnet"), data.get("subnet_size"))
    if protocol in ("tcp", "udp") and not data.get("port"):
        raise Refusal(400, "Invalid port.")
    return {
        "id": 0,
        "type": kind,
        "ip_type": kind,
        "action": "accept",
        "protocol": protocol,
        "port": data.get("port") or "",
        "subnet": data["subnet"],
        "subnet_size": data["subnet_size"],
        "source": data.get("source") or f"{data['subnet']}/{data['subnet_size']}",
        "notes": data.get("notes") or "",
    }


def _check_network(subnet: Any, size: Any) -> None:
    try:
        ipaddress.ip_network(f"{subnet}/{size}", strict=False)
    except ValueError as error:
        raise Refusal(400, "Invalid subnet") from error
