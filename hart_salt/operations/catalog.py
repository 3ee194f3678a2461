"""List the regions, sizes and images of a provider for people, as plain data by name."""

from __future__ import annotations

from typing import Any

from hart_salt.config.loader import Config
from hart_salt.drivers.contract import Driver
from hart_salt.operations import filters
from hart_salt.operations.sizes import SizeFilter


def regions(driver: Driver) -> dict[str, Any]:
    """Return the regions."""
    return {region.name: _facts(region, "name") for region in driver.regions()}


def sizes(driver: Driver, region: str | None, wanted: SizeFilter | None = None) -> dict[str, Any]:
    """Return the sizes of a region that match, in the order of ``wanted`` (default: all, cheapest first)."""
    found = (wanted or SizeFilter()).applied(driver.sizes(region))
    return {size.name: _facts(size, "name") for size in found}


def images(driver: Driver, region: str | None) -> dict[str, Any]:
    """Return the images of a region, by the value for the setting ``image``."""
    return {image.setting: _facts(image, "setting") for image in driver.images(region)}


def region_of(driver: Driver, config: Config, region: str | None) -> str | None:
    """
    Return the region that a call names, or the default region of a provider's nodes, or None if there is none.

    Raises ``Refused`` if the provider has no such region.
    """
    if region is not None:
        filters.check_region(driver, region)
        return region
    defaults = config.provider_defaults.get(driver.provider.name, {})
    default = defaults.get("region") or config.defaults.get("region") or driver.schema.default_region
    return str(default) if default else None


def _facts(thing: Any, key: str) -> dict[str, Any]:
    facts = {name: value for name, value in vars(thing).items() if name != key}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}
