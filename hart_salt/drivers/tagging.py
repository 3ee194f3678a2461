"""The user's tags of existing instances: what all vendors have in common. hart's own tags are never changed here."""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping, Sequence

from hart_salt.drivers.capabilities import TagSupport
from hart_salt.model import Instance


def is_own(name: str) -> bool:
    """Return whether a tag or label with that name, or a flat tag, is hart's."""
    return name == "hart" or name.startswith(("hart-", "hart:"))


def own_objections(names: Collection[str]) -> list[str]:
    """Return a sentence for each name that is reserved for hart, and for each that is no name."""
    return [
        *(f"the tag {name} is one of hart's own" for name in names if is_own(name)),
        *("a tag must have a name" for name in names if not name.strip()),
    ]


def flat(name: str, value: str) -> str:
    """Return a tag for clouds whose tags have no values, as the setting ``tags`` has it."""
    return f"{name}:{value}" if value else name


def from_flat(tags: Collection[str]) -> dict[str, str]:
    """Return flat tags by name, without hart's own."""
    pairs = (tag.partition(":") for tag in tags if not is_own(tag))
    return {name: value for name, _, value in pairs}


class Tags(abc.ABC):
    """The user's tags of one account's instances. Its methods implement verbs of ``Driver``."""

    @abc.abstractmethod
    def objections(self, tags: Mapping[str, str]) -> Sequence[str]:
        """Implement ``Driver.tag_objections``."""

    @abc.abstractmethod
    def of(self, instance: Instance) -> Mapping[str, str]:
        """Implement ``Driver.user_tags``."""

    @abc.abstractmethod
    def set(self, instance: Instance, tags: Mapping[str, str], remove: Collection[str]) -> None:
        """Implement ``Driver.set_tags``."""


class Tagged(TagSupport):
    """A driver whose object ``_user_tags`` implements the verbs."""

    _user_tags: Tags

    def tag_objections(self, tags: Mapping[str, str]) -> Sequence[str]:
        """Implement ``Driver.tag_objections``."""
        return self._user_tags.objections(tags)

    def user_tags(self, instance: Instance) -> Mapping[str, str]:
        """Implement ``Driver.user_tags``."""
        return self._user_tags.of(instance)

    def set_tags(self, instance: Instance, tags: Mapping[str, str], remove: Collection[str]) -> None:
        """Implement ``Driver.set_tags``."""
        self._user_tags.set(instance, tags, remove)
