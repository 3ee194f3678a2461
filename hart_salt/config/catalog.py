"""Which settings there are, and whose they are: the common ones and those of each driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hart_salt.config.schema import Schema
from hart_salt.config.settings import Section, Settings
from hart_salt.config.validation import check_field, suggestion, takes_mapping

#: keys that say where a node goes, and so belong to no section's model
PLACES = frozenset(["provider"])

#: what no provider may be called
RESERVED = frozenset(["driver", "hart", "provider", "providers", "role", "roles"])


class Catalogue:
    """
    All settings of the drivers in ``schemas``.

    Wherever ``driver`` is a parameter, None stands for a place that belongs to no driver, such as a role:
    there a setting of any driver may stand.
    """

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self.schemas = schemas

    def owners(self, name: str) -> list[str]:
        """
        List the drivers that have a setting of their own of this name.

        :param name: a setting or an alias
        """
        return [
            driver
            for driver, schema in self.schemas.items()
            if name in schema.options.model_fields or name in schema.options.ALIASES
        ]

    def is_common(self, name: str) -> bool:
        """Say whether all drivers understand a setting or alias."""
        return name in Settings.model_fields or name in Settings.ALIASES

    def is_account(self, name: str) -> bool:
        """Say whether some driver's account has a setting of this name."""
        return any(
            name in schema.account.model_fields or name in schema.account.ALIASES for schema in self.schemas.values()
        )

    def exists(self, name: str) -> bool:
        """Say whether this is a setting or an alias of one, of whatever driver."""
        return self.is_common(name) or bool(self.owners(name))

    def sections(self, name: str, driver: str | None) -> list[type[Section]]:
        """
        List the models that know a canonical setting.

        :param name: the setting
        :param driver: see above
        """
        if name in Settings.model_fields:
            return [Settings]
        return [section for section in self._options(driver) if name in section.model_fields]

    def canonical(self, name: str, value: Any, driver: str | None) -> tuple[str, Any]:
        """
        Replace an alias by its setting, and its value by the setting's.

        :param name: what somebody wrote
        :param value: its value
        :param driver: see above
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

        Where several drivers may be meant, one that takes the value is enough; the value is then kept as
        written unless all of them agree on it.

        :return: the value to keep, and what is wrong with it
        """
        answers = [check_field(section, name, value) for section in self.sections(name, driver)]
        good = [kept for kept, wrong in answers if wrong is None]
        if not good:
            return None, answers[0][1]
        agreed = len(good) == len(answers) and all(kept == good[0] for kept in good)
        return (good[0] if agreed else value), None

    def takes_mapping(self, name: str, driver: str | None) -> bool:
        """Say whether a setting or alias may hold a mapping in this place."""
        canonical, _ = self.canonical(name, None, driver)
        return any(takes_mapping(section, canonical) for section in self.sections(canonical, driver))

    def refusal(self, name: str, driver: str | None, more: Sequence[str] = ()) -> str | None:
        """
        Find out why a name cannot stand in a place.

        :param name: a canonical setting, or any other word
        :param driver: see above
        :param more: further words that may be meant in this place
        :return: the end of a sentence that starts with the path, or None
        """
        if self.sections(name, driver):
            return None
        if owners := self.owners(name):
            return f"is a setting of {_and(owners)}, and the driver here is {driver}"
        if name in PLACES:
            return "cannot be set here, only under hart, in a role, and as an argument"
        if self.is_account(name):
            return "belongs in hart:providers:<name>, which is the only place for it"
        near = suggestion(name, [*self.names(driver), *more]) or suggestion(name, self.names(None))
        return f"unknown setting{near}"

    def names(self, driver: str | None) -> list[str]:
        """List all settings and aliases that may stand in a place."""
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
