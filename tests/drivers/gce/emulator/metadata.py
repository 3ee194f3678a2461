"""
Google's metadata below ``/computeMetadata/v1/``, and the files of a machine that boots as at Google.

Google's own Debian images have no cloud-init. Every base has Debian's package ``google-guest-agent``, switched off;
here it is switched on. It is Google's program: its agent makes the host keys at the first boot, and
``google-startup-scripts.service`` runs the metadata's ``startup-script`` at each boot. Addresses are static, because
there is no DHCP server here.

Facts about the service are from cloud.google.com/compute/docs/metadata and from the guest agent's source.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.machines.metadata import Instance, Provider, Reply
from tests.machines.network import Interface

ROOT = "/computeMetadata/v1"
SCRIPT = "startup-script"
UNITS = "google-guest-agent.service google-startup-scripts.service"
LOOK = 0.2  #: seconds between two checks for a change that a client waits for

NETWORK = """\
[Match]
MACAddress={mac}

[Network]
Address={address}/{netmask}
{routes}IPv6AcceptRA=no
LinkLocalAddressing=no
"""


def files(spec: Instance, interfaces: tuple[Interface, ...]) -> dict[str, str]:
    """Return the files that such a machine has when it boots. Its first interface has the default route."""
    addresses = {
        f"/etc/systemd/network/05-{interface.name}.network": NETWORK.format(
            mac=interface.mac, address=interface.address, netmask=_length(interface.netmask),
            routes="" if number else f"Gateway={interface.gateway}\n",
        )
        for number, interface in enumerate(interfaces)
    }  # fmt: skip
    return {
        **addresses,
        "/etc/cloud/cloud-init.disabled": "",
        "/etc/hostname": f"{spec.hostname}\n",
        "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {spec.hostname}\n169.254.169.254 metadata.google.internal\n",
        "/etc/systemd/system/multi-user.target.d/google.conf": f"[Unit]\nWants={UNITS}\n",
    }


def _length(netmask: str) -> int:
    return sum(bin(int(part)).count("1") for part in netmask.split("."))


def service(spec: Instance, interfaces: tuple[Interface, ...], dns: tuple[str, ...]) -> Provider:
    """
    Return the provider of an instance's metadata.

    ``spec.metadata`` may have ``attributes``, a function that returns the current metadata of the instance. If this
    includes a startup script, the script is ``spec.user_data``, unless that is empty. It may also have ``notices``, a
    function that returns the present values of ``preempted`` and ``maintenanceEvent``.
    """
    return lambda method, path, headers: _answer(lambda: document(spec, interfaces, dns), path, headers)


def document(spec: Instance, interfaces: tuple[Interface, ...], dns: tuple[str, ...]) -> dict[str, Any]:
    """Return the whole document."""
    zone = "projects/4711/zones/us-central1-b"
    return {
        "instance": {
            "attributes": _attributes(spec),
            "description": "",
            "disks": [],
            "hostname": f"{spec.hostname}.us-central1-b.c.hart-test-1.internal",
            "id": int(spec.instance_id),
            "licenses": [],
            "machineType": f"{zone.rpartition('/')[0]}/machineTypes/e2-small",
            "maintenanceEvent": "NONE",
            "name": spec.hostname,
            "networkInterfaces": [_interface(interfaces, dns)],
            "preempted": "FALSE",
            "serviceAccounts": {},
            "tags": [],
            "virtualClock": {"driftToken": "0"},
            "zone": zone,
            **_notices(spec),
        },
        "project": {"attributes": {}, "numericProjectId": 4711, "projectId": "hart-test-1"},
    }


def _notices(spec: Instance) -> dict[str, str]:
    known: Callable[[], Mapping[str, str]] | None = None
    if not callable(spec.metadata):
        known = spec.metadata.get("notices")
    return dict(known()) if known else {}


def _attributes(spec: Instance) -> dict[str, str]:
    known: Callable[[], Mapping[str, str]] | None = None
    if not callable(spec.metadata):
        known = spec.metadata.get("attributes")
    attributes = dict(known()) if known else {SCRIPT: spec.user_data}
    if SCRIPT in attributes:
        attributes[SCRIPT] = spec.user_data
    return {name: value for name, value in attributes.items() if value}


def _interface(interfaces: tuple[Interface, ...], dns: tuple[str, ...]) -> dict[str, Any]:
    """Return the only interface that an instance has at Google: a public address is translated to the private one."""
    private, public = interfaces[-1], interfaces[0].address if len(interfaces) > 1 else ""
    access = [{"externalIp": public, "type": "ONE_TO_ONE_NAT"}] if public else []
    return {
        "accessConfigs": access, "dnsServers": list(dns), "forwardedIps": [], "gateway": private.gateway,
        "ip": private.address, "ipAliases": [], "mac": private.mac, "mtu": 1460,
        "network": "projects/4711/networks/default", "subnetmask": private.netmask, "targetInstanceIps": [],
    }  # fmt: skip


def _answer(ask: Callable[[], dict[str, Any]], path: str, headers: Mapping[str, str]) -> Reply:
    """Answer a request with ``Metadata-Flavor: Google``; no request that merely follows a link has this header."""
    place, query = urlsplit(path).path, parse_qs(urlsplit(path).query)
    if headers.get("metadata-flavor") != "Google" or "x-forwarded-for" in headers:
        return 403, "text/html", b"Missing Metadata-Flavor:Google header.\n"
    if not place.startswith(ROOT):
        return 404, "text/html", b"not found\n"
    parts = [part for part in place.removeprefix(ROOT).split("/") if part]
    found = _below(ask(), parts)
    if query.get("wait_for_change") == ["true"]:
        found = _changed(ask, parts, found, query)
    return _shown(found, recursive=query.get("recursive") == ["true"] or query.get("alt") == ["json"])


def _changed(ask: Callable[[], dict[str, Any]], parts: list[str], found: Any, query: Mapping[str, list[str]]) -> Any:
    """Wait until the value differs from what the client knows, or until the client's timeout."""
    known = query.get("last_etag", [_etag(found)])[0]
    deadline = time.monotonic() + float(query.get("timeout_sec", ["60"])[0])
    while _etag(found) == known and time.monotonic() < deadline:
        time.sleep(LOOK)
        found = _below(ask(), parts)
    return found


def _below(value: Any, parts: list[str]) -> Any:
    """Return the value at a path. Unlike paths, the document has no dashes in its names, except in a user's names."""
    for number, part in enumerate(parts):
        if isinstance(value, list):
            value = value[int(part)] if part.isdecimal() and int(part) < len(value) else None
        elif isinstance(value, Mapping):
            own = number and parts[number - 1] == "attributes"
            value = value.get(part if own else _camel(part))
        else:
            return None
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(word.title() for word in rest)


def _shown(found: Any, *, recursive: bool) -> Reply:
    if found is None:
        return 404, "text/html", b"not found\n"
    headers = {"Metadata-Flavor": "Google", "ETag": _etag(found)}
    if recursive:
        return 200, "application/json", json.dumps(found).encode(), headers
    if isinstance(found, Mapping):
        names = (f"{name}/" if isinstance(value, (Mapping, list)) else name for name, value in found.items())
        return 200, "application/text", "".join(f"{name}\n" for name in names).encode(), headers
    if isinstance(found, list):
        return 200, "application/text", "".join(f"{number}/\n" for number in range(len(found))).encode(), headers
    return 200, "application/text", str(found).encode(), headers


def _etag(found: Any) -> str:
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]
