"""The screen of what nodes cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from hart_salt.screens.paper import Paper
from hart_salt.screens.table import ALWAYS, Column, Row, table
from hart_salt.screens.words import counted, number, price, prices

NODES = (
    Column("node", ALWAYS), Column("role", 6), Column("provider", 5), Column("region", 3), Column("size", 4),
    Column("hours", 2, right=True), Column("cost", ALWAYS, right=True),
)  # fmt: skip
UNKNOWN = "unknown"


def cost(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the cost of each node, the dearest last, then of each role and provider, and the total."""
    found = document["cost"]
    if not found["nodes"]:
        return paper.lines("There are no nodes." if found["month"] is None else f"No node existed in {found['month']}.")
    ordered = sorted(found["nodes"].items(), key=lambda item: (item[1]["cost"] is not None, item[1]["cost"] or 0.0))
    rows = [Row(_cells(minion_id, entry)) for minion_id, entry in ordered]
    lines = [*table(NODES, rows, paper), Text("")]
    for title, groups in (("role", found["roles"]), ("provider", found["providers"])):
        if len(groups) > 1:
            columns = (Column(title, ALWAYS), Column("cost", ALWAYS, right=True))
            lines += [*table(columns, [Row((name, _sum(sums))) for name, sums in groups.items()], paper), Text("")]
    when = "per month" if found["month"] is None else f"in {found['month']}"
    return [*lines, *paper.lines(f"{counted(len(rows), 'node')}: {_sum(found['total'])} {when}, before tax.")]


def _sum(amounts: Mapping[str, float]) -> str:
    return prices(amounts) if amounts else UNKNOWN


def _cells(minion_id: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    facts = (str(entry[name] or "") for name in ("role", "provider", "region", "size"))
    amount = UNKNOWN if entry["cost"] is None else price(entry["cost"], entry["currency"])
    return (minion_id, *facts, number(entry.get("hours")), amount)
