"""The catalogue of the emulated Hetzner Cloud, from the tables in ``catalog.yaml``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.emulation.tables import tables_of

CURRENCY = "EUR"
VAT = 0.19

_TABLES = tables_of(__file__)
_LOCATIONS, _TYPES, _DISTRIBUTIONS = _TABLES["locations"], _TABLES["types"], _TABLES["distributions"]
LOCATIONS = list(_LOCATIONS)


def location(name: str) -> dict[str, Any]:
    """Return a location as the API shows it."""
    city, country, zone = _LOCATIONS[name]
    return {
        "id": LOCATIONS.index(name) + 1, "name": name, "description": f"{city} DC Park 1", "country": country,
        "city": city, "latitude": 50.4, "longitude": 12.3, "network_zone": zone,
    }  # fmt: skip


def locations() -> list[dict[str, Any]]:
    """Return all locations."""
    return [location(name) for name in LOCATIONS]


def server_type(name: str, sold_out: Sequence[str] = ()) -> dict[str, Any]:
    """Return a server type as the API shows it."""
    cores, memory, disk, kind, architecture, prices = _TYPES[name]
    return {
        "id": list(_TYPES).index(name) + 100,
        "name": name,
        "description": name.upper(),
        "category": "Shared vCPU" if kind == "shared" else "Dedicated vCPU",
        "cores": cores,
        "memory": memory,
        "disk": disk,
        "deprecated": False,
        "deprecation": None,
        "prices": [_price(place, net) for place, net in prices.items()],
        "storage_type": "local",
        "cpu_type": kind,
        "architecture": architecture,
        "locations": [
            {"id": LOCATIONS.index(place) + 1, "name": place, "deprecation": None, "available": name not in sold_out,
             "recommended": False}
            for place in prices
        ],
    }  # fmt: skip


def _price(place: str, net: float) -> dict[str, Any]:
    return {
        "location": place,
        "price_hourly": _both(net / 624),
        "price_monthly": _both(net),
        "included_traffic": 21990232555520,
        "price_per_tb_traffic": _both(1.0),
    }


def _both(net: float) -> dict[str, str]:
    """Return the net and gross price as texts with ten or more decimals, as the API has them."""
    return {"net": f"{net:.10f}", "gross": f"{net * (1 + VAT):.16f}"}


def server_types(sold_out: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return all server types."""
    return [server_type(name, sold_out) for name in _TYPES]


def system_images() -> list[dict[str, Any]]:
    """Return the distributions, each once for each architecture."""
    pairs = [(name, architecture) for name in _DISTRIBUTIONS for architecture in ("x86", "arm")]
    # One distribution has no image for arm, so that tests cover this case.
    pairs.remove(("rocky-9", "arm"))
    return [
        {
            "id": 1000 + number, "type": "system", "status": "available", "name": name,
            "description": name.replace("-", " ").title(), "image_size": None, "disk_size": 5,
            "created": "2026-01-01T00:00:00+00:00", "created_from": None, "bound_to": None,
            "os_flavor": _DISTRIBUTIONS[name][0], "os_version": _DISTRIBUTIONS[name][1], "rapid_deploy": True,
            "protection": {"delete": False}, "deprecated": None, "deprecation": None, "labels": {}, "deleted": None,
            "architecture": architecture,
        }
        for number, (name, architecture) in enumerate(pairs)
    ]  # fmt: skip


def pricing() -> dict[str, Any]:
    """Return the pricing document, limited to the fields that our client reads."""
    return {"currency": CURRENCY, "vat_rate": f"{VAT * 100:.6f}", "image": {"price_per_gb_month": _both(0.0119)}}
