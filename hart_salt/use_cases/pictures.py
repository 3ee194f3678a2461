"""What hart draws: the timeline of some nodes, the report of the fleet."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hart_salt.inventory.snapshot import take_snapshot
from hart_salt.operations import cost, pages
from hart_salt.operations.pages import Destination
from hart_salt.result import Result
from hart_salt.use_cases.parts import Parts


class Pictures:
    """The use cases of ``Service`` that write a page for a browser."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def timeline(self, names: Sequence[str], destination: Destination) -> Result:
        """Return where the seconds of nodes went, and write the page; see ``pages.timeline``."""
        found = pages.timeline(self._parts.context, names, destination)
        return Result(found.pop("nodes"), more=found)

    def report(self, destination: Destination, *, ping: bool) -> Result:
        """Return the numbers of the whole fleet, and write the page; see ``pages.fleet``."""
        path, now, context = destination.path(), time.time(), self._parts.context
        present = context.master.minions.present if ping else None
        seen = take_snapshot(self._parts.drivers_for(None), context.store, context.master, present)
        selection = self._parts.selection
        entries, unknown = selection.nodes(seen)
        priced = cost.report(cost.Wanted(None, None, frozenset()), None, seen, context.journal, self._parts.driver, now)
        problems = [*seen.problems, *seen.broken.values(), *unknown]
        found = pages.fleet(context, seen, entries, priced, problems, now)
        notes = [*found.notes, *selection.notes]
        return Result(pages.write_fleet(context, found, path, now), not problems, problems=problems, notes=notes)
