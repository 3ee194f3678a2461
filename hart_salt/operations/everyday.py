"""The everyday verbs for existing nodes that Salt cannot do: power, sizes, and tags at the provider."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from hart_salt.base.errors import HartError, Refused
from hart_salt.config.loader import Config
from hart_salt.config.settings import Settings
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.records import Record
from hart_salt.master.client import Master
from hart_salt.model import Node
from hart_salt.operations import chosen, limits, power, prices, resize, tagging
from hart_salt.operations.leaks import is_ready
from hart_salt.operations.prices import Existing
from hart_salt.operations.verbs import Verb, on_each
from hart_salt.result import Result


class _Parts(Protocol):
    """What the verbs need of the service."""

    context: Context
    master: Master
    config: Config

    def _changes(self, *, test: bool = False) -> bool: ...
    def _nodes_of(self, minion_ids: Sequence[str]) -> dict[str, Record]: ...
    def _drivers_of(self, records: Iterable[Record]) -> dict[str, Driver]: ...
    def _settings_of(self, record: Record) -> Settings: ...
    def _example(self, role: str | None, provider: str | None, region: str | None) -> Node: ...
    def _refuse_excess(self, growth: limits.Growth) -> None: ...
    def _report(self, data: dict[str, Any], interrupted: int | None, *, test: bool = False) -> Result: ...


class Everyday:
    """The use cases of the service for single nodes. Each raises ``Refused`` before anything is changed."""

    def start(self: _Parts, minion_ids: Sequence[str], *, timeout: float | None, test: bool) -> Result:
        """Start nodes and wait for their minions, at most ``timeout`` seconds (None: the setting)."""
        return _each(self, minion_ids, power.start(test=test), timeout)

    def stop(self: _Parts, minion_ids: Sequence[str], *, force: bool, test: bool) -> Result:
        """Stop nodes; with ``force`` their power is cut at once."""
        return _each(self, minion_ids, power.stop(force=force, test=test))

    def reboot(self: _Parts, minion_ids: Sequence[str], *, force: bool, timeout: float | None, test: bool) -> Result:
        """Restart nodes and wait for their minions, at most ``timeout`` seconds (None: the setting)."""
        return _each(self, minion_ids, power.reboot(force=force, test=test), timeout)

    def resize(self: _Parts, minion_ids: Sequence[str], size: str, *, timeout: float | None, test: bool) -> Result:
        """Change the size of nodes. Raises ``Refused`` if it is not possible for one of them; then none is changed."""
        _refuse_dearer(self, minion_ids, size)
        return _planned(self, minion_ids, functools.partial(resize.resize, size), test=test, timeout=timeout)

    def set_tags(self: _Parts, minion_ids: Sequence[str], change: tagging.TagChange, *, test: bool) -> Result:
        """Change the user's tags of nodes. Raises ``Refused`` as ``resize`` does."""
        return _planned(self, minion_ids, functools.partial(tagging.set_tags, change), test=test)


def _refuse_dearer(parts: _Parts, minion_ids: Sequence[str], size: str) -> None:
    """Raise ``Refused`` if nodes of that size would cost more than a limit allows."""
    alike: dict[tuple[str | None, str, str], list[Existing]] = {}
    for record in parts._nodes_of(minion_ids).values() if parts.config.limits else ():
        role = record.role if record.role in parts.config.roles else None
        alike.setdefault((role, record.provider, record.region), []).append(prices.of_record(record))
    for (role, provider, region), old in alike.items():
        node = dataclasses.replace(parts._example(role, provider, region), size=size)
        parts._refuse_excess(limits.resizing(node, old))


def _planned(
    parts: _Parts, minion_ids: Sequence[str], verb: Callable[..., Verb], *, test: bool, timeout: float | None = None
) -> Result:
    """Plan, and carry it out unless it is a test. Raises ``Refused`` with what the plan objects to."""
    plan = _each(parts, minion_ids, verb(test=True), changes=not test)
    refused = [f"{minion_id}: {entry['error']}" for minion_id, entry in plan.data.items() if "error" in entry]
    if refused and plan.signal is None:
        raise Refused("\n".join(refused))
    return plan if test or plan.signal is not None else _each(parts, minion_ids, verb(test=False), timeout)


def _each(
    parts: _Parts, minion_ids: Sequence[str], verb: Verb, timeout: float | None = None, *, changes: bool = False
) -> Result:
    """Do the same with each node. ``changes`` says that changes follow although the verb only plans."""
    parts._changes(test=verb.test and not changes)
    records = parts._nodes_of(minion_ids)
    chosen.refuse_elsewhere(records, parts.context, f"hart.{verb.action}")
    _refuse_unready(records)
    waits = verb.waits and not verb.test
    if waits:
        parts.master.require_running()
    timeouts = {
        minion_id: _timeout(parts, record) if timeout is None and waits else timeout or 0.0
        for minion_id, record in records.items()
    }
    drivers = parts._drivers_of(records.values())
    data, interrupted = on_each(verb, records, drivers, parts.context, timeouts)
    return parts._report(data, interrupted, test=verb.test)


def _refuse_unready(records: Mapping[str, Record]) -> None:
    """Raise ``Refused`` with all nodes that are not ready."""
    unready = [minion_id for minion_id, record in records.items() if not is_ready(record)]
    if unready:
        raise Refused(
            "\n".join(f"{one} is not a ready node; salt-run hart.show {one} shows its state" for one in unready)
        )


def _timeout(parts: _Parts, record: Record) -> float:
    """Return the node's setting; the default if its role is not configured any more."""
    try:
        return parts._settings_of(record).start_timeout
    except HartError:
        return Settings().start_timeout
