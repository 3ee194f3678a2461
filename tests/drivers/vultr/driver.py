"""What the tests of the driver ``vultr`` share: a cloud whose time passes when the driver waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hart_salt.config.schema import Provider
from hart_salt.config.settings import Settings
from hart_salt.drivers.vultr import driver as vultr
from hart_salt.model import Instance, MasterInfo, Node
from tests.drivers.do.driver import BATCH, KEY, OWNER, SCRIPT, Time
from tests.drivers.vultr.emulator.client import Client as Client
from tests.drivers.vultr.emulator.cloud import Vultr as Cloud
from tests.drivers.vultr.emulator.state import Settings as Switches
from tests.emulation.backend import NoMachines

CREATE = r"/v2/instances$"
INSTANCE = r"/v2/instances/[0-9a-f-]+$"


@contextmanager
def open_cloud(time: Time, **switches: Any) -> Iterator[Cloud]:
    """A cloud without machines; every request to it has to be as the vendor describes it."""
    given = {"active_after": 10, "second_limit": None, **switches}  # the clock stands still between waits
    with Cloud(NoMachines(), settings=Switches(**given), clock=time) as cloud:
        yield cloud
        assert cloud.defects == []
        assert cloud.faults.pending() == [], "a fault that never struck tested nothing"
        assert cloud.said_against() == []


def driver_of(
    cloud: Cloud, time: Time, *, owner: str = OWNER, token: str | None = None, **account: Any
) -> vultr.Vultr:
    """The driver for an account; ``owner`` is the master's."""
    master = MasterInfo("m", owner, "key", "3008.3", "127.0.0.1", 4505, 4506, "cache", "log")
    settings = {"token": token or cloud.token, "endpoint": cloud.endpoint, **account}
    return vultr.Vultr(Provider("vultr", "vultr", vultr.Account(**settings)), master, sleep=time.sleep)


def node(minion_id: str = "w1.example.com", *, options: dict[str, Any] | None = None, **settings: Any) -> Node:
    """A node as it is wanted."""
    return Node(
        minion_id, "db.main", "vultr", "vultr", "ams", None, "vc2-1c-1gb", Settings(**settings),
        vultr.Options(**(options or {})), {}, BATCH,
    )  # fmt: skip


def launch(driver: vultr.Vultr, wanted: Node) -> Instance:
    """Launch and leave; the instance stays."""
    with driver.access(BATCH, KEY, []) as access:
        return driver.launch(wanted, SCRIPT, access)


def left(cloud: Cloud) -> dict[str, list[str]]:
    """What is left."""
    return {kind: names for kind, names in cloud.state.left().items() if names}
