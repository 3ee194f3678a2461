"""Sources of apt that fail, a proxy for apt, and Salt's repository signed at this moment."""

from __future__ import annotations

import urllib.error
import urllib.request
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.machines import repository
from tests.machines.servers import Servers

#: a repository without a signature
RELEASE = b"Suite: stable\nCodename: stable\nDate: Sat, 01 Jan 2022 00:00:00 UTC\nComponents: main\n"
UNSIGNED = "/unsigned/dists/stable/Release"


class Mirrors:
    """One server for all of them."""

    def __init__(self) -> None:
        self.url = ""
        #: the file with the key that signs the repository at ``fresh``
        self.fresh_key = Path()
        #: the URLs that machines requested through the proxy
        self.forwarded: list[str] = []
        self._servers = Servers()

    def open(self, address: str, repositories: Path, place: Path) -> None:
        """Serve at a free port of an address, with Salt's repository of ``repositories`` again, made in ``place``."""
        self.fresh_key = repository.signed_now(repositories, place)
        server = ThreadingHTTPServer((address, 0), partial(_Handler, self.forwarded, place / "www"))
        server.daemon_threads = True
        self._servers.begin(server, "mirrors")
        self.url = f"http://{address}:{server.server_address[1]}"

    def close(self) -> None:
        """Stop serving."""
        self._servers.close()

    @property
    def fresh(self) -> str:
        """Salt's repository, signed now."""
        return f"{self.url}/fresh"

    @property
    def missing(self) -> str:
        """A source that is not there: 404."""
        return f"{self.url}/missing"

    @property
    def unsigned(self) -> str:
        """A source without a signature."""
        return f"{self.url}/unsigned"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # a killed machine does not close its connections

    def __init__(self, forwarded: list[str], fresh: Path, *arguments: Any) -> None:
        self.forwarded = forwarded
        self.fresh = fresh
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self.path.startswith("http://"):  # a client sends the whole URL to a proxy only
            self.forwarded.append(self.path)
            self._answer(*_fetched(self.path))
            return
        self._answer(*self._file())

    def _file(self) -> tuple[int, bytes]:
        if self.path == UNSIGNED:
            return 200, RELEASE
        file = self.fresh / self.path.removeprefix("/fresh/")
        if self.path.startswith("/fresh/") and file.is_file():
            return 200, file.read_bytes()
        return 404, b""

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: ``forwarded`` has the requested URLs."""


def _fetched(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - a proxy of machines without a network
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
