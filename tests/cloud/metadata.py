"""
The provider's metadata service of one machine, at 169.254.169.254 port 80 inside it.

The socket is opened in the machine's network namespace and served from the test's process: no other machine
can ask it, and the host's own such address (a test may run on a cloud's instance) is never touched.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any, Protocol

from tests.cloud import links
from tests.cloud.network import Interface

#: path and request headers → status, content type and body; None for "as the provider answers by itself"
Answer = Callable[[str, Mapping[str, str]], "tuple[int, str, bytes] | None"]


class Instance(Protocol):
    """What a document is made from; ``machines.Spec`` is one."""

    instance_id: str
    hostname: str
    user_data: str
    public_keys: tuple[str, ...]
    datasource: str
    metadata: Mapping[str, Any] | Answer


def dmi(spec: Instance) -> dict[str, str]:
    """
    Return the firmware's fields by which cloud-init knows the provider, as on the provider's hardware.

    ``ds-identify`` and the datasource itself compare ``sys_vendor``; the serial is the instance's id, by which
    cloud-init also tells a reboot from a new instance that was made from a snapshot.
    """
    digest = hashlib.sha256(spec.instance_id.encode()).hexdigest()
    ec2 = f"ec2{digest[:5]}-{digest[5:9]}-4{digest[9:12]}-8{digest[12:15]}-{digest[15:27]}"
    known = {
        "digitalocean": {"sys_vendor": "DigitalOcean", "product_name": "Droplet", "product_serial": spec.instance_id},
        "ec2": {"sys_vendor": "Amazon EC2", "product_uuid": ec2, "product_serial": ec2},
        "vultr": {"sys_vendor": "Vultr", "product_name": "VC2", "product_serial": spec.instance_id},
        "gce-startup": {"sys_vendor": "Google", "product_name": "Google Compute Engine"},
    }
    if spec.datasource not in known:
        raise ValueError(f"no datasource {spec.datasource}: there are {', '.join(known)}")
    return known[spec.datasource]


def digitalocean(spec: Instance, interfaces: tuple[Interface, ...], dns: tuple[str, ...]) -> dict[str, Any]:
    """
    Return DigitalOcean's document, ``/metadata/v1.json``, which its datasource reads as a whole.

    A mapping as ``spec.metadata`` adds fields to it, such as ``region`` and ``tags``.
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


class MetadataService:
    """The service of one machine, from before it boots until it is gone."""

    def __init__(self, namespace: str, spec: Instance, document: Mapping[str, Any]) -> None:
        self.document = document
        #: the paths that were asked for, for tests that look
        self.asked: list[str] = []
        self._own = spec.metadata if callable(spec.metadata) else None
        self._server = _server(links.listening_socket(namespace, links.METADATA, 80), self)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metadata", daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        """Return status, content type and body."""
        self.asked.append(path)
        own = self._own(path, headers) if self._own else None
        return own or _from_document(self.document, path)


def _from_document(document: Mapping[str, Any], path: str) -> tuple[int, str, bytes]:
    """Answer ``/metadata/v1.json``, and ``/metadata/v1/<path>`` with one value or the names below it."""
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


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True


def _server(listening: Any, service: MetadataService) -> _Server:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30  # a machine that was killed says no goodbye

        def do_GET(self) -> None:
            status, kind, body = service.answer(self.path, dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET  # noqa: N815 - EC2's and Vultr's tokens are asked for so

        def log_message(self, *_: object) -> None:
            """Quiet: ``asked`` keeps what was asked for."""

    server = _Server((links.METADATA, 80), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    return server
