"""What hart draws: the timeline of some nodes, the report of the fleet."""

from __future__ import annotations

from collections.abc import Sequence

from hart_salt.inventory.context import Context
from hart_salt.operations import pages
from hart_salt.operations.pages import Destination
from hart_salt.result import Result


class Pictures:
    """The use cases of ``Service`` that write a page for a browser."""

    context: Context

    def timeline(self, names: Sequence[str], destination: Destination) -> Result:
        """Return where the seconds of nodes went, and write the page; see ``pages.timeline``."""
        found = pages.timeline(self.context, names, destination)
        return Result(found.pop("nodes"), more=found)
