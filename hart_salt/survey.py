"""
What there is: clouds, records and key store, looked at in this order.

The order matters to whoever removes things: a node that comes up while this looks is in the records by the time they
are read, and never an instance that nobody knows of.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from hart_salt.drivers.base import Driver
from hart_salt.errors import HartError
from hart_salt.master import ACCEPTED, Master
from hart_salt.model import Instance, MasterInfo, Provider
from hart_salt.store import Record, Store

SIDE_BY_SIDE = 8  #: providers that are asked at the same time


@dataclass(frozen=True)
class Found:
    """An instance, and the provider that has it."""

    instance: Instance
    provider: Provider


@dataclass(frozen=True)
class Survey:
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

    def instance_of(self, record: Record) -> Instance | None:
        """The instance of a record: that of its id, or, where it has none, one of its name and batch."""
        for found in self.found:
            if found.provider.name == record.provider and _is_of(found.instance, record):
                return found.instance
        return None


def _is_of(instance: Instance, record: Record) -> bool:
    if record.instance_id:
        return instance.instance_id == record.instance_id
    return instance.minion_id == record.minion_id and instance.batch in ("", record.batch)


def survey(
    drivers: Sequence[Driver],
    store: Store,
    master: Master,
    present: Callable[[Sequence[str]], frozenset[str]] | None = None,
) -> Survey:
    """
    Look at everything.

    drivers
        the providers to ask; one that fails is told of in ``problems``
    present
        asks minions whether they are there; it gets the ids of all nodes that have an accepted key (default: nobody
        is asked)
    """
    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="hart-survey") as pool:
        answers = list(pool.map(_ask, drivers))
    found, asked, problems = [], set(), []
    for driver, answer in zip(drivers, answers, strict=True):
        if isinstance(answer, HartError):
            problems.append(f"{driver.provider.name}: {answer}")
        else:
            asked.add(driver.provider.name)
            found += [Found(instance, driver.provider) for instance in answer]
    records = {record.minion_id: record for record in store.all()}
    keys = master.key_states()
    known = {*records, *(one.instance.minion_id for one in found)}
    accepted = sorted(minion_id for minion_id in known if ACCEPTED in keys.get(minion_id, ()))
    return Survey(found, frozenset(asked), problems, records, keys, present(accepted) if present else None)


def _ask(driver: Driver) -> list[Instance] | HartError:
    """A provider whose SDK is missing, too, is no reason not to tell of the others."""
    try:
        return driver.instances()
    except HartError as error:
        return error


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
