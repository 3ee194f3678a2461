"""What there is: clouds, records and key store, laid over each other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from hart_salt.drivers.base import Driver
from hart_salt.errors import DriverError
from hart_salt.master import ACCEPTED, Master
from hart_salt.model import Instance, MasterInfo, Provider
from hart_salt.store import Record, Store


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


def nodes(
    drivers: Sequence[Driver], store: Store, master: Master, info: MasterInfo
) -> tuple[dict[str, Any], list[str]]:
    """
    Return every node by minion id, and the problems of providers that could not be asked.

    ``status`` is ``ready``, ``in progress``, or what is missing: ``no instance``, ``stopped``, ``no key``,
    ``no record``, ``failed``; ``unknown`` when the provider could not be asked.
    """
    instances, asked, problems = _instances(drivers)
    records = {record.minion_id: record for record in store.all()}
    for driver_instance, provider in instances.values():
        records.setdefault(driver_instance.minion_id, record_of(driver_instance, provider, info))
    keys = master.key_states()
    found = {}
    for minion_id, record in sorted(records.items()):
        instance, _ = instances.get((record.provider, minion_id), (None, None))
        accepted = ACCEPTED in keys.get(minion_id, ())
        status = _status(record, instance, accepted, record.provider in asked, store.busy(minion_id))
        found[minion_id] = {"status": status, **_facts(record, accepted)}
    return found, problems


def _instances(
    drivers: Sequence[Driver],
) -> tuple[dict[tuple[str, str], tuple[Instance, Provider]], set[str], list[str]]:
    found: dict[tuple[str, str], tuple[Instance, Provider]] = {}
    asked: set[str] = set()
    problems = []
    for driver in drivers:
        name = driver.provider.name
        try:
            listed = driver.instances()
        except DriverError as error:
            problems.append(f"{name}: {error}")
            continue
        asked.add(name)
        found.update({(name, instance.minion_id): (instance, driver.provider) for instance in listed})
    return found, asked, problems


def _status(record: Record, instance: Instance | None, accepted: bool, asked: bool, busy: bool) -> str:
    if busy:
        return "in progress"
    if not asked:
        return "unknown"
    if instance is None:
        return "no instance"
    if record.stage == "unknown":
        return "no record"
    if instance.state != "running":
        return instance.state
    if record.stage != "ready":
        return record.stage if record.stage == "failed" else f"left at {record.stage}"
    return "ready" if accepted else "no key"


def _facts(record: Record, accepted: bool) -> dict[str, Any]:
    names = (
        "role", "provider", "region", "zone", "size", "instance_id", "public_ip", "private_ip", "created",
        "log", "error",
    )  # fmt: skip
    return {**{name: getattr(record, name) for name in names}, "key": "accepted" if accepted else None}
