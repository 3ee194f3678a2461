"""Flat tags, which a create call sets and lists return, and dates of JSON APIs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from hart_salt.model import LAST_SECOND, BakedImage, NewImage, Node

#: the prefix of the tag with the minion id of an imported instance that has another name
MINION = "hart-minion:"
#: the mark of a protected node: a tag without a value, or the name of a label
PROTECTED = "hart-protected"
#: names of the tags that say what a node was made from, and when it is due to be destroyed (whole seconds since the
#: epoch)
DIGEST, ENDS = "hart-digest", "hart-ends"
#: names of the tags of a baked image: the version of Salt in it, its architecture, and the mark of a complete one
RELEASE, ARCH, COMPLETE = "hart-release", "hart-arch", "hart-complete"
LONGEST = 63  #: characters of a label's value at Compute Engine and Hetzner
#: prefixes of the tags by which hart knows instances; users cannot set such tags
OWN_TAGS = ("hart-owner:", "hart-batch:", "hart-role:", "hart-address:", PROTECTED, DIGEST, ENDS, MINION,
            RELEASE, ARCH, COMPLETE, "hart-baking:", "hart-image:")  # fmt: skip
#: the prefixes that an imported instance has, beside the tag ``hart`` itself
ADOPTED = ("hart-owner:", "hart-role:", MINION)


def user_tags(node: Node) -> list[str]:
    """Return the user's tags for clouds whose tags have no values; names and values are joined with a colon."""
    tags = node.settings.tags
    return [f"{key}:{value}" for key, value in tags.items()] if isinstance(tags, Mapping) else list(tags)


def tag_objections(node: Node) -> list[str]:
    """Return a sentence for each of the user's tags that is reserved for hart."""
    return [f"the tag {tag} is one of hart's own" for tag in user_tags(node) if tag.startswith(OWN_TAGS)]


def values(tags: Iterable[str]) -> dict[str, str]:
    """Return the values of flat tags, by the part before their first colon."""
    return dict(tag.split(":", 1) for tag in tags if ":" in tag)


def is_protection(tag: str) -> bool:
    """Return whether a flat tag is the mark of a protected node, with any value and in any case."""
    return tag.partition(":")[0].lower() == PROTECTED


def marks(node: Node) -> dict[str, str]:
    """Return the tags, by name, that say what a node is made from and when it ends. Only its instance has them."""
    return {**({DIGEST: node.digest} if node.digest else {}), **end_mark(node.ends)}


def end_mark(ends: float | None) -> dict[str, str]:
    """Return the tag, by name, that says when a node ends; nothing for a node that never ends."""
    return {} if ends is None else {ENDS: str(int(ends))}


def image_marks(image: NewImage | BakedImage) -> dict[str, str]:
    """Return the tags of a baked image, by name, beside those of owner, batch, role and completeness."""
    found = {DIGEST: image.digest, RELEASE: image.release, ARCH: image.arch}
    return {name: value for name, value in found.items() if value}


def digest_in(text: Any) -> str | None:
    """Return the digest that a tag contains; None for any other text, which anybody with the account can write."""
    good = isinstance(text, str) and len(text) <= LONGEST and re.fullmatch("[0-9a-z]+(-[0-9a-z]+)*", text)
    return text if good else None


def ends_in(text: Any) -> float | None:
    """Return the time that a tag contains, at most ``LAST_SECOND``; None for any other text."""
    good = isinstance(text, str) and re.fullmatch("[1-9][0-9]{0,14}", text)
    return float(min(int(text), LAST_SECOND)) if good else None


def ends_of(tags: Iterable[str]) -> float | None:
    """Return the end of a node that flat tags contain; of several, the latest."""
    found = (ends_in(tag.rpartition(":")[2]) for tag in tags if is_end(tag))
    return max((one for one in found if one is not None), default=None)


def is_end(tag: str) -> bool:
    """Return whether a flat tag says when a node ends, with any value and in any case."""
    return tag.partition(":")[0].lower() == ENDS


def owner(tags: Iterable[str], own: str) -> str | None:
    """Return the owner that flat tags name, preferably one other than ``own``; None if they name none."""
    owners = {tag.removeprefix("hart-owner:") for tag in tags if tag.startswith("hart-owner:")}
    return min(owners - {own}, default=own if own in owners else None)


def seconds(text: str | None) -> float | None:
    """Return a date of a JSON API in seconds since the epoch, or None if it is not a date."""
    try:
        return datetime.fromisoformat((text or "").replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
