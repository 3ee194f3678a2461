"""The screen of a simulation: what autoscaling would have done, one line for each change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from rich.text import Text

from hart_salt.screens.paper import Paper
from hart_salt.screens.table import ALWAYS, Column, Row, table
from hart_salt.screens.words import counted, moment, number, prices

COLUMNS = (
    Column("time (utc)", ALWAYS), Column("load", 3, right=True), Column("average", 5, right=True),
    Column("wanted", ALWAYS, right=True), Column("ready", ALWAYS, right=True),
)  # fmt: skip


def simulate(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return a row for each look at which something changed, with the reason, and the totals."""
    found = document["simulation"]
    days = {row["time"][:10] for row in found["rows"]}
    rows = [Row(_cells(row, dated=len(days) > 1), [row["reason"]]) for row in found["rows"]]
    head = f"{found['fleet']}: {found['min']} to {found['max']} nodes, target {found['target']:g}, {_span(found)}"
    return [*paper.lines(head), Text(""), *table(COLUMNS, rows, paper), Text(""), *paper.lines(*_totals(found))]


def _cells(row: Mapping[str, Any], *, dated: bool) -> tuple[str, ...]:
    at = f"{datetime.fromtimestamp(moment(row['time']) or 0.0, timezone.utc):%Y-%m-%d %H:%M:%S}"
    shown = at if dated else at[11:]
    return (
        shown.removesuffix(":00"), number(row["load"]) or "unknown", number(row["average"]), str(row["wanted"]),
        str(row["ready"]),
    )  # fmt: skip


def _span(found: Mapping[str, Any]) -> str:
    begin, end = (f"{datetime.fromtimestamp(moment(found[name]) or 0.0, timezone.utc):%Y-%m-%d %H:%M}"
                  for name in ("from", "until"))  # fmt: skip
    return f"from {begin} to {end} UTC"


def _totals(found: Mapping[str, Any]) -> list[str]:
    totals = found["totals"]
    recorded = totals.get("recorded_node_hours")
    than = f" (recorded: {number(recorded)})" if recorded else ""
    price = f", {prices(totals['price'])} before tax" if totals["price"] else ""
    first = (
        f"{number(totals['node_hours'])} node hours{than} in {number(totals['hours'])} hours{price}: "
        f"{totals['lowest']} to {counted(totals['highest'], 'node')}, {counted(totals['changes'], 'change')}."
    )
    hours = {"Above the target": totals["overloaded_hours"], "Load not known": totals["blind_hours"]}
    return [first, *(f"{what}: {number(value)} hours." for what, value in hours.items() if value)]
