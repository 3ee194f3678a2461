"""
Which node a listed instance is: the only place where a cloud's report of an instance enters hart. Pure.

An instance whose id is in a record belongs to that record, whatever its tags say: tags may appear later than the
instance, and anybody with access to the account can change them. For all other instances the tags decide. An instance
whose tags cannot be hart's is reported under its instance id and is used nowhere else: no file, lock, event, record or
target is ever named after it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hart_salt.base.names import check_minion_id
from hart_salt.config.schema import Provider
from hart_salt.inventory.records import Record
from hart_salt.model import Instance

#: roles as the configuration allows them, and the names of regions and zones at providers
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,99}")
_BATCH = re.compile(r"[A-Za-z0-9_-]{0,64}")
SHOWN = 60  #: the maximum number of characters of a shown value


@dataclass(frozen=True)
class Found:
    """An instance, and the provider that has it."""

    instance: Instance
    provider: Provider


@dataclass(frozen=True)
class Unknown:
    """An instance with this master's tag that cannot be identified as a node."""

    instance: Instance
    provider: Provider
    why: str
    #: its tags are valid, but another instance has the same minion id
    double: bool = False

    @property
    def name(self) -> str:
        """The name that it is reported under: the instance's id."""
        return shown(self.instance.instance_id)


def sort_out(
    listed: Sequence[Found], records: Mapping[str, Record], master_id: str = ""
) -> tuple[list[Found], list[Unknown]]:
    """
    Sort listed instances into nodes, each with an identity that is usable as a name, and unknown instances.

    ``records`` holds all records, by minion id. ``master_id`` is the id of the master itself, which no node may have
    (default: not checked).
    """
    nodes, rest = _of_records(listed, records)
    unknown = [Unknown(one.instance, one.provider, why) for one in rest if (why := problem_of(one.instance, master_id))]
    sound = [one for one in _each_once(rest) if not problem_of(one.instance, master_id)]
    numbers = Counter(one.instance.minion_id for one in sound if one.instance.state != "gone")
    for one in sound:
        if why := _double(one.instance, records.get(one.instance.minion_id), numbers):
            unknown.append(Unknown(one.instance, one.provider, why, double=True))
        else:
            nodes.append(one)
    return nodes, unknown


def sane(instances: Sequence[Instance]) -> list[Instance]:
    """Return the instances whose tags are usable as names."""
    return [instance for instance in instances if not problem_of(instance)]


def problem_of(instance: Instance, master_id: str = "") -> str:
    """Return why the tags of an instance do not name a node, in a sentence; empty if they do."""
    if not isinstance(instance.minion_id, str):
        return _reported("minion id", instance.minion_id, "is not text")
    if problem := check_minion_id(instance.minion_id, master_id):
        return _reported("minion id", instance.minion_id, problem)
    for word, value, form in (
        ("role", instance.role, _NAME), ("batch", instance.batch, _BATCH), ("region", instance.region, _NAME),
        ("zone", instance.zone, _NAME),
    ):  # fmt: skip
        if value is not None and not (isinstance(value, str) and (not value or form.fullmatch(value))):
            return _reported(word, value, "has a form that hart does not use")
    return ""


def is_batch(value: Any) -> bool:
    """Return whether a value is a valid name of a batch, which becomes a part of a file name."""
    return isinstance(value, str) and bool(_BATCH.fullmatch(value))


def shown(value: Any) -> str:
    """Return a value of unknown source, short and without characters that act on a terminal."""
    text = value if isinstance(value, str) and re.fullmatch(r"[ -~]*", value) else ascii(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _reported(word: str, value: Any, problem: str) -> str:
    return (
        f"its {word} {shown(value)!r} {problem}: correct the instance's tags at the provider, or delete it there; hart "
        "does not touch it"
    )


def _of_records(listed: Sequence[Found], records: Mapping[str, Record]) -> tuple[list[Found], list[Found]]:
    """
    Return the instances that a record names by id, and the rest.

    Two providers can be names for one account: what the other one also lists is not a second instance.
    """
    by_instance = {(record.driver, record.instance_id): record for record in records.values() if record.instance_id}
    nodes, rest = [], []
    for one in listed:
        record = by_instance.get((one.provider.driver, str(one.instance.instance_id)))
        if record is None:
            rest.append(one)
        elif record.provider == one.provider.name:
            nodes.append(replace(one, instance=_as_recorded(one.instance, record)))
    return nodes, rest


def _as_recorded(instance: Instance, record: Record) -> Instance:
    """Return the instance with the record's identity where its tags lack it."""
    if instance.minion_id == record.minion_id and not problem_of(instance):
        return instance
    return replace(
        instance, minion_id=record.minion_id, role=record.role, batch=record.batch,
        region=instance.region if _is_name(instance.region) else record.region,
        zone=instance.zone if _is_name(instance.zone) else record.zone,
    )  # fmt: skip


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(_NAME.fullmatch(value))


def _each_once(listed: Sequence[Found]) -> list[Found]:
    """Return the instances without the duplicates that a second name of the same account lists."""
    first: dict[tuple[Any, ...], Found] = {}
    for one in listed:
        first.setdefault((one.provider.driver, str(one.instance.instance_id), str(one.instance.minion_id)), one)
    return list(first.values())


def _double(instance: Instance, record: Record | None, numbers: Mapping[str, int]) -> str:
    """Return why an instance with valid tags is not the node of its minion id; empty if it is."""
    remedy = "hart does not touch it: delete the surplus one at the provider"
    if record is not None and record.instance_id:
        return f"it claims to be {instance.minion_id}, which is {shown(record.instance_id)}; {remedy}"
    if numbers[instance.minion_id] > 1 and (record is None or instance.batch != record.batch):
        return f"{numbers[instance.minion_id]} instances claim to be {instance.minion_id}; {remedy}"
    return ""
