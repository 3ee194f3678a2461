"""The catalogue of the emulated Vultr, from the tables in ``catalog.yaml``."""

from __future__ import annotations

from typing import Any

from tests.emulation.tables import tables_of

_TABLES = tables_of(__file__)
_REGIONS, _PLANS, _SYSTEMS = _TABLES["regions"], _TABLES["plans"], _TABLES["systems"]
REGIONS = list(_REGIONS)


def regions() -> list[dict[str, Any]]:
    """Return all regions."""
    return [
        {"id": name, "city": city, "country": country, "continent": continent, "options": ["ddos_protection"]}
        for name, (city, country, continent) in _REGIONS.items()
    ]


def plan(name: str) -> dict[str, Any]:
    """Return a plan as the API shows it."""
    cpus, memory, disk, transfer, price, kind = _PLANS[name]
    return {
        "id": name,
        "vcpu_count": cpus,
        "ram": memory,
        "disk": disk,
        "disk_count": 1,
        "bandwidth": transfer,
        "monthly_cost": price,
        "type": kind,
        "locations": list(_TABLES["plan_regions"].get(name, REGIONS)),
    }


def plans() -> list[dict[str, Any]]:
    """Return all plans."""
    return [plan(name) for name in _PLANS]


def has_plan(name: Any) -> bool:
    """Return whether there is such a plan."""
    return isinstance(name, str) and name in _PLANS


def systems() -> list[dict[str, Any]]:
    """Return everything that ``os_id`` may name."""
    return [
        *({"id": number, "name": name, "arch": "x64", "family": kind} for number, (name, kind) in _SYSTEMS.items()),
        *(
            {"id": number, "name": name, "arch": arch, "family": kind}
            for number, (name, arch, kind) in _TABLES["others"].items()
        ),
    ]


def system(number: int) -> str:
    """Return the name of an operating system."""
    return next(str(one["name"]) for one in systems() if one["id"] == number)


def has_system(number: Any) -> bool:
    """Return whether an instance can be made from it."""
    return isinstance(number, int) and not isinstance(number, bool) and number in _SYSTEMS
