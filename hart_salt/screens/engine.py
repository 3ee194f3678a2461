"""The screen of the engine: what it did last, what it will do next, and how each fleet is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from rich.text import Text

from hart_salt.screens.paper import Paper
from hart_salt.screens.table import ALWAYS, Column, Row, pairs, table
from hart_salt.screens.words import age, counted, duration, moment

COLUMNS = (
    Column("fleet", ALWAYS), Column("state", ALWAYS, styled=True), Column("since", 5, right=True),
    Column("now", 6, right=True), Column("later", 4, right=True), Column("job", 8), Column("next job", 7),
)  # fmt: skip


def engine(document: Mapping[str, Any], paper: Paper) -> list[Text]:
    """Return the state of the engine, and a row for each fleet."""
    found = document["engine"]
    facts = [("status", str(found.get("status", "")))]
    if "interval" in found:
        facts.append(("interval", duration(found["interval"])))
    if "leader" in found:
        facts.append(("leader", found["leader"] + (", this master" if found.get("leads") else "")))
    if found.get("last_look"):
        took = f", took {duration(found['seconds'])}" if found.get("seconds") else ""
        facts.append(("last look", f"{_ago(found['last_look'])}{took}"))
    facts += [("next look", _clock(found.get("next_look")))]
    facts += [(name.replace("_", " "), str(found[name])) for name in ("failures", "early_looks") if name in found]
    if found.get("error"):
        facts.append(("last failure", str(found["error"]).replace("\n", "; ")))
    fleets = found.get("fleets") or {}
    if not fleets:
        return pairs(facts, paper)
    rows = [_row(name, fleet) for name, fleet in fleets.items()]
    return [*pairs(facts, paper), Text(""), *table(COLUMNS, rows, paper), Text(""), *paper.lines(_summary(fleets))]


def _row(name: str, fleet: Mapping[str, Any]) -> Row:
    job = fleet.get("job", "")
    if job:
        job += " (running)" if fleet.get("job_runs") else f" ({_ago(fleet.get('job_began'))})"
    cells = (
        name, fleet["state"], age(fleet.get("since")), str(fleet["actions"] or ""), str(fleet["later"] or ""), job,
        _clock(fleet.get("next_job")),
    )  # fmt: skip
    failed = ""
    if fleet.get("job_error"):
        failed = f"{counted(fleet.get('job_failures', 1), 'job')} without success: {fleet['job_error']}"
    return Row(cells, [text for text in (fleet.get("why"), failed) if text])


def _summary(fleets: Mapping[str, Mapping[str, Any]]) -> str:
    steady = sum(fleet["state"] == "steady" for fleet in fleets.values())
    return f"{counted(len(fleets), 'fleet')}, {steady} of them steady."


def _clock(time: str | None) -> str:
    """Return the time of the day in UTC; what comes next comes within minutes."""
    seconds = moment(time)
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, timezone.utc):%H:%M:%S} UTC"


def _ago(time: str | None) -> str:
    return f"{age(moment(time))} ago" if time else ""
