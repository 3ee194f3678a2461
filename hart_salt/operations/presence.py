"""Which of some nodes exist, for a state that names them by their ids."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hart_salt.base.errors import BrokenRecord, EnvironmentFault, Refused
from hart_salt.base.names import check_minion_id
from hart_salt.drivers.contract import Driver
from hart_salt.inventory import misses
from hart_salt.inventory.context import Context
from hart_salt.inventory.records import READY, Record
from hart_salt.inventory.snapshot import Snapshot, look_at, take_snapshot
from hart_salt.operations import listing


@dataclass(frozen=True)
class Seen:
    """The nodes that exist among those with the given ids."""

    #: by minion id, as ``listing.nodes`` describes a node; an id without any trace is missing
    entries: Mapping[str, dict[str, Any]]
    #: ids of nodes that were ready and whose instance is gone
    gone: frozenset[str] = frozenset()
    #: why something is unknown, a sentence each
    problems: Sequence[str] = ()


class Presence:
    """A look at nodes on this master."""

    def __init__(
        self, context: Context, providers: Collection[str], driver: Callable[[str], Driver],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        """Keep ``providers``, the names of all configured ones, and ``driver``, which returns the driver of one."""
        self._context = context
        self._providers = providers
        self._driver = driver
        self._sleep = sleep

    def look(self, ids: Sequence[str], *, sure: bool) -> Seen:
        """
        Look at the nodes with these ids; only their minions are pinged.

        With ``sure``, an instance that a list misses is looked for again for 15 seconds, see ``misses``; without, one
        miss is enough for ``Seen.gone``.

        Raises ``Refused`` if one of the ids is not a valid minion id.
        """
        wrong = [f"{one}: {problem}" for one in ids if (problem := check_minion_id(one))]
        if wrong:
            raise Refused("\n".join(wrong))
        seen = self._snapshot(ids)
        entries, unknown = self._entries(seen)
        found = {one: entries[one] for one in ids if one in entries}
        missing = [seen.records[one] for one, entry in found.items() if _was_ready(entry)]
        gone = self._gone(missing) if sure else missing
        there = _names(missing) - _names(gone)
        ready = {one: {**entry, "status": READY} if one in there else entry for one, entry in found.items()}
        return Seen(ready, _names(gone), [*seen.problems, *unknown])

    def _snapshot(self, ids: Sequence[str]) -> Snapshot:
        """Return a snapshot of everything; of one node that has a record, only of this node."""

        def present(accepted: Sequence[str]) -> frozenset[str]:
            return self._context.master.minions.present([one for one in accepted if one in ids])

        record = self._record(ids[0]) if len(ids) == 1 else None
        if record is not None and record.provider in self._providers:
            return look_at(record, self._driver(record.provider), self._context.master, present)
        return self._everything(self._providers, present)

    def _everything(
        self, providers: Collection[str], present: Callable[[Sequence[str]], frozenset[str]] | None = None
    ) -> Snapshot:
        chosen = [self._driver(name) for name in providers]
        return take_snapshot(chosen, self._context.store, self._context.master, present)

    def _record(self, minion_id: str) -> Record | None:
        try:
            return self._context.store.get(minion_id)
        except BrokenRecord:
            return None

    def _entries(self, seen: Snapshot) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """Return the nodes, and why it is not known which of them calls work on."""
        locks, info = self._context.locks, self._context.info
        try:
            return listing.nodes(seen, locks.look(seen.records).busy, info, locks.elsewhere), []
        except EnvironmentFault as error:
            return listing.nodes(seen, lambda _: False, info, locks.elsewhere), [str(error)]

    def _gone(self, missing: Sequence[Record]) -> Sequence[Record]:
        return misses.gone(missing, self._everything, self._driver, self._sleep)


def _was_ready(entry: Mapping[str, Any]) -> bool:
    """Return whether it is a node without an instance that was ready; others are what a call left that died."""
    return (entry["status"], entry["sources"]["record"]) == (listing.NO_INSTANCE, READY)


def _names(records: Sequence[Record]) -> frozenset[str]:
    return frozenset(record.minion_id for record in records)
