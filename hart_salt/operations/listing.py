"""Describe every node by what the cloud, the records, the key store and the minions say. Nothing has side effects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from hart_salt.base.names import check_minion_id
from hart_salt.inventory.ends import end_of
from hart_salt.inventory.identity import Unknown
from hart_salt.inventory.journal import iso
from hart_salt.inventory.protected import differs, is_protected
from hart_salt.inventory.records import BAKE, Record
from hart_salt.inventory.snapshot import Snapshot, record_of
from hart_salt.master.keys import ACCEPTED, STATE_WORDS
from hart_salt.model import PLACE, Instance, MasterInfo

FACTS = ("role", *PLACE, "instance_id", "public_ip", "private_ip", "created", "ends", "by", "protected", "log", "error")
#: by what the list can be sorted, and the facts that this compares, of which the first that a node has counts
SORTED_BY: Mapping[str, tuple[str, ...]] = {
    "id": (), "status": ("status",), "role": ("role",), "provider": ("provider",), "region": ("region",),
    "zone": ("zone",), "place": ("zone", "region"), "size": ("size",), "ip": ("public_ip", "private_ip"),
    "address": ("public_ip", "private_ip"), "age": ("created",), "created": ("created",), "ends": ("ends",),
    "price": ("monthly_price",), "by": ("by",),
}  # fmt: skip
BY_ID = "id"
#: the columns that the table of the list can have
COLUMNS = (
    "id", "status", "role", "provider", "region", "zone", "place", "size", "ip", "public_ip", "private_ip", "age",
    "created", "ends", "price", "by", "protected", "drifted", "instance_id",
)  # fmt: skip
#: the facts of what has no record
NOTHING = dict.fromkeys((*FACTS, "drifted", "monthly_price", "currency"))
LEFT = "it is left from a bake that has ended: salt-run hart.sweep removes it"
NO_INSTANCE = "no instance"
NOT_OURS = "not ours"
BROKEN = "broken record"
BAD_ID = "bad id"
ELSEWHERE = "elsewhere"
#: what ``status`` can be, besides ``left at`` a stage and a provider's own word for an instance that does not run
STATUSES = (
    "ready", "in progress", "unreachable", NO_INSTANCE, "stopped", "pending", "no key", "unsealed", "no record",
    "failed", "unknown", ELSEWHERE, NOT_OURS, BROKEN, BAD_ID,
)  # fmt: skip
#: the facts of a record that only ``hart.show`` reports
SHOWN = (
    "kind", "driver", "stage", "batch", "sealed", "minion_key_finger", "master_key_finger", "ssh_host_keys", "seconds",
    "addresses", "digest", "monthly_price", "currency",
)  # fmt: skip


def more(record: Record) -> dict[str, Any]:
    """Return the facts of one node's record that the list does not have, and whether its log is elsewhere."""
    found = {name: getattr(record, name) for name in SHOWN}
    if record.log and not Path(record.log).exists():
        found["log_note"] = "not on this machine: another master wrote it, or it was removed"
    return found


def nodes(
    snapshot: Snapshot, busy: Callable[[str], bool], info: MasterInfo,
    elsewhere: Callable[[Record], str] = lambda _: "",
    drifted: Callable[[Record, Instance | None], list[str] | None] = lambda record, instance: None,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """
    Return every node by minion id.

    ``status`` is ``ready``, or why the node is not ready: ``in progress``, ``unreachable``, ``no instance``,
    ``stopped``, ``no key``, ``unsealed``, ``no record``, ``failed``, ``left at`` a stage; ``unknown`` if the provider
    did not answer; ``elsewhere`` for a node that only another master can judge, with the reason in ``note``; ``not
    ours`` for a minion of which hart knows only the key; ``broken record`` if its record cannot be used. ``sources``
    has what each of the four sources says.

    An instance whose tags do not clearly identify a node has the status ``bad id`` and is listed under its instance id;
    ``note`` says what is wrong with it and what to do.

    ``drifted`` returns which parts of a node differ from the configuration; None: it is not known.
    """
    records = dict(snapshot.records)
    for one in snapshot.found:
        records.setdefault(one.instance.minion_id, record_of(one.instance, one.provider, info))
    found = {
        minion_id: _elsewhere(snapshot, record, why) if (why := elsewhere(record))
        else _entry(snapshot, record, busy(minion_id), drifted)
        for minion_id, record in records.items()
    }  # fmt: skip
    others = {*snapshot.keys, *snapshot.broken} - records.keys()
    not_ours = {minion_id: _not_ours(snapshot, minion_id) for minion_id in others}
    both = {**found, **not_ours}
    reported = {minion_id: _broken(snapshot, minion_id, entry) for minion_id, entry in both.items()}
    bad = {_name(one.name, both): _bad(one) for one in snapshot.unknown}
    return dict(sorted({**reported, **bad}.items()))


def _broken(snapshot: Snapshot, minion_id: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a node, changed if its record cannot be used."""
    if minion_id not in snapshot.broken:
        return entry
    sources = {**entry["sources"], "record": "broken"}
    return {**entry, "status": BROKEN, "error": snapshot.broken[minion_id], "sources": sources}


def _entry(
    snapshot: Snapshot, record: Record, busy: bool, drifted: Callable[[Record, Instance | None], list[str] | None]
) -> dict[str, Any]:
    instance = snapshot.instance_of(record)
    status = _status(snapshot, record, instance, busy)
    facts = _facts(record) | {"protected": is_protected(record, instance)}
    facts |= {"ends": _iso(end_of(record, instance)), "drifted": drifted(record, instance)}
    facts |= {"size": instance.size} if instance is not None and instance.size else {}  # also right after a crash
    why = differs(record, instance) or (LEFT if record.kind == BAKE and not record.kept else "")
    note = {"note": why} if why and not busy else {}
    return {"status": status, **facts, "sources": _sources(snapshot, record), **note}


def _facts(record: Record) -> dict[str, Any]:
    facts = {name: getattr(record, name) for name in FACTS}
    return {
        **facts,
        "created": iso(record.created, "microseconds"),
        "ends": _iso(record.ends),
        "drifted": None,
        "monthly_price": record.monthly_price,
        "currency": record.currency,
    }


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else iso(seconds, "seconds")


def _elsewhere(snapshot: Snapshot, record: Record, why: str) -> dict[str, Any]:
    """Return the entry of a node of another master: this one does not list its instance."""
    sources = {**_sources(snapshot, record), "cloud": None}
    return {"status": ELSEWHERE, **_facts(record), "sources": sources, "note": why}


def _status(snapshot: Snapshot, record: Record, instance: Instance | None, busy: bool) -> str:
    if busy:
        return "in progress"
    if record.provider not in snapshot.asked:
        return "unknown"
    if instance is None:
        return NO_INSTANCE
    if record.stage == "unknown":
        return "no record"
    if instance.state != "running":
        return instance.state
    if record.stage != "ready":
        return record.stage if record.stage == "failed" else f"left at {record.stage}"
    if record.kind == "master":
        return "ready" if record.sealed else "unsealed"  # it is not a minion of this master
    if ACCEPTED not in snapshot.keys.get(record.minion_id, ()):
        return "no key"
    if snapshot.present is not None and record.minion_id not in snapshot.present:
        return "unreachable"
    return "ready" if record.sealed else "unsealed"


def _sources(snapshot: Snapshot, record: Record) -> dict[str, Any]:
    """Return what each source says; None if it was not asked or did not answer."""
    instance = snapshot.instance_of(record)
    return {
        "cloud": (instance.state if instance else "absent") if record.provider in snapshot.asked else None,
        "record": None if record.stage == "unknown" else record.stage,
        "key": _key(snapshot, record.minion_id),
        "present": None if snapshot.present is None else record.minion_id in snapshot.present,
    }


def _key(snapshot: Snapshot, minion_id: str) -> str | None:
    states = snapshot.keys.get(minion_id, ())
    return " and ".join(STATE_WORDS[state] for state in states) or None


def _not_ours(snapshot: Snapshot, minion_id: str) -> dict[str, Any]:
    sources = {"cloud": None, "record": None, "key": _key(snapshot, minion_id), "present": None}
    return {"status": NOT_OURS, **NOTHING, "sources": sources}


def _name(name: str, taken: Collection[str]) -> str:
    """Return a name for an instance that is not also a minion id."""
    return f"instance {name}" if name in taken or check_minion_id(name) else name


def _bad(one: Unknown) -> dict[str, Any]:
    sources = {"cloud": one.instance.state, "record": None, "key": None, "present": None}
    facts = {**NOTHING, "provider": one.provider.name, "instance_id": one.name}
    return {"status": BAD_ID, **facts, "sources": sources, "note": one.why}


def chosen(found: Mapping[str, dict[str, Any]], wanted: Mapping[str, str | None]) -> dict[str, dict[str, Any]]:
    """Return the entries that match every wanted fact; a fact with the value None matches all."""
    return {
        minion_id: entry
        for minion_id, entry in found.items()
        if all(value in (None, entry[key]) for key, value in wanted.items())
    }


def ordered(found: Mapping[str, dict[str, Any]], sort: str) -> dict[str, dict[str, Any]]:
    """
    Return the entries sorted by one of ``SORTED_BY``, with ``-`` in front in the reverse order.

    Nodes that do not have it come last, and equal ones are sorted by their ids. An age is the reverse of a time.
    """
    name = sort.removeprefix("-")
    backwards = sort.startswith("-") is not (name == "age")

    def value(entry: Mapping[str, Any]) -> Any:
        known = (entry[fact] for fact in SORTED_BY[name] if entry[fact] is not None)
        return _comparable(next(known, None))

    if name == BY_ID:
        return dict(sorted(found.items(), reverse=backwards))
    by_id = sorted(found.items())
    having = [item for item in by_id if value(item[1]) is not None]
    without = [item for item in by_id if value(item[1]) is None]
    return dict([*sorted(having, key=lambda item: value(item[1]), reverse=backwards), *without])


def _comparable(value: Any) -> Any:
    """Return what puts an address in the order of its numbers; anything else as it is."""
    with suppress(ValueError):
        return int(ip_address(value)) if isinstance(value, str) else value
    return value
