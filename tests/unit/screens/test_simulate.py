"""The screen of a simulation."""

from __future__ import annotations

from typing import Any

from hart_salt.screens.draw import draw
from hart_salt.screens.paper import Paper

REASON = "the average is 2, the target 0.5: it takes 8 nodes; one step goes to 6 at most"


def row(time: str, load: float | None, wanted: int, ready: int, reason: str = REASON) -> dict[str, Any]:
    return {
        "time": f"{time}+00:00", "load": load, "average": None if load is None else load / ready, "wanted": wanted,
        "ready": ready, "reason": reason,
    }  # fmt: skip


def document(*rows: dict[str, Any], **totals: Any) -> dict[str, Any]:
    sums = {"hours": 23.98, "node_hours": 51.17, "overloaded_hours": 0.1, "blind_hours": 0.0, "highest": 6, "lowest": 1,
            "changes": 1, "price": {"USD": 1.5}}  # fmt: skip
    data = {
        "fleet": "web", "file": "/srv/day.jsonl", "from": "2026-11-30T00:00:00+00:00",
        "until": "2026-11-30T23:59:00+00:00", "min": 1, "max": 10, "target": 0.5, "rows": list(rows),
        "totals": {**sums, **totals},
    }  # fmt: skip
    return {"version": 2, "function": "simulate", "simulation": data, "problems": [], "notes": ["a note"]}


def test_each_change_its_reason_and_the_totals() -> None:
    shown = draw(document(row("2026-11-30T00:00:00", 1.0, 2, 2, "no change"), row("2026-11-30T10:00:30", 4, 6, 2)),
                 Paper(80))  # fmt: skip
    assert shown.splitlines() == [
        "web: 1 to 10 nodes, target 0.5, from 2026-11-30 00:00 to 2026-11-30 23:59 UTC",
        "",
        "TIME (UTC)  LOAD  AVERAGE  WANTED  READY",
        "00:00          1      0.5       2      2  no change",
        "10:00:30       4        2       6      2  the average is 2, the target 0.5: it",
        "                                          takes 8 nodes; one step goes to 6 at",
        "                                          most",
        "",
        "51.17 node hours in 23.98 hours, $1.50 before tax: 1 to 6 nodes, 1 change.",
        "Above the target: 0.1 hours.",
        "",
        "note: a note",
    ]


def test_several_days_have_dates_and_silence_is_unknown() -> None:
    rows = row("2026-11-30T00:00:00", 1.0, 2, 2), row("2026-12-01T00:00:00", None, 2, 2)
    shown = draw(document(*rows, price={}, recorded_node_hours=96.0, overloaded_hours=0.0, blind_hours=2.0), Paper(120))
    assert "2026-12-01 00:00  unknown" in shown
    assert "51.17 node hours (recorded: 96) in 23.98 hours: 1 to 6 nodes, 1 change." in shown
    assert "Load not known: 2 hours." in shown
    assert "target:" not in shown


def test_a_narrow_terminal() -> None:
    shown = draw(document(row("2026-11-30T00:00:00", 1.0, 2, 2)), Paper(40)).splitlines()
    assert max(map(len, shown)) <= 40
