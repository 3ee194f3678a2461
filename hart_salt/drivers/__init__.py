"""
The registry of drivers: ours, and those that other packages bring.

Another package adds a driver with an entry point in the group ``hart_salt.drivers``; its name is the
driver's, its object the driver class. Ours are imported when they are asked for: their SDKs are heavy.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

from hart_salt.base.errors import Refused
from hart_salt.config.schema import Schema
from hart_salt.drivers.contract import Driver

ENTRY_POINT_GROUP = "hart_salt.drivers"
_OWN = ("do", "ec2", "gce", "hetzner", "local", "vultr")


def schemas() -> Mapping[str, Schema]:
    """The settings that each known driver takes, by the driver's name."""
    own = {name: importlib.import_module(f"hart_salt.drivers.{name}.driver").SCHEMA for name in _OWN}
    return {**{name: cls.schema for name, cls in _foreign().items()}, **own}


def driver_class(name: str) -> type[Driver]:
    """Return the class of a driver. Raises ``Refused`` for one of another package that cannot be loaded."""
    if name not in _OWN:
        return _foreign()[name]
    cls: type[Driver] = importlib.import_module(f"hart_salt.drivers.{name}.driver").DRIVER
    return cls


def _foreign() -> dict[str, type[Driver]]:
    return {point.name: _load(point) for point in entry_points(group=ENTRY_POINT_GROUP)}


def _load(point: EntryPoint) -> type[Driver]:
    try:
        cls: type[Driver] = point.load()
    except Exception as error:
        raise Refused(
            f"the driver {point.name} ({point.value}) cannot be loaded: {type(error).__name__}; "
            "fix or remove the package that brings it"
        ) from error
    return cls
