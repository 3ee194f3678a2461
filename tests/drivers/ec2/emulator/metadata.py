"""EC2's instance metadata, version 2: every request needs a token, which a client gets with PUT."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

from tests.machines.metadata import Instance, Provider, Reply
from tests.machines.network import Interface

TOKEN_PATH = "/latest/api/token"  # noqa: S105 - where to ask for one
TTL, TOKEN = "x-aws-ec2-metadata-token-ttl-seconds", "x-aws-ec2-metadata-token"
LONGEST = 21600  #: seconds that a token may be valid for
VERSION = re.compile(r"latest|\d{4}-\d\d-\d\d")
REGION = "eu-west-1"
CLOUD_CONFIG = """\
network: {config: disabled}
# A machine here has no udev that could report interfaces that are plugged in later.
updates: {network: {when: [boot-new-instance]}}
"""
#: the clients of bookworm and trixie
DHCP_CLIENTS = ("/usr/sbin/dhclient", "/usr/sbin/dhcpcd")
MISSING: Reply = (404, "text/html", b"<html><title>404 - Not Found</title></html>")
UNAUTHORIZED: Reply = (401, "text/html", b"<html><title>401 - Unauthorized</title></html>")


def service(spec: Instance, interfaces: tuple[Interface, ...], dns: tuple[str, ...]) -> Provider:
    """Return the function that answers for an instance."""
    tokens: set[str] = set()

    def answer(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if method == "PUT":
            return _token(tokens, path, headers)
        if headers.get(TOKEN) not in tokens:
            return UNAUTHORIZED
        return _from_tree(ec2(spec, interfaces), path)

    return answer


def _token(tokens: set[str], path: str, headers: Mapping[str, str]) -> Reply:
    seconds = headers.get(TTL, "")
    if path != TOKEN_PATH:
        return MISSING
    if "x-forwarded-for" in headers:
        return 403, "text/html", b"<html><title>403 - Forbidden</title></html>"
    if not seconds.isdigit() or not 1 <= int(seconds) <= LONGEST:
        return 400, "text/html", b"<html><title>400 - Bad Request</title></html>"
    token = secrets.token_urlsafe(40)
    tokens.add(token)
    return 200, "text/plain", token.encode()


def ec2(spec: Instance, interfaces: tuple[Interface, ...]) -> dict[str, Any]:
    """
    Return everything below a version, as nested mappings and texts.

    An instance has one interface, whose address is the private one; the public address by which it is reached is not on
    the instance. If ``spec.metadata`` is a mapping, it adds its fields to ``meta-data``; a function returns the present
    value of a field, or None. There is no SSH key, because hart passes none.
    """
    fields = {} if callable(spec.metadata) else dict(spec.metadata)
    present = {name: value() if callable(value) else value for name, value in fields.items()}
    # A name in a list that then does not exist stops cloud-init.
    extra = {name: value for name, value in present.items() if value is not None}
    by_kind = {interface.kind: interface for interface in interfaces}
    primary, private = interfaces[0], by_kind["private"].address
    public = {"public-ipv4": by_kind["public"].address} if "public" in by_kind else {}
    name = f"ip-{private.replace('.', '-')}.{REGION}.compute.internal"
    facts = {
        "ami-id": "ami-00000000000000000",
        "hostname": name,
        "instance-id": spec.instance_id,
        "instance-life-cycle": "on-demand",
        "instance-type": "t3.micro",
        "local-hostname": name,
        "local-ipv4": private,
        "mac": primary.mac,
        **public,
    }
    mac = {"device-number": "0", "local-ipv4s": private, "mac": primary.mac, "vpc-id": "vpc-00000000000000000"}
    zone = f"{REGION}a"
    placement = {"availability-zone": zone, "region": REGION}
    identity = {"instanceId": spec.instance_id, "privateIp": private, "region": REGION, "availabilityZone": zone}
    return {
        "meta-data": {
            **facts,
            "network": {"interfaces": {"macs": {primary.mac: mac}}},
            "placement": placement,
            **extra,
        },
        "dynamic": {"instance-identity": {"document": json.dumps(identity)}},
        **({"user-data": spec.user_data} if spec.user_data else {}),
    }


def _from_tree(tree: Mapping[str, Any], path: str) -> Reply:
    """Return a value, or the names below it; names with further levels end with a slash."""
    version, *parts = [part for part in path.partition("?")[0].split("/") if part] or [""]
    found: Any = tree if VERSION.fullmatch(version) else None
    for part in parts:
        found = found.get(part) if isinstance(found, Mapping) else None
    if found is None:
        return MISSING
    if isinstance(found, Mapping):
        found = "\n".join(f"{name}/" if isinstance(below, Mapping) else name for name, below in found.items())
    return 200, "text/plain", str(found).encode()


def files(spec: Instance, interfaces: tuple[Interface, ...]) -> dict[str, str]:
    """
    Return the files that give a machine its network.

    On EC2 addresses come by DHCP, and cloud-init requests one even before it has the metadata. There is no DHCP server
    here: the files give the machine its addresses, as if it already had a lease, and configure cloud-init to leave the
    network alone. cloud-init finds the metadata when the network is up. Files that cannot be run replace the DHCP
    clients, because cloud-init would wait a minute for an answer.
    """
    units = {
        f"/etc/systemd/network/10-cloud-init-{it.name}.network": _unit(it, gateway=it is interfaces[0])
        for it in interfaces
    }
    clients = dict.fromkeys(DHCP_CLIENTS, "# nobody would answer\n")
    return {"/etc/cloud/cloud.cfg.d/95_network.cfg": CLOUD_CONFIG, **clients, **units}


def _unit(interface: Interface, *, gateway: bool) -> str:
    lines = [
        "[Match]", f"MACAddress={interface.mac}", "[Network]", "DHCP=no",
        f"Address={interface.address}/{_length(interface.netmask)}",
    ]  # fmt: skip
    return "\n".join([*lines, *([f"Gateway={interface.gateway}"] if gateway else []), ""])


def notices(action: str, time: str, rebalance: str = "") -> dict[str, Any]:
    """Return the fields of ``meta-data`` that announce an interruption, or that one has become more likely."""
    spot = {"spot": {"instance-action": json.dumps({"action": action, "time": time})}} if action else {}
    hint = {"events": {"recommendations": {"rebalance": json.dumps({"noticeTime": rebalance})}}} if rebalance else {}
    return {**spot, **hint}


def _length(netmask: str) -> int:
    return sum(int(part).bit_count() for part in netmask.split("."))
