"""What the emulated DigitalOcean has on offer. Prices are examples; a client reads them from the API."""

from __future__ import annotations

from typing import Any

FEATURES = ["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"]

#: slug: name, available
_REGIONS = {
    "nyc1": ("New York 1", True),
    "nyc2": ("New York 2", False),
    "nyc3": ("New York 3", True),
    "ams3": ("Amsterdam 3", True),
    "sfo3": ("San Francisco 3", True),
    "sgp1": ("Singapore 1", True),
    "lon1": ("London 1", True),
    "fra1": ("Frankfurt 1", True),
    "tor1": ("Toronto 1", True),
    "blr1": ("Bangalore 1", True),
    "syd1": ("Sydney 1", True),
}

OPEN_REGIONS = [slug for slug, (_, available) in _REGIONS.items() if available]

#: slug: memory in MB, vcpus, disk in GB, transfer in TB, dollars a month, description
_SIZES = {
    "s-1vcpu-512mb-10gb": (512, 1, 10, 0.5, 4.0, "Basic"),
    "s-1vcpu-1gb": (1024, 1, 25, 1.0, 6.0, "Basic"),
    "s-1vcpu-2gb": (2048, 1, 50, 2.0, 12.0, "Basic"),
    "s-2vcpu-2gb": (2048, 2, 60, 3.0, 18.0, "Basic"),
    "s-2vcpu-4gb": (4096, 2, 80, 4.0, 24.0, "Basic"),
    "s-4vcpu-8gb": (8192, 4, 160, 5.0, 48.0, "Basic"),
    "c-2": (4096, 2, 25, 4.0, 42.0, "CPU-Optimized"),
    "m-2vcpu-16gb": (16384, 2, 50, 4.0, 84.0, "Memory-Optimized"),
    "s-8vcpu-32gb": (32768, 8, 640, 8.0, 192.0, "Basic"),
}

#: offered nowhere any more, but still listed, as the vendor lists its old ones
RETIRED_SIZES = ("s-8vcpu-32gb",)
#: sizes of some regions only
_SIZE_REGIONS = {"m-2vcpu-16gb": ["nyc3", "ams3", "fra1"]}

#: id: slug, distribution, name, smallest disk in GB
_IMAGES = {
    155133621: ("debian-12-x64", "Debian", "12 x64", 10),
    195932981: ("debian-13-x64", "Debian", "13 x64", 10),
    129211873: ("ubuntu-22-04-x64", "Ubuntu", "22.04 (LTS) x64", 7),
    155133600: ("ubuntu-24-04-x64", "Ubuntu", "24.04 (LTS) x64", 7),
    155133590: ("rockylinux-9-x64", "Rocky Linux", "9 x64", 10),
}


def size(slug: str) -> dict[str, Any]:
    """A size as the API shows it."""
    memory, vcpus, disk, transfer, price, description = _SIZES[slug]
    retired = slug in RETIRED_SIZES
    return {
        "slug": slug,
        "memory": memory,
        "vcpus": vcpus,
        "disk": disk,
        "transfer": transfer,
        "price_monthly": price,
        "price_hourly": round(price / 672, 5),
        "regions": [] if retired else list(_SIZE_REGIONS.get(slug, OPEN_REGIONS)),
        "available": not retired,
        "description": description,
        "disk_info": [{"type": "local", "size": {"amount": disk, "unit": "gib"}}],
    }


def sizes() -> list[dict[str, Any]]:
    """All sizes."""
    return [size(slug) for slug in _SIZES]


def has_size(slug: str) -> bool:
    """Whether there is such a size."""
    return slug in _SIZES


def region(slug: str) -> dict[str, Any]:
    """A region as the API shows it."""
    name, available = _REGIONS[slug]
    return {
        "name": name,
        "slug": slug,
        "features": list(FEATURES),
        "available": available,
        "sizes": [entry for entry in _SIZES if slug in size(entry)["regions"]] if available else [],
    }


def regions() -> list[dict[str, Any]]:
    """All regions."""
    return [region(slug) for slug in _REGIONS]


def has_region(slug: str) -> bool:
    """Whether there is such a region."""
    return slug in _REGIONS


def regions_like(prefix: str) -> list[str]:
    """The open regions of a place: ``nyc`` means any of New York's."""
    return [slug for slug in OPEN_REGIONS if slug.rstrip("0123456789") == prefix]


def images() -> list[tuple[int, str, str, str, int]]:
    """The distribution images: id, slug, distribution, name, smallest disk."""
    return [(number, *facts) for number, facts in _IMAGES.items()]
