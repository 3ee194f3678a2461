"""Screens of repairs: what a sweep removed and kept, and the keys at every master."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from hart_salt.screens.paper import Paper
from hart_salt.screens.table import ALWAYS, Column, Row, pairs, table
from hart_salt.screens.words import listed

COLUMNS = (
    Column("what", ALWAYS), Column("name", ALWAYS), Column("result", ALWAYS, styled=True), Column("provider", 4),
)  # fmt: skip
#: the lists of a report, and what each is called
LISTS = {
    "removed": "removed", "would_remove": "would remove", "rebuilt": "rebuilt", "would_rebuild": "would rebuild",
    "sealed": "sealed", "would_seal": "would seal", "kept": "kept", "failed": "failed",
}  # fmt: skip


def sweep(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return each orphan with what was done and why."""
    found = {word: document.get(name) or [] for name, word in LISTS.items()}
    rows = [_row(orphan, word) for word, orphans in found.items() for orphan in orphans]
    lost = paper.lines(document["lost"]) if document.get("lost") else []
    if not rows:
        return lost or ([] if document["notes"] else paper.lines("There are no orphans."))
    counts = listed((word, len(orphans)) for word, orphans in found.items())
    return [*table(COLUMNS, rows, paper), Text(""), *paper.lines(f"{counts}."), *lost]


def _row(orphan: Mapping[str, Any], word: str) -> Row:
    cells = tuple(str(orphan.get(name) or "") for name in ("kind", "name"))
    why = [str(orphan[name]) for name in ("error", "why") if orphan.get(name)]
    return Row((*cells, word, str(orphan.get("provider") or "")), why)


def masters(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the report of each master's key store."""
    lines: list[Text] = []
    for name, report in document["masters"].items():
        shown = [(key, _text(value)) for key, value in report.items()]
        lines += [*([Text("")] if lines else []), Text(name, "bold"), *pairs(shown, paper)]
    return lines


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
