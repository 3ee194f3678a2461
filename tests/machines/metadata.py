"""
The provider's metadata service of one machine, at 169.254.169.254 port 80 in the machine.

The socket is opened in the machine's network namespace and served by the test's process. No other machine can reach it,
and it never conflicts with the same address of the host, which may be an instance of a cloud itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any, Protocol

from tests.machines import links

#: status, content type and body, and the provider's further headers if there are any
Reply = tuple[int, str, bytes] | tuple[int, str, bytes, Mapping[str, str]]
#: method, path with its query, and request headers → reply; None for the provider's usual reply
Answer = Callable[[str, str, Mapping[str, str]], "Reply | None"]
Provider = Callable[[str, str, Mapping[str, str]], Reply]


class Instance(Protocol):
    """The fields that a metadata document is made from; ``machines.Spec`` has them."""

    @property
    def instance_id(self) -> str: ...
    @property
    def hostname(self) -> str: ...
    @property
    def user_data(self) -> str: ...
    @property
    def public_keys(self) -> tuple[str, ...]: ...
    @property
    def datasource(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, Any] | Answer: ...


def dmi(spec: Instance) -> dict[str, str]:
    """
    Return the firmware's fields by which cloud-init recognises the provider, as on the provider's hardware.

    ``ds-identify`` and the datasource itself compare ``sys_vendor``. The serial is the instance's id; cloud-init also
    uses it to distinguish a reboot from a new instance made from a snapshot.
    """
    digest = hashlib.sha256(spec.instance_id.encode()).hexdigest()
    ec2 = f"ec2{digest[:5]}-{digest[5:9]}-4{digest[9:12]}-8{digest[12:15]}-{digest[15:27]}"
    known = {
        "digitalocean": {"sys_vendor": "DigitalOcean", "product_name": "Droplet", "product_serial": spec.instance_id},
        "ec2": {"sys_vendor": "Amazon EC2", "product_uuid": ec2, "product_serial": ec2},
        "hetzner": {"sys_vendor": "Hetzner", "product_name": "vServer", "product_serial": spec.instance_id},
        "vultr": {"sys_vendor": "Vultr", "product_name": "VC2", "product_serial": spec.instance_id},
        "gce-startup": {"sys_vendor": "Google", "product_name": "Google Compute Engine"},
    }
    if spec.datasource not in known:
        raise ValueError(f"no datasource {spec.datasource}: there are {', '.join(known)}")
    return known[spec.datasource]


class MetadataService:
    """The service of one machine, from before its boot until it is gone."""

    def __init__(self, namespace: str, spec: Instance, provider: Provider) -> None:
        #: the requested paths, for tests
        self.asked: list[str] = []
        self._provider = provider
        self._own = spec.metadata if callable(spec.metadata) else None
        self._server = _server(links.listening_socket(namespace, links.METADATA, 80), self)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metadata", daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, headers: Mapping[str, str]) -> Reply:
        """Answer one request; the names of ``headers`` are in lower case."""
        self.asked.append(path)
        own = self._own(method, path, headers) if self._own else None
        return own or self._provider(method, path, headers)


class LoopbackService(MetadataService):
    """The service of a machine that is this one: a minion here asks it at ``address`` and ``port``."""

    address = "127.0.0.1"

    def __init__(self, provider: Provider) -> None:
        self.asked = []
        self._provider, self._own = provider, None
        listening = socket.create_server((self.address, 0), backlog=16)
        self.port: int = listening.getsockname()[1]
        self._server = _server(listening, self)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metadata", daemon=True).start()


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True


def _server(listening: Any, service: MetadataService) -> _Server:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30  # a killed machine does not close its connections

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, kind, body, *more = service.answer(self.command, self.path, headers)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            with contextlib.suppress(ConnectionError):  # a client that waited for a change may be gone
                self.end_headers()
                self.wfile.write(body)

        do_PUT = do_GET  # noqa: N815 - EC2's and Vultr's tokens are asked for so

        def log_message(self, *_: object) -> None:
            """Log nothing: ``asked`` has the requested paths."""

    server = _Server((links.METADATA, 80), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    return server
