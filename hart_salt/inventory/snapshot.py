"""
What exists: clouds, records and key store, read in this order.

The order protects against wrong removals: a node that comes up in the meantime is in the records by the time they are
read, so its instance never seems to be unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hart_salt.base.errors import HartError
from hart_salt.base.names import is_bake_id
from hart_salt.config.schema import Provider
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.identity import Found, Unknown, sort_out
from hart_salt.inventory.records import BAKE, Record, Store, instance_of
from hart_salt.inventory.side_by_side import ask_each
from hart_salt.master.client import Master
from hart_salt.master.keys import ACCEPTED
from hart_salt.model import Instance, MasterInfo


@dataclass(frozen=True)
class Snapshot:
    """The state at one moment, as far as it could be determined."""

    found: Sequence[Found]
    #: names of the providers that answered; the instances of the others are unknown
    asked: frozenset[str]
    #: why providers could not be queried, a sentence each
    problems: Sequence[str]
    records: Mapping[str, Record]
    #: by minion id, the states that a key with that id is in
    keys: Mapping[str, tuple[str, ...]]
    #: ids of minions that answered; None: no minion was pinged
    present: frozenset[str] | None = field(default=None)
    #: by minion id, records that exist but cannot be used, each with a sentence that says why
    broken: Mapping[str, str] = field(default_factory=dict)
    #: instances with this master's tag that cannot be identified as nodes
    unknown: Sequence[Unknown] = ()

    def instance_of(self, record: Record) -> Instance | None:
        """Return the instance of a record: the one with its id, or, if it has none, one with its name and batch."""
        by_id, by_name = self._index
        if record.instance_id:
            return by_id.get((record.provider, record.instance_id))
        same_name = by_name.get((record.provider, record.minion_id), ())
        return next((instance for instance in same_name if is_of(instance, record)), None)

    def of_batch(self, batch: str) -> Sequence[str]:
        """Return the minion ids of the records of a batch."""
        return self._by_batch.get(batch, ())

    @cached_property
    def _by_batch(self) -> dict[str, list[str]]:
        by_batch: dict[str, list[str]] = {}
        for minion_id, record in self.records.items():
            by_batch.setdefault(record.batch, []).append(minion_id)
        return by_batch

    @cached_property
    def _index(self) -> tuple[dict[tuple[str, str], Instance], dict[tuple[str, str], list[Instance]]]:
        """The found instances by provider and instance id, and by provider and minion id: thousands are looked up."""
        by_id: dict[tuple[str, str], Instance] = {}
        by_name: dict[tuple[str, str], list[Instance]] = {}
        for found in self.found:
            instance, name = found.instance, found.provider.name
            by_id.setdefault((name, instance.instance_id), instance)
            by_name.setdefault((name, instance.minion_id), []).append(instance)
        return by_id, by_name


def is_of(instance: Instance, record: Record) -> bool:
    """
    Return whether an instance has the record's instance id; if the record has none, whether its call made the instance.
    """
    if record.instance_id:
        return instance.instance_id == record.instance_id
    return instance.minion_id == record.minion_id and instance.batch in ("", record.batch)


def take_snapshot(
    drivers: Sequence[Driver],
    store: Store,
    master: Master,
    present: Callable[[Sequence[str]], frozenset[str]] | None = None,
) -> Snapshot:
    """
    Take a snapshot of everything.

    ``drivers`` are the providers to query; one that fails is reported in ``problems``. ``present`` pings minions; it
    gets the ids of all nodes that have an accepted key (default: no minion is pinged).
    """
    by_name = {driver.provider.name: driver for driver in drivers}
    listed, asked, problems = [], set(), []
    for name, answer in ask_each(by_name, lambda driver: driver.instances()).items():
        if isinstance(answer, HartError):
            problems.append(f"{name}: {answer}")
        else:
            asked.add(name)
            listed += [Found(instance, by_name[name].provider) for instance in answer]
    stored = store.read()
    records = dict(stored.good)
    found, unknown = sort_out(listed, records)
    keys = master.keys.states()
    known = {*records, *(one.instance.minion_id for one in found)}
    accepted = sorted(minion_id for minion_id in known if ACCEPTED in keys.get(minion_id, ()))
    there = present(accepted) if present else None
    return Snapshot(found, frozenset(asked), problems, records, keys, there, stored.broken, unknown)


def look_at(
    record: Record, driver: Driver, master: Master, present: Callable[[Sequence[str]], frozenset[str]]
) -> Snapshot:
    """
    Take a snapshot of one node: its instance, its record and its key, without a list of all instances and keys.

    An instance is looked up by its id, and, if the record has none yet, among those of its batch. ``present`` is as for
    ``take_snapshot``.
    """
    known, minion_id = instance_of(record), record.minion_id

    def look(driver: Driver) -> list[Instance]:
        if known is None:
            return driver.instances_of(record.batch, record.region)
        there = driver.instance(known)
        return [there] if there is not None and there.state != "gone" else []

    (answer,) = ask_each({record.provider: driver}, look).values()
    failed = isinstance(answer, HartError)
    problems = [f"{record.provider}: {answer}"] if failed else []
    listed = [] if isinstance(answer, HartError) else [Found(one, driver.provider) for one in answer]
    found, _ = sort_out(listed, {minion_id: record})
    keys = master.keys.states_of([minion_id])
    there = present([minion_id] if ACCEPTED in keys.get(minion_id, ()) else [])
    asked = frozenset([] if failed else [record.provider])
    return Snapshot(found, asked, problems, {minion_id: record}, keys, there)


def record_of(instance: Instance, provider: Provider, info: MasterInfo) -> Record:
    """Return the record that an instance would have, from its tags."""
    return Record(
        minion_id=instance.minion_id,
        provider=provider.name,
        driver=provider.driver,
        region=instance.region or "",
        zone=instance.zone,
        size=instance.size or "",
        role=instance.role,
        stage="unknown",
        owner=info.owner,
        batch=instance.batch,
        created=instance.created or time.time(),
        instance_id=instance.instance_id,
        public_ip=instance.public_ip,
        private_ip=instance.private_ip,
        digest=instance.digest,
        ends=instance.ends,
        protected=instance.protected,
        kind=BAKE if is_bake_id(instance.minion_id) else "minion",
    )


def bare_record(minion_id: str, provider: Provider, info: MasterInfo) -> Record:
    """Return the record of an id of which nothing is known; ``provider`` has no instance with that id."""
    return Record(
        minion_id=minion_id, provider=provider.name, driver=provider.driver, region="", size="", stage="unknown",
        owner=info.owner, batch="", created=time.time(),
    )  # fmt: skip
