"""Which baked image a new node boots. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from hart_salt.base.errors import Refused
from hart_salt.config.settings import BAKED
from hart_salt.model import IMAGE_AVAILABLE, BakedImage, MasterInfo, Node, Size
from hart_salt.planning import releases
from hart_salt.planning.digest import with_image, with_plain_image

#: the values of ``image`` for the newest baked image; with the second, a node without one is refused
IF_THERE, REQUIRED = BAKED


def is_wanted(node: Node) -> bool:
    """Return whether a node is to boot a baked image, and none is chosen yet."""
    return node.settings.image in BAKED


def is_usable(image: BakedImage) -> bool:
    """Return whether nodes can be made of an image: it is complete and available."""
    return image.complete and image.state == IMAGE_AVAILABLE


def newest_first(images: Iterable[BakedImage]) -> list[BakedImage]:
    """Return the images in the order of their age; of the same second, by id."""
    return sorted(images, key=lambda one: (one.created or 0.0, one.image_id), reverse=True)


def objection(image: BakedImage, node: Node, info: MasterInfo, size: Size | None) -> str:
    """
    Return why an image of the node's role does not fit the node, as the end of a sentence; empty if it fits.

    size
        the node's size; None if it is not known
    """
    if image.regions and node.region not in image.regions:
        return f"is not in {node.region}, but in {', '.join(image.regions)}"
    if size and size.arch and image.arch and size.arch != image.arch:
        return f"is for {image.arch}, but {node.size} is {size.arch}"
    what, room = _disk_of(node, size)
    if room and image.disk_gb and room < image.disk_gb:
        return f"needs a disk of {image.disk_gb:g} GB, but {what} {room:g} GB"
    if node.settings.salt_source != "none" and image.release and not _has_release(image.release, node, info):
        return f"has Salt {image.release}, but {wanted_release(node, info)} is wanted"
    return ""


def _disk_of(node: Node, size: Size | None) -> tuple[str, float | None]:
    """
    Return words for what decides about a node's disk, and the GB of the disk; None if it is as large as its image.

    It is the setting ``volume_size`` at clouds that have it: the disk of a size is another one there.
    """
    if hasattr(node.options, "volume_size"):
        return "volume_size is", node.options.volume_size
    return f"{node.size} has", size.disk_gb if size else None


def wanted_release(node: Node, info: MasterInfo) -> str:
    """Return the release or series of Salt that a node is to have."""
    return node.settings.salt_version or info.salt_version.split(".")[0]


def _has_release(release: str, node: Node, info: MasterInfo) -> bool:
    return re.search(releases.version_pattern(wanted_release(node, info)), release) is not None


def newest(images: Iterable[BakedImage], node: Node, info: MasterInfo, size: Size | None) -> BakedImage | None:
    """Return the newest image that the node can boot; None if there is none."""
    found = (one for one in newest_first(_of_role(images, node)) if not objection(one, node, info, size))
    return next(found, None)


def chosen(
    nodes: Sequence[Node], images: Sequence[BakedImage], info: MasterInfo, size: Size | None
) -> list[Node]:  # fmt: skip
    """
    Return the nodes with the image that they boot: the newest baked one that fits, or else ``base_image``.

    ``nodes`` have one role, place and size; ``images`` are all baked images of their provider.

    Raises ``Refused`` if ``image`` is ``baked!`` and no image fits.
    """
    node = nodes[0]
    if not is_wanted(node):
        return list(nodes)
    image = newest(images, node, info, size)
    if image is not None:
        return [_booting(one, image) for one in nodes]
    why = f"{why_none(images, node, info, size)}; salt-run hart.bake {node.role} makes an image"
    if node.settings.image == REQUIRED:
        raise Refused(f"image is {REQUIRED}, but {why}")
    note = f"it boots the image {node.settings.base_image}: {why}"
    return [plain(one, note) for one in nodes]


def plain(node: Node, note: str = "") -> Node:
    """Return a node that boots its plain image instead of a baked one."""
    image = str(node.settings.base_image)
    settings = node.settings.model_copy(update={"image": image})
    digest = with_plain_image(node.digest, image) if node.digest else ""
    notes = (*node.notes, note) if note else node.notes
    return replace(node, settings=settings, digest=digest, notes=notes, image_set_by=node.base_image_set_by)


def _booting(node: Node, image: BakedImage) -> Node:
    """Return a node that boots a baked image: Salt is in it, and its security upgrades are a setting of their own."""
    update = {"image": image.image_id, "salt_source": "none", "security_upgrades": node.settings.baked_upgrades}
    digest = with_image(node.digest, image.image_id) if node.digest else ""
    return replace(node, settings=node.settings.model_copy(update=update), baked=image.image_id, digest=digest)


def _of_role(images: Iterable[BakedImage], node: Node) -> list[BakedImage]:
    return [one for one in images if one.role == node.role and is_usable(one)]


def why_none(images: Sequence[BakedImage], node: Node, info: MasterInfo, size: Size | None) -> str:
    """Return why no image fits a node, in words."""
    found = newest_first(_of_role(images, node))
    if not found:
        return f"{node.provider} has no baked image of the role {node.role}"
    return f"the newest image of the role {node.role}, {found[0].name}, {objection(found[0], node, info, size)}"
