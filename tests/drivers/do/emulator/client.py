"""What tests of the emulated DigitalOcean share: a clock that stands still, and a client that hides nothing."""

from __future__ import annotations

from typing import Any

import asyncssh
import requests

from tests.drivers.do.emulator.cloud import DigitalOcean

TIMEOUT = 10.0
SPEC = {"size": "s-1vcpu-1gb", "image": "debian-12-x64", "region": "nyc3"}


class Clock:
    """The time, which passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Client:
    """Calls with the token; the answers are ``requests``' own."""

    def __init__(self, cloud: DigitalOcean) -> None:
        self.cloud = cloud
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {cloud.token}"

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """One call; ``path`` is below ``/v2/``."""
        return self._session.request(method, self.cloud.endpoint + path, json=body, timeout=TIMEOUT, **more)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET, which has to succeed."""
        answer = self.call("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def create(self, name: str = "app-1", **more: Any) -> Any:
        """Create a droplet and return it."""
        answer = self.call("POST", "droplets", {"name": name, **SPEC, **more})
        assert answer.status_code == 202, answer.text
        return answer.json()["droplet"]

    def refused(self, **body: Any) -> tuple[int, str]:
        """Status and message of a create that is refused; the account is as before."""
        before = self.cloud.state.left()
        answer = self.call("POST", "droplets", {"name": "app-1", **SPEC, **body})
        assert self.cloud.state.left() == before
        return answer.status_code, answer.json()["message"]

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def public_key(number: int = 0) -> str:
    """A key line of the right form; nobody has its private half."""
    key = asyncssh.generate_private_key("ssh-ed25519", comment=f"key-{number}")
    return key.export_public_key().decode().strip()
