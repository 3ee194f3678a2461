"""The report of the whole fleet: its nodes, what the sources say, its price and its history, as data and as a page."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hart_salt.base.gate import Gate
from hart_salt.reports import charts
from hart_salt.reports.blocks import Column, Figure, Table
from hart_salt.reports.charts import Bar, Chart, Key
from hart_salt.reports.measures import Measure, measures
from hart_salt.reports.page import date, render
from hart_salt.reports.timeline import style, word

READY, NOT_OURS = "ready", "not ours"
#: states that are no failure
WAITING = ("in progress", "pending", "stopped", "elsewhere", "unknown")
ROWS = 100  #: the most rows of a table
BARS = 20  #: the most bars of a chart
DAYS = 14  #: days of the history that are shown one by one
SPAN = 30 * 86400.0  #: seconds of history that the totals are of
DAY = 86400.0
#: what became of nodes, in the order in which it is drawn, each with its class in the style sheet
OUTCOMES: Mapping[str, str] = {"created": "good", "failed": "bad", "destroyed": "other"}


@dataclass(frozen=True)
class Deed:
    """An entry of the history. ``time`` is in seconds since the epoch, ``what`` one of ``OUTCOMES``."""

    time: float
    what: str


@dataclass(frozen=True)
class Cost:
    """What the fleet costs in a month, before tax."""

    #: by currency
    total: Mapping[str, float]
    #: by role and by provider, each by currency
    roles: Mapping[str, Mapping[str, float]]
    providers: Mapping[str, Mapping[str, float]]
    #: the number of nodes whose price is not known
    unknown: int = 0


@dataclass(frozen=True)
class Fleet:
    """All that the report shows."""

    #: the id of the master
    master: str
    #: the entries of ``hart.list_minions``
    entries: Mapping[str, Mapping[str, Any]]
    #: why a source could not be read, a sentence each
    problems: Sequence[str]
    #: the seconds of each node in each stage
    seconds: Mapping[str, Mapping[str, float]]
    cost: Cost
    history: Sequence[Deed] = ()
    #: sentences about what the report lacks
    notes: Sequence[str] = field(default=())

    @property
    def nodes(self) -> dict[str, Mapping[str, Any]]:
        """The entries of hart's own nodes."""
        return {name: entry for name, entry in self.entries.items() if entry["status"] != NOT_OURS}

    def count(self, *names: str) -> dict[str, int]:
        """Return how many nodes have which value of some facts, the most frequent first."""
        values = (" ".join(str(entry[name] or f"(no {name})") for name in names) for entry in self.nodes.values())
        return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))

    @property
    def stages(self) -> list[Measure]:
        """The measure of each stage of the nodes that exist."""
        return measures({name: seconds for name, seconds in self.seconds.items() if seconds})


def data(fleet: Fleet, now: float) -> dict[str, Any]:
    """Return the numbers of the report as plain data. ``now`` is in seconds since the epoch."""
    return {
        "nodes": len(fleet.nodes),
        "status": fleet.count("status"),
        "role": fleet.count("role"),
        "region": fleet.count("provider", "region"),
        "monthly_price": dict(fleet.cost.total),
        "unknown_prices": fleet.cost.unknown,
        "last_30_days": _totals(fleet, now),
        "median_seconds": {one.name: round(one.median, 3) for one in fleet.stages},
    }


def _totals(fleet: Fleet, now: float) -> dict[str, int]:
    found = Counter(deed.what for deed in fleet.history if now - SPAN <= deed.time <= now)
    return {what: found[what] for what in OUTCOMES}


def page(fleet: Fleet, gate: Gate, now: float) -> str:
    """Return the page of the report. ``now`` is in seconds since the epoch."""
    return render(
        "fleet.html.j2", gate, now,
        title=f"Fleet of {fleet.master}",
        subtitle=f"{_number(len(fleet.nodes), 'node')} on {date(now)}",
        figures=_figures(fleet, now),
        problems=fleet.problems,
        notes=fleet.notes,
        others=_others(fleet),
        states=_states(fleet),
        roles=_counts(fleet, "roles", "role"),
        regions=_counts(fleet, "regions", "provider", "region"),
        differences=_differences(fleet),
        cost=_costs(fleet.cost),
        cost_note=_cost_note(fleet.cost),
        history=_history(fleet.history, now),
        stages=_stages(fleet.stages),
        slowest=_slowest(fleet.seconds),
        nodes=_nodes(fleet, now),
    )  # fmt: skip


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def money(amounts: Mapping[str, float]) -> str:
    """Return amounts in words, such as ``$12.00 and EUR 3.49``."""
    shown = [
        f"${amount:,.2f}" if currency == "USD" else f"{currency} {amount:,.2f}"
        for currency, amount in sorted(amounts.items())
        if amount
    ]
    return " and ".join(shown) or "0"


def look(status: str) -> str:
    """Return the class of a status in the style sheet."""
    return "good" if status == READY else "warn" if status in WAITING else "bad"


def _figures(fleet: Fleet, now: float) -> list[Figure]:
    ready = sum(entry["status"] == READY for entry in fleet.nodes.values())
    waiting = sum(entry["status"] in WAITING for entry in fleet.nodes.values())
    wrong = len(fleet.nodes) - ready - waiting
    found = [Figure("nodes", f"{len(fleet.nodes)}"), Figure("ready", f"{ready}", "good" if ready else "")]
    found += [Figure("in another state", f"{waiting}", "warn")] if waiting else []
    found += [Figure("need attention", f"{wrong}", "bad" if wrong else "")]
    found += [Figure("a month, before tax", money(fleet.cost.total))] if any(fleet.cost.total.values()) else []
    if fleet.history:
        totals = _totals(fleet, now)
        found += [Figure(f"{what} in 30 days", f"{totals[what]}") for what in ("created", "failed")]
    return found


def _others(fleet: Fleet) -> str:
    others = len(fleet.entries) - len(fleet.nodes)
    verb = "is a minion" if others == 1 else "are minions"
    return f"{_number(others, 'more key')} of this master {verb} that hart did not create." if others else ""


def _states(fleet: Fleet) -> Chart:
    bars = charts.counts(fleet.count("status").items())
    return _chart("states", "Nodes by state", [replace(bar, parts=_painted(bar)) for bar in bars])


def _painted(bar: Bar) -> list[charts.Part]:
    """Return the parts of the bar of a status in the colour of what it means."""
    return [replace(part, style=look(bar.title)) for part in bar.parts]


def _counts(fleet: Fleet, name: str, *facts: str) -> Chart:
    found = list(fleet.count(*facts).items())
    rest = sum(number for _, number in found[BARS:])
    shown = [*found[:BARS], *([(f"{len(found) - BARS} others", rest)] if rest else [])]
    return _chart(name, f"Nodes by {' and '.join(facts)}", charts.counts(shown))


def _chart(name: str, title: str, bars: Sequence[Bar], legend: Sequence[Key] = ()) -> Chart:
    return Chart(name, title, "; ".join(f"{bar.title}: {bar.value}" for bar in bars) or "nothing", bars, (), legend)


def _differences(fleet: Fleet) -> Table | None:
    columns = [Column("node"), Column("status"), Column("provider"), Column("record"), Column("key"), Column("answers")]
    wrong = [(name, entry) for name, entry in fleet.nodes.items() if entry["status"] != READY]
    if not wrong:
        return None
    # What needs attention comes first.
    wrong.sort(key=lambda item: (look(item[1]["status"]) != "bad", item[0]))
    rows = [
        [name, entry["status"], *_sources(entry["sources"]), str(entry.get("note") or entry.get("error") or "")]
        for name, entry in wrong[:ROWS]
    ]
    return Table(_of("node", len(wrong), " not ready"), [*columns, Column("why", long=True)], rows)


def _of(noun: str, count: int, more: str = "") -> str:
    text = _number(count, noun) + more
    return f"The first {ROWS} of {text}" if count > ROWS else text


def _sources(sources: Mapping[str, Any]) -> list[str]:
    present = sources.get("present")
    answers = {True: "yes", False: "no"}.get(present, "not asked") if isinstance(present, bool) else "not asked"
    return [*(str(sources.get(name) or "–") for name in ("cloud", "record", "key")), answers]


def _costs(cost: Cost) -> list[Chart]:
    found = []
    currencies = [currency for currency, amount in cost.total.items() if amount]
    for currency in currencies:
        for title, parts in (("role", cost.roles), ("provider", cost.providers)):
            amounts = {name: by[currency] for name, by in parts.items() if by.get(currency)}
            bars = _amounts(amounts, currency)
            found += [_chart(f"cost-{title}-{currency}", f"{currency} a month by {title}", bars)] if bars else []
    return found


def _amounts(amounts: Mapping[str, float], currency: str) -> list[Bar]:
    largest = sorted(amounts.items(), key=lambda item: (-item[1], item[0]))[:BARS]
    most = max(amounts.values(), default=0.0)
    return [
        Bar(charts.label(name, 20), money({currency: amount}),
            [charts.part(0, amount, most, "plain", f"{name}: {money({currency: amount})}")], name)
        for name, amount in largest
    ]  # fmt: skip


def _cost_note(cost: Cost) -> str:
    text = "The list prices of the sizes, without traffic, addresses and further volumes."
    return f"{text} The prices of {_number(cost.unknown, 'node')} are not known." if cost.unknown else text


def _history(history: Sequence[Deed], now: float) -> Chart | None:
    """Return a bar for each of the last days on which anything happened."""
    by_day: dict[float, Counter[str]] = {}
    for deed in history:
        if now - SPAN <= deed.time <= now:
            by_day.setdefault(deed.time // DAY, Counter())[deed.what] += 1
    if not by_day:
        return None
    days = sorted(by_day)[-DAYS:]
    whole = max(sum(by_day[day].values()) for day in days)
    bars = [_day(day, by_day[day], whole) for day in reversed(days)]
    legend = [Key(kind, what) for what, kind in OUTCOMES.items()]
    return _chart("history", f"Nodes on the last {_number(len(days), 'day')} with changes", bars, legend)


def _day(day: float, counts: Mapping[str, int], whole: int) -> Bar:
    label, at, parts = date(day * DAY)[:10], 0, []
    for what, kind in OUTCOMES.items():
        if counts[what]:
            parts.append(
                charts.part(at, counts[what], whole, kind, f"{label}: {counts[what]} {what}", f"{counts[what]}")
            )
            at += counts[what]
    return Bar(label, ", ".join(f"{counts[what]} {what}" for what in OUTCOMES if counts[what]), parts, label)


def _stages(stages: Sequence[Measure]) -> Chart | None:
    if not stages:
        return None
    whole = max(one.slowest for one in stages)
    bars = []
    for one in stages:
        value = f"median {charts.seconds(one.median)}, slowest {charts.seconds(one.slowest)}"
        title = f"{word(one.name)}: {value} ({one.node})"
        parts = [
            charts.part(0, one.median, whole, style(one.name), title),
            charts.part(one.median, one.slowest - one.median, whole, "faint", title),
        ]
        bars.append(Bar(word(one.name), value, parts, f"{word(one.name)} ({one.name})"))
    chart = _chart("stages", "Seconds of each stage", bars)
    return Chart(chart.name, chart.title, chart.description, bars, charts.ticks(whole, " s"))


def _slowest(seconds: Mapping[str, Mapping[str, float]]) -> Table | None:
    totals = {name: sum(one.values()) for name, one in seconds.items() if one}
    if len(totals) < 2:
        return None
    slowest = sorted(totals, key=lambda name: (-totals[name], name))[:5]
    median = statistics.median(totals.values())
    rows = []
    for name in slowest:
        longest = max(seconds[name], key=lambda stage: seconds[name][stage])
        rows.append([name, charts.seconds(totals[name]), f"{word(longest)}: {charts.seconds(seconds[name][longest])}"])
    caption = f"The slowest nodes; the median of all is {charts.seconds(median)}"
    return Table(caption, [Column("node"), Column("in all", number=True), Column("longest stage")], rows)


def _nodes(fleet: Fleet, now: float) -> Table:
    columns = [Column(name) for name in ("node", "status", "role", "provider", "place", "size", "address")]
    rows = [
        [name, entry["status"], *_facts(entry), _age(entry.get("created"), now)]
        for name, entry in list(fleet.nodes.items())[:ROWS]
    ]
    return Table(_of("node", len(fleet.nodes)), [*columns, Column("age", number=True)], rows)


def _facts(entry: Mapping[str, Any]) -> Iterable[str]:
    place = entry.get("zone") or entry.get("region")
    address = entry.get("public_ip") or entry.get("private_ip")
    return (
        str(value or "–") for value in (entry.get("role"), entry.get("provider"), place, entry.get("size"), address)
    )


def _age(created: Any, now: float) -> str:
    if isinstance(created, bool) or not isinstance(created, int | float):
        return "–"
    hours = max(0.0, now - created) / 3600
    return f"{hours / 24:.0f} d" if hours >= 48 else f"{hours:.0f} h" if hours >= 2 else f"{hours * 60:.0f} min"
