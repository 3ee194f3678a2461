"""The clouds with APIs on the network, for tests that run over all of them."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from hart_salt.drivers import schemas
from hart_salt.drivers.contract import Driver

#: the clouds with a ``driver.py`` beside their tests; ``local`` has no network
CLOUDS = tuple(name for name in schemas() if Path(__file__).with_name(name).joinpath("driver.py").is_file())


def module_of(kind: str) -> ModuleType:
    """Import and return the cloud's own ``driver.py`` beside its tests, because no test needs all emulators."""
    return importlib.import_module(f"tests.drivers.{kind}.driver")


def driver_of(kind: str, cloud: Any, time: Any, directory: Path, **account: Any) -> Driver:
    """Return the driver of an emulated cloud; ``directory`` is for its cache between calls, if it has one."""
    place = (directory,) if kind == "ec2" else ()
    driver: Driver = module_of(kind).driver_of(cloud, time, *place, **account)
    return driver
