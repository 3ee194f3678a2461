"""
Vultr's own description of its API, of February 2023, and additions for what the API got since then.

The additions are made by hand from the vendor's client for Go: vultr/govultr at 9ee451b of July 2026, in the files
that are named beside them.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

from tests.emulation import schema
from tests.emulation.schema import Description

SPECIFICATION = "vultr-v2-subset.json"
TEXT, FLAG, NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "number"}
#: instance.go: InstanceCreateReq
CREATE = {
    "disable_public_ipv4": FLAG,
    "vpc_only": FLAG,
    "user_scheme": TEXT,
    "app_variables": {"type": "object"},
    "block_devices": {"type": "array", "items": {"type": "object"}},
}
#: instance.go: Instance
INSTANCE = {
    "vpc_only": FLAG,
    "v6_network": TEXT,
    "v6_main_ip": TEXT,
    "v6_network_size": {"type": "integer"},
    "snapshot_id": TEXT,
    "user_scheme": TEXT,
}
#: plans.go: Plan; costs are no longer whole dollars
PLAN = {"monthly_cost": NUMBER}
#: snapshot.go: Snapshot
SNAPSHOT = {"compressed_size": {"type": "integer"}}
#: reserved_ip.go: ReservedIP
RESERVED = {
    "id": TEXT, "region": TEXT, "ip_type": TEXT, "subnet": TEXT, "subnet_size": {"type": "integer"}, "label": TEXT,
    "instance_id": TEXT,
}  # fmt: skip


@functools.cache
def find() -> Description | None:
    """Return the description, or None if it is absent."""
    found = schema.paths_of(SPECIFICATION)
    if found is None:
        return None
    paths = {path: {name: it for name, it in parts.items() if name != "parameters"} for path, parts in found.items()}
    _add(_request(paths["/instances"]["post"]), CREATE)
    _add(_answer(paths["/instances"]["post"], "202")["instance"]["properties"], INSTANCE)
    _add(_answer(paths["/instances"]["get"], "200")["instances"]["items"]["properties"], INSTANCE)
    for method, status in (("get", "200"), ("patch", "202")):
        _add(_answer(paths["/instances/{instance-id}"][method], status)["instance"]["properties"], INSTANCE)
    _add(_answer(paths["/plans"]["get"], "200")["plans"]["items"]["properties"], PLAN)
    one, several = paths["/snapshots"]["post"], paths["/snapshots"]["get"]
    _add(_answer(one, "201")["snapshot"]["properties"], SNAPSHOT)
    _add(_answer(several, "200")["snapshots"]["items"]["properties"], SNAPSHOT)
    paths.update(_addresses())
    paths["/snapshots/{snapshot-id}"] = _snapshot(_answer(one, "201"))
    return Description({f"/v2{path}": methods for path, methods in paths.items()})


def _add(properties: dict[str, Any], more: Mapping[str, Any]) -> None:
    properties.update(copy.deepcopy(dict(more)))


def _request(operation: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
    return found


def _answer(operation: Mapping[str, Any], status: str) -> dict[str, Any]:
    found: dict[str, Any] = operation["responses"][status]["content"]["application/json"]["schema"]["properties"]
    return found


def _addresses() -> dict[str, Any]:
    """Return the calls that the subset at hand lacks, in short form (reserved_ip.go, instance.go)."""
    shape = {"type": "object", "properties": RESERVED, "required": ["id", "subnet"], "additionalProperties": False}
    one = {"type": "object", "properties": {"reserved_ip": shape}, "required": ["reserved_ip"]}
    several = {"type": "object", "properties": {"reserved_ips": {"type": "array", "items": shape}, "meta": {}}}
    none: dict[str, Any] = {"responses": {"204": {}}}
    return {
        "/reserved-ips": {
            "get": {"responses": {"200": _json({**several, "required": ["reserved_ips", "meta"]})}},
            "post": {"requestBody": _json(_object("region", "ip_type")), "responses": {"201": _json(one)}},
        },
        "/reserved-ips/{reserved-ip}": {"get": {"responses": {"200": _json(one)}}, "delete": none},
        "/reserved-ips/{reserved-ip}/attach": {"post": {"requestBody": _json(_object("instance_id")), **none}},
        "/reserved-ips/{reserved-ip}/detach": {"post": none},
        "/instances/{instance-id}/ipv4/{ipv4}": {"delete": none},
        "/instances/{instance-id}/vpcs/detach": {"post": {"requestBody": _json(_object("vpc_id")), **none}},
    }


def _snapshot(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the calls for one snapshot that the subset at hand lacks (description, snapshot.go)."""
    one = {"type": "object", "properties": dict(properties), "required": ["snapshot"]}
    none: dict[str, Any] = {"responses": {"204": {}}}
    return {
        "get": {"responses": {"200": _json(one)}},
        "put": {"requestBody": _json(_object("description")), **none},
        "delete": none,
    }


def _json(what: Mapping[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": dict(what)}}}


def _object(*required: str) -> dict[str, Any]:
    return {"type": "object", "properties": dict.fromkeys(required, TEXT), "required": list(required)}
