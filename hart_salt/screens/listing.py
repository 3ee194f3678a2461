"""The screen of the list of nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from hart_salt.screens.nodes import place
from hart_salt.screens.paper import Paper
from hart_salt.screens.table import ALWAYS, Column, Row, table
from hart_salt.screens.words import age, counted, listed

COLUMNS = (
    Column("minion", ALWAYS), Column("status", ALWAYS, styled=True), Column("role", 6), Column("provider", 5),
    Column("place", 4), Column("size", 2), Column("address", 7), Column("age", 3, right=True),
)  # fmt: skip


def minions(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return a row for each node, and how many have which status."""
    entries = document["nodes"]
    if not entries:
        return paper.lines("There are no nodes.")
    counts = Counter(entry["status"] for entry in entries.values())
    summary = f"{counted(len(entries), 'node')}: {listed(counts.most_common())}."
    rows = [_row(minion_id, entry) for minion_id, entry in entries.items()]
    return [*table(COLUMNS, rows, paper), Text(""), *paper.lines(summary)]


def _row(minion_id: str, entry: Mapping[str, Any]) -> Row:
    facts = {name: "" if entry.get(name) is None else str(entry[name]) for name in ("role", "provider", "size")}
    address = entry.get("public_ip") or entry.get("private_ip") or ""
    cells = (
        minion_id, entry["status"], facts["role"], facts["provider"], place(entry), facts["size"], address,
        age(entry.get("created")),
    )  # fmt: skip
    return Row(cells, [str(entry[name]) for name in ("note", "error") if entry.get(name)])
