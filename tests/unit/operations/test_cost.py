"""What the nodes cost per month now, and what they cost in a month of the past, from the journal."""

from __future__ import annotations

import calendar
from collections.abc import Collection, Mapping
from typing import Any

import pytest

from hart_salt.base.errors import Refused
from hart_salt.base.gate import Gate
from hart_salt.config.schema import Provider
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.local import driver as local
from hart_salt.inventory.identity import Found
from hart_salt.inventory.journal import BAKE, CREATE, DESTROY, IMPORT, SWEEP, Entry, Journal
from hart_salt.inventory.records import Record
from hart_salt.inventory.snapshot import Snapshot
from hart_salt.model import Instance, Price
from hart_salt.operations import cost
from hart_salt.result import Result

PRICES = {"s": Price(6.0), "l": Price(30.0), "cx": Price(9.0, "EUR"), "free": Price(0.0)}
DAY = 86_400.0
#: the first moment of November 2026, which has 30 days, and the one after it
BEGIN, END = (float(calendar.timegm((2026, month, 1, 0, 0, 0))) for month in (11, 12))
MONTH = "2026-11"


class Offering:
    """A provider with a list of prices."""

    def __init__(self, name: str) -> None:
        self.provider = Provider(name, "local", local.SCHEMA.account())
        self.no_prices = "it has no prices" if name == "gce" else ""
        self.stopped_costs = name != "ec2"

    def prices(self, wanted: Mapping[str, Collection[str]]) -> dict[tuple[str, str], Price]:
        every = [(region, size) for region, sizes in wanted.items() for size in sizes if size in PRICES]
        return {} if self.no_prices else {(region, size): PRICES[size] for region, size in every}


def driver(name: str) -> Driver:
    return Offering(name)  # type: ignore[return-value]


def snapshot(*nodes: tuple[str, str, str | None, str, str], asked: tuple[str, ...] = (), **more: Any) -> Snapshot:
    """Return a snapshot of nodes: id, provider, role, size and state; without a state, a node has no instance."""
    found, records = [], {}
    for minion_id, provider, role, size, state in nodes:
        instance = Instance(f"i-{minion_id}", minion_id, state, role, "b", "r", size=size, created=BEGIN - DAY)
        if state:
            found.append(Found(instance, Offering(provider).provider))
        records[minion_id] = Record(
            minion_id, provider, "local", "r", size, "ready", "o", "b", BEGIN - DAY, role, None, f"i-{minion_id}"
        )
    return Snapshot(found, frozenset(asked or {node[1] for node in nodes}), more.pop("problems", []), records, {})


def report(
    seen: Snapshot, month: str | None = None, entries: Collection[Entry] = (), *, now: float = END + 5 * DAY,
    role: str | None = None, provider: str | None = None,
) -> Result:  # fmt: skip
    journal = Journal(None, Gate())
    journal.read = lambda **_: sorted(entries, key=lambda one: one.time or 0)  # type: ignore[method-assign]
    wanted = cost.Wanted(role, provider, frozenset(["app"]))
    return cost.report(wanted, month, seen, journal, driver, now)


EMPTY = snapshot()


def test_what_the_nodes_cost_now_by_role_and_provider_with_currencies_apart() -> None:
    seen = snapshot(
        ("a", "do", "app", "s", "running"), ("b", "do", "db", "l", "stopped"), ("c", "do", None, "s", "pending"),
        ("d", "other", "app", "cx", "running"), ("e", "local", "app", "free", "running"),
    )  # fmt: skip
    made = report(seen)
    assert made.data == {
        "month": None,
        "total": {"EUR": 9.0, "USD": 42.0},
        "providers": {"do": {"USD": 42.0}, "local": {"USD": 0.0}, "other": {"EUR": 9.0}},
        "roles": {"(none)": {"USD": 6.0}, "app": {"EUR": 9.0, "USD": 6.0}, "db": {"USD": 30.0}},
        "nodes": made.data["nodes"],
    }
    assert made.data["nodes"]["a"] == {
        "role": "app", "provider": "do", "region": "r", "size": "s", "state": "running", "cost": 6.0, "currency": "USD",
    }  # fmt: skip
    assert (made.ok, made.notes) == (True, [])
    assert set(report(seen, role="app").data["nodes"]) == {"a", "d", "e"}
    assert report(seen, role="app", provider="do").data["total"] == {"USD": 6.0}


def test_a_node_without_an_instance_costs_nothing_unless_its_provider_did_not_answer() -> None:
    nodes = (("a", "do", "app", "s", "running"), ("gone", "do", "app", "s", ""), ("b", "other", "app", "cx", ""))
    made = report(snapshot(*nodes, asked=("do",), problems=["other: it is down"]))
    assert set(made.data["nodes"]) == {"a", "b"}
    assert (made.ok, made.problems) == (False, ["other: it is down"])


def test_a_stopped_node_costs_nothing_where_the_provider_bills_only_its_disks() -> None:
    made = report(snapshot(("a", "ec2", "app", "s", "stopped"), ("b", "ec2", "app", "s", "running")))
    assert made.data["total"] == {"USD": 6.0}
    assert made.notes == ["stopped nodes at ec2 that cost only their disks: 1; they count as 0"]


def test_an_unknown_price_is_no_price_and_a_note() -> None:
    made = report(snapshot(("a", "gce", "app", "e2", "running"), ("b", "gce", "app", "e2", "running")))
    assert (made.data["total"], made.data["nodes"]["a"]["cost"], made.ok) == ({}, None, True)
    assert made.notes == [
        "the price of e2 in r at gce is not known (it has no prices); nodes of this size that are not in the totals: 2"
    ]


def test_an_unknown_role_is_refused_with_a_suggestion() -> None:
    with pytest.raises(Refused, match="there is no role ap, did you mean app"):
        report(EMPTY, role="ap")
    assert report(EMPTY, role="app").data["nodes"] == {}
    old = of("a", DESTROY, END, role="former")
    assert report(EMPTY, MONTH, [old], role="former").data["nodes"]


# a month


def of(minion_id: str, action: str, time: float, **more: Any) -> Entry:
    given: dict[str, Any] = {
        "result": True, "role": "app", "provider": "do", "region": "r", "size": "s", "instance_id": f"i-{minion_id}",
        "created": BEGIN, "monthly_price": 6.0, "currency": "USD",
    }  # fmt: skip
    return Entry(action, minion_id, time=time, **{**given, **more})


def costs(entries: Collection[Entry], seen: Snapshot = EMPTY, **more: Any) -> dict[str, tuple[float, float]]:
    nodes = report(seen, MONTH, entries, **more).data["nodes"]
    return {minion_id: (entry["cost"], entry["hours"]) for minion_id, entry in nodes.items()}


def test_a_node_costs_the_part_of_the_month_in_which_it_existed() -> None:
    entries = [
        of("whole", CREATE, BEGIN - DAY, created=BEGIN - DAY), of("whole", DESTROY, END + DAY, created=BEGIN - DAY),
        of("half", CREATE, BEGIN + 16 * DAY, created=BEGIN + 15 * DAY),
        of("half", SWEEP, END, created=BEGIN + 15 * DAY),
        of("tenth", DESTROY, BEGIN + 3 * DAY), of("before", DESTROY, BEGIN - DAY, created=BEGIN - 9 * DAY),
        of("after", CREATE, END + DAY, created=END + DAY), of("after", DESTROY, END + 2 * DAY, created=END + DAY),
    ]  # fmt: skip
    assert costs(entries) == {"whole": (6.0, 720.0), "half": (3.0, 360.0), "tenth": (0.6, 72.0)}


def test_existing_nodes_count_with_the_journal_or_without_it() -> None:
    seen = snapshot(("a", "do", "app", "s", "running"), ("b", "do", "app", "l", "running"))
    entries = [of("a", IMPORT, BEGIN + 6 * DAY, created=BEGIN + 6 * DAY)]
    assert costs(entries, seen) == {"a": (4.8, 576.0), "b": (30.0, 720.0)}


def test_the_present_month_counts_until_now() -> None:
    seen = snapshot(("a", "do", "app", "s", "running"))
    assert costs([], seen, now=BEGIN + 10 * DAY) == {"a": (2.0, 240.0)}


def test_a_node_that_was_rolled_back_counts_until_then_and_one_without_an_instance_does_not() -> None:
    refused = of("refused", CREATE, BEGIN, result=False, instance_id=None)
    entries = [of("failed", CREATE, BEGIN + 3 * DAY, result=False), refused]
    assert costs(entries) == {"failed": (0.6, 72.0)}
    assert report(EMPTY, MONTH, entries).notes == [], "its end is known"
    kept = snapshot(("failed", "do", "app", "s", "running"))
    assert costs(entries, kept) == {"failed": (6.0, 720.0)}, "keep_failed"
    assert costs([*entries, of("failed", DESTROY, BEGIN + 15 * DAY)]) == {"failed": (3.0, 360.0)}


@pytest.mark.parametrize("result", [True, False])
def test_the_node_of_a_bake_counts_until_the_end_of_the_bake(*, result: bool) -> None:
    """It belongs to no role, since it is none of the role's nodes."""
    entries = [of("bake", BAKE, BEGIN + 3 * DAY, result=result, kind="bake", role=None)]
    assert costs(entries) == {"bake": (0.6, 72.0)}
    assert report(EMPTY, MONTH, entries).data["roles"] == {"(none)": {"USD": 0.6}}
    assert "whose end is not in the journal" not in "".join(report(EMPTY, MONTH, entries).notes)
    left = snapshot(("bake", "do", None, "s", "running"))
    assert costs(entries, left) == {"bake": (6.0, 720.0)}, "it could not be destroyed"
    assert costs([*entries, of("bake", SWEEP, BEGIN + 15 * DAY, kind="bake", role=None)]) == {"bake": (3.0, 360.0)}


def test_a_destroy_that_failed_ends_nothing() -> None:
    seen = snapshot(("a", "do", "app", "s", "running"))
    assert costs([of("a", CREATE, BEGIN), of("a", DESTROY, BEGIN + DAY, result=False)], seen) == {"a": (6.0, 720.0)}
    again = [of("a", DESTROY, BEGIN + 3 * DAY), of("a", DESTROY, BEGIN + 9 * DAY, result=False)]
    assert costs(again) == {"a": (0.6, 72.0)}


def test_a_resized_node_has_each_price_for_its_time() -> None:
    resized = {"size": "l", "monthly_price": 30.0}
    entries = [
        of("a", CREATE, BEGIN), of("a", "resize", BEGIN + 10 * DAY, **resized), of("a", DESTROY, END, **resized)
    ]  # fmt: skip
    assert costs(entries) == {"a": (22.0, 720.0)}


def test_an_id_that_two_instances_had_has_the_sum() -> None:
    entries = [
        of("a", DESTROY, BEGIN + 3 * DAY, instance_id="i-1"),
        of("a", DESTROY, BEGIN + 9 * DAY, instance_id="i-2", created=BEGIN + 6 * DAY),
    ]
    assert costs(entries) == {"a": (1.2, 144.0)}


def test_a_node_whose_end_is_unknown_counts_until_its_last_entry_with_a_note() -> None:
    entries = [of("a", CREATE, BEGIN), of("a", "add_ip", BEGIN + 3 * DAY)]
    made = report(EMPTY, MONTH, entries)
    assert made.data["total"] == {"USD": 0.6}
    assert "nodes whose end is not in the journal count until their last entry: a" in made.notes


def test_a_month_before_the_journal_has_a_note() -> None:
    made = report(EMPTY, "2026-10", [of("a", CREATE, BEGIN + DAY)])
    assert made.data["nodes"] == {}
    assert made.notes[-1].startswith("the journal begins at 2026-11-02T00:00:00")
    earlier = of("z", DESTROY, BEGIN - DAY, created=BEGIN - 2 * DAY)
    assert report(EMPTY, MONTH, [earlier]).notes == []


def test_other_resources_do_not_count() -> None:
    assert costs([of("key", SWEEP, END, kind="SSH key")]) == {}


def test_an_old_entry_without_a_price_has_the_present_one() -> None:
    assert costs([of("a", DESTROY, END, monthly_price=None, currency=None)]) == {"a": (6.0, 720.0)}
    unknown = report(EMPTY, MONTH, [of("a", DESTROY, END, monthly_price=None, currency=None, size="odd")])
    assert unknown.data["nodes"]["a"]["cost"] is None
    assert "the price of odd in r at do is not known" in unknown.notes[-1]


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "2026", "11", "202611", "2026-1", "november", "2026-11-01"])
def test_what_is_no_month_is_refused(month: str) -> None:
    with pytest.raises(Refused, match=r"month must be a year and a month, such as month=2026-11"):
        report(EMPTY, month)


def test_a_month_of_the_future_is_refused() -> None:
    with pytest.raises(Refused, match="month=2027-01 has not begun"):
        report(EMPTY, "2027-01")
    assert cost.bounds("2026-12", END) == (END, END + 31 * DAY)
