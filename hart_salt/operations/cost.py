"""
What the nodes cost per month now, and what they cost in a month of the past, by role and by provider.

Both are estimates from list prices before tax; see ``prices.py``. The past comes from the journal: a node costs its
monthly price times the part of the month in which it existed.
"""

from __future__ import annotations

import calendar
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hart_salt.base.errors import Refused
from hart_salt.base.text import suggestion
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.journal import BAKE, CREATE, ENDS, Entry, Journal, iso
from hart_salt.inventory.snapshot import Snapshot
from hart_salt.model import Price
from hart_salt.operations import prices
from hart_salt.operations.prices import Existing, Offer, Prices
from hart_salt.result import Result

NO_ROLE = "(none)"  #: stands for no role; no role can have this name
STOPPED = "stopped"
_MONTH = re.compile(r"(\d{4})-(\d{2})")


@dataclass(frozen=True)
class Wanted:
    """Which nodes to count."""

    role: str | None
    provider: str | None
    #: the configured roles
    roles: frozenset[str]

    def check(self, seen: Iterable[str | None]) -> None:
        """Raise ``Refused`` for a role that is neither configured nor among ``seen``."""
        known = self.roles | {role for role in seen if role}
        if self.role is not None and self.role not in known:
            listed = f"; known: {', '.join(sorted(known))}" if known else ""
            raise Refused(f"there is no role {self.role}{suggestion(self.role, known)}{listed}")

    def has(self, role: str | None, provider: str | None) -> bool:
        """Return whether a node counts."""
        return self.role in (None, role) and self.provider in (None, provider)


@dataclass(frozen=True)
class Share:
    """What one node costs; ``cost`` is None if its price is not known."""

    minion_id: str
    role: str | None
    offer: Offer
    cost: float | None
    currency: str | None
    facts: Mapping[str, Any]


def report(
    wanted: Wanted, month: str | None, seen: Snapshot, journal: Journal, driver: Callable[[str], Driver], now: float
) -> Result:
    """
    Return what nodes cost: now, or in ``month``, such as ``2026-11``.

    ``now`` is in seconds since the epoch. Raises ``Refused`` for a month that has not begun or an unknown role.
    """
    every = prices.of_snapshot(seen)
    # A node that its provider does not list costs nothing; if the provider did not answer, the records count.
    there = [node for node in every if node.state is not None or node.offer.provider not in seen.asked]
    if month is None:
        wanted.check(node.role for node in there)
        chosen = [node for node in there if wanted.has(node.role, node.offer.provider)]
        found = prices.look_up({node.offer for node in chosen}, driver)
        shares, notes = _current(chosen, found, driver)
    else:
        begin, end = bounds(month, now)
        entries = journal.read()
        wanted.check([*(node.role for node in there), *(entry.role for entry in entries)])
        spans, notes = _spans(entries, there, begin, now)
        chosen_spans = [span for span in spans if wanted.has(span.role, span.offer.provider)]
        unpriced = {span.offer for span in chosen_spans if span.price is None}
        found = prices.look_up(unpriced, driver)
        shares = [_share(span, found, begin, end, now) for span in chosen_spans if span.overlap(begin, end, now) > 0]
        notes = [*journal.notes, *notes]
    notes += _unknown(shares, found)
    return Result(_document(shares, month), not seen.problems, problems=seen.problems, notes=notes)


def _current(
    nodes: Sequence[Existing], found: Prices, driver: Callable[[str], Driver]
) -> tuple[list[Share], list[str]]:  # fmt: skip
    """Return what each node costs per month, and notes."""
    shares = []
    free: Counter[str] = Counter()
    for node in nodes:
        price = found.of(node)
        is_free = node.state == STOPPED and not driver(node.offer.provider).stopped_costs
        free[node.offer.provider] += is_free
        amount = 0.0 if is_free else price.amount if price else None
        facts = {"state": node.state}
        shares.append(Share(node.minion_id, node.role, node.offer, amount, price.currency if price else None, facts))
    notes = [
        f"stopped nodes at {name} that cost only their disks: {number}; they count as 0"
        for name, number in free.items()
        if number
    ]
    return shares, notes


# the past


def bounds(month: str, now: float) -> tuple[float, float]:
    """Return when a month begins and ends, in UTC and in seconds. Raises ``Refused`` if it has not begun."""
    match = _MONTH.fullmatch(month)
    year, number = map(int, match.groups()) if match else (0, 0)
    if not (year >= 1970 and 1 <= number <= 12):
        raise Refused("month must be a year and a month, such as month=2026-11")
    begin = calendar.timegm((year, number, 1, 0, 0, 0))
    if begin > now:
        raise Refused(f"month={month} has not begun; without month, hart.cost shows what the nodes cost per month now")
    return float(begin), float(calendar.timegm((year + number // 12, number % 12 + 1, 1, 0, 0, 0)))


@dataclass(frozen=True)
class Span:
    """One instance, from its creation to its end."""

    minion_id: str
    role: str | None
    offer: Offer
    begin: float
    #: None: it still exists
    end: float | None
    #: from which time on it had which price; a price of None is not known
    steps: Sequence[tuple[float, Price | None]]

    @property
    def price(self) -> Price | None:
        """The last known price."""
        return next((price for _, price in reversed(self.steps) if price is not None), None)

    def overlap(self, begin: float, end: float, now: float) -> float:
        """Return for how many seconds between ``begin`` and ``end`` it existed."""
        return max(0.0, min(end, now if self.end is None else self.end) - max(begin, self.begin))


def _spans(
    entries: Sequence[Entry], there: Sequence[Existing], begin: float, now: float
) -> tuple[list[Span], list[str]]:  # fmt: skip
    """Return all instances of the journal and those that exist, and notes."""
    of_instance: dict[tuple[str | None, str], list[Entry]] = {}
    for entry in entries:
        if entry.instance_id and entry.kind in ("minion", "master", "bake"):
            of_instance.setdefault((entry.provider, entry.instance_id), []).append(entry)
    existing = {(node.offer.provider, node.instance_id): node for node in there if node.instance_id}
    spans, lost = [], []
    for key, its in of_instance.items():
        end = None if key in existing else _end(its)
        if key not in existing and end is None:
            lost.append(its[-1].minion_id)
            end = its[-1].time
        spans.append(_span_of(its, end))
    rest = [node for key, node in existing.items() if key not in of_instance]
    spans += [_span_of_node(node, now) for node in rest]
    notes = [f"nodes whose end is not in the journal count until their last entry: {', '.join(lost)}"] if lost else []
    first = min((entry.time or now for entry in entries), default=now)
    if first > begin:
        notes.append(f"the journal begins at {iso(first)}: nodes that were destroyed before do not count")
    return spans, notes


def _end(entries: Sequence[Entry]) -> float | None:
    """Return when an instance ended; None if no entry says so."""
    ended = [entry.time for entry in entries if entry.action in ENDS and entry.result]
    if ended:
        return ended[-1]
    last = entries[-1]
    # It was rolled back, or existed only until there was an image of it.
    return last.time if last.action == BAKE or last.action == CREATE and not last.result else None


def _span_of(entries: Sequence[Entry], end: float | None) -> Span:
    first, last = entries[0], entries[-1]
    begin = first.created or (first.time or 0.0) - (first.seconds or 0.0)
    steps: list[tuple[float, Price | None]] = []
    for entry in entries:
        price = None if entry.monthly_price is None else Price(entry.monthly_price, entry.currency or "USD")
        if price is not None and (not steps or steps[-1][1] != price):
            steps.append((entry.time or begin, price))
    steps = [(begin, price) if number == 0 else (at, price) for number, (at, price) in enumerate(steps)]
    offer = Offer(last.provider or "", last.region or "", last.size or "")
    return Span(last.minion_id, last.role, offer, begin, end, steps or [(begin, None)])


def _span_of_node(node: Existing, now: float) -> Span:
    begin = now if node.created is None else node.created
    return Span(node.minion_id, node.role, node.offer, begin, None, [(begin, node.price)])


def _share(span: Span, found: Prices, begin: float, end: float, now: float) -> Share:
    """Return what an instance cost between ``begin`` and ``end``, which is a month."""
    cost, currency = 0.0, None
    ends = [at for at, _ in span.steps[1:]] + [now if span.end is None else span.end]
    for (start, price), stop in zip(span.steps, ends, strict=True):
        known = price or found.known.get(span.offer)
        if known is not None:
            cost += known.amount * max(0.0, min(stop, end) - max(start, begin)) / (end - begin)
            currency = known.currency
    hours = {"hours": round(span.overlap(begin, end, now) / 3600, 1)}
    amount = None if currency is None else cost
    return Share(span.minion_id, span.role, span.offer, amount, currency, hours)


# the document


def _document(shares: Sequence[Share], month: str | None) -> dict[str, Any]:
    return {
        "month": month,
        "total": _sums(shares),
        "providers": _groups(shares, lambda share: share.offer.provider),
        "roles": _groups(shares, lambda share: share.role or NO_ROLE),
        "nodes": _nodes(shares),
    }


def _groups(shares: Sequence[Share], key: Callable[[Share], str]) -> dict[str, dict[str, float]]:
    names = sorted({key(share) for share in shares})
    return {name: _sums([share for share in shares if key(share) == name]) for name in names}


def _sums(shares: Iterable[Share]) -> dict[str, float]:
    """Return the sum of each currency; one of which everything is free is left out beside others."""
    sums: dict[str, float] = {}
    for share in shares:
        if share.cost is not None and share.currency is not None:
            sums[share.currency] = sums.get(share.currency, 0.0) + share.cost
    rounded = {currency: round(amount, 2) for currency, amount in sorted(sums.items())}
    return {currency: amount for currency, amount in rounded.items() if amount} or rounded


def _nodes(shares: Iterable[Share]) -> dict[str, dict[str, Any]]:
    """Return each node; an id that several instances had one after the other has the sum of their costs."""
    found: dict[str, dict[str, Any]] = {}
    for share in shares:
        before = found.get(share.minion_id, {})
        costs = [cost for cost in (before.get("cost"), share.cost) if cost is not None]
        found[share.minion_id] = {
            "role": share.role, **share.offer._asdict(), **share.facts, "cost": sum(costs) if costs else None,
            "currency": share.currency or before.get("currency"),
        }  # fmt: skip
        if "hours" in before:
            found[share.minion_id]["hours"] = round(before["hours"] + share.facts["hours"], 1)
    for entry in found.values():
        entry["cost"] = None if entry["cost"] is None else round(entry["cost"], 2)
    return dict(sorted(found.items()))


def _unknown(shares: Iterable[Share], found: Prices) -> Iterator[str]:
    for offer, number in sorted(Counter(share.offer for share in shares if share.cost is None).items()):
        why = found.problems.get(offer.provider)
        text = f"the price of {offer.words} at {offer.provider} is not known{f' ({why})' if why else ''}"
        yield f"{text}; nodes of this size that are not in the totals: {number}"
