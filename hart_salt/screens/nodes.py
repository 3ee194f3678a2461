"""Screens of what was done with nodes, and of plans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from hart_salt.screens.paper import Paper
from hart_salt.screens.table import ALWAYS, Column, Row, table
from hart_salt.screens.words import counted, duration, listed, price, prices

OUTCOME = (
    Column("node", ALWAYS), Column("result", ALWAYS, styled=True), Column("address", 7),
    Column("seconds", 6, right=True), Column("provider", 3), Column("place", 4), Column("size", 2),
)  # fmt: skip
PLAN = (
    Column("", ALWAYS), Column("node", ALWAYS), Column("role", 3), Column("provider", 4), Column("place", 5),
    Column("size", 6), Column("per month", 7, right=True),
)  # fmt: skip
#: what a success of a function is called, or of an action in the entry of a node
DONE = {
    "create": "ready", "create_role": "ready", "create_master": "ready", "destroy": "destroyed", "add_ip": "added",
    "remove_ip": "removed", "import": "imported", "import_minion": "imported", "import_minions": "imported",
    "check_seal": "sealed", "keep": "kept", "protect": "protected", "unprotect": "unprotected", "start": "running",
    "stop": "stopped", "reboot": "rebooted", "resize": "resized", "set_tags": "tagged",
    "extend": "extended",
}  # fmt: skip
MARKS = {"create": "+", "import": "+", "destroy": "-", "remove": "-", "keep": " ", "none": " "}
CHANGES = ("ip", "kind", "before", "ends", "tags", "restarts")  #: what a plan says about one node
MARK_STYLES = {"+": "green", "-": "red", "~": "yellow"}
LAST = 3  #: lines of a failed node's output that are shown
OWN = "hart: "  #: how the bootstrap's own lines begin
NOTHING = "Nothing was changed."


def nodes(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the outcome of each node in one line, and a summary."""
    entries = document["nodes"]
    if not entries:
        return []
    if all(entry.get("result", True) is None for entry in entries.values()):
        return plan(document, paper)
    notes = _of_all(entries)
    rows = [_outcome(minion_id, entry, document["function"], notes) for minion_id, entry in _failed_last(entries)]
    summary = [_summary(entries, document["function"]), *_images(entries), *notes]
    return [*table(OUTCOME, rows, paper), Text(""), *paper.lines(*summary)]


def _of_all(entries: Mapping[str, Any]) -> list[str]:
    """Return the notes that all of several nodes have, which stand once below the table, as sentences."""
    first, *others = [list(map(str, entry.get("notes") or ())) for entry in entries.values()]
    return [f"Each node: {note}." for note in first if others and all(note in notes for notes in others)]


def _own(entry: Mapping[str, Any], notes: Sequence[str]) -> list[str]:
    """Return the notes of a node that do not stand below the table."""
    return [note for note in map(str, entry.get("notes") or ()) if f"Each node: {note}." not in notes]


def _images(entries: Mapping[str, Any]) -> list[str]:
    """Return the images that nodes boot, as a sentence, if the entries name them."""
    found = Counter(entry["image"] for entry in entries.values() if entry.get("image"))
    if not found:
        return []
    if len(found) == 1 and found.total() == len(entries):
        return [f"Image: {next(iter(found))}."]
    counts = [f"{image} ({counted(count, 'node')})" for image, count in found.items()]
    return [f"Images: {', '.join(counts)}."]


def _failed_last(entries: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the entries; those that failed stand last, where the eye is after a long table."""
    return sorted(entries.items(), key=lambda item: item[1].get("result") is False)


def word(entry: Mapping[str, Any], function: str) -> str:
    """Return the outcome of a node in a word."""
    if entry.get("action") == "keep":
        return "kept"
    if entry.get("result") is False:
        return "failed"
    if entry.get("changed") is False:
        return "unchanged"
    return DONE.get(entry.get("action", function), "done")


def _outcome(minion_id: str, entry: Mapping[str, Any], function: str, notes: Sequence[str]) -> Row:
    seconds = total_seconds(entry)
    cells = (
        minion_id, word(entry, function), _text(entry.get("ip") or entry.get("public_ip") or entry.get("private_ip")),
        f"{seconds:.0f}" if seconds else "", _text(entry.get("provider")), place(entry), _text(entry.get("size")),
    )  # fmt: skip
    tags = [f"tags: {said(entry['tags'])}"] if entry.get("tags") else []
    why = [str(entry["reason"])] if entry.get("reason") else []
    ends = [f"ends: {entry['ends'] or 'never'}"] if "ends" in entry else []
    return Row(cells, [*why, *reasons(entry), *tags, *ends, *_own(entry, notes)])


def said(value: Any) -> str:
    """Return a value as text; pairs as ``name=value``, or as ``name`` without a value."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={one}" if one else str(name) for name, one in value.items())
    return str(value)


def reasons(entry: Mapping[str, Any]) -> list[str]:
    """Return why a node failed, the last lines that it printed, and where all of them are."""
    if not entry.get("error"):
        return []
    printed = [str(line) for line in entry.get("output") or () if not str(line).startswith(OWN)]
    log = [f"log: {entry['log']}"] if entry.get("log") else []
    return [str(entry["error"]), *(f"| {line}" for line in printed[-LAST:]), *log]


def total_seconds(entry: Mapping[str, Any]) -> float:
    """Return how long all stages of a node took."""
    seconds = entry.get("seconds")
    return sum(seconds.values()) if isinstance(seconds, Mapping) else float(seconds or 0)


def place(entry: Mapping[str, Any]) -> str:
    """Return the zone of a node or, without one, its region."""
    return _text(entry.get("zone") or entry.get("region"))


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _summary(entries: Mapping[str, Any], function: str) -> str:
    words = Counter(word(entry, function) for entry in entries.values())
    failed = words.pop("failed", 0)
    longest = max(map(total_seconds, entries.values()))
    took = f"; the slowest took {duration(longest)}" if longest else ""
    return f"{counted(len(entries), 'node')}: {listed([*words.items(), ('failed', failed)])}{took}."


def plan(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return what would be done with each node, with prices, and the totals."""
    entries = document["nodes"]
    notes = _of_all(entries)
    rows = [_planned(minion_id, entry, notes) for minion_id, entry in entries.items()]
    actions = Counter(entry.get("action", "change") for entry in entries.values())
    words = [("unchanged" if action == "none" else f"to {action}", count) for action, count in actions.items()]
    total = f"{listed(words)}. {NOTHING}"
    lines = [*table(PLAN, rows, paper), Text(""), *paper.lines(total, *_images(entries), *notes)]
    return [*lines, *_totals(document, paper)]


def _planned(minion_id: str, entry: Mapping[str, Any], notes: Sequence[str]) -> Row:
    mark = MARKS.get(entry.get("action", ""), "~")
    cells = (
        mark, minion_id, _text(entry.get("role")), _text(entry.get("provider")), place(entry), _text(entry.get("size")),
        price(entry.get("monthly_price"), entry.get("currency")),
    )  # fmt: skip
    changes = [f"{name}: {said(value)}" for name, value in entry.items() if name in CHANGES and value]
    remarks = [*([", ".join(changes)] if changes else []), *_own(entry, notes)]
    return Row(cells, remarks, MARK_STYLES.get(mark, ""))


def _totals(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the totals of prices: those of the fleet, if they are known, otherwise of what would be created."""
    if isinstance(document.get("price"), Mapping):
        before, after = (prices(document["price"].get(name) or {}) for name in ("before", "after"))
        unknown = max((document["price"].get("unknown") or {"": 0}).values())
        more = f" Not included: {counted(unknown, 'node')} without a known price." if unknown else ""
        return paper.lines(f"Price per month, before tax: {before} now, {after} afterwards.{more}")
    totals: Counter[str] = Counter()
    for entry in document["nodes"].values():
        if entry.get("action") == "create" and entry.get("monthly_price") is not None:
            totals[entry["currency"]] += entry["monthly_price"]
    if not totals:
        return []
    return paper.lines(f"Price per month of the new nodes, before tax: {prices(totals)}.")


def fleet(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return what was done with the nodes of a role, and how many there were and are."""
    lines = nodes(document, paper)
    if "before" not in document:
        return lines
    verb = "would have" if any(entry.get("result") is None for entry in document["nodes"].values()) else "has"
    had = f"Role {document['role']} had {counted(document['before'], 'node')} and {verb} {document['after']}."
    rebuilt: Sequence[str] = document.get("rebuilt") or document.get("would_rebuild") or ()
    more = [f"Lost records, written again from tags: {', '.join(rebuilt)}."] if rebuilt else []
    return [*lines, *paper.lines(had, *more)]
