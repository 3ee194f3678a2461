"""
Records that were lost, written anew from what the cloud's tags and the key store say.

Records are a cache of the cloud's tags: a cache that was cleared, or a store that was restarted without persistence, is
no reason to take a node for none.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hart_salt.base.errors import HartError
from hart_salt.base.names import batch_time
from hart_salt.inventory.context import Context
from hart_salt.inventory.identity import Found
from hart_salt.inventory.records import READY, Record
from hart_salt.inventory.snapshot import Snapshot, record_of
from hart_salt.master.keys import ACCEPTED

MANY = 5  #: as many missing records, or this part of all nodes, are no accident
PART = 10


def without_record(seen: Snapshot, busy: Callable[[str], bool], batch_lives: Callable[[str], bool]) -> list[Found]:
    """The instances that have no record and on which no living operation of this machine works."""
    return [
        found
        for found in seen.found
        if found.instance.minion_id not in seen.records
        and found.instance.minion_id not in seen.broken
        and not busy(found.instance.minion_id)
        and not batch_lives(found.instance.batch)
    ]


def is_enrolled(seen: Snapshot, found: Found) -> bool:
    """Whether the minion's key is accepted: then it is a node, whatever the records say."""
    return ACCEPTED in seen.keys.get(found.instance.minion_id, ())


def lost(seen: Snapshot, busy: Callable[[str], bool], batch_lives: Callable[[str], bool], dead: Collection[str]) -> str:
    """
    Why the records seem to be lost as a whole, in a sentence; empty: they do not.

    What an operation that is known to have died left without an accepted key does not count: it may have no record.
    Single instances without one do not, either, as long as their keys are not accepted.
    """
    missing = [
        found
        for found in without_record(seen, busy, batch_lives)
        if is_enrolled(seen, found) or found.instance.batch not in dead
    ]
    enrolled = any(is_enrolled(seen, found) for found in missing)
    total = len(missing) + sum(record.provider in seen.asked for record in seen.records.values())
    if len(missing) < MANY and not (enrolled and len(missing) * PART >= total):
        return ""
    return f"{len(missing)} of {total} nodes have no record: the record store seems to have been lost"


def new_record(found: Found, context: Context) -> Record:
    """The record of an instance whose minion's key is accepted. Whether it is sealed is not known yet."""
    instance = found.instance
    record = record_of(instance, found.provider, context.info)
    return dataclasses.replace(
        record,
        stage=READY,
        created=instance.created or batch_time(instance.batch) or time.time(),
        minion_key_finger=context.master.keys.accepted_finger(instance.minion_id),
    )


def write(records: Sequence[Record], context: Context) -> tuple[list[Record], dict[str, str]]:
    """
    Write the records of ids that still have none; whichever operation comes first under an id has it.

    Returns those that were written, and by minion id why others were not.
    """
    written, problems = [], {}
    for record in records:
        try:
            with context.locks.claim(record.minion_id):
                if context.store.get(record.minion_id) is None:
                    context.store.put(record)
                    written.append(record)
        except HartError as error:
            problems[record.minion_id] = str(error)
    return written, problems


def facts(record: Record) -> Mapping[str, Any]:
    """What is reported of a record that was written anew."""
    names = ("minion_id", "provider", "role", "region", "size", "instance_id", "minion_key_finger")
    return {name: getattr(record, name) for name in names}
