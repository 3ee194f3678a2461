"""Which nodes differ from what the configuration says of their role today."""

from __future__ import annotations

from collections.abc import Callable

from hart_salt.base.errors import HartError
from hart_salt.inventory.records import Record
from hart_salt.model import Instance, Node
from hart_salt.planning.digest import PARTS, differences, is_digest

#: returns a node of a role at a provider in a region as it would be created now; raises ``HartError`` if there is none
Example = Callable[["str | None", "str | None", "str | None"], Node]


class Drift:
    """
    Compares nodes with the present configuration.

    The configuration of each role, provider and region is resolved once, so thousands of nodes cost little.
    """

    def __init__(self, example: Example) -> None:
        self._example = example
        self._examples: dict[tuple[str, str, str], Node | None] = {}

    def of(self, record: Record, instance: Instance | None = None) -> tuple[str, ...]:
        """
        Return the parts of a node that differ, as words of ``digest.PARTS``; empty if none does, or if it is not known.

        ``instance`` is the node's instance as its provider reports it, or None if there is none or it is not known.
        """
        return tuple(self.known(record, instance) or ())

    def known(self, record: Record, instance: Instance | None = None) -> list[str] | None:
        """
        Return the same as ``of``, but None if it is not known: if the node has no digest, if its role is not configured
        any more or its settings have a fault, or for a node without a role and for a salt-master.
        """
        digest = next((it for it in (record.digest, instance.digest if instance else None) if is_digest(it)), None)
        wanted = self._wanted(record) if digest else None
        if digest is None or wanted is None:
            return None
        found = {*differences(digest, wanted.digest)} - {"size"}
        # hart.resize and people can have changed the size since: what the provider reports counts.
        size = (instance.size if instance else None) or record.size
        if size and size != wanted.size:
            found.add("size")
        return [name for name in PARTS if name in found]

    def _wanted(self, record: Record) -> Node | None:
        if not record.role or record.kind != "minion" or not record.region:
            return None
        place = (record.role, record.provider, record.region)
        if place not in self._examples:
            try:
                self._examples[place] = self._example(*place)
            except HartError:
                self._examples[place] = None
        return self._examples[place]
