"""The screens of what hart also draws as pages: the timeline of some nodes, the fleet in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from hart_salt.reports.measures import in_order
from hart_salt.reports.timeline import SHOWN, result, word
from hart_salt.screens.paper import Paper
from hart_salt.screens.table import ALWAYS, Column, Row, pairs, table
from hart_salt.screens.words import counted, duration, listed, prices


def timeline(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return a row for each of the slowest nodes, and the median of all."""
    entries, stages = document["nodes"], document["stages"]
    names = in_order([*stages, *(name for one in entries.values() for name in one["seconds"])])
    columns = [Column("node", ALWAYS), Column("result", 7, styled=True)]
    # On a narrow terminal, the stages with the fewest seconds are left out first.
    order = sorted(names, key=lambda name: stages.get(name, {}).get("median", 0.0))
    columns += [Column(word(name), min(6, order.index(name)), right=True) for name in names]
    columns += [Column("total", ALWAYS, right=True)]
    rows = [_row(minion_id, one, names) for minion_id, one in list(entries.items())[:SHOWN]]
    if len(entries) > 1:
        medians = {name: one["median"] for name, one in stages.items()}
        cells = ["median", "", *_cells(medians, names), duration(sum(medians.values()))]
        rows.append(Row(cells, style="bold"))
    return [*table(columns, rows, paper), Text(""), *paper.lines(*_sentences(document))]


def _row(minion_id: str, one: Mapping[str, Any], names: list[str]) -> Row:
    return Row([minion_id, result(one["end"], one["seconds"]), *_cells(one["seconds"], names), duration(one["total"])])


def _cells(seconds: Mapping[str, float], names: list[str]) -> list[str]:
    return [duration(seconds[name]) if name in seconds else "" for name in names]


def _sentences(document: Mapping[str, Any]) -> list[str]:
    count = len(document["nodes"])
    found = [f"{counted(count, 'node')} in {duration(document['total'])}, from the first start to the last end."]
    found += [f"The {SHOWN} slowest are shown; the median is of all."] if count > SHOWN else []
    return [*found, f"Picture: {document['file']}"] if "file" in document else found


def fleet(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the numbers of the whole fleet."""
    found = document["fleet"]
    if not found:
        return []
    counts = [(name, ", ".join(f"{number} {value}" for value, number in found[name].items()))
              for name in ("status", "role", "region")]  # fmt: skip
    price = prices(found["monthly_price"]) if found["monthly_price"] else ""
    unknown = f"without {counted(found['unknown_prices'], 'node')} of unknown price" if found["unknown_prices"] else ""
    medians = ", ".join(f"{word(stage)} {duration(spent)}" for stage, spent in found["median_seconds"].items())
    facts = [
        ("nodes", str(found["nodes"])), *counts, ("per month", ", ".join(filter(None, (price, unknown)))),
        ("last 30 days", listed((what, number) for what, number in found["last_30_days"].items())),
        ("medians", medians), ("page", found.get("file", "")),
    ]  # fmt: skip
    return pairs(facts, paper)
