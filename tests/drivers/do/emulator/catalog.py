"""The catalogue of the emulated DigitalOcean, from the tables in ``catalog.yaml``."""

from __future__ import annotations

from typing import Any

from tests.emulation.tables import tables_of

FEATURES = ["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"]

_TABLES = tables_of(__file__)
_REGIONS, _SIZES = _TABLES["regions"], _TABLES["sizes"]
OPEN_REGIONS = [slug for slug, (_, available) in _REGIONS.items() if available]


def size(slug: str) -> dict[str, Any]:
    """Return a size as the API shows it."""
    memory, vcpus, disk, transfer, price, description = _SIZES[slug]
    retired = slug in _TABLES["retired_sizes"]
    return {
        "slug": slug,
        "memory": memory,
        "vcpus": vcpus,
        "disk": disk,
        "transfer": transfer,
        "price_monthly": price,
        "price_hourly": round(price / 672, 5),
        "regions": [] if retired else list(_TABLES["size_regions"].get(slug, OPEN_REGIONS)),
        "available": not retired,
        "description": description,
        "disk_info": [{"type": "local", "size": {"amount": disk, "unit": "gib"}}],
    }


def sizes() -> list[dict[str, Any]]:
    """Return all sizes."""
    return [size(slug) for slug in _SIZES]


def has_size(slug: str) -> bool:
    """Return whether there is such a size."""
    return slug in _SIZES


def region(slug: str) -> dict[str, Any]:
    """Return a region as the API shows it."""
    name, available = _REGIONS[slug]
    return {
        "name": name,
        "slug": slug,
        "features": list(FEATURES),
        "available": available,
        "sizes": [entry for entry in _SIZES if slug in size(entry)["regions"]] if available else [],
    }


def regions() -> list[dict[str, Any]]:
    """Return all regions."""
    return [region(slug) for slug in _REGIONS]


def has_region(slug: str) -> bool:
    """Return whether there is such a region."""
    return slug in _REGIONS


def regions_like(prefix: str) -> list[str]:
    """Return the open regions with a prefix: ``nyc`` means any of New York's."""
    return [slug for slug in OPEN_REGIONS if slug.rstrip("0123456789") == prefix]


def images() -> list[tuple[int, str, str, str, int]]:
    """Return the distribution images: id, slug, distribution, name, smallest disk."""
    return [(number, *facts) for number, facts in _TABLES["images"].items()]
