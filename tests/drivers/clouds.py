"""The clouds whose APIs are asked over the network, for tests that are the same for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hart_salt.drivers.contract import Driver
from tests.drivers.do import driver as do_driver
from tests.drivers.ec2 import driver as ec2_driver
from tests.drivers.gce import driver as gce_driver
from tests.drivers.hetzner import driver as hetzner_driver
from tests.drivers.vultr import driver as vultr_driver

MODULES: dict[str, Any] = {
    "do": do_driver, "ec2": ec2_driver, "gce": gce_driver, "hetzner": hetzner_driver, "vultr": vultr_driver,
}  # fmt: skip


def driver_of(kind: str, cloud: Any, time: do_driver.Time, directory: Path, **account: Any) -> Driver:
    """The driver for an emulated cloud; ``directory`` is for what it keeps between calls, if it keeps anything."""
    place = (directory,) if kind == "ec2" else ()
    driver: Driver = MODULES[kind].driver_of(cloud, time, *place, **account)
    return driver
