"""A client for tests of the emulated Vultr that hides nothing."""

from __future__ import annotations

from typing import Any

from tests.emulation import client

SPEC = {"plan": "vc2-1c-1gb", "os_id": 2136, "region": "ams"}


class Client(client.Client):
    """A client that creates instances."""

    def create(self, label: str = "app-1", **more: Any) -> Any:
        """Create an instance and return it."""
        return self.make("instances", "instance", **{"label": label, "activation_email": False, **SPEC, **more})

    def refused(self, **body: Any) -> tuple[int, str]:
        """Return status and message of a create that is refused and leaves the account unchanged."""
        answer = self.refusal("instances", **{"label": "app-1", **SPEC, **body})
        assert answer.json()["status"] == answer.status_code
        return answer.status_code, answer.json()["error"]
