"""Scaling a role and replacing its nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from hart_salt.base.errors import Refused
from hart_salt.inventory.identity import Found
from hart_salt.inventory.records import Record
from hart_salt.inventory.snapshot import Snapshot, take_snapshot
from hart_salt.operations import fleet, sealing
from hart_salt.operations import scale as scaling
from hart_salt.planning.resolve import choose_provider
from hart_salt.result import Result
from hart_salt.use_cases.money import Money
from hart_salt.use_cases.offers import Offers
from hart_salt.use_cases.parts import Calls, Parts


class Roles:
    """The use cases of the service that change the nodes of a role."""

    def __init__(self, parts: Parts, offers: Offers, money: Money, calls: Calls) -> None:
        self._parts = parts
        self._offers = offers
        self._money = money
        self._calls = calls

    def scale(
        self, order: scaling.Order, wanted: fleet.TargetSize, *, remove: str, cooldown: float, wait: bool
    ) -> Result:  # fmt: skip
        """Scale a role; see ``Scaling.scale``."""
        if order.provider is not None or order.role not in self._parts.config.roles:
            # Without a provider, all nodes of the role count; only new ones need a provider.
            choose_provider(self._parts.config, order.role, order.provider)
        self._check_settings(order)
        work = self._scaling(order)
        return self._money.priced(scaling.result(work.scale(wanted, remove=remove, cooldown=cooldown, wait=wait)))

    def replace(self, order: scaling.Order, batch: int, *, wait: bool) -> Result:
        """Replace a role's nodes; see ``Scaling.replace``."""
        chosen = choose_provider(self._parts.config, order.role, order.provider)
        order = dataclasses.replace(order, provider=chosen.name)
        self._check_settings(order)
        work = self._scaling(order, limited=not order.test)
        outcome = work.replace(batch, wait=wait, check=self._money.surge_check(order, batch))
        return self._money.priced(scaling.result(outcome))

    def _check_settings(self, order: scaling.Order) -> None:
        """
        Raise ``Refused`` for wrong settings of new nodes, also if the call makes none: a later one may make some.

        Which settings there are depends on the provider. If that is not known, only a call that makes nodes needs it.
        """
        try:
            chosen = choose_provider(self._parts.config, order.role, order.provider)
        except Refused:
            return
        if order.settings:
            self._offers.example(order.role, chosen.name, order.region, order.settings, order.takes)

    def _scaling(self, order: scaling.Order, *, limited: bool = True) -> scaling.Scaling:
        def make(count: int, test: bool) -> fleet.Outcomes:
            made = self._calls.create(
                None, role=order.role, count=count, provider=order.provider, region=order.region,
                settings=order.settings, test=test, limited=limited, takes=order.takes,
            )  # fmt: skip
            return fleet.outcomes(made)

        def end(records: Sequence[Record]) -> fleet.Outcomes:
            return fleet.outcomes(self._calls.destroy([record.minion_id for record in records]))

        def start() -> None:
            self._parts.changes()
            self._calls.sweep_dead(order.provider)

        parts = self._parts
        return scaling.Scaling(
            order, parts.context, self._take_snapshot, make, end, parts.settings_of, start, self._restore, parts.driver
        )  # fmt: skip

    def _take_snapshot(self, provider: str | None) -> Snapshot:
        """Return the snapshot of one provider or of all. Raises ``Refused`` if a provider cannot be queried."""
        seen = take_snapshot(self._parts.drivers_for(provider), self._parts.context.store, self._parts.master)
        if seen.problems:
            raise Refused("; ".join(seen.problems))
        return seen

    def _restore(self, lost: Sequence[Found], test: bool) -> Sequence[Record]:
        drivers = {found.provider.name: self._parts.driver(found.provider.name) for found in lost}
        return sealing.restore(lost, drivers, self._parts.context, test=test)
