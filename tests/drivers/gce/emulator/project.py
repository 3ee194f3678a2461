"""The project itself: its places, networks, firewall rules and operations."""

from __future__ import annotations

import ipaddress
from typing import Any

from tests.drivers.gce.emulator import answers
from tests.drivers.gce.emulator import catalog as catalogue
from tests.drivers.gce.emulator.answers import Refusal, invalid, missing, when
from tests.drivers.gce.emulator.create import NAME
from tests.drivers.gce.emulator.filter import parse
from tests.drivers.gce.emulator.routes import body_of, repeatable, route
from tests.drivers.gce.emulator.state import Firewall, Operation, Subnet, World
from tests.emulation.http import Answer, Request


@route("GET", "", "Project")
def get_project(world: World, request: Request, project: str) -> Answer:
    """Return the project; this account cannot see another one."""
    if project != world.project:
        message = f"Required 'compute.projects.get' permission for 'projects/{project}'"
        raise Refusal(403, message, "forbidden")
    shown = {"kind": "compute#project", "id": "4711", "name": project, "creationTimestamp": when(world.clock()),
             "selfLink": answers.link(f"projects/{project}")}  # fmt: skip
    return Answer(200, shown)


# places


@route("GET", "/regions", "RegionList")
def list_regions(world: World, request: Request, project: str) -> Answer:
    """List all regions."""
    return answers.listing(world, request, "regionList", [_region(world, name) for name in catalogue.ZONES])


@route("GET", "/regions/{}", "Region")
def get_region(world: World, request: Request, project: str, name: str) -> Answer:
    """Return a region."""
    if name not in catalogue.ZONES:
        raise missing(f"projects/{project}/regions/{name}")
    return Answer(200, _region(world, name))


def _region(world: World, name: str) -> dict[str, Any]:
    place = answers.link(f"projects/{world.project}")
    used = [it for it in world.state.instances.values() if catalogue.region_of(it.zone) == name]
    quotas = {"INSTANCES": (world.settings.instance_limit, len(used)), "CPUS": (24, 2 * len(used))}
    return {
        "kind": "compute#region", "id": str(1000 + sum(name.encode())), "name": name, "description": name,
        "status": "UP", "zones": [f"{place}/zones/{zone}" for zone in catalogue.ZONES[name]],
        "selfLink": f"{place}/regions/{name}", "creationTimestamp": "1969-12-31T16:00:00.000-08:00",
        "quotas": [{"metric": it, "limit": limit, "usage": usage} for it, (limit, usage) in quotas.items()],
    }  # fmt: skip


@route("GET", "/zones", "ZoneList")
def list_zones(world: World, request: Request, project: str) -> Answer:
    """List all zones, including those that are not available."""
    found = [_zone(project, name) for name in catalogue.all_zones()]
    return answers.listing(world, request, "zoneList", found)


@route("GET", "/zones/{}", "Zone")
def get_zone(world: World, request: Request, project: str, name: str) -> Answer:
    """Return a zone."""
    if name not in catalogue.all_zones():
        raise missing(f"projects/{project}/zones/{name}")
    return Answer(200, _zone(project, name))


def _zone(project: str, name: str) -> dict[str, Any]:
    place = answers.link(f"projects/{project}")
    shown = {
        "kind": "compute#zone", "id": str(2000 + sum(name.encode())), "name": name, "description": name,
        "status": "DOWN" if name == catalogue.DOWN else "UP", "region": f"{place}/regions/{catalogue.region_of(name)}",
        "selfLink": f"{place}/zones/{name}", "creationTimestamp": "1969-12-31T16:00:00.000-08:00",
    }  # fmt: skip
    return {**shown, **({"deprecated": {"state": "DEPRECATED"}} if name == catalogue.DEPRECATED else {})}


# networks


@route("GET", "/global/networks", "NetworkList")
def list_networks(world: World, request: Request, project: str) -> Answer:
    """List all networks."""
    found = [_network(world, name) for name in world.state.networks]
    return answers.listing(world, request, "networkList", found)


@route("GET", "/global/networks/{}", "Network")
def get_network(world: World, request: Request, project: str, name: str) -> Answer:
    """Return a network."""
    if name not in world.state.networks:
        raise missing(f"projects/{project}/global/networks/{name}")
    return Answer(200, _network(world, name))


def _network(world: World, name: str) -> dict[str, Any]:
    path = f"projects/{world.project}/global/networks/{name}"
    return {"kind": "compute#network", "id": str(world.state.networks[name]), "name": name,
            "autoCreateSubnetworks": name == "default", "creationTimestamp": when(0),
            "selfLink": answers.link(path)}  # fmt: skip


@route("GET", "/regions/{}/subnetworks", "SubnetworkList")
def list_subnets(world: World, request: Request, project: str, region: str) -> Answer:
    """List the subnets of a region, of all networks and for all purposes."""
    if region not in catalogue.ZONES:
        raise missing(f"projects/{project}/regions/{region}")
    found = [_subnet(world, it) for it in world.state.subnets if it.region == region]
    return answers.listing(world, request, "subnetworkList", found)


@route("GET", "/regions/{}/subnetworks/{}", "Subnetwork")
def get_subnet(world: World, request: Request, project: str, region: str, name: str) -> Answer:
    """Return a subnet."""
    for it in world.state.subnets:
        if (it.region, it.name) == (region, name):
            return Answer(200, _subnet(world, it))
    raise missing(f"projects/{project}/regions/{region}/subnetworks/{name}")


def _subnet(world: World, it: Subnet) -> dict[str, Any]:
    place = answers.link(f"projects/{world.project}")
    gateway = next(ipaddress.ip_network(it.range).hosts())
    shown = {
        "kind": "compute#subnetwork", "id": str(it.id), "name": it.name, "ipCidrRange": it.range,
        "gatewayAddress": str(gateway), "network": f"{place}/global/networks/{it.network}", "purpose": it.purpose,
        "region": f"{place}/regions/{it.region}", "stackType": "IPV4_IPV6" if it.ipv6 else "IPV4_ONLY",
        "selfLink": f"{place}/regions/{it.region}/subnetworks/{it.name}", "creationTimestamp": when(0),
    }  # fmt: skip
    return {**shown, **({"ipv6AccessType": "EXTERNAL"} if it.ipv6 else {})}


# firewall rules


@route("GET", "/global/firewalls", "FirewallList")
def list_firewalls(world: World, request: Request, project: str) -> Answer:
    """List all firewall rules."""
    matches = parse(request.first("filter"))
    shown = [_firewall(world, it) for it in world.state.firewalls.values()]
    return answers.listing(world, request, "firewallList", [it for it in shown if matches(it)])


@route("GET", "/global/firewalls/{}", "Firewall")
def get_firewall(world: World, request: Request, project: str, name: str) -> Answer:
    """Return a firewall rule."""
    if name not in world.state.firewalls:
        raise missing(f"projects/{project}/global/firewalls/{name}")
    return Answer(200, _firewall(world, world.state.firewalls[name]))


def _firewall(world: World, it: Firewall) -> dict[str, Any]:
    network = answers.last(it.body.get("network", "default"))
    return {
        "priority": 1000, **it.body, "kind": "compute#firewall", "id": str(it.id),
        "creationTimestamp": when(it.created),
        "network": answers.link(f"projects/{world.project}/global/networks/{network}"),
        "selfLink": answers.link(f"projects/{world.project}/global/firewalls/{it.body['name']}"),
    }  # fmt: skip


@route("POST", "/global/firewalls", body="Firewall")
@repeatable
def add_firewall(world: World, request: Request, project: str) -> Operation:
    """Add a firewall rule, which exists when the operation has ended."""
    body = body_of(request, "Firewall")
    _check_firewall(world, body)
    name = body["name"]
    if name in world.state.firewalls:
        raise Refusal(409, f"The resource 'projects/{project}/global/firewalls/{name}' already exists", "alreadyExists")
    if len(world.state.firewalls) >= world.settings.firewall_limit:
        raise Refusal(403, f"Quota 'FIREWALLS' exceeded. Limit: {world.settings.firewall_limit}.0", "quotaExceeded")
    rule = Firewall(next(world.ids), body, world.clock())
    world.state.firewalls[name] = rule
    return world.begin("insert", "global", f"global/firewalls/{name}", rule.id, world.settings.operation_after)


def _check_firewall(world: World, body: dict[str, Any]) -> None:
    if not NAME.fullmatch(body.get("name", "")):
        raise invalid("resource.name", body.get("name", ""), f"Must be a match of regex '{NAME.pattern}'")
    if answers.last(body.get("network", "default")) not in world.state.networks:
        raise invalid("resource.network", body.get("network"), "The referenced network resource cannot be found.")
    for tag in body.get("targetTags", []):
        if not NAME.fullmatch(tag):
            raise invalid("resource.targetTags", tag, f"Must be a match of regex '{NAME.pattern}'")
    for text in body.get("sourceRanges", []):
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise invalid("resource.sourceRanges", text, "Must be a valid CIDR address range.") from None
    if not body.get("allowed"):
        raise invalid("resource.allowed", "", "A rule allows or denies something")
    for allowed in body["allowed"]:
        if allowed.get("IPProtocol") not in ("tcp", "udp", "icmp", "all"):
            raise invalid("resource.allowed[0].IPProtocol", allowed.get("IPProtocol"), "There is no such protocol")


@route("DELETE", "/global/firewalls/{}")
@repeatable
def delete_firewall(world: World, request: Request, project: str, name: str) -> Operation:
    """Delete a firewall rule, which exists until the operation has ended."""
    if name not in world.state.firewalls:
        raise missing(f"projects/{project}/global/firewalls/{name}")
    rule = world.state.firewalls[name]
    target, after = f"global/firewalls/{name}", world.settings.operation_after
    return world.begin("delete", "global", target, rule.id, after, lambda: world.state.firewalls.pop(name, None))


# operations


@route("GET", "/zones/{}/operations", "OperationList")
def zone_operations(world: World, request: Request, project: str, zone: str) -> Answer:
    """List the operations of a zone."""
    return _operations(world, request, f"zones/{zone}")


@route("GET", "/global/operations", "OperationList")
def global_operations(world: World, request: Request, project: str) -> Answer:
    """List the operations that belong to no zone."""
    return _operations(world, request, "global")


def _operations(world: World, request: Request, scope: str) -> Answer:
    matches = parse(request.first("filter"))
    shown = [answers.operation(world, it) for it in world.state.operations.values() if it.scope == scope]
    return answers.listing(world, request, "operationList", [it for it in shown if matches(it)])


@route("GET", "/zones/{}/operations/{}", "Operation")
@route("POST", "/zones/{}/operations/{}/wait", "Operation")
def zone_operation(world: World, request: Request, project: str, zone: str, name: str) -> Answer:
    """Return an operation of a zone. ``wait`` may answer before it has ended; here, it always answers at once."""
    return _operation(world, request, f"zones/{zone}", name)


@route("GET", "/global/operations/{}", "Operation")
@route("POST", "/global/operations/{}/wait", "Operation")
def global_operation(world: World, request: Request, project: str, name: str) -> Answer:
    """Return an operation that belongs to no zone."""
    return _operation(world, request, "global", name)


def _operation(world: World, request: Request, scope: str, name: str) -> Answer:
    found = world.state.operations.get(name)
    if found is None or found.scope != scope:
        raise missing(f"projects/{world.project}/{scope}/operations/{name}")
    return Answer(200, answers.operation(world, found))
