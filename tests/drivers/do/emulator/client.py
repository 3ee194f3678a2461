"""What tests of the emulated DigitalOcean share: a clock that stands still, and a client that hides nothing."""

from __future__ import annotations

from typing import Any

import asyncssh

from tests.emulation import client

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


class Client(client.Client):
    """Makes droplets."""

    def create(self, name: str = "app-1", **more: Any) -> Any:
        """Create a droplet and return it."""
        return self.make("droplets", "droplet", **{"name": name, **SPEC, **more})

    def refused(self, **body: Any) -> tuple[int, str]:
        """Status and message of a create that is refused; the account is as before."""
        answer = self.refusal("droplets", **{"name": "app-1", **SPEC, **body})
        return answer.status_code, answer.json()["message"]


def public_key(number: int = 0) -> str:
    """A key line of the right form; nobody has its private half."""
    key = asyncssh.generate_private_key("ssh-ed25519", comment=f"key-{number}")
    return key.export_public_key().decode().strip()
