"""Refuse filters that can match nothing: an empty list must mean that there is no such node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hart_salt.base.errors import DriverError, Refused
from hart_salt.base.text import suggestion
from hart_salt.config.loader import Config
from hart_salt.drivers.contract import Driver
from hart_salt.operations import listing

LEFT_AT = "left at "


def check(
    wanted: Mapping[str, str | None], found: Mapping[str, dict[str, Any]], config: Config,
    drivers: Callable[[], Iterable[Driver]],
) -> None:  # fmt: skip
    """
    Check the filters ``role``, ``status`` and ``region`` of a list of nodes.

    ``found`` holds all nodes: what one of them has is a possible value. ``drivers`` returns those of the listed
    providers, which are only asked for their regions if no node is in the region.

    Raises ``Refused`` for a value that no node can have.
    """
    seen = {name: {str(entry[name]) for entry in found.values()} - {"None"} for name in ("role", "status", "region")}
    role, status, region = (wanted[name] for name in ("role", "status", "region"))
    if role is not None:
        _refuse_unknown("role", role, seen["role"] | set(config.roles))
    if status is not None and not status.startswith(LEFT_AT):
        _refuse_unknown("status", status, seen["status"] | set(listing.STATUSES))
    if region is not None and region not in seen["region"]:
        known = _regions(drivers())
        if known is not None:
            _refuse_unknown("region", region, seen["region"] | known)


def check_region(driver: Driver, region: str) -> None:
    """Raise ``Refused`` if the provider does not have a region."""
    _refuse_unknown("region", region, {one.name for one in driver.regions()}, f" at {driver.provider.name}")


def _regions(drivers: Iterable[Driver]) -> set[str] | None:
    """Return the regions of all providers, or None if one of them does not answer."""
    try:
        return {region.name for driver in drivers for region in driver.regions()}
    except DriverError:
        return None


def _refuse_unknown(name: str, value: str, known: set[str], where: str = "") -> None:
    if value not in known:
        listed = f"; known: {', '.join(sorted(known))}" if known else ""
        raise Refused(f"there is no {name} {value}{where}{suggestion(value, known)}{listed}")
