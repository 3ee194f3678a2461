"""DigitalOcean's metadata: ``/metadata/v1.json``, and each of its values at a path of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.machines.metadata import Instance, Provider
from tests.machines.network import Interface


def service(spec: Instance, interfaces: tuple[Interface, ...], dns: tuple[str, ...]) -> Provider:
    """Return the function that answers for a droplet."""
    document = digitalocean(spec, interfaces, dns)
    return lambda method, path, headers: _from_document(document, path)


def digitalocean(spec: Instance, interfaces: tuple[Interface, ...], dns: tuple[str, ...]) -> dict[str, Any]:
    """
    Return DigitalOcean's document, ``/metadata/v1.json``, which cloud-init's datasource reads as a whole.

    If ``spec.metadata`` is a mapping, its fields are added, such as ``region`` and ``tags``.
    """
    extra = {} if callable(spec.metadata) else dict(spec.metadata)
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for interface in interfaces:
        address = {"ip_address": interface.address, "netmask": interface.netmask, "gateway": interface.gateway}
        by_kind[interface.kind] = [{"ipv4": address, "mac": interface.mac, "type": interface.kind}]
    return {
        "droplet_id": int(spec.instance_id) if spec.instance_id.isdigit() else spec.instance_id,
        "hostname": spec.hostname,
        "vendor_data": "",
        "user_data": spec.user_data,
        "public_keys": list(spec.public_keys),
        "region": "test1",
        "interfaces": by_kind,
        "dns": {"nameservers": list(dns)},
        "floating_ip": {"ipv4": {"active": False}},
        "reserved_ip": {"ipv4": {"active": False}},
        "tags": [],
        "features": {"dhcp_enabled": False},
        **extra,
    }


def _from_document(document: Mapping[str, Any], path: str) -> tuple[int, str, bytes]:
    """Answer ``/metadata/v1.json``; for ``/metadata/v1/<path>``, answer with one value or with the names below it."""
    parts = [part for part in path.partition("?")[0].split("/") if part]
    if parts == ["metadata", "v1.json"]:
        return 200, "application/json", json.dumps(document).encode()
    value: Any = document if parts[:2] == ["metadata", "v1"] else None
    for part in parts[2:]:
        value = _below(value, {"id": "droplet_id"}.get(part, part.replace("-", "_")))
    if value is None:
        return 404, "text/plain", b"not found\n"
    return 200, "text/plain", _as_text(value).encode()


def _below(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, list) and name.isdigit() and int(name) < len(value):
        return value[int(name)]
    return None


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{name}/" if isinstance(below, (Mapping, list)) else name for name, below in value.items())
    if isinstance(value, list):
        return "\n".join(f"{at}/" if isinstance(item, Mapping) else str(item) for at, item in enumerate(value))
    return str(value)
