"""What tests of the emulated Vultr share: a client that hides nothing."""

from __future__ import annotations

from typing import Any

import requests

from tests.drivers.vultr.emulator.cloud import Vultr

TIMEOUT = 10.0
SPEC = {"plan": "vc2-1c-1gb", "os_id": 2136, "region": "ams"}


class Client:
    """Calls with the key; the answers are ``requests``' own."""

    def __init__(self, cloud: Vultr) -> None:
        self.cloud = cloud
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {cloud.token}"

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """One call; ``path`` is below ``/v2/``."""
        return self._session.request(method, f"{self.cloud.endpoint}/{path}", json=body, timeout=TIMEOUT, **more)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET, which has to succeed."""
        answer = self.call("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def make(self, path: str, field: str, **body: Any) -> Any:
        """Create something and return it."""
        answer = self.call("POST", path, body)
        assert answer.status_code in (201, 202), answer.text
        return answer.json()[field]

    def create(self, label: str = "app-1", **more: Any) -> Any:
        """Create an instance and return it."""
        return self.make("instances", "instance", **{"label": label, "activation_email": False, **SPEC, **more})

    def refused(self, **body: Any) -> tuple[int, str]:
        """Status and message of a create that is refused; the account is as before."""
        before = self.cloud.state.left()
        answer = self.call("POST", "instances", {"label": "app-1", **SPEC, **body})
        assert self.cloud.state.left() == before
        assert answer.json()["status"] == answer.status_code
        return answer.status_code, answer.json()["error"]

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
