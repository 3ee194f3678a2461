"""The screen of the list of nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.text import Text

from hart_salt.screens.nodes import place
from hart_salt.screens.paper import Paper
from hart_salt.screens.table import ALWAYS, Column, Row, table
from hart_salt.screens.words import age, counted, listed, price, until

Entry = Mapping[str, Any]


def _fact(*names: str) -> Callable[[str, Entry], str]:
    """Return a function that returns the first of these facts that a node has."""
    return lambda _, entry: next((str(entry[name]) for name in names if entry.get(name) is not None), "")


#: every column by the name in ``columns=``, and its cell from the minion id and the entry
COLUMNS: Mapping[str, tuple[Column, Callable[[str, Entry], str]]] = {
    "id": (Column("minion", ALWAYS), lambda minion_id, _: minion_id),
    "status": (Column("status", ALWAYS, styled=True), _fact("status")),
    "role": (Column("role", 6), _fact("role")),
    "provider": (Column("provider", 5), _fact("provider")),
    "region": (Column("region", 4), _fact("region")),
    "zone": (Column("zone", 4), _fact("zone")),
    "place": (Column("place", 4), lambda _, entry: place(entry)),
    "size": (Column("size", 2), _fact("size")),
    "ip": (Column("address", 7), _fact("public_ip", "private_ip")),
    "public_ip": (Column("public ip", 7), _fact("public_ip")),
    "private_ip": (Column("private ip", 7), _fact("private_ip")),
    "age": (Column("age", 3, right=True), lambda _, entry: age(entry.get("created"))),
    "created": (Column("created", 3), _fact("created")),
    "ends": (Column("ends in", 3, right=True), lambda _, entry: until(entry.get("ends"))),
    "price": (Column("per month", 3, right=True), lambda _, entry: _price(entry)),
    "by": (Column("by", 3), _fact("by")),
    "protected": (Column("protected", 3), lambda _, entry: "yes" if entry.get("protected") else ""),
    "drifted": (Column("drifted", 4), lambda _, entry: ", ".join(entry.get("drifted") or ())),
    "instance_id": (Column("instance", 3), _fact("instance_id")),
}  # fmt: skip
#: the columns if none are named
DEFAULT = ("id", "status", "role", "provider", "place", "size", "ip", "age")


def minions(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """
    Return a row for each node, and how many have which status.

    ``columns`` of the document are the names of the columns; on a narrow terminal, none of them is left out. ``rows``
    is the number of nodes that have a row, if not all have.
    """
    entries = document["nodes"]
    if not entries:
        return paper.lines("There are no nodes.")
    counts = Counter(entry["status"] for entry in entries.values())
    summary = f"{counted(len(entries), 'node')}: {listed(counts.most_common())}."
    if protected := sum(bool(entry.get("protected")) for entry in entries.values()):
        summary += f" {protected} of them {'is' if protected == 1 else 'are'} protected."
    shown = list(entries.items())[: document.get("rows")]
    if len(shown) < len(entries):
        summary += f" {len(entries) - len(shown)} of them are not shown."
    names = document.get("columns") or DEFAULT
    columns = [COLUMNS[name][0] for name in names]
    if document.get("columns"):
        columns = [Column(one.name, ALWAYS, one.right, one.styled) for one in columns]
    rows = [_row(minion_id, entry, names) for minion_id, entry in shown]
    return [*table(columns, rows, paper), Text(""), *paper.lines(summary)]


def _price(entry: Entry) -> str:
    return price(entry.get("monthly_price"), entry.get("currency"))


def _row(minion_id: str, entry: Entry, names: Sequence[str]) -> Row:
    cells = [COLUMNS[name][1](minion_id, entry) for name in names]
    drifted = [f"drifted: {', '.join(entry['drifted'])}"] if entry.get("drifted") and "drifted" not in names else []
    return Row(cells, [*drifted, *(str(entry[name]) for name in ("note", "error") if entry.get(name))])
