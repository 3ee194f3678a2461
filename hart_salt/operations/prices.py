"""
What nodes cost in a month: the list prices of their sizes, before tax. Amounts of different currencies are kept apart.

The price of a size does not include what is billed on its own: traffic, addresses, further volumes, snapshots.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hart_salt.base.errors import HartError
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.records import Record
from hart_salt.inventory.side_by_side import ask_each
from hart_salt.inventory.snapshot import Snapshot
from hart_salt.model import Instance, Node, Price


class Offer(NamedTuple):
    """What has a price: a size in a region of a provider."""

    provider: str
    region: str
    size: str

    @property
    def words(self) -> str:
        """The offer in words."""
        return f"{self.size or 'an unknown size'} in {self.region}" if self.region else self.size or "an unknown size"


@dataclass(frozen=True)
class Existing:
    """A node that exists, or that a call is bringing up."""

    minion_id: str
    role: str | None
    offer: Offer
    #: the state of its instance; None if no list has an instance
    state: str | None = None
    #: the price when it was created, for a provider that does not say what it is now
    price: Price | None = None
    #: when it was created, in seconds since the epoch
    created: float | None = None
    instance_id: str | None = None
    #: the batch of the call that created it
    batch: str = ""


def of_record(record: Record, instance: Instance | None = None) -> Existing:
    """Return the node of a record; ``instance`` is what its provider reports, if it was asked."""
    size = (instance.size if instance else None) or record.size
    return Existing(
        record.minion_id, record.role, Offer(record.provider, record.region, size),
        instance.state if instance else None, recorded_price(record) if size == record.size else None, record.created,
        record.instance_id, record.batch,
    )  # fmt: skip


def recorded_price(record: Record) -> Price | None:
    """Return the price in a record."""
    return None if record.monthly_price is None else Price(record.monthly_price, record.currency or "USD")


def of_instance(name: str, instance: Instance, provider: str) -> Existing:
    """Return the node of an instance without a record, under a name for people."""
    offer = Offer(provider, instance.region or "", instance.size or "")
    return Existing(
        name, instance.role, offer, instance.state, created=instance.created, instance_id=instance.instance_id,
        batch=instance.batch,
    )  # fmt: skip


def of_snapshot(seen: Snapshot) -> list[Existing]:
    """Return all nodes and all instances of this master, each of them once."""
    nodes = [of_record(record, seen.instance_of(record)) for record in seen.records.values()]
    recorded = {
        (record.provider, instance.instance_id)
        for record in seen.records.values()
        if (instance := seen.instance_of(record)) is not None
    }
    rest = [
        of_instance(one.instance.minion_id, one.instance, one.provider.name)
        for one in seen.found
        if (one.provider.name, one.instance.instance_id) not in recorded
    ]
    unknown = [of_instance(one.name, one.instance, one.provider.name) for one in seen.unknown]
    return [*nodes, *rest, *unknown]


def of_claims(there: Iterable[Existing], batches: Mapping[str, Mapping[str, Any]]) -> list[Existing]:
    """Return the nodes that living calls are about to create, by the claims of their batches, besides those there."""
    created = Counter(node.batch for node in there)
    found = []
    for batch, facts in batches.items():
        number = facts.get("nodes")
        left = number - created[batch] if isinstance(number, int) else 0
        offer = Offer(*(str(facts.get(name) or "") for name in Offer._fields))
        found += [Existing("", facts.get("role"), offer, batch=batch)] * max(0, left)
    return found


def of_new(node: Node, count: int) -> list[Existing]:
    """Return ``count`` new nodes like this one."""
    return [Existing(node.minion_id, node.role, Offer(node.provider, node.region, node.size))] * count


@dataclass(frozen=True)
class Total:
    """What some nodes cost in a month together."""

    #: by currency, rounded to cents; a currency of which everything is free counts, too
    amounts: Mapping[str, float]
    #: the number of nodes of each offer whose price is not known
    unknown: Mapping[Offer, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Prices:
    """The prices of some offers."""

    known: Mapping[Offer, Price]
    #: why the prices of a provider are not known, by its name
    problems: Mapping[str, str] = field(default_factory=dict)

    def of(self, node: Existing) -> Price | None:
        """Return the price of a node; None if it is not known."""
        return self.known.get(node.offer) or node.price

    def total(self, nodes: Iterable[Existing]) -> Total:
        """Return what the nodes cost."""
        amounts: dict[str, float] = defaultdict(float)
        unknown: Counter[Offer] = Counter()
        for (offer, price), number in Counter((node.offer, self.of(node)) for node in nodes).items():
            if price is None:
                unknown[offer] += number
            else:
                amounts[price.currency] += price.amount * number
        return Total({currency: round(amount, 2) for currency, amount in sorted(amounts.items())}, dict(unknown))


def look_up(
    offers: Collection[Offer], driver: Callable[[str], Driver], known: Mapping[Offer, Price] | None = None
) -> Prices:
    """
    Return the prices of offers; those in ``known`` are not asked for.

    All providers are asked at the same time, each with few calls. A price that is not known is absent.
    """
    found = dict(known or {})
    wanted: dict[str, dict[str, set[str]]] = {}
    for offer in set(offers) - found.keys():
        if offer.region and offer.size:
            wanted.setdefault(offer.provider, {}).setdefault(offer.region, set()).add(offer.size)
    problems: dict[str, str] = {}
    drivers: dict[str, Driver] = {}
    for name in wanted:
        try:
            drivers[name] = driver(name)
        except HartError as error:
            problems[name] = str(error)  # such as of a node whose provider is no longer configured
    for name, answer in ask_each(drivers, lambda one: one.prices(wanted[one.provider.name])).items():
        if isinstance(answer, HartError):
            problems[name] = str(answer)
        elif why := drivers[name].no_prices:
            problems[name] = why
        else:
            found |= {Offer(name, region, size): price for (region, size), price in answer.items()}
    return Prices(found, problems)


def of_plan(
    entries: Mapping[str, dict[str, Any]], records: Iterable[Record], driver: Callable[[str], Driver]
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """
    Return the entries of a plan with their prices, and what the plan changes in a month.

    That is ``before`` and ``after``, by currency, of all nodes of this master at the providers of the plan. If the
    prices of some nodes are not known, ``unknown`` has their numbers before and after. A currency of which everything
    is free is left out.
    """
    providers = {entry["provider"] for entry in entries.values()}
    there = {record.minion_id: of_record(record) for record in records if record.provider in providers}
    planned = {minion_id: _of_entry(minion_id, entry) for minion_id, entry in entries.items()}
    leaving = {minion_id for minion_id, entry in entries.items() if entry["action"] == "destroy"}
    before = {**{minion_id: planned[minion_id] for minion_id in leaving}, **there}
    after = {**before, **{minion_id: node for minion_id, node in planned.items() if minion_id not in leaving}}
    new = {node.offer: node.price for minion_id, node in planned.items() if minion_id not in leaving and node.price}
    found = look_up({node.offer for node in after.values()}, driver, new)
    totals = {
        "before": found.total(before.values()),
        "after": found.total(node for minion_id, node in after.items() if minion_id not in leaving),
    }
    priced = {
        minion_id: {**entry, **_price_data(found.of(planned[minion_id]))} for minion_id, entry in entries.items()
    }  # fmt: skip
    return priced, _change(totals)


def _of_entry(minion_id: str, entry: Mapping[str, Any]) -> Existing:
    """Return the node of an entry in a plan."""
    amount = entry.get("monthly_price")
    price = None if amount is None else Price(amount, entry.get("currency") or "USD")
    return Existing(minion_id, entry["role"], Offer(entry["provider"], entry["region"], entry["size"]), None, price)


def _price_data(price: Price | None) -> dict[str, Any]:
    return {"monthly_price": price.amount if price else None, "currency": price.currency if price else None}


def _change(totals: Mapping[str, Total]) -> dict[str, Any]:
    paid = sorted({currency for total in totals.values() for currency, amount in total.amounts.items() if amount})
    data: dict[str, Any] = {
        when: {currency: total.amounts.get(currency, 0.0) for currency in paid} for when, total in totals.items()
    }
    numbers = {when: sum(total.unknown.values()) for when, total in totals.items()}
    return data | ({"unknown": numbers} if any(numbers.values()) else {})
