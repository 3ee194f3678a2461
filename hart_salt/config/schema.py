"""The settings that a driver takes, and a configured account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hart_salt.config.settings import Section


@dataclass(frozen=True)
class Schema:
    """The settings that one driver takes. Every driver module has one."""

    driver: str
    #: credentials and account-wide settings, allowed in ``hart:providers:<name>``
    account: type[Section]
    #: the driver's own settings of a node, besides the common ones
    options: type[Section]
    #: the value for a node if no layer sets one; None: the configuration must set it
    default_size: str | None
    default_region: str | None


@dataclass(frozen=True)
class Provider:
    """A configured account: ``hart:providers:<name>``."""

    name: str
    driver: str
    account: Section
