"""
Hetzner's metadata, below ``/hetzner/v1/``, and what its images add to Debian's.

cloud-init's datasource reads ``metadata``, which is YAML, and ``userdata``. The network configuration in it covers only
the public interface, which gets its address by DHCP. ``hc-utils``, a package of Hetzner's images, brings up the
interfaces of private networks, by DHCP too. So both addresses here come from ``dhcp.py``.

Sources: docs.hetzner.cloud, *Server Metadata*, for the paths; cloud-init's DataSourceHetzner.py and its tests for what
is read; hetznercloud/cli#511 for the vendor-data, and for a network configuration that is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from tests.machines.metadata import Instance, Provider, Reply
from tests.machines.network import Interface

ROOT = "/hetzner/v1"
#: values that users can request one by one (docs)
SINGLE = ("hostname", "instance-id", "public-ipv4", "local-ipv4", "private-networks", "availability-zone", "region")
#: a configuration and an empty script, in one multipart message
VENDOR_DATA = """\
Content-Type: multipart/mixed; boundary="===============5184703028565742311=="
MIME-Version: 1.0

--===============5184703028565742311==
Content-Type: text/cloud-config; charset="us-ascii"
MIME-Version: 1.0
Content-Transfer-Encoding: 7bit
Content-Disposition: attachment; filename="cloud-config"

#cloud-config
fqdn: {hostname}
manage_etc_hosts: true
system_info:
  default_user: {{name: root, lock_passwd: true, shell: /bin/bash}}

--===============5184703028565742311==
Content-Type: text/cloud-boothook; charset="us-ascii"
MIME-Version: 1.0
Content-Transfer-Encoding: 7bit
Content-Disposition: attachment; filename="hc-boot-script"

#!/bin/bash

--===============5184703028565742311==--
"""
#: stands in for ``hc-utils``; if there is a public address as well, the default route goes through that
PRIVATE = """\
[Match]
MACAddress={mac}

[Network]
DHCP=ipv4
IPv6AcceptRA=no
LinkLocalAddressing=no

[DHCPv4]
UseRoutes={routes}
"""


def files(spec: Instance, interfaces: tuple[Interface, ...]) -> dict[str, str]:
    """Return the files that bring up the interface of a private network."""
    routes = "no" if len(interfaces) > 1 else "yes"
    return {
        f"/etc/systemd/network/60-hc-{it.name}.network": PRIVATE.format(mac=it.mac, routes=routes)
        for it in interfaces
        if it.kind == "private"
    }


def service(spec: Instance, interfaces: tuple[Interface, ...], dns: tuple[str, ...]) -> Provider:
    """Return the function that answers for a server."""
    document = hetzner(spec, interfaces, dns)
    known = {f"{ROOT}/metadata/{name}": _as_text(document.get(name, "")) for name in SINGLE}
    known[f"{ROOT}/metadata/private-networks"] = _as_text(_private(interfaces))
    known |= {f"{ROOT}/metadata": _as_text(document), f"{ROOT}/userdata": spec.user_data}

    def answer(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if path not in known:
            return 404, "text/plain", b"not found\n"
        return 200, "text/plain", known[path].encode()

    return answer


def hetzner(spec: Instance, interfaces: tuple[Interface, ...], dns: tuple[str, ...]) -> dict[str, Any]:
    """
    Return Hetzner's metadata document.

    If ``spec.metadata`` is a mapping, it adds its fields, such as ``region``.
    """
    extra = {} if callable(spec.metadata) else dict(spec.metadata)
    public = [it for it in interfaces if it.kind == "public"]
    return {
        "availability-zone": "fsn1-dc14",
        "hostname": spec.hostname,
        "instance-id": int(spec.instance_id),
        "local-ipv4": "",
        "network-config": {"version": 1, "config": [_network(it, dns) for it in public]},
        "public-ipv4": public[0].address if public else "",
        "public-keys": list(spec.public_keys),
        "region": "eu-central",
        "vendor_data": VENDOR_DATA.format(hostname=spec.hostname),
        **extra,
    }


def _network(it: Interface, dns: tuple[str, ...]) -> dict[str, Any]:
    subnet = {"dns_nameservers": list(dns), "ipv4": True, "type": "dhcp"}
    return {"mac_address": it.mac, "name": it.name, "subnets": [subnet], "type": "physical"}


def _private(interfaces: tuple[Interface, ...]) -> list[dict[str, Any]]:
    return [
        {"ip": it.address, "alias_ips": [], "interface_num": 1, "mac_address": it.mac, "network_id": 1234,
         "network_name": "inside", "gateway": it.gateway}
        for it in interfaces
        if it.kind == "private"
    ]  # fmt: skip


def _as_text(value: Any) -> str:
    """Return texts and numbers unchanged, and everything else as YAML."""
    return str(value) if isinstance(value, str | int) else yaml.safe_dump(value)
