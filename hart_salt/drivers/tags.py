"""What a create call says of an instance, and what lists say of it later: flat tags, and dates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from hart_salt.model import Node

#: how tags begin that instances are known by; not for users to give
OWN_TAGS = ("hart-owner:", "hart-batch:", "hart-role:", "hart-address:", "hart-minion:")
#: those of them that an instance has which was taken over; ``hart`` itself as well
ADOPTED = ("hart-owner:", "hart-role:", "hart-minion:")


def user_tags(node: Node) -> list[str]:
    """The user's tags, for clouds whose tags have no values: those of a mapping are joined with a colon."""
    tags = node.settings.tags
    return [f"{key}:{value}" for key, value in tags.items()] if isinstance(tags, Mapping) else list(tags)


def tag_objections(node: Node) -> list[str]:
    """A sentence for each of the user's tags that is one of hart's own."""
    return [f"the tag {tag} is one of hart's own" for tag in user_tags(node) if tag.startswith(OWN_TAGS)]


def values(tags: Iterable[str]) -> dict[str, str]:
    """The values of flat tags, by what stands before their first colon."""
    return dict(tag.split(":", 1) for tag in tags if ":" in tag)


def owner(tags: Iterable[str], own: str) -> str | None:
    """The owner that flat tags name: another one than ``own`` if there is any; None: there is none."""
    owners = {tag.removeprefix("hart-owner:") for tag in tags if tag.startswith("hart-owner:")}
    return min(owners - {own}, default=own if own in owners else None)


def seconds(text: str | None) -> float | None:
    """A date as JSON APIs write it, in seconds since the epoch; None for what is none."""
    try:
        return datetime.fromisoformat((text or "").replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
