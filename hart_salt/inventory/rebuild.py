"""
Lost records, rebuilt from the cloud's tags and the key store.

Records are a cache of the cloud's tags: if a cache was cleared, or a store restarted without persistence, its nodes are
still nodes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hart_salt.base.errors import HartError
from hart_salt.base.names import batch_time, is_bake_id
from hart_salt.inventory.context import Context
from hart_salt.inventory.identity import Found
from hart_salt.inventory.locks import machine_of
from hart_salt.inventory.records import READY, Record
from hart_salt.inventory.snapshot import Snapshot, record_of
from hart_salt.master.keys import ACCEPTED

MANY = 5  #: so many missing records, or a ``PART``-th of all nodes, are no accident
PART = 10


def without_record(seen: Snapshot, busy: Callable[[str], bool], batch_lives: Callable[[str], bool]) -> list[Found]:
    """Return the instances that have no record and that no living operation of this machine is working on."""
    return [
        found
        for found in seen.found
        if found.instance.minion_id not in seen.records
        and found.instance.minion_id not in seen.broken
        and not busy(found.instance.minion_id)
        and not batch_lives(found.instance.batch)
    ]


def is_enrolled(seen: Snapshot, found: Found) -> bool:
    """Return whether the minion's key is accepted: then it is a node, whatever the records say, but one of a bake."""
    return not is_bake_id(found.instance.minion_id) and ACCEPTED in seen.keys.get(found.instance.minion_id, ())


def lost(seen: Snapshot, busy: Callable[[str], bool], batch_lives: Callable[[str], bool], dead: Collection[str]) -> str:
    """
    Return why the records seem to be lost as a whole, in a sentence; empty if they do not.

    Instances of a dead operation without an accepted key do not count, because they may have no record. Neither do
    single instances without a record, unless their keys are accepted.
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
    """Return the record of an instance whose minion's key is accepted. It is not known yet whether it is sealed."""
    instance = found.instance
    record = record_of(instance, found.provider, context.info)
    return dataclasses.replace(
        record,
        stage=READY,
        machine=machine_of(record.driver, context.locks),
        created=instance.created or batch_time(instance.batch) or time.time(),
        minion_key_finger=context.master.keys.accepted_finger(instance.minion_id),
    )


def write(records: Sequence[Record], context: Context) -> tuple[list[Record], dict[str, str]]:
    """
    Write the records of ids that still have none; the first operation to write under an id wins.

    Returns the written records, and by minion id why others were not written.
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
    """Return what is reported of a rebuilt record."""
    names = ("minion_id", "provider", "role", "region", "size", "instance_id", "minion_key_finger")
    return {name: getattr(record, name) for name in names}
