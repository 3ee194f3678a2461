"""The result of a translation of salt-cloud's configuration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from hart_salt.migration.salt_cloud.entries import Entry
from hart_salt.migration.salt_cloud.terms import Driver


@dataclass(frozen=True)
class Account:
    """A provider of salt-cloud, and hart's name for it."""

    name: str
    entry: Entry
    driver: Driver


@dataclass
class Translation:
    """The result of the translation."""

    hart: dict[str, Any] = field(default_factory=dict)
    #: besides ``hart:`` in the master config
    sdb: dict[str, Any] = field(default_factory=dict)
    #: commands for the machines of maps: to create them, or to import those that exist
    create: list[str] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "config": {"hart": self.hart, **self.sdb}, "notes": self.notes, "create": self.create,
            "import": self.imports,
        }  # fmt: skip

    def text(self) -> str:
        """Return it as a file for ``master.d``, with everything else in comments."""
        head = "Translated from salt-cloud's configuration by hart.from_salt_cloud. To note or to do:"
        parts = [_comment(head, self.notes or ["nothing: the translation is complete"])]
        parts.append(yaml.safe_dump({**self.sdb, "hart": self.hart}, sort_keys=False, width=100, allow_unicode=True))
        if self.create:
            parts.append(_comment("To create the machines of maps:", self.create, marks=False))
            parts.append(_comment("To import them if they exist already:", self.imports, marks=False))
        return "\n".join(parts)


def _comment(head: str, lines: Iterable[str], *, marks: bool = True) -> str:
    return "\n".join([f"# {head}", *(f"#   {'- ' if marks else ''}{' '.join(line.split())}" for line in lines)]) + "\n"
