"""
Vultr's metadata: ``/v1.json``, and the effect of its images and its vendor-data on a machine (tent, 3.4 and 3.6).

cloud-init's datasource for Vultr reads the document, with the header ``Metadata-Token: cloudinit``, and configures the
network from it: the first interface requests its address by DHCP, and the interfaces of private networks get the
address in the document. So a public address here comes from ``dhcp.py``, by the interface's hardware address.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

from tests.machines.metadata import Instance, Provider, Reply
from tests.machines.network import Interface

#: root's first password, on every machine
PASSWORD = "a-first-password-of-Vultr-s"  # noqa: S105 - of machines that nobody reaches
SSHD = "/etc/ssh/sshd_config.d/60-vultr.conf"

CLOUD_CONFIG = f"""\
#cloud-config
package_upgrade: false
disable_root: false
ssh_pwauth: true
chpasswd:
  expire: false
  users:
    - {{name: root, password: {PASSWORD}, type: text}}
"""
OPEN_SSH = f"""\
#!/bin/sh
sed -i '/^ListenAddress 127/d' {SSHD}
systemctl try-reload-or-restart ssh
"""


def files(spec: Instance, interfaces: tuple[Interface, ...]) -> dict[str, str]:
    """
    Return the files of Vultr's images: sshd can be reached only after a script of the vendor-data has run, and
    cloud-init does not ask Vultr again at a later boot.
    """
    return {
        SSHD: "PermitRootLogin yes\nListenAddress 127.0.0.1\n",
        "/etc/cloud/cloud.cfg.d/95_vultr.cfg": "manual_cache_clean: true\n",
    }


def service(spec: Instance, interfaces: tuple[Interface, ...], dns: tuple[str, ...]) -> Provider:
    """Return the function that answers for an instance."""
    document = vultr(spec, interfaces)

    def answer(method: str, path: str, headers: Mapping[str, str]) -> Reply:
        if path == "/v1.json":
            return 200, "application/json", json.dumps(_for(document, headers)).encode()
        known = {"/": "latest\nv1\nv1.json\n", "/latest/user-data": str(document["user-data"])}
        known |= {f"/v1/{name}": value for name, value in document.items() if isinstance(value, str)}
        if path not in known:
            return 404, "text/plain", b"not found\n"
        return 200, "text/plain", known[path].encode()

    return answer


def vultr(spec: Instance, interfaces: tuple[Interface, ...]) -> dict[str, Any]:
    """
    Return Vultr's document.

    If ``spec.metadata`` is a mapping, its fields are added, such as ``region``. The field for tags exists but is empty.
    """
    extra = {} if callable(spec.metadata) else dict(spec.metadata)
    return {
        "bgp": {"ipv4": {"my-address": "", "my-asn": "", "peer-address": "", "peer-asn": ""}},
        "hostname": spec.hostname,
        "instanceid": "42506325",
        "instance-v2-id": spec.instance_id,
        "interfaces": [_interface(it) for it in interfaces],
        "public-keys": list(spec.public_keys),
        "region": {"regioncode": "AMS", "countrycode": "NL"},
        "tags": [],
        "startup-script": "",
        "user-data": spec.user_data,
        "vendor-data": vendor_data(),
        **extra,
    }


def _interface(it: Interface) -> dict[str, Any]:
    private = it.kind == "private"
    gateway = {} if private else {"gateway": it.gateway}
    return {
        "ipv4": {"address": it.address, "netmask": it.netmask, **gateway, "additional": []},
        "ipv6": {"additional": []},
        "mac": it.mac,
        "network-type": it.kind,
        **({"mtu": "1450", "network-v2-id": "d2e9d3a0-0000-4000-8000-000000000000"} if private else {}),
    }


def _for(document: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the document; only a client with cloud-init's own header gets the vendor-data."""
    is_cloud_init = headers.get("metadata-token") == "cloudinit"
    return dict(document) if is_cloud_init else {**document, "vendor-data": ""}


def vendor_data() -> str:
    """Return a configuration and a script in one multipart message; user-data do not replace them."""
    message = MIMEMultipart(boundary="vultr")
    message.attach(MIMEText(CLOUD_CONFIG, "cloud-config"))
    message.attach(MIMEText(OPEN_SSH, "x-shellscript"))
    return message.as_string()
