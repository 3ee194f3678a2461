"""The everyday verbs for existing nodes that Salt cannot do: power, sizes, and tags at the provider."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

from hart_salt.base.errors import HartError, Refused
from hart_salt.config.settings import Settings
from hart_salt.inventory.records import Record
from hart_salt.operations import chosen, extend, limits, power, prices, resize, tagging
from hart_salt.operations.leaks import is_ready
from hart_salt.operations.prices import Existing
from hart_salt.operations.verbs import Verb, on_each
from hart_salt.result import Result
from hart_salt.use_cases.money import Money
from hart_salt.use_cases.offers import Offers
from hart_salt.use_cases.parts import Parts


class Everyday:
    """The use cases of the service for single nodes. Each raises ``Refused`` before anything is changed."""

    def __init__(self, parts: Parts, offers: Offers, money: Money) -> None:
        self._parts = parts
        self._offers = offers
        self._money = money

    def start(self, minion_ids: Sequence[str], *, timeout: float | None, test: bool) -> Result:
        """Start nodes and wait for their minions, at most ``timeout`` seconds (None: the setting)."""
        return _each(self._parts, minion_ids, power.start(test=test), timeout)

    def stop(self, minion_ids: Sequence[str], *, force: bool, test: bool) -> Result:
        """Stop nodes; with ``force`` their power is cut at once."""
        return _each(self._parts, minion_ids, power.stop(force=force, test=test))

    def reboot(self, minion_ids: Sequence[str], *, force: bool, timeout: float | None, test: bool) -> Result:
        """Restart nodes and wait for their minions, at most ``timeout`` seconds (None: the setting)."""
        return _each(self._parts, minion_ids, power.reboot(force=force, test=test), timeout)

    def resize(self, minion_ids: Sequence[str], size: str, *, timeout: float | None, test: bool) -> Result:
        """Change the size of nodes. Raises ``Refused`` if it is not possible for one of them; then none is changed."""
        self._refuse_dearer(minion_ids, size)
        return _planned(self._parts, minion_ids, functools.partial(resize.resize, size), test=test, timeout=timeout)

    def set_tags(self, minion_ids: Sequence[str], change: tagging.TagChange, *, test: bool) -> Result:
        """Change the user's tags of nodes. Raises ``Refused`` as ``resize`` does."""
        return _planned(self._parts, minion_ids, functools.partial(tagging.set_tags, change), test=test)

    def extend(self, minion_ids: Sequence[str], extension: extend.Extension, *, test: bool) -> Result:
        """Move or remove the end of nodes. Raises ``Refused`` as ``resize`` does."""
        return _planned(self._parts, minion_ids, functools.partial(extend.extend, extension), test=test)

    def _refuse_dearer(self, minion_ids: Sequence[str], size: str) -> None:
        """Raise ``Refused`` if nodes of that size would cost more than a limit allows."""
        alike: dict[tuple[str | None, str, str], list[Existing]] = {}
        for record in self._parts.nodes_of(minion_ids).values() if self._parts.config.limits else ():
            role = record.role if record.role in self._parts.config.roles else None
            alike.setdefault((role, record.provider, record.region), []).append(prices.of_record(record))
        for (role, provider, region), old in alike.items():
            node = dataclasses.replace(self._offers.example(role, provider, region), size=size)
            self._money.refuse_excess(limits.resizing(node, old))


def _planned(
    parts: Parts, minion_ids: Sequence[str], verb: Callable[..., Verb], *, test: bool, timeout: float | None = None
) -> Result:
    """Plan, and carry it out unless it is a test. Raises ``Refused`` with what the plan objects to."""
    plan = _each(parts, minion_ids, verb(test=True), changes=not test)
    refused = [f"{minion_id}: {entry['error']}" for minion_id, entry in plan.data.items() if "error" in entry]
    if refused and plan.signal is None:
        raise Refused("\n".join(refused))
    return plan if test or plan.signal is not None else _each(parts, minion_ids, verb(test=False), timeout)


def _each(
    parts: Parts, minion_ids: Sequence[str], verb: Verb, timeout: float | None = None, *, changes: bool = False
) -> Result:
    """Do the same with each node. ``changes`` says that changes follow although the verb only plans."""
    parts.changes(test=verb.test and not changes)
    records = parts.nodes_of(minion_ids)
    chosen.refuse_elsewhere(records, parts.context, f"hart.{verb.action}")
    _refuse_unready(records)
    waits = verb.waits and not verb.test
    if waits:
        parts.master.require_running()
    timeouts = {
        minion_id: _timeout(parts, record) if timeout is None and waits else timeout or 0.0
        for minion_id, record in records.items()
    }
    drivers = parts.drivers_of(records.values())
    data, interrupted = on_each(verb, records, drivers, parts.context, timeouts)
    return parts.by_node(data, interrupted, test=verb.test)


def _refuse_unready(records: Mapping[str, Record]) -> None:
    """Raise ``Refused`` with all nodes that are not ready."""
    unready = [minion_id for minion_id, record in records.items() if not is_ready(record)]
    if unready:
        raise Refused(
            "\n".join(f"{one} is not a ready node; salt-run hart.show {one} shows its state" for one in unready)
        )


def _timeout(parts: Parts, record: Record) -> float:
    """Return the node's setting; the default if its role is not configured any more."""
    try:
        return parts.settings_of(record).start_timeout
    except HartError:
        return Settings().start_timeout
