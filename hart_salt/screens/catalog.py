"""Screens of what the providers offer and of what is configured: sizes, regions, roles, checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from hart_salt.screens.paper import Paper
from hart_salt.screens.table import ALWAYS, Column, Row, table
from hart_salt.screens.words import counted, listed, memory, number, price

SIZES = (
    Column("size", ALWAYS), Column("cpus", 8, right=True), Column("memory", 8, right=True),
    Column("disk", 6, right=True), Column("per month", 7, right=True), Column("arch", 5), Column("", 5),
    Column("description", 2),
)  # fmt: skip
GONE = "not available"


def sizes(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the sizes, in the order of the document."""
    found = document["sizes"]
    if not found:
        return paper.lines("There is no such size.")
    rows = [Row(_size(name, facts)) for name, facts in found.items()]
    unpriced = all(facts.get("monthly_price") is None for facts in found.values())
    sentence = f"{counted(len(found), 'size')}{'' if unpriced else '; prices are before tax'}."
    return [*table(SIZES, rows, paper), Text(""), *paper.lines(sentence)]


def _size(name: str, facts: Mapping[str, Any]) -> tuple[str, ...]:
    disk = facts.get("disk_gb")
    return (
        name, number(facts["cpus"]), memory(facts["memory_mb"]), f"{number(disk)} GB" if disk is not None else "",
        price(facts.get("monthly_price"), facts.get("currency")), facts.get("arch") or "",
        "" if facts.get("available", True) else GONE, facts.get("description") or "",
    )  # fmt: skip


def regions(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the regions with their zones."""
    columns = (Column("region", ALWAYS), Column("", 6), Column("description", 4), Column("zones", 5))
    rows = [
        Row((name, _there(facts), facts.get("description") or "", " ".join(facts.get("zones") or ())))
        for name, facts in document["regions"].items()
    ]
    return [*table(columns, rows, paper), Text(""), *paper.lines(f"{counted(len(rows), 'region')}.")]


def _there(facts: Mapping[str, Any]) -> str:
    return "" if facts.get("available", True) else GONE


def roles(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the roles with their providers."""
    columns = (Column("role", ALWAYS), Column("providers", ALWAYS))
    rows = [Row((name, ", ".join(providers))) for name, providers in document["roles"].items()]
    return table(columns, rows, paper) if rows else paper.lines("No role is configured.")


def checks(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return a line for each check; problems stand last."""
    columns = (Column("check", ALWAYS), Column("result", ALWAYS, styled=True))
    split = {name: _verdict(str(line)) for name, line in document["checks"].items()}
    ordered = sorted(split.items(), key=lambda item: item[1][0] not in ("ok", "unknown"))
    rows = [Row((name, verdict), [sentence] if sentence else []) for name, (verdict, sentence) in ordered]
    words = Counter(verdict if verdict in ("ok", "unknown") else "problem" for verdict, _ in split.values())
    summary = listed([("ok", words["ok"]), ("unknown", words["unknown"])])
    problems = counted(words["problem"], "problem") if words["problem"] else "no problem"
    return [*table(columns, rows, paper), Text(""), *paper.lines(f"{', '.join(filter(None, [summary, problems]))}.")]


def _verdict(line: str) -> tuple[str, str]:
    """Return the first word of a line and its sentence."""
    verdict, _, sentence = line.partition(": ")
    return (verdict, sentence) if sentence and " " not in verdict else (line.partition(" ")[0].rstrip(":"), line)
