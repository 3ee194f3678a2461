"""
The catalogue of the emulated EC2: regions, sizes and images. Prices are examples; a client reads them from the API.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

#: region → whether it is enabled
REGIONS = {"ap-southeast-2": True, "eu-west-1": True, "us-east-1": True, "me-central-1": False}
OPEN_REGIONS = [name for name, enabled in REGIONS.items() if enabled]

#: size → dollars an hour in eu-west-1; None: the pricing API has none. Moto's own data describes the sizes.
SIZES = {
    "t2.micro": 0.0126,
    "t3.micro": 0.0114,
    "t3.small": 0.0228,
    "t3.medium": 0.0456,
    "t4g.micro": 0.0092,
    "t4g.small": 0.0184,
    "m1.small": 0.047,
    "m7a.medium": 0.06,
    "c7g.medium": 0.0388,
    "mac1.metal": None,
}
#: region → factor on the price in eu-west-1
FACTORS = {"us-east-1": 0.9, "ap-southeast-2": 1.15}
#: dollars a month for a GB of snapshots, and the codes of regions in usage types
SNAPSHOT = 0.05
CODES = {"ap-southeast-2": "APS2", "eu-west-1": "EU", "me-central-1": "MEC1"}
#: size → zones that have no instances of it
NOT_IN = {"t4g.micro": ("eu-west-1c",)}

DEBIAN, CANONICAL, SQUATTER = "136693071363", "099720109477", "666666666666"
DEBIAN_ROOT, UBUNTU_ROOT = "/dev/xvda", "/dev/sda1"
ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}
#: GiB
IMAGE_SIZE = 8


@dataclass(frozen=True)
class PublicImage:
    """An image that every account can boot."""

    name: str
    owner: str
    architecture: str
    created: str
    root_device: str

    def ami(self, region: str) -> str:
        """Return the image's id, which differs in each region."""
        return f"ami-{hashlib.sha256(f'{region} {self.owner} {self.name}'.encode()).hexdigest()[:17]}"


#: the kind of disk in a name, and the release
UBUNTU = (("hvm-ssd", "jammy-22.04"), ("hvm-ssd-gp3", "noble-24.04"), ("hvm-ssd-gp3", "resolute-26.04"))


def images() -> Iterator[PublicImage]:
    """Yield two builds of each release, variants whose names begin alike, and a newer image of another owner."""
    for short, architecture in ARCHITECTURES.items():
        for release in ("12", "13"):
            for day in ("20260901-2222", "20261101-2301"):
                yield _debian(f"debian-{release}-{short}-{day}", architecture, day)
            # Newer than the release's images, but not the release.
            yield _debian(f"debian-{release}-{short}-daily-20261120-2330", architecture, "20261120")
            yield _debian(f"debian-{release}-backports-{short}-20261121-2331", architecture, "20261121")
        yield PublicImage(
            f"debian-12-{short}-20261231-9999", SQUATTER, architecture, "2026-12-31T00:00:00Z", DEBIAN_ROOT
        )
        for kind, name in UBUNTU:
            for day in ("20261015", "20261102.1"):
                yield _ubuntu(f"ubuntu/images/{kind}/ubuntu-{name}-{short}-server-{day}", architecture, day)


def _debian(name: str, architecture: str, day: str) -> PublicImage:
    return PublicImage(name, DEBIAN, architecture, _date(day), DEBIAN_ROOT)


def _ubuntu(name: str, architecture: str, day: str) -> PublicImage:
    return PublicImage(name, CANONICAL, architecture, _date(day), UBUNTU_ROOT)


def _date(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:8]}T08:15:30Z"


def price(region: str, size: str) -> float | None:
    """Return the price in dollars an hour; None: the API has none."""
    known = SIZES.get(size)
    return None if known is None else round(known * FACTORS.get(region, 1.0), 5)
