"""
The registry of drivers: our own, and those of other packages.

Another package adds a driver with an entry point in the group ``hart_salt.drivers``: the entry point's name is the
driver's name, and its object is the driver class. Our own drivers are imported on demand, because their SDKs are heavy.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from hart_salt.base.errors import Refused
from hart_salt.config.schema import Schema
from hart_salt.drivers.capabilities import CAPABILITIES
from hart_salt.drivers.contract import Driver

ENTRY_POINT_GROUP = "hart_salt.drivers"
#: our drivers by name, with the name of the place of their instances; a new driver needs a line here and a folder
OWN: Mapping[str, str] = {
    "do": "DigitalOcean",
    "ec2": "Amazon EC2",
    "gce": "Google Compute Engine",
    "hetzner": "Hetzner Cloud",
    "local": "this machine",
    "vultr": "Vultr",
}


def schemas() -> Mapping[str, Schema]:
    """Return the settings schema of each known driver, by the driver's name."""
    own = {name: importlib.import_module(f"hart_salt.drivers.{name}.driver").SCHEMA for name in OWN}
    return {**{name: cls.schema for name, cls in _foreign().items()}, **own}


def driver_class(name: str) -> type[Driver]:
    """
    Return the class of a driver.

    Raises ``Refused`` if the driver belongs to another package and cannot be loaded.
    """
    if name not in OWN:
        return _foreign()[name]
    cls: type[Driver] = importlib.import_module(f"hart_salt.drivers.{name}.driver").DRIVER
    return cls


def supported() -> dict[str, tuple[str, ...]]:
    """Return which of our drivers have each capability, by the first sentence of the capability's docstring."""
    classes = {name: driver_class(name) for name in OWN}
    return {
        (inspect.getdoc(capability) or "").partition("\n\n")[0]: tuple(
            name for name, cls in classes.items() if issubclass(cls, capability)
        )
        for capability in CAPABILITIES
    }


def _foreign() -> dict[str, type[Driver]]:
    return {point.name: _load(point) for point in entry_points(group=ENTRY_POINT_GROUP)}


def _load(point: EntryPoint) -> type[Driver]:
    try:
        cls: type[Driver] = point.load()
    except Exception as error:
        raise Refused(
            f"the driver {point.name} ({point.value}) cannot be loaded: {type(error).__name__}; "
            "fix or remove the package that provides it"
        ) from error
    return cls
