"""Flat tags, which a create call sets and lists return, and dates of JSON APIs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from hart_salt.model import Node

#: the prefix of the tag with the minion id of an imported instance that has another name
MINION = "hart-minion:"
#: the mark of a protected node: a tag without a value, or the name of a label
PROTECTED = "hart-protected"
#: prefixes of the tags by which hart knows instances; users cannot set such tags
OWN_TAGS = ("hart-owner:", "hart-batch:", "hart-role:", "hart-address:", PROTECTED, MINION)
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
