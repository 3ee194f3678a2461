"""
What nodes cost in a month: the list prices of their sizes, before tax. Amounts of different currencies are kept apart.

The price of a size does not include what is billed on its own: traffic, addresses, further volumes, snapshots.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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


def of_record(record: Record, instance: Instance | None = None) -> Existing:
    """Return the node of a record; ``instance`` is what its provider reports, if it was asked."""
    size = (instance.size if instance else None) or record.size
    offer = Offer(record.provider, record.region, size)
    return Existing(record.minion_id, record.role, offer, instance.state if instance else None)


def of_instance(name: str, instance: Instance, provider: str) -> Existing:
    """Return the node of an instance without a record, under a name for people."""
    return Existing(
        name, instance.role, Offer(provider, instance.region or "", instance.size or ""), instance.state
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

    def total(self, nodes: Iterable[Existing]) -> Total:
        """Return what the nodes cost."""
        amounts: dict[str, float] = defaultdict(float)
        unknown: Counter[Offer] = Counter()
        for offer, number in Counter(node.offer for node in nodes).items():
            if (price := self.known.get(offer)) is None:
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
    answers = ask_each(
        {name: driver(name) for name in wanted}, lambda one: one.prices(wanted[one.provider.name])
    )  # fmt: skip
    problems = {}
    for name, answer in answers.items():
        if isinstance(answer, HartError):
            problems[name] = str(answer)
        elif why := driver(name).no_prices:
            problems[name] = why
        else:
            found |= {Offer(name, region, size): price for (region, size), price in answer.items()}
    return Prices(found, problems)


def change(
    prices: Prices, before: Sequence[Existing], added: Sequence[Existing], removed: Collection[str]
) -> dict[str, Any]:
    """
    Return what a plan changes, in a month: ``before`` and ``after``, by currency.

    ``removed`` are the ids of nodes that leave. If the prices of some nodes are not known, ``unknown`` has their
    numbers before and after. A currency of which everything is free is left out.
    """
    totals = {
        "before": prices.total(before),
        "after": prices.total([*(node for node in before if node.minion_id not in removed), *added]),
    }
    paid = sorted({currency for total in totals.values() for currency, amount in total.amounts.items() if amount})
    data: dict[str, Any] = {
        when: {currency: total.amounts.get(currency, 0.0) for currency in paid} for when, total in totals.items()
    }
    numbers = {when: sum(total.unknown.values()) for when, total in totals.items()}
    return data | ({"unknown": numbers} if any(numbers.values()) else {})
