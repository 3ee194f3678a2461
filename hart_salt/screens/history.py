"""The screen of the journal: one line for each outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from rich.text import Text

from hart_salt.screens.paper import Paper
from hart_salt.screens.table import ALWAYS, Column, Row, table
from hart_salt.screens.words import age, counted, duration, listed, moment, price

COLUMNS = (
    Column("time (utc)", ALWAYS), Column("name", ALWAYS), Column("action", ALWAYS),
    Column("result", ALWAYS, styled=True), Column("role", 4), Column("took", 5, right=True),
    Column("a month", 3, right=True), Column("by", 8),
)  # fmt: skip
#: actions, for the summary
DONE = {
    "create": "created", "destroy": "destroyed", "import": "imported", "sweep": "swept", "protect": "protected",
    "unprotect": "unprotected", "set_tags": "tagged", "extend": "extended", "resize": "resized", "start": "started",
    "stop": "stopped", "reboot": "rebooted", "add_ip": "with a further address", "remove_ip": "with an address less",
    "bake": "baked", "remove_image": "deleted",
}  # fmt: skip
#: columns of the line for everything but who called
REST = 60
NARROW = 60  #: columns of a terminal that has no room for dates


def history(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return a row for each entry, the oldest first, and how many there are of which action."""
    entries = document["history"]
    if not entries:
        return paper.lines("The journal has no such entries.")
    counts = Counter(_word(one["action"]) if one["result"] else f"{one['action']} failed" for one in entries)
    summary = f"{counted(len(entries), 'outcome')}: {listed(counts.most_common())}."
    columns = COLUMNS if paper.width >= NARROW else (Column("age", ALWAYS), *COLUMNS[1:])
    return [*table(columns, [_row(one, paper) for one in entries], paper), Text(""), *paper.lines(summary)]


def _word(action: str) -> str:
    return DONE.get(action, action)


def _row(one: Mapping[str, Any], paper: Paper) -> Row:
    kind = "" if one["kind"] in ("minion", "master", "bake") else f"{one['kind']} "
    cells = (
        _time(one["time"], paper), f"{kind}{one['minion_id']}", one["action"], "done" if one["result"] else "failed",
        one.get("role") or "", "" if one.get("seconds") is None else duration(one["seconds"]),
        price(one.get("monthly_price"), one.get("currency")),
        paper.cut(str(one.get("by") or ""), max(20, paper.width - REST)),
    )  # fmt: skip
    details = ", ".join(
        f"{name}: {value}" for name, value in (one.get("details") or {}).items() if value != one["minion_id"]
    )
    return Row(cells, [text for text in (one.get("error"), details) if text])


def _time(at: str, paper: Paper) -> str:
    """Return a time to the minute, or its age if there is little room."""
    seconds = moment(at)
    if seconds is None or paper.width < NARROW:
        return age(seconds)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M}"
