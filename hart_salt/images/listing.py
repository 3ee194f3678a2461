"""Describe baked images for people, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hart_salt.images.retention import users
from hart_salt.inventory.journal import iso
from hart_salt.model import IMAGE_AVAILABLE, BakedImage, Price
from hart_salt.planning.digest import differences


def facts(
    image: BakedImage, digests: Mapping[str, str | None], price: Price | None, now: float, wanted: str | None
) -> dict[str, Any]:  # fmt: skip
    """
    Return what is known of a baked image.

    ``digests`` are those of all nodes, by minion id. ``price`` is for one GB and month. ``wanted`` is the digest that
    an image of the role would have now; None: not known.
    """
    monthly = round(image.size_gb * price.amount, 2) if price and image.size_gb is not None else None
    return {
        "description": image.name,
        "available": image.state == IMAGE_AVAILABLE and image.complete,
        "baked": True,
        "state": image.state if image.complete or image.state != IMAGE_AVAILABLE else "half made",
        "role": image.role,
        "release": image.release,
        "arch": image.arch or None,
        "regions": list(image.regions) or None,
        "created": None if image.created is None else iso(image.created, "seconds"),
        "age_seconds": None if image.created is None else max(0, round(now - image.created)),
        "size_gb": image.size_gb,
        "monthly_price": monthly,
        "currency": price.currency if price and monthly is not None else None,
        "nodes": users(image, digests),
        "outdated": _outdated(image, wanted),
    }


def _outdated(image: BakedImage, wanted: str | None) -> list[str] | None:
    """Return the parts of the configuration that have changed since the bake; None: not known."""
    return None if wanted is None or image.digest is None else list(differences(image.digest, wanted))


def by_id(images: Sequence[BakedImage]) -> dict[str, BakedImage]:
    """Return images by their ids; one that has none yet, by its name."""
    return {one.image_id or one.name: one for one in images}
