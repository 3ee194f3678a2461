"""The screen of what nodes cost."""

from __future__ import annotations

from typing import Any

from hart_salt.screens.draw import draw
from hart_salt.screens.paper import Paper


def node(cost: float | None, currency: str | None = "USD", **more: Any) -> dict[str, Any]:
    facts = {"role": "app", "provider": "do", "region": "nyc3", "size": "s-1vcpu-1gb", "state": "running"}
    return {**facts, "cost": cost, "currency": currency, **more}


def document(month: str | None, total: dict[str, float], **nodes: dict[str, Any]) -> dict[str, Any]:
    names = sorted({entry["provider"] for entry in nodes.values()})
    data = {"month": month, "total": total, "roles": {"app": total}, "nodes": nodes}
    providers = {name: {"USD": 6.0} if name == "do" else {} for name in names}
    return {"version": 2, "function": "cost", "cost": {**data, "providers": providers}, "problems": [], "notes": []}


def test_each_node_each_provider_and_the_total() -> None:
    shown = draw(document(None, {"USD": 6.0}, a=node(6.0), b=node(None, None, provider="gce")), Paper(80))
    assert shown.splitlines() == [
        "NODE  ROLE  PROVIDER  REGION  SIZE            COST",
        "b     app   gce       nyc3    s-1vcpu-1gb  unknown",
        "a     app   do        nyc3    s-1vcpu-1gb    $6.00",
        "",
        "PROVIDER     COST",
        "do          $6.00",
        "gce       unknown",
        "",
        "2 nodes: $6.00 per month, before tax.",
    ]


def test_a_month_has_hours() -> None:
    total = {"EUR": 4.0, "USD": 1234.5}
    shown = draw(document("2026-11", total, a=node(1234.5, hours=720.0), b=node(4.0, "EUR", hours=12.5)), Paper(80))
    assert "HOURS" in shown
    assert " 12.5   EUR 4.00" in shown
    assert shown.endswith("2 nodes: EUR 4.00 and $1,234.50 in 2026-11, before tax.")


def test_a_narrow_terminal_keeps_nodes_and_costs() -> None:
    shown = draw(document(None, {"USD": 6.0}, **{"a-long-name.nyc3.example.com": node(6.0)}), Paper(40)).splitlines()
    assert max(map(len, shown)) <= 40
    assert shown[1] == "a-long-name.nyc3.example.com  $6.00"


def test_without_nodes() -> None:
    assert draw(document(None, {}), Paper(80)) == "There are no nodes."
    assert draw(document("2026-11", {}), Paper(80)) == "No node existed in 2026-11."
