"""
Refuse new nodes beyond the limits of the configuration: their number, and what they cost in a month.

What counts is everything that this master has: the nodes in its records, of which calls may be bringing some up at this
moment, and the instances with its tag, even those that have no record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hart_salt.base.errors import Refused
from hart_salt.config.limits import Limits
from hart_salt.inventory.snapshot import Snapshot
from hart_salt.model import Node, Price
from hart_salt.operations import prices
from hart_salt.operations.prices import Existing, Prices

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """A moment of a call: how many nodes it has added by then, and which it has removed."""

    added: int
    removed: Sequence[Existing] = ()


@dataclass(frozen=True)
class Growth:
    """The nodes that a call adds, all of them like ``node``, and how many there are in between."""

    node: Node
    steps: Sequence[Step]
    #: what to say about the number; empty: all of them stay
    surge: str = ""
    #: what becomes of them, before the name of their size
    words: str = "more of"

    @property
    def count(self) -> int:
        """The number of nodes that are added at once."""
        return self.steps[0].added


def creation(node: Node, count: int) -> Growth:
    """Return the growth by ``count`` new nodes."""
    return Growth(node, [Step(count)])


def resizing(node: Node, old: Sequence[Existing]) -> Growth:
    """Return the growth by other sizes of existing nodes."""
    return Growth(node, [Step(len(old), old)], words="resized to")


def renewal(node: Node, old: Sequence[Existing], batch: int) -> Growth:
    """Return the growth while nodes are replaced, ``batch`` at a time: at first, and before the last are removed."""
    first = min(batch, len(old))
    last = len(old) - (len(old) % batch or first)
    return Growth(node, [Step(first), Step(len(old), old[:last])], f"hart.replace adds {first} before it removes any")


def applying(limits: Mapping[str, Limits], role: str | None, provider: str) -> dict[str, Limits]:
    """Return the limits that a new node comes under, by the place in the configuration that sets them."""
    paths = ["hart", f"hart:providers:{provider}", *([f"hart:roles:{role}"] if role else [])]
    return {path: limits[path] for path in paths if path in limits}


def refuse_at_once(limits: Mapping[str, Limits], count: int) -> None:
    """Raise ``Refused`` if the limits would not allow so many new nodes even without any existing node."""
    for path, one in limits.items():
        if one.max_nodes is not None and count > one.max_nodes:
            raise Refused(f"{path}:max_nodes is {one.max_nodes}, so {_nodes(count)} cannot be created{_advice(one)}")


def refuse_excess(
    limits: Mapping[str, Limits], growth: Growth, look: Callable[[bool], Snapshot],
    batches: Callable[[], Mapping[str, Mapping[str, Any]]], price_of: Callable[..., Prices],
) -> None:  # fmt: skip
    """
    Raise ``Refused`` if a call would exceed a limit, with a sentence for each of them.

    ``limits`` are those that the new nodes come under. ``look`` takes a snapshot, of all providers with True and of
    that of the new nodes with False. ``batches`` returns the claims of living calls. ``price_of`` is
    ``prices.look_up`` without the drivers.
    """
    if not limits:
        return
    provider = growth.node.provider
    claims = batches()  # read first: what a call has created by the time of the look does not count twice
    seen = look(any(path != f"hart:providers:{provider}" for path in limits))
    if provider not in seen.asked:
        raise Refused("; ".join(seen.problems))
    for problem in seen.problems:
        log.warning("only hart's records of a provider count for limits, because it does not answer: %s", problem)
    every = prices.of_snapshot(seen)
    every += prices.of_claims(every, claims)
    problems = []
    for path, one in limits.items():
        there = [node for node in every if _is_under(path, node)]
        problems += [*_too_many(path, one, growth, len(there)), *_too_dear(path, one, growth, there, price_of)]
    if problems:
        raise Refused("\n".join(problems))


def room(
    limits: Mapping[str, Limits], seen: Snapshot, claims: Mapping[str, Mapping[str, Any]]
) -> tuple[int, str] | None:  # fmt: skip
    """
    Return how many more nodes the limits of the number of nodes allow, and which limit that is; None: any number.

    ``limits`` are those that the new nodes come under, and ``claims`` those of living calls, read before ``seen``.
    """
    there = prices.of_snapshot(seen)
    every = [*there, *prices.of_claims(there, claims)]
    left = [
        (one.max_nodes - sum(_is_under(path, node) for node in every), f"{path}:max_nodes is {one.max_nodes}")
        for path, one in limits.items()
        if one.max_nodes is not None
    ]
    return min(left, default=None)


def _is_under(path: str, node: Existing) -> bool:
    return path in ("hart", f"hart:providers:{node.offer.provider}", f"hart:roles:{node.role}")


def _too_many(path: str, limit: Limits, growth: Growth, there: int) -> Iterator[str]:
    most = max((step.added - len(step.removed), step.added) for step in growth.steps)
    if limit.max_nodes is None or there + most[0] <= limit.max_nodes:
        return
    now = f"{path}:max_nodes is {limit.max_nodes}, and {_exist(there)}"
    if growth.surge:
        smaller = "use a smaller batch, or " if growth.count > 1 else ""
        yield f"{now}: {growth.surge}; {smaller}raise the limit"
    else:
        yield f"{now}, so {most[1]} more cannot be created{_advice(limit)}"


def _too_dear(
    path: str, limit: Limits, growth: Growth, there: Sequence[Existing], price_of: Callable[..., Prices]
) -> Iterator[str]:
    if limit.max_monthly_price is None:
        return
    (new,) = prices.of_new(growth.node, 1)
    name = f"{path}:max_monthly_price"
    found = price_of({new.offer, *(node.offer for node in there)})
    price = found.known.get(new.offer)
    if price is None:
        yield f"{name} is set, but {_unpriced(new, found)}; use max_nodes instead, or a size with a known price"
    elif price.amount:
        yield from _above(name, limit, growth, there, found, price)


def _unpriced(node: Existing, found: Prices) -> str:
    why = found.problems.get(node.offer.provider)
    said = f"the price of {node.offer.words} at {node.offer.provider} is not known"
    return f"{said} ({why})" if why else said


def _above(
    name: str, limit: Limits, growth: Growth, there: Sequence[Existing], found: Prices, price: Price
) -> Iterator[str]:
    """Yield why the price of the new nodes is too high, in their currency; other currencies are no matter here."""
    most = limit.amount(price.currency)
    if most is None:
        yield f"{name} has no number for {price.currency}, the currency of {growth.node.provider}: add it"
        return
    total = found.total(there)
    if total.unknown:
        number, offer = sum(total.unknown.values()), next(iter(total.unknown))
        yield (
            f"{name} is {_money(most, price)}, but the price of {_nodes(number)} is not known, such as of "
            f"{offer.words} at {offer.provider}: use max_nodes instead, or replace these nodes"
        )
        return
    now = total.amounts.get(price.currency, 0.0)
    after, added = max(
        (now + step.added * price.amount - found.total(step.removed).amounts.get(price.currency, 0.0), step.added)
        for step in growth.steps
    )
    if round(after, 2) > most and after > now:
        each = f"{growth.node.size} for {_money(price.amount, price)} each"
        surge = ", before it removes the last old ones" if growth.surge else ""
        of = f"{added} {growth.words} {each}"
        yield (
            f"{name} is {_money(most, price)}, and the existing nodes cost {_money(now, price)} a month: with {of} it "
            f"would be {_money(after, price)}{surge}; destroy nodes, choose a smaller size, or raise the limit"
        )


def _money(amount: float, price: Price) -> str:
    return f"{amount:.2f} {price.currency}"


def _nodes(number: int) -> str:
    return f"{number} node{'' if number == 1 else 's'}"


def _exist(number: int) -> str:
    if not number:
        return "no node exists"
    return f"{_nodes(number)} exist{'s' if number == 1 else ''}"


def _advice(limit: Limits) -> str:
    return "; raise the limit first" if limit.max_nodes == 0 else "; destroy nodes, or raise the limit"
