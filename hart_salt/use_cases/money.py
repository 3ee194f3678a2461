"""What nodes cost, and the limits of it."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from hart_salt.base.errors import HartError, Refused
from hart_salt.drivers.contract import READING
from hart_salt.inventory.records import Record
from hart_salt.inventory.snapshot import Snapshot, take_snapshot
from hart_salt.model import OK, UNKNOWN, Node
from hart_salt.operations import cost, limits, prices
from hart_salt.operations.scale import Order
from hart_salt.planning import resolve as roles
from hart_salt.result import Result
from hart_salt.use_cases.offers import Offers
from hart_salt.use_cases.parts import Parts

log = logging.getLogger(__name__)

LIMITS = "_limits"  #: the name of the lock under which nodes are counted; no role can have this name


class Money:
    """The use cases of ``Service`` that are about prices, and the prices in plans."""

    def __init__(self, parts: Parts, offers: Offers) -> None:
        self._parts = parts
        self._offers = offers

    # limits

    def refuse_at_once(self, role: str | None, provider: str, count: int) -> None:
        """Raise ``Refused`` if so many nodes are too many even without any other node."""
        limits.refuse_at_once(limits.applying(self._parts.config.limits, role, provider), count)

    @contextmanager
    def within_limits(self, growth: limits.Growth, *, test: bool) -> Iterator[Callable[[], object]]:
        """
        Refuse nodes beyond a limit or the quota, and let no other call count nodes until the end of the block.

        Yields what ends that earlier: the call has its claim, and others count its nodes from then on.
        """
        with ExitStack() as stack:
            if not test and limits.applying(self._parts.config.limits, growth.node.role, growth.node.provider):
                stack.enter_context(self._parts.context.locks.role(LIMITS, wait=True))
            self.refuse_excess(growth)
            self.refuse_beyond_quota(growth.node, growth.count, test=test)
            yield stack.close

    def refuse_excess(self, growth: limits.Growth) -> None:
        """Raise ``Refused`` if more nodes would exceed a limit; see ``limits``."""
        node, context = growth.node, self._parts.context

        def look(everywhere: bool) -> Snapshot:
            return take_snapshot(
                self._parts.drivers_for(None if everywhere else node.provider), context.store, context.master
            )

        bounds = limits.applying(self._parts.config.limits, node.role, node.provider)
        price_of = functools.partial(prices.look_up, driver=self._parts.driver)
        limits.refuse_excess(bounds, growth, look, context.locks.living_batches, price_of)

    def refuse_beyond_quota(self, node: Node, count: int, *, test: bool) -> None:
        """
        Raise ``Refused`` if the account's limits do not allow ``count`` more nodes, as far as its API reports them.

        For one node that is not only planned, no call is made: the create call itself is refused, and leaves nothing. A
        provider that does not answer soon allows it.
        """
        if count == 1 and not test:
            return
        driver = self._parts.driver(node.provider)
        before, driver.outage.limit = driver.outage.limit, READING
        try:
            found = driver.check_quota(node, count)
        except HartError as error:
            log.info("the quota of %s could not be found out: %s", node.provider, error)
            return
        finally:
            driver.outage.limit = before
        if found is not None and found.result not in (OK, UNKNOWN):
            raise Refused(f"{node.provider}: {found.sentence}")

    def surge_check(self, order: Order, batch: int) -> Callable[[Sequence[Record]], None]:
        """Return what raises ``Refused`` if the nodes cannot be replaced within the limits, ``batch`` at a time."""

        def check(ready: Sequence[Record]) -> None:
            if ready:
                node = self._offers.example(order.role, order.provider, order.region, order.settings)
                growth = limits.renewal(node, [prices.of_record(record) for record in ready], batch)
                self.refuse_excess(growth)
                self.refuse_beyond_quota(node, growth.count, test=order.test)

        return check

    # prices

    def priced(self, plan: Result) -> Result:
        """Return a plan with the price of each node, and with what all nodes cost before and after it."""
        if not plan.data or not all(entry["result"] is None for entry in plan.data.values()):
            return plan
        data, change = prices.of_plan(plan.data, self._parts.context.store.all(), self._parts.driver)
        return dataclasses.replace(plan, data=data, more={**plan.more, "price": change})

    def cost(self, *, role: str | None, provider: str | None, month: str | None) -> Result:
        """Return what the nodes cost per month now, or what they cost in a month, as text such as ``2026-11``."""
        if provider is not None:
            roles.choose_provider(self._parts.config, None, provider)
        wanted = cost.Wanted(role, provider, frozenset(self._parts.config.roles))
        seen = take_snapshot(self._parts.drivers_for(provider), self._parts.context.store, self._parts.context.master)
        return cost.report(wanted, month, seen, self._parts.context.journal, self._parts.driver, time.time())
