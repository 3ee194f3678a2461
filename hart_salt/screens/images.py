"""Screens of images: the list of a provider's images, and the making and deleting of baked ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from hart_salt.planning.digest import words_of_image
from hart_salt.screens.nodes import NOTHING, reasons, total_seconds
from hart_salt.screens.paper import Paper
from hart_salt.screens.table import ALWAYS, Column, Row, filled, fitting, pairs, table
from hart_salt.screens.words import age, counted, duration, number, price

PLAIN = (Column("image", ALWAYS), Column("", 6), Column("description", 4))
BAKED = (
    Column("baked image", ALWAYS), Column("state", 8, styled=True), Column("role", 7), Column("age", 7, right=True),
    Column("size", 6, right=True), Column("per month", 6, right=True), Column("nodes", 6, right=True),
    Column("salt", 5), Column("arch", 2), Column("regions", 3),
)  # fmt: skip
NEEDED = 6  #: the weight from which on a column is worth a second line for each image
INDENT = 2
GONE = "not available"
HOURS = 730.0  #: in a month, as providers count them
NAMED = 8  #: nodes of an image that are named


def images(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the baked images, the newest first, then the others, each by the value for the setting ``image``."""
    found = document["images"]
    baked = {name: facts for name, facts in found.items() if facts.get("baked")}
    others = {name: facts for name, facts in found.items() if name not in baked}
    rows = [Row((name, _there(facts), facts.get("description") or "")) for name, facts in others.items()]
    lines = _baked_table(baked, paper) if baked else []
    lines += [Text("")] if baked and others else []
    lines += table(PLAIN, rows, paper) if others else []
    total = counted(len(found), "image" if others or not baked else "baked image")
    total += f", {len(baked)} of them baked" if baked and others else ""
    return [*lines, Text(""), *paper.lines(f"{total}.", *_price(baked))]


def _there(facts: Mapping[str, Any]) -> str:
    return "" if facts.get("available", True) else GONE


def _baked_table(found: Mapping[str, Mapping[str, Any]], paper: Paper) -> list[Text]:
    """
    Return the baked images in a form that shows all facts without shortening an id.

    Each image has one line or, if that is too narrow, two: the id, and the facts. What does not fit even then stands
    below as text.
    """
    ordered = sorted(found.items(), key=lambda item: item[1].get("created") or "", reverse=True)
    rows = [Row((name, *_facts(facts)), _title(name, facts)) for name, facts in ordered]
    remarks = [_remarks(facts) for _, facts in ordered]
    if _is_enough(BAKED, rows, paper.width):
        below = [[*title.remarks, *_rest(BAKED, rows, at, paper), *remarks[at]] for at, title in enumerate(rows)]
        return table(BAKED, [Row(row.cells, more) for row, more in zip(rows, below, strict=True)], paper)
    return _in_two_lines(rows, remarks, paper)


def _in_two_lines(rows: Sequence[Row], remarks: Sequence[Sequence[str]], paper: Paper) -> list[Text]:
    """Return the id of each image in a line, and the facts below it."""
    columns, narrower = BAKED[1:], replace(paper, width=paper.width - INDENT)
    facts = [Row(row.cells[1:]) for row in rows]
    has_table = _is_enough(columns, facts, narrower.width)
    heading, *lines = table(columns, facts, narrower) if has_table else [Text("")] * (len(rows) + 1)
    shown = [Text(BAKED[0].name.upper(), "bold"), _indented(heading)]
    for at, row in enumerate(rows):
        rest = _rest(columns, facts, at, narrower) if has_table else _named(columns, facts[at], range(len(columns)))
        below = [Text(line) for more in [*rest, *remarks[at]] for line in paper.wrap(more, " " * INDENT)]
        shown += [*_head(row, paper), _indented(lines[at]), *below]
    return [line for line in shown if line.plain.strip()]


def _head(row: Row, paper: Paper) -> list[Text]:
    """Return the id of an image and its name, in one line if they fit."""
    both = "  ".join([row.cells[0], *row.remarks])
    if cell_len(both) <= paper.width:
        return [Text(both)]
    return [Text(row.cells[0]), *(Text(" " * INDENT + name) for name in row.remarks)]


def _is_enough(columns: Sequence[Column], rows: Sequence[Row], width: int) -> bool:
    """Return whether a table of this width has all columns that are needed."""
    lost = {*filled(columns, rows)} - {*fitting(columns, rows, width)}
    return all(columns[at].weight < NEEDED for at in lost)


def _rest(columns: Sequence[Column], rows: Sequence[Row], at: int, paper: Paper) -> list[str]:
    """Return the cells of a row whose columns do not fit, as text."""
    shown = fitting(columns, rows, paper.width)
    return _named(columns, rows[at], [number for number in filled(columns, rows) if number not in shown])


def _named(columns: Sequence[Column], row: Row, numbers: Sequence[int]) -> list[str]:
    cells = [f"{columns[at].name}: {row.cells[at]}" for at in numbers if row.cells[at]]
    return ["; ".join(cells)] if cells else []


def _indented(line: Text) -> Text:
    return Text(" " * INDENT).append_text(line)


def _facts(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a baked image after its id."""
    return (
        str(facts.get("state") or ""), facts.get("role") or "", age(facts.get("created")),
        _gigabytes(facts.get("size_gb")), price(facts.get("monthly_price"), facts.get("currency")),
        str(len(facts.get("nodes") or ())), facts.get("release") or "", facts.get("arch") or "",
        ", ".join(facts.get("regions") or ()),
    )  # fmt: skip


def _title(name: str, facts: Mapping[str, Any]) -> list[str]:
    return [str(facts["description"])] if facts.get("description") not in (None, "", name) else []


def _remarks(facts: Mapping[str, Any]) -> list[str]:
    nodes = [f"nodes: {_some(facts['nodes'])}"] if facts.get("nodes") else []
    changed = words_of_image(facts.get("outdated") or ())
    return [*nodes, *([f"changed since the bake: {changed}"] if changed else [])]


def _some(names: Sequence[str]) -> str:
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return ", ".join([*names[:NAMED], *more])


def _gigabytes(size: float | None) -> str:
    if size is None:
        return ""
    return f"{number(round(size, 2))} GB" if size >= 1 else f"{max(1, round(size * 1000))} MB"


def _price(baked: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what the baked images cost, as sentences; nothing if no price is known."""
    sums: Counter[str] = Counter()
    for facts in baked.values():
        if facts.get("monthly_price") is not None:
            sums[facts.get("currency") or "USD"] += facts["monthly_price"]
    amounts = " and ".join(price(amount, currency) for currency, amount in sorted(sums.items()))
    return [f"Price per month of the baked images, before tax: {amounts}."] if any(sums.values()) else []


def bake(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the image that was made, or why none was, or what would be done."""
    lines: list[Text] = []
    for role, entry in document.get("bakes", {}).items():
        lines += _planned(role, entry, paper) if entry.get("result") is None else _made(role, entry, paper)
        lines += [line for note in entry.get("notes") or () for line in _noted(str(note), paper)]
    return lines


def _noted(note: str, paper: Paper) -> list[Text]:
    return [Text(line) for line in paper.wrap(note, "      ", "note: ")]


def _planned(role: str, entry: Mapping[str, Any], paper: Paper) -> list[Text]:
    states = entry.get("apply") or "none"
    facts = [
        ("base image", str(entry.get("base_image") or "")),
        ("states", states if isinstance(states, str) else ", ".join(states)),
        ("node", _node(entry)),
        ("image", _per_gigabyte(entry)),
        ("copies in", ", ".join(entry.get("copies") or ())),
        ("keeps", _kept(entry)),
        ("deletes", ", ".join(entry.get("deleted") or ())),
    ]
    head = f"To bake: an image of the role {role}. {NOTHING}"
    return [*paper.lines(head), Text(""), *pairs(facts, paper)]


def _kept(entry: Mapping[str, Any]) -> str:
    keep = entry.get("keep")
    return "" if keep is None else f"the newest {counted(keep, 'image')} of the role in each region"


def _node(entry: Mapping[str, Any]) -> str:
    """Return the place and size of the node of a bake, and what it costs while it exists."""
    monthly, currency = entry.get("monthly_price"), entry.get("currency")
    cost = ""
    if monthly:
        cost = f"; {_hourly(monthly / HOURS, currency)} per hour, {price(monthly, currency)} per month, before tax"
    elif monthly is not None:
        cost = "; free of charge"
    where = f"{entry['size']} at {entry['provider']} in {entry.get('zone') or entry['region']}"
    return f"{where}{cost}; destroyed at the end"


def _hourly(amount: float, currency: str | None) -> str:
    return price(amount, currency) if amount >= 1 else price(1.0, currency).replace("1.00", f"{amount:.4f}")


def _per_gigabyte(entry: Mapping[str, Any]) -> str:
    amount = entry.get("image_price_gb")
    if amount is None:
        return "its price is not known"
    if amount == 0:
        return "free of charge"
    each = f", for each of {len(entry['copies']) + 1} regions" if entry.get("copies") else ""
    return f"{_hourly(amount, entry.get('image_currency')).rstrip('0').rstrip('.')} per GB and month, before tax{each}"


def _made(role: str, entry: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the facts of a complete image, and the reason of a failure."""
    seconds = total_seconds(entry)
    name = "" if entry.get("name") in (None, entry.get("image")) else str(entry["name"])
    facts = [
        ("image", str(entry.get("image") or "")), ("name", name), ("role", role),
        ("place", " ".join(filter(None, [entry.get("provider"), entry.get("region")]))),
        ("size", _gigabytes(entry.get("size_gb"))), ("architecture", entry.get("arch") or ""),
        ("Salt", entry.get("release") or ""), ("took", duration(seconds) if seconds else ""),
        ("copies", ", ".join(f"{name} ({region})" for region, name in (entry.get("copies") or {}).items())),
        ("deleted", ", ".join(entry.get("deleted") or ())),
    ]  # fmt: skip
    lines = pairs(facts, paper) if entry.get("image") else []
    if entry["result"]:
        return lines
    end = f"No image of the role {role} was made:" if not lines else "The image is complete, but the bake failed:"
    why = [Text(line) for reason in reasons(entry) for line in paper.wrap(reason, "  ")]
    return [*lines, *([Text("")] if lines else []), *paper.lines(end), *why]


def removed(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return what became of each image that was to be deleted."""
    lines: list[Text] = []
    for image, entry in document.get("images", {}).items():
        name = f" ({entry['name']})" if entry.get("name") not in (None, "", image) else ""
        of = f" of the role {entry['role']}" if entry.get("role") else ""
        what = f"The image {image}{name}{of} at {entry.get('provider')}"
        if entry["result"] is None:
            lines += paper.lines(f"{what} would be deleted. {NOTHING}")
        elif entry["result"]:
            lines += paper.lines(f"{what} was deleted.")
        else:
            lines += paper.lines(f"{what} could not be deleted: {entry.get('error')}")
    return lines
