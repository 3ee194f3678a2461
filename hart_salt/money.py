"""What nodes cost, and the limits of it."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from hart_salt.base.errors import HartError, Refused
from hart_salt.drivers.contract import READING, Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.records import Record
from hart_salt.inventory.snapshot import Snapshot, take_snapshot
from hart_salt.model import OK, UNKNOWN, Node
from hart_salt.offers import Offers
from hart_salt.operations import cost, limits, prices
from hart_salt.operations.scale import Order
from hart_salt.planning import resolve as roles
from hart_salt.result import Result

log = logging.getLogger(__name__)

LIMITS = "_limits"  #: the name of the lock under which nodes are counted; no role can have this name


class Money(Offers):
    """The use cases of ``Service`` that are about prices, and the prices in plans."""

    context: Context

    def _drivers_for(self, provider: str | None) -> list[Driver]:
        raise NotImplementedError

    # limits

    def _refuse_at_once(self, role: str | None, provider: str, count: int) -> None:
        """Raise ``Refused`` if so many nodes are too many even without any other node."""
        limits.refuse_at_once(limits.applying(self.config.limits, role, provider), count)

    @contextmanager
    def _within_limits(self, growth: limits.Growth, *, test: bool) -> Iterator[Callable[[], object]]:
        """
        Refuse nodes beyond a limit or the quota, and let no other call count nodes until the end of the block.

        Yields what ends that earlier: the call has its claim, and others count its nodes from then on.
        """
        with ExitStack() as stack:
            if not test and limits.applying(self.config.limits, growth.node.role, growth.node.provider):
                stack.enter_context(self.context.locks.role(LIMITS, wait=True))
            self._refuse_excess(growth)
            self._refuse_beyond_quota(growth.node, growth.count, test=test)
            yield stack.close

    def _refuse_excess(self, growth: limits.Growth) -> None:
        """Raise ``Refused`` if more nodes would exceed a limit; see ``limits``."""
        node, context = growth.node, self.context

        def look(everywhere: bool) -> Snapshot:
            return take_snapshot(
                self._drivers_for(None if everywhere else node.provider), context.store, context.master
            )

        bounds = limits.applying(self.config.limits, node.role, node.provider)
        price_of = functools.partial(prices.look_up, driver=self.driver)
        limits.refuse_excess(bounds, growth, look, context.locks.living_batches, price_of)

    def _refuse_beyond_quota(self, node: Node, count: int, *, test: bool) -> None:
        """
        Raise ``Refused`` if the account's limits do not allow ``count`` more nodes, as far as its API reports them.

        For one node that is not only planned, no call is made: the create call itself is refused, and leaves nothing. A
        provider that does not answer soon allows it.
        """
        if count == 1 and not test:
            return
        driver = self.driver(node.provider)
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

    def _surge_check(self, order: Order, batch: int) -> Callable[[Sequence[Record]], None]:
        """Return what raises ``Refused`` if the nodes cannot be replaced within the limits, ``batch`` at a time."""

        def check(ready: Sequence[Record]) -> None:
            if ready:
                node = self._example(order.role, order.provider, order.region, order.settings)
                growth = limits.renewal(node, [prices.of_record(record) for record in ready], batch)
                self._refuse_excess(growth)
                self._refuse_beyond_quota(node, growth.count, test=order.test)

        return check

    # prices

    def _priced(self, plan: Result) -> Result:
        """Return a plan with the price of each node, and with what all nodes cost before and after it."""
        if not plan.data or not all(entry["result"] is None for entry in plan.data.values()):
            return plan
        data, change = prices.of_plan(plan.data, self.context.store.all(), self.driver)
        return dataclasses.replace(plan, data=data, more={**plan.more, "price": change})

    def cost(self, *, role: str | None, provider: str | None, month: str | None) -> Result:
        """Return what the nodes cost per month now, or what they cost in a month, as text such as ``2026-11``."""
        if provider is not None:
            roles.choose_provider(self.config, None, provider)
        wanted = cost.Wanted(role, provider, frozenset(self.config.roles))
        seen = take_snapshot(self._drivers_for(provider), self.context.store, self.context.master)
        return cost.report(wanted, month, seen, self.context.journal, self.driver, time.time())
