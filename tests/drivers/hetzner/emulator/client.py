"""A client for tests of the emulated Hetzner Cloud that hides nothing."""

from __future__ import annotations

from typing import Any

from tests.emulation import client

SPEC = {"server_type": "cx23", "image": "debian-12", "location": "fsn1"}


class Client(client.Client):
    """A client that creates servers."""

    def create(self, name: str = "app-1", **more: Any) -> Any:
        """Create a server and return it."""
        return self.make("servers", "server", **{"name": name, **SPEC, **more})

    def refused(self, **body: Any) -> tuple[int, str, str]:
        """Return status, code and message of a create that is refused and leaves the project unchanged."""
        answer = self.refusal("servers", **{"name": "app-1", **SPEC, **body})
        error = answer.json()["error"]
        return answer.status_code, error["code"], error["message"]
