"""Write what nodes show as pages: the timeline of some nodes, the report of the whole fleet."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hart_salt.inventory.context import Context
from hart_salt.operations import timeline as timelines
from hart_salt.reports import html_file
from hart_salt.reports import timeline as timeline_page


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
    found = timelines.timeline(names, context.store.read().good, Path(context.info.log_dir))
    data: dict[str, Any] = timeline_page.data(found)
    if path is not None:
        html_file.write(path, timeline_page.page(found, context.gate, time.time()))
        data["file"] = str(path)
    return data
