"""Which baked images are needed, and which are too many. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hart_salt.config.loader import Config
from hart_salt.drivers.contract import Driver
from hart_salt.images.bake import Order
from hart_salt.model import IMAGE_AVAILABLE, BakedImage
from hart_salt.planning.baked import is_usable, newest_first
from hart_salt.planning.digest import is_made_from


@dataclass(frozen=True)
class Needs:
    """What may need an image."""

    #: the digests of all nodes, by minion id; None: it has none
    digests: Mapping[str, str | None] = field(default_factory=dict)
    #: by role whose ``image`` is a baked one, whether it needs one (``baked!``)
    roles: Collection[str] = ()
    #: by value of a setting in ``NAMING``, the words for what sets it
    named: Mapping[str, str] = field(default_factory=dict)


#: the settings that can name an image
NAMING = ("image", "base_image")


def named(config: Config, provider: str) -> dict[str, str]:
    """
    Return what names the images of a provider: by value of a setting in ``NAMING``, the words for what sets it.

    Every layer counts, and not only what a node would boot now: the section of a region, and a layer below another.
    A ``base_image`` is needed by the next bake, and by nodes for which no baked image fits.
    """
    found: dict[str, str] = {}
    for words, settings in _layers(config, provider):
        for name in NAMING:
            if settings.get(name):
                found.setdefault(str(settings[name]), words)
    return found


def _layers(config: Config, provider: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield all layers for the nodes of a provider, with the words for each."""
    for name, role in sorted(config.roles.items()):
        words = f"the role {name}"
        yield words, role.settings
        if section := role.providers.get(provider):
            yield words, section.settings
            yield from ((words, settings) for settings in section.regions.values())
    yield f"the provider {provider}", config.provider_defaults.get(provider, {})
    yield "the configuration of all nodes", config.defaults


def users(image: BakedImage, digests: Mapping[str, str | None]) -> list[str]:
    """Return the ids of the nodes that run from an image."""
    return sorted(name for name, digest in digests.items() if is_made_from(digest, image.image_id))


def role_needing(image: BakedImage, images: Iterable[BakedImage], needs: Needs) -> str:
    """Return why a role needs an image, as the end of a sentence about it; empty if none does."""
    if words := needs.named.get(image.image_id) or needs.named.get(image.name):
        return f"{words} names it"
    if image.role in needs.roles and is_usable(image) and any(_is_newest(image, images, one) for one in _places(image)):
        return f"it is the newest image of the role {image.role}, whose image is baked"
    return ""


def expected(order: Order, region: str, driver: Driver) -> BakedImage:
    """Return the image that a bake will make in a region, with its copies, for a look at what becomes surplus then."""
    regions = () if driver.images_everywhere else (region, *order.copies)
    return BakedImage("", "", IMAGE_AVAILABLE, True, order.role, arch=order.arch, regions=regions, created=math.inf)


def surplus(images: Sequence[BakedImage], role: str, keep: int, needs: Needs) -> tuple[list[BakedImage], list[str]]:
    """
    Return the images of a role beyond the ``keep`` newest of each region, and why others of them stay, as sentences.
    """
    ours = newest_first(one for one in images if one.role == role and is_usable(one))
    places = dict.fromkeys(place for one in ours for place in _places(one))
    kept = {one.image_id for place in places for one in [it for it in ours if _is_in(it, place)][:keep]}
    going, notes = [], []
    for one in ours:
        if one.image_id in kept:
            continue
        nodes = users(one, needs.digests)
        why = f"{_nodes(nodes)} from it" if nodes else role_needing(one, images, needs)
        if why:
            notes.append(f"the image {_known_as(one)} stays although it is old: {why}")
        else:
            going.append(one)
    return going, notes


def _known_as(image: BakedImage) -> str:
    return image.image_id if image.name in ("", image.image_id) else f"{image.image_id} ({image.name})"


def _nodes(names: Sequence[str]) -> str:
    return f"{names[0]} runs" if len(names) == 1 else f"{len(names)} nodes run"


def refusal(image: BakedImage, images: Sequence[BakedImage], needs: Needs, *, force: bool) -> str:
    """Return why an image must not be deleted, in a sentence; empty if it can be. ``force`` overrules only a role."""
    if nodes := users(image, needs.digests):
        return f"{_nodes(nodes)} from the image {image.image_id}: replace or destroy {', '.join(nodes[:5])} first"
    why = "" if force else role_needing(image, images, needs)
    return f"the image {image.image_id} is needed: {why}; force=True deletes it" if why else ""


def _places(image: BakedImage) -> Sequence[str]:
    return image.regions or ("",)


def _is_in(image: BakedImage, place: str) -> bool:
    return place in _places(image)


def _is_newest(image: BakedImage, images: Iterable[BakedImage], place: str) -> bool:
    there = [
        one for one in images
        if one.role == image.role and one.arch == image.arch and is_usable(one) and _is_in(one, place)
    ]  # fmt: skip
    return newest_first(there)[0].image_id == image.image_id
