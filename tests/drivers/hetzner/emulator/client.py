"""What tests of the emulated Hetzner Cloud share: a client that hides nothing."""

from __future__ import annotations

from typing import Any

import requests

from tests.drivers.hetzner.emulator.cloud import Hetzner

TIMEOUT = 10.0
SPEC = {"server_type": "cx23", "image": "debian-12", "location": "fsn1"}


class Client:
    """Calls with the token; the answers are ``requests``' own."""

    def __init__(self, cloud: Hetzner) -> None:
        self.cloud = cloud
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {cloud.token}"

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """One call; ``path`` is below ``/v1/``."""
        return self._session.request(method, f"{self.cloud.endpoint}/{path}", json=body, timeout=TIMEOUT, **more)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET, which has to succeed."""
        answer = self.call("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def make(self, path: str, field: str, **body: Any) -> Any:
        """Create something and return it."""
        answer = self.call("POST", path, body)
        assert answer.status_code == 201, answer.text
        return answer.json()[field]

    def create(self, name: str = "app-1", **more: Any) -> Any:
        """Create a server and return it."""
        return self.make("servers", "server", **{"name": name, **SPEC, **more})

    def refused(self, **body: Any) -> tuple[int, str, str]:
        """Status, code and message of a create that is refused; the project is as before."""
        before = self.cloud.state.left()
        answer = self.call("POST", "servers", {"name": "app-1", **SPEC, **body})
        assert self.cloud.state.left() == before
        error = answer.json()["error"]
        return answer.status_code, error["code"], error["message"]
