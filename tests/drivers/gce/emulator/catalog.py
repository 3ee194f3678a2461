"""What the emulated Compute Engine offers: a few of the vendor's regions, sizes, images and types of disks."""

from __future__ import annotations

import re
from typing import Any

#: by region; zones in ``NOT_OFFERED`` are listed but not available
ZONES = {
    "asia-east1": ("asia-east1-a", "asia-east1-b", "asia-east1-c"),
    "europe-west1": ("europe-west1-b", "europe-west1-c", "europe-west1-d"),
    "us-central1": ("us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"),
    "us-east1": ("us-east1-a", "us-east1-b", "us-east1-c", "us-east1-d"),
}
DOWN, DEPRECATED = "us-central1-f", "us-east1-a"
NOT_OFFERED = (DOWN, DEPRECATED)

X86, ARM = "X86_64", "ARM64"
#: name → CPUs, MB, architecture
SIZES = {
    "c4a-standard-1": (1, 4096, ARM),
    "e2-medium": (2, 4096, X86),
    "e2-micro": (2, 1024, X86),
    "e2-small": (2, 2048, X86),
    "f1-micro": (1, 614, X86),
    "n1-standard-1": (1, 3840, X86),
    "n2-standard-2": (2, 8192, X86),
    "t2a-standard-1": (1, 4096, ARM),
}
RETIRED = ("f1-micro",)
#: the zones of sizes that are not in every zone
ONLY_IN = {"t2a-standard-1": ("us-central1-a", "us-central1-b"), "f1-micro": ("us-central1-a", "us-east1-b")}
CUSTOM = re.compile(r"(?:(\w+)-)?custom-(\d+)-(\d+)")

#: project, name, family, the image that the back end boots, architecture; the last one of a family is the newest
PUBLIC_IMAGES = (
    ("debian-cloud", "debian-12-bookworm-v20261013", "debian-12", "debian-12", X86),
    ("debian-cloud", "debian-12-bookworm-v20261110", "debian-12", "debian-12", X86),
    ("debian-cloud", "debian-12-bookworm-arm64-v20261110", "debian-12-arm64", "debian-12", ARM),
    ("debian-cloud", "debian-13-trixie-v20261110", "debian-13", "debian-13", X86),
    ("debian-cloud", "debian-13-trixie-arm64-v20261110", "debian-13-arm64", "debian-13", ARM),
    ("ubuntu-os-cloud", "ubuntu-2204-jammy-v20261105", "ubuntu-2204-lts", "ubuntu-22.04", X86),
    ("ubuntu-os-cloud", "ubuntu-2204-jammy-arm64-v20261105", "ubuntu-2204-lts-arm64", "ubuntu-22.04", ARM),
    ("ubuntu-os-cloud", "ubuntu-2404-noble-amd64-v20261106", "ubuntu-2404-lts-amd64", "ubuntu-24.04", X86),
    ("ubuntu-os-cloud", "ubuntu-2404-noble-arm64-v20261106", "ubuntu-2404-lts-arm64", "ubuntu-24.04", ARM),
    ("ubuntu-os-cloud", "ubuntu-2604-resolute-amd64-v20261106", "ubuntu-2604-lts-amd64", "ubuntu-26.04", X86),
    ("ubuntu-os-cloud", "ubuntu-2604-resolute-arm64-v20261106", "ubuntu-2604-lts-arm64", "ubuntu-26.04", ARM),
)
OLD_IMAGES = ("debian-12-bookworm-v20261013",)

DISK_TYPES = (
    "hyperdisk-balanced", "hyperdisk-balanced-high-availability", "hyperdisk-extreme", "hyperdisk-ml",
    "hyperdisk-throughput", "local-ssd", "pd-balanced", "pd-extreme", "pd-ssd", "pd-standard",
)  # fmt: skip
#: types of boot disks with a configurable number of operations per second
WITH_IOPS = ("hyperdisk-balanced", "hyperdisk-balanced-high-availability", "hyperdisk-extreme", "pd-extreme")


def region_of(zone: str) -> str | None:
    """Return the region of a zone, or None for an unknown zone."""
    return next((region for region, zones in ZONES.items() if zone in zones), None)


def all_zones() -> list[str]:
    """Return every zone, in order."""
    return sorted(zone for zones in ZONES.values() for zone in zones)


def sizes(zone: str) -> list[dict[str, Any]]:
    """Return the machine types of a zone, without their links."""
    return [size(zone, name) or {} for name in SIZES if zone in ONLY_IN.get(name, (zone,))]


def size(zone: str, name: str) -> dict[str, Any] | None:
    """Return one machine type, which can be a custom one, or None."""
    custom = CUSTOM.fullmatch(name)
    if custom:
        cpus, memory, architecture = int(custom[2]), int(custom[3]), X86
    elif name in SIZES and zone in ONLY_IN.get(name, (zone,)):
        cpus, memory, architecture = SIZES[name]
    else:
        return None
    shown = {
        "name": name,
        "description": f"{cpus} vCPU, {memory / 1024:g} GB RAM",
        "guestCpus": cpus,
        "memoryMb": memory,
        "isSharedCpu": name in ("e2-micro", "e2-small", "e2-medium", "f1-micro"),
        "architecture": architecture,
    }
    return {**shown, "deprecated": {"state": "DEPRECATED"}} if name in RETIRED else shown
