"""The clouds whose APIs are asked over the network, for tests that are the same for all of them."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from hart_salt.drivers import schemas
from hart_salt.drivers.contract import Driver

#: those that have a ``driver.py`` beside their tests; ``local`` is on no network
CLOUDS = tuple(name for name in schemas() if Path(__file__).with_name(name).joinpath("driver.py").is_file())


def module_of(kind: str) -> ModuleType:
    """The cloud's own ``driver.py`` beside its tests, imported when it is asked for: no test needs all emulators."""
    return importlib.import_module(f"tests.drivers.{kind}.driver")


def driver_of(kind: str, cloud: Any, time: Any, directory: Path, **account: Any) -> Driver:
    """The driver for an emulated cloud; ``directory`` is for what it keeps between calls, if it keeps anything."""
    place = (directory,) if kind == "ec2" else ()
    driver: Driver = module_of(kind).driver_of(cloud, time, *place, **account)
    return driver
