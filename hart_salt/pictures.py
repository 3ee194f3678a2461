"""What hart draws: the timeline of some nodes, the report of the fleet."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.snapshot import take_snapshot
from hart_salt.operations import cost, pages
from hart_salt.operations.pages import Destination
from hart_salt.operations.selection import Selection
from hart_salt.result import Result


class Pictures:
    """The use cases of ``Service`` that write a page for a browser."""

    context: Context

    def driver(self, name: str) -> Driver:
        """Return the driver of a configured provider."""
        raise NotImplementedError

    def _drivers_for(self, provider: str | None) -> list[Driver]:
        raise NotImplementedError

    @property
    def _selection(self) -> Selection:
        raise NotImplementedError

    def timeline(self, names: Sequence[str], destination: Destination) -> Result:
        """Return where the seconds of nodes went, and write the page; see ``pages.timeline``."""
        found = pages.timeline(self.context, names, destination)
        return Result(found.pop("nodes"), more=found)

    def report(self, destination: Destination, *, ping: bool) -> Result:
        """Return the numbers of the whole fleet, and write the page; see ``pages.fleet``."""
        path, now, context = destination.path(), time.time(), self.context
        present = context.master.minions.present if ping else None
        seen = take_snapshot(self._drivers_for(None), context.store, context.master, present)
        entries, unknown = self._selection.nodes(seen)
        priced = cost.report(cost.Wanted(None, None, frozenset()), None, seen, context.journal, self.driver, now)
        problems = [*seen.problems, *seen.broken.values(), *unknown]
        found = pages.fleet(context, seen, entries, priced, problems, now)
        return Result(pages.write_fleet(context, found, path, now), not problems, problems=problems, notes=found.notes)
