"""What the tests of the driver ``hetzner`` share: a cloud whose time passes when the driver waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hart_salt.config.schema import Provider
from hart_salt.config.settings import Settings
from hart_salt.drivers.hetzner import driver as hetzner
from hart_salt.model import Instance, MasterInfo, Node
from tests.drivers.do.driver import BATCH, KEY, OWNER, SCRIPT, Time
from tests.drivers.hetzner.emulator.client import Client as Client
from tests.drivers.hetzner.emulator.cloud import Hetzner as Cloud
from tests.drivers.hetzner.emulator.state import Settings as Switches
from tests.emulation.backend import NoMachines

CREATE = r"/v1/servers$"
SERVER = r"/v1/servers/[0-9]+$"
KEYS = r"/v1/ssh_keys$"
KEY_PATH = r"/v1/ssh_keys/[0-9]+$"
#: an id that nothing has
NOWHERE = "999999999"


@contextmanager
def open_cloud(time: Time, **switches: Any) -> Iterator[Cloud]:
    """A cloud without machines; every request to it has to be as the vendor describes it."""
    given = {"running_after": 10, "burst": None, **switches}  # the clock stands still between waits
    with Cloud(NoMachines(), settings=Switches(**given), clock=time) as cloud:
        yield cloud
        assert cloud.defects == []
        assert cloud.faults.pending() == [], "a fault that never struck tested nothing"
        assert cloud.said_against() == []


def driver_of(
    cloud: Cloud, time: Time, *, owner: str = OWNER, token: str | None = None, **account: Any
) -> hetzner.Hetzner:
    """The driver for a project; ``owner`` is the master's."""
    master = MasterInfo("m", owner, "key", "3008.3", "127.0.0.1", 4505, 4506, "cache", "log")
    settings = {"token": token or cloud.token, "endpoint": cloud.endpoint, **account}
    return hetzner.Hetzner(Provider("hetzner", "hetzner", hetzner.Account(**settings)), master, sleep=time.sleep)


def node(minion_id: str = "w1.example.com", *, options: dict[str, Any] | None = None, **settings: Any) -> Node:
    """A node as it is wanted."""
    return Node(
        minion_id, "db.main", "hetzner", "hetzner", "fsn1", None, "cx23", Settings(**settings),
        hetzner.Options(**(options or {})), {}, BATCH,
    )  # fmt: skip


def launch(driver: hetzner.Hetzner, wanted: Node) -> Instance:
    """Launch and leave; the server stays."""
    with driver.access(BATCH, KEY, []) as access:
        return driver.launch(wanted, SCRIPT, access)


def left(cloud: Cloud) -> dict[str, list[str]]:
    """What is left."""
    return {kind: names for kind, names in cloud.state.left().items() if names}
