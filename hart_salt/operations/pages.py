"""Write what nodes show as pages: the timeline of some nodes, the report of the whole fleet."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hart_salt.inventory.context import Context
from hart_salt.inventory.journal import CREATE, ENDS, Entry
from hart_salt.inventory.snapshot import Snapshot
from hart_salt.operations import timeline as timelines
from hart_salt.reports import fleet as fleet_page
from hart_salt.reports import html_file
from hart_salt.reports import timeline as timeline_page
from hart_salt.reports.fleet import SPAN, Cost, Deed, Fleet
from hart_salt.result import Result


@dataclass(frozen=True)
class Destination:
    """Where a page is written; None for nowhere."""

    file: str | None
    #: whether the call has a working directory that its user knows
    relative: bool
    #: whether a file that is not a report is replaced
    force: bool

    def path(self) -> Path | None:
        """Return the path of the page. Raises ``Refused`` if it cannot be written there."""
        return None if self.file is None else html_file.target(self.file, relative=self.relative, force=self.force)


def timeline(context: Context, names: Sequence[str], destination: Destination) -> dict[str, Any]:
    """
    Return where the seconds of nodes went, and write the page. Each name is a minion id or a batch.

    Raises ``Refused`` for a name of which nothing is known, or for a file that cannot be written.
    """
    path = destination.path()
    found = timelines.timeline(names, context.store.read().good, Path(context.info.log_dir), context.journal.read())
    data: dict[str, Any] = timeline_page.data(found)
    if path is not None:
        html_file.write(path, timeline_page.page(found, context.gate, time.time()))
        data["file"] = str(path)
    return data


def fleet(
    context: Context, seen: Snapshot, entries: Mapping[str, Any], priced: Result, problems: Sequence[str], now: float
) -> Fleet:  # fmt: skip
    """
    Return what the report of the fleet shows.

    ``entries`` are those of the list of nodes, ``priced`` is the result of ``hart.cost``.
    """
    unpriced = sum(entry["cost"] is None for entry in priced.data["nodes"].values())
    price = Cost(priced.data["total"], priced.data["roles"], priced.data["providers"], unpriced)
    history = _deeds(context.journal.read(since=now - SPAN))
    seconds = {minion_id: record.seconds for minion_id, record in seen.records.items() if minion_id in entries}
    notes = [*priced.notes, *context.journal.notes]
    return Fleet(context.info.master_id, entries, problems, seconds, price, history, notes)


def _deeds(entries: Sequence[Entry]) -> list[Deed]:
    found = []
    for entry in entries:
        if entry.kind not in ("minion", "master"):
            continue
        if entry.action == CREATE:
            found.append(Deed(entry.time or 0.0, "created" if entry.result else "failed"))
        elif entry.action in ENDS and entry.result:
            found.append(Deed(entry.time or 0.0, "destroyed"))
    return found


def write_fleet(context: Context, found: Fleet, path: Path | None, now: float) -> dict[str, Any]:
    """Return the numbers of the report, and write its page if there is a path."""
    data = fleet_page.data(found, now)
    if path is not None:
        html_file.write(path, fleet_page.page(found, context.gate, now))
        data["file"] = str(path)
    return data
