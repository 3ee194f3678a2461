"""What the tests of the driver ``do`` share: a cloud whose time passes when the driver waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hart_salt.config.schema import Provider
from hart_salt.config.settings import Settings
from hart_salt.drivers.do import driver as do
from hart_salt.model import Instance, MasterInfo, Node
from tests.drivers.do.emulator.client import Client as Client
from tests.drivers.do.emulator.client import Clock, public_key
from tests.drivers.do.emulator.cloud import DigitalOcean as Cloud
from tests.drivers.do.emulator.state import Settings as Switches
from tests.emulation.backend import NoMachines

OWNER = "ab12" * 4
BATCH = "0123456789ab"
KEY = public_key()
CREATE = r"/v2/droplets$"
SCRIPT = "#!/bin/sh\n"
#: a UUID that nothing has
NOWHERE = "5a4981aa-9653-4bd1-bef5-d6bff52042e4"


class Time(Clock):
    """The cloud's clock, which the driver's waits move on; ``waits`` are the seconds of each."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Wait without waiting."""
        self.waits.append(seconds)
        self.advance(seconds)


@contextmanager
def open_cloud(time: Time, **switches: Any) -> Iterator[Cloud]:
    """A cloud without machines; every request to it has to be as the vendor describes it."""
    with Cloud(NoMachines(), settings=Switches(**{"active_after": 10, **switches}), clock=time) as cloud:
        yield cloud
        assert cloud.defects == []
        assert cloud.faults.pending() == [], "a fault that never struck tested nothing"
        assert cloud.said_against() == []


def driver_of(
    cloud: Cloud, time: Time, *, owner: str = OWNER, token: str | None = None, **account: Any
) -> do.DigitalOcean:
    """The driver for an account; ``owner`` is the master's."""
    master = MasterInfo("m", owner, "key", "3008.3", "127.0.0.1", 4505, 4506, "cache", "log")
    settings = {"token": token or cloud.token, "endpoint": cloud.endpoint, **account}
    return do.DigitalOcean(Provider("do", "do", do.Account(**settings)), master, sleep=time.sleep)


def node(minion_id: str = "w1.example.com", *, options: dict[str, Any] | None = None, **settings: Any) -> Node:
    """A node as it is wanted."""
    return Node(
        minion_id, "db.main", "do", "do", "nyc3", None, "s-1vcpu-1gb", Settings(**settings),
        do.Options(**(options or {})), {}, BATCH,
    )  # fmt: skip


def launch(driver: do.DigitalOcean, wanted: Node) -> Instance:
    """Launch and leave; the droplet stays."""
    with driver.access(BATCH, KEY, []) as access:
        return driver.launch(wanted, SCRIPT, access)


def left(cloud: Cloud) -> dict[str, list[str]]:
    """What is left but for the tags that stay: they say what is hart's, whose it is, and its role."""
    state = cloud.state.left()
    stay = {"hart", f"hart-owner:{OWNER}", "hart-role:db:main"}
    state["tags"] = [tag for tag in state["tags"] if tag not in stay]
    return {kind: names for kind, names in state.items() if names}
