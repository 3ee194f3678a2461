"""What the groups of use cases need of the service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hart_salt.config.loader import Config
from hart_salt.config.schema import Schema
from hart_salt.config.settings import Settings
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.records import Record
from hart_salt.master.client import Master
from hart_salt.model import MasterInfo, Node
from hart_salt.operations.drift import Drift
from hart_salt.operations.selection import Selection
from hart_salt.result import Result


class Parts(Protocol):
    """The configuration of one master, its providers, and what all calls share."""

    config: Config
    schemas: Mapping[str, Schema]
    info: MasterInfo
    context: Context
    master: Master

    @property
    def selection(self) -> Selection:
        """What selects nodes."""

    def drift(self) -> Drift:
        """Return what compares nodes with the present configuration and the newest baked images."""

    def image_digest(self, node: Node) -> str:
        """Return what a baked image of such a node would be made from, as ``planning/digest.py`` writes it."""

    def driver(self, name: str) -> Driver:
        """Return the driver of a configured provider. Raises ``Refused`` if there is no such provider."""

    def drivers_for(self, provider: str | None) -> list[Driver]:
        """Return the driver of one provider; None: those of all."""

    def drivers_of(self, records: Iterable[Record]) -> dict[str, Driver]:
        """Return the drivers of the providers of these nodes, by name."""

    def nodes_of(self, minion_ids: Sequence[str]) -> dict[str, Record]:
        """Return the records of these ids. Raises ``Refused`` if one of them is not a node."""

    def settings_of(self, record: Record) -> Settings:
        """Return the current settings for a node of this role and place."""

    def changes(self, *, test: bool = False) -> bool:
        """Note that the call changes something, unless it is a test; return whether it waited for its slot."""

    def by_node(self, data: dict[str, Any], interrupted: int | None, *, test: bool = False) -> Result:
        """Return the result of entries by node."""


@dataclass(frozen=True)
class Calls:
    """The use cases of the service that change nodes."""

    create: Callable[..., Result]
    destroy: Callable[[Sequence[str]], Result]
    #: removes what dead operations left at a provider; None: at all of them
    sweep_dead: Callable[[str | None], None]
    #: makes an image of a role; see ``Images.bake``
    bake: Callable[..., Result]
