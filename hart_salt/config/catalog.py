"""The catalogue of all settings: the common ones and those of each driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hart_salt.base.text import suggestion
from hart_salt.config import fleets, limits
from hart_salt.config.cluster import FIELDS
from hart_salt.config.schema import Schema
from hart_salt.config.settings import Section, Settings
from hart_salt.config.validation import check_field, takes_mapping

#: keys that say where a node goes; they belong to no section's model
PLACES = frozenset(["provider"])

#: names that a provider cannot have
RESERVED = frozenset(
    ["driver", "hart", "provider", "providers", "role", "roles", fleets.SETTING, *FIELDS, *limits.FIELDS]
)

#: settings that only fleets have
OF_FLEETS = frozenset(fleets.Fleet.model_fields) - Settings.model_fields.keys() - RESERVED


class Catalogue:
    """
    All settings of the drivers in ``schemas``.

    Wherever ``driver`` is a parameter, None stands for a place that belongs to no driver, such as a role. Settings of
    any driver are allowed there.
    """

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self.schemas = schemas

    def owners(self, name: str) -> list[str]:
        """Return the drivers that have a setting or alias ``name`` of their own."""
        return [
            driver
            for driver, schema in self.schemas.items()
            if name in schema.options.model_fields or name in schema.options.ALIASES
        ]

    def is_common(self, name: str) -> bool:
        """Return whether all drivers understand a setting or alias."""
        return name in Settings.model_fields or name in Settings.ALIASES

    def is_account(self, name: str) -> bool:
        """Return whether some driver's account has a setting of this name."""
        return any(
            name in schema.account.model_fields or name in schema.account.ALIASES for schema in self.schemas.values()
        )

    def exists(self, name: str) -> bool:
        """Return whether this is a setting, or an alias of one, of any driver."""
        return self.is_common(name) or bool(self.owners(name))

    def sections(self, name: str, driver: str | None) -> list[type[Section]]:
        """
        Return the models that have the canonical setting ``name``.

        For ``driver`` see the class.
        """
        if name in Settings.model_fields:
            return [Settings]
        return [section for section in self._options(driver) if name in section.model_fields]

    def canonical(self, name: str, value: Any, driver: str | None) -> tuple[str, Any]:
        """
        Replace an alias by its setting, and convert its value.

        ``name`` and ``value`` are as the user wrote them; for ``driver`` see the class.
        """
        if not self.sections(name, driver):
            for section in self._all(driver):
                if name in section.ALIASES:
                    alias = section.ALIASES[name]
                    return alias.name, alias.convert(value)
        return name, value

    def check(self, name: str, value: Any, driver: str | None) -> tuple[Any, str | None]:
        """
        Check the value of a canonical setting that exists in this place.

        If several drivers are possible, it is enough that one of them accepts the value. The value is then kept as
        written, unless all of them convert it in the same way.

        Returns the value to keep, and what is wrong with it.
        """
        answers = [check_field(section, name, value) for section in self.sections(name, driver)]
        good = [kept for kept, wrong in answers if wrong is None]
        if not good:
            return None, answers[0][1]
        agreed = len(good) == len(answers) and all(kept == good[0] for kept in good)
        return (good[0] if agreed else value), None

    def takes_mapping(self, name: str, driver: str | None) -> bool:
        """Return whether a setting or alias can hold a mapping in this place."""
        canonical, _ = self.canonical(name, None, driver)
        return any(takes_mapping(section, canonical) for section in self.sections(canonical, driver))

    def refusal(self, name: str, driver: str | None, more: Sequence[str] = ()) -> str | None:
        """
        Return why a name is not allowed in a place, as the end of a sentence that starts with the path; None if it is.

        ``name`` is a canonical setting or any other word. For ``driver`` see the class. ``more`` holds further words
        that are allowed in this place, for suggestions.
        """
        if self.sections(name, driver):
            return None
        if owners := self.owners(name):
            return f"is a setting of {_and(owners)}, but the driver here is {driver}"
        if name in PLACES:
            return "cannot be set here, only under hart, in a role, and as an argument"
        if name in FIELDS or name == fleets.SETTING:
            return "cannot be set here, only directly under hart"
        if name in limits.FIELDS:
            return "is a limit, which can be set only directly under hart, in a provider and in a role"
        if self.is_account(name):
            return "belongs in hart:providers:<name>, and nowhere else"
        if name in OF_FLEETS:
            return "is a setting of fleets, and belongs in hart:fleets:<name>"
        near = suggestion(name, [*self.names(driver), *more]) or suggestion(name, self.names(None))
        return f"unknown setting{near}"

    def names(self, driver: str | None) -> list[str]:
        """Return all settings and aliases that are allowed in a place."""
        sections = self._all(driver)
        return sorted({name for one in sections for name in [*one.model_fields, *one.ALIASES]})

    def _all(self, driver: str | None) -> list[type[Section]]:
        return [Settings, *self._options(driver)]

    def _options(self, driver: str | None) -> list[type[Section]]:
        if driver is None:
            return [schema.options for schema in self.schemas.values()]
        return [self.schemas[driver].options] if driver in self.schemas else []


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
