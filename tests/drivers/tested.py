"""What the tests of several clouds share: open the cloud, make its driver, launch. ``Tested`` has the differences."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hart_salt.config.schema import Provider
from hart_salt.config.settings import Settings
from hart_salt.drivers.contract import Driver
from hart_salt.model import Instance, MasterInfo, Node
from tests.drivers.do.emulator.client import Clock, public_key
from tests.emulation.backend import NoMachines
from tests.emulation.emulator import Emulator

OWNER = "ab12" * 4
BATCH = "0123456789ab"
KEY = public_key()
SCRIPT = "#!/bin/sh\n"


class Time(Clock):
    """The cloud's clock, which the driver's waits advance; ``waits`` has the seconds of each."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Advance the clock instead of waiting."""
        self.waits.append(seconds)
        self.advance(seconds)


@contextmanager
def served(cloud: Emulator) -> Iterator[Any]:
    """Serve a cloud; every request must match the vendor's description."""
    with cloud:
        yield cloud
        assert cloud.defects == []
        assert cloud.faults.pending() == [], "a fault that never struck tested nothing"
        assert cloud.said_against() == []


def master_of(owner: str, cachedir: str = f"{os.devnull}/cache") -> MasterInfo:
    """Return the master of a driver."""
    return MasterInfo("m", owner, "key", "3008.3", "127.0.0.1", 4505, 4506, cachedir, "log")


def launch(driver: Driver, wanted: Node) -> Instance:
    """Launch a node and leave the access; the instance stays."""
    with driver.access(BATCH, KEY, []) as access:
        return driver.launch(wanted, SCRIPT, access)


def body_of_post(cloud: Emulator, path: str) -> dict[str, Any]:
    """Return the body of the only POST to a path, which is a regular expression."""
    (call,) = [call for call in cloud.calls if call.method == "POST" and re.search(path, call.path)]
    return dict(call.body)


@dataclass(frozen=True)
class Tested:
    """A cloud with a token, for its tests."""

    name: str
    #: the emulator, the dataclass of its switches, and non-default values
    emulator: Any
    switches: Any
    usual: Mapping[str, Any]
    #: the driver's module, and the name of its class there
    module: Any
    driver: str
    #: the path of the create call, as a regular expression
    create: str
    #: the region and the size of a node
    region: str
    size: str

    def open_cloud(self, time: Time, **switches: Any) -> Any:
        """Open a cloud without machines, with the driver's clock. A context manager."""
        settings = self.switches(**{**self.usual, **switches})
        return served(self.emulator(NoMachines(), settings=settings, clock=time))

    def driver_of(self, cloud: Any, time: Time, *, owner: str = OWNER, token: str | None = None, **account: Any) -> Any:
        """Return the driver of an account; ``owner`` is the master's."""
        settings = {"token": token or cloud.token, "endpoint": cloud.endpoint, **account}
        provider = Provider(self.name, self.name, self.module.Account(**settings))
        return getattr(self.module, self.driver)(provider, master_of(owner), sleep=time.sleep)

    def api(self, cloud: Any, time: Time, *, token: str | None = None, endpoint: str | None = None) -> Any:
        """Return the driver's client, with a timeout of 60 s."""
        client = importlib.import_module(f"hart_salt.drivers.{self.name}.client")
        return client.Api(token or cloud.token, endpoint or cloud.endpoint, 60, time.sleep)

    def node(
        self, minion_id: str = "w1.example.com", *, options: dict[str, Any] | None = None, **settings: Any
    ) -> Node:
        """Return a node."""
        return Node(
            minion_id, "db.main", self.name, self.name, self.region, None, self.size, Settings(**settings),
            self.module.Options(**(options or {})), {}, BATCH,
        )  # fmt: skip

    def create_body(self, cloud: Any) -> dict[str, Any]:
        """Return the body of the only create call."""
        return body_of_post(cloud, self.create)

    def left(self, cloud: Any) -> dict[str, list[str]]:
        """Return what is left."""
        return {kind: names for kind, names in cloud.state.left().items() if names}
