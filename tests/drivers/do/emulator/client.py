"""Shared parts for tests of the emulated DigitalOcean: a manual clock, and a client that hides nothing."""

from __future__ import annotations

from typing import Any

import asyncssh

from tests.emulation import client

SPEC = {"size": "s-1vcpu-1gb", "image": "debian-12-x64", "region": "nyc3"}


class Clock:
    """A clock whose time passes only when a test advances it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Client(client.Client):
    """A client that creates droplets."""

    def create(self, name: str = "app-1", **more: Any) -> Any:
        """Create a droplet and return it."""
        return self.make("droplets", "droplet", **{"name": name, **SPEC, **more})

    def refused(self, **body: Any) -> tuple[int, str]:
        """Return status and message of a create that is refused and leaves the account unchanged."""
        answer = self.refusal("droplets", **{"name": "app-1", **SPEC, **body})
        return answer.status_code, answer.json()["message"]


def public_key(number: int = 0) -> str:
    """Return a key line in the right form; nobody has its private key."""
    key = asyncssh.generate_private_key("ssh-ed25519", comment=f"key-{number}")
    return key.export_public_key().decode().strip()
