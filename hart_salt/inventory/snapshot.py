"""
What there is: clouds, records and key store, looked at in this order.

The order matters to whoever removes things: a node that comes up while this looks is in the records by the time they
are read, and never an instance that nobody knows of.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hart_salt.base.errors import HartError
from hart_salt.config.schema import Provider
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.identity import Found, Unknown, sort_out
from hart_salt.inventory.records import Record, Store
from hart_salt.inventory.side_by_side import ask_each
from hart_salt.master.client import Master
from hart_salt.master.keys import ACCEPTED
from hart_salt.model import Instance, MasterInfo


@dataclass(frozen=True)
class Snapshot:
    """The state of things at one moment, as far as it could be found out."""

    found: Sequence[Found]
    #: names of the providers that answered: what the others have is not known
    asked: frozenset[str]
    #: why providers could not be asked, a sentence each
    problems: Sequence[str]
    records: Mapping[str, Record]
    #: by minion id, the states that a key of that id is in
    keys: Mapping[str, tuple[str, ...]]
    #: ids of minions that answered; None: nobody was asked
    present: frozenset[str] | None = field(default=None)
    #: by minion id, records that are there and cannot be used, each with a sentence that says why
    broken: Mapping[str, str] = field(default_factory=dict)
    #: instances with this master's tag that are no nodes for certain
    unknown: Sequence[Unknown] = ()

    def instance_of(self, record: Record) -> Instance | None:
        """The instance of a record: that of its id, or, where it has none, one of its name and batch."""
        for found in self.found:
            if found.provider.name == record.provider and is_of(found.instance, record):
                return found.instance
        return None


def is_of(instance: Instance, record: Record) -> bool:
    """Whether an instance is the one of its id; where the record has none, one that its call made under its name."""
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
    Look at everything.

    drivers
        the providers to ask; one that fails is reported in ``problems``
    present
        asks minions whether they are there; it gets the ids of all nodes that have an accepted key (default: nobody
        is asked)
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


def record_of(instance: Instance, provider: Provider, info: MasterInfo) -> Record:
    """The record that an instance would have, from what its tags say."""
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
    )


def bare_record(minion_id: str, provider: Provider, info: MasterInfo) -> Record:
    """The record of an id of which nothing is known; ``provider`` has no instance of it."""
    return Record(
        minion_id=minion_id, provider=provider.name, driver=provider.driver, region="", size="", stage="unknown",
        owner=info.owner, batch="", created=time.time(),
    )  # fmt: skip
