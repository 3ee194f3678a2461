"""The report of the fleet as data and as a page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hart_salt.base.gate import Gate
from hart_salt.reports import fleet as fleets
from hart_salt.reports.fleet import DAY, ROWS, Cost, Deed, Fleet, data, page
from tests.unit.reports.samples import HOSTILE, SECONDS
from tests.unit.reports.test_timeline import tree

NOW = 1796000000.0
#: what each source says of a node that is ready
AGREED = {"cloud": "running", "record": "ready", "key": "accepted", "present": True}


def entry(status: str = "ready", **changes: Any) -> dict[str, Any]:
    facts = {
        "status": status, "role": "app", "provider": "do", "region": "nyc3", "zone": None, "size": "s-1vcpu-1gb",
        "public_ip": "203.0.113.7", "private_ip": None, "created": NOW - 3 * DAY, "error": None, "sources": AGREED,
    }  # fmt: skip
    return {**facts, **changes}


def fleet(count: int = 6) -> Fleet:
    entries = {f"app-{number}": entry() for number in range(count)}
    entries["db-1"] = entry("no key", role="db", region="fra1", sources={**AGREED, "key": None, "present": False})
    entries["old"] = entry("not ours", role=None, provider=None, region=None)
    cost = Cost(
        {"EUR": 3.5, "USD": 41.0}, {"app": {"USD": 36.0}, "db": {"USD": 5.0, "EUR": 3.5}}, {"do": {"USD": 41.0}}, 2
    )
    history = [Deed(NOW - day * DAY, what) for day in (0, 1, 40) for what in ("created", "created", "failed")]
    seconds = {name: SECONDS for name in entries if name != "old"}
    return Fleet("salt.example.com", entries, [], seconds, cost, [*history, Deed(NOW - DAY, "destroyed")])


def html_of(of: Fleet, gate: Gate | None = None) -> str:
    return page(of, gate or Gate(), NOW)


def test_the_data_has_the_numbers_of_hart_s_own_nodes() -> None:
    assert data(fleet(), NOW) == {
        "nodes": 7, "status": {"ready": 6, "no key": 1}, "role": {"app": 6, "db": 1},
        "region": {"do nyc3": 6, "do fra1": 1}, "monthly_price": {"EUR": 3.5, "USD": 41.0}, "unknown_prices": 2,
        "last_30_days": {"created": 4, "failed": 2, "destroyed": 1}, "median_seconds": SECONDS,
    }  # fmt: skip


def test_the_page_shows_states_differences_prices_history_and_stages() -> None:
    html = html_of(fleet())
    for text in (
        "Fleet of salt.example.com", "EUR 3.50 and $41.00", "USD a month by role", "EUR a month by role",
        "The prices of 2 nodes are not known", "2 created, 1 failed, 1 destroyed", "Slowest stages", "median 20 s",
        "1 more key of this master is a minion that hart did not create", "1 node not ready",
    ):  # fmt: skip
        assert text in html, text
    (row,) = tree(html).findall(".//table")[0].findall("tbody/tr")
    assert [cell.text for cell in row] == ["db-1", "no key", "running", "ready", "–", "no", None]


def test_states_have_the_colours_of_what_they_mean() -> None:
    assert [fleets.look(status) for status in ("ready", "in progress", "unknown", "failed", "left at running")] == [
        "good", "warn", "warn", "bad", "bad",
    ]  # fmt: skip


def test_a_fleet_without_differences_says_so() -> None:
    of = fleet()
    html = html_of(replace(of, entries={name: one for name, one in of.entries.items() if name.startswith("app")}))
    assert "Nothing: the provider, hart's records, the key store of the master and the minions say the same." in html


def test_an_empty_fleet_has_a_page() -> None:
    html = html_of(Fleet("m", {}, [], {}, Cost({}, {}, {})))
    assert "There are no nodes." in html
    assert "<svg" not in html
    assert "a month" not in html


def test_what_the_report_lacks_is_at_its_top() -> None:
    html = html_of(replace(fleet(), problems=["do: the API does not answer"], notes=["the price of x is not known"]))
    assert html.index("do: the API does not answer") < html.index("the price of x is not known") < html.index("<svg")


def test_of_many_nodes_the_first_are_listed_and_all_are_counted() -> None:
    html = html_of(fleet(1000))
    assert f"The first {ROWS} of 1001 nodes" in html
    assert ">1000</text>" in html
    assert len(html) < 100_000


def test_nodes_that_need_attention_come_first() -> None:
    entries = {"a": entry("in progress"), "b": entry("unreachable", error="no route")}
    html = html_of(replace(fleet(), entries=entries))
    table = tree(html).findall(".//table")[0]
    assert [row[0].text for row in table.findall("tbody/tr")] == ["b", "a"]
    assert "no route" in html


def test_hostile_text_is_text_and_every_text_passes_the_gate() -> None:
    facts = dict.fromkeys(("status", "role", "provider", "region", "size", "public_ip", "error"), HOSTILE)
    one = entry(**facts, sources={"cloud": HOSTILE, "record": HOSTILE, "key": HOSTILE, "present": HOSTILE})
    cost = Cost({"USD": 1.0}, {HOSTILE: {"USD": 1.0}}, {HOSTILE: {"USD": 1.0}})
    of = Fleet(HOSTILE, {HOSTILE: one}, [HOSTILE], {HOSTILE: {HOSTILE: 1.0}, "b": SECONDS}, cost, [], [HOSTILE])
    html = html_of(of)
    assert not {one.tag for one in tree(html).iter()} & {"script", "img", "iframe", "object", "link", "form", "a"}
    assert "{{ 7*7 }}" in html
    gate = Gate()
    gate.secrets.add("evil.example.com")
    assert "evil" not in html_of(of, gate)


@pytest.mark.parametrize(
    ("created", "age"), [(NOW - 60, "1 min"), (NOW - 3 * 3600, "3 h"), (NOW - 9 * DAY, "9 d"), (NOW + 60, "0 min"),
     (None, "–")],
)  # fmt: skip
def test_ages_are_in_words(created: float | None, age: str) -> None:
    assert f">{age}</td>" in html_of(replace(fleet(), entries={"a": entry(created=created)}))
