"""Look up a node or an address in the records, for reactors, which must not trust the data of an event."""

from __future__ import annotations

import ipaddress
from typing import Any

from hart_salt.base.errors import Refused
from hart_salt.base.names import check_minion_id
from hart_salt.inventory.records import READY, Record, Store
from hart_salt.model import PLACE

#: the stages of a record, in the order of a node's life
STAGES = ("launching", "running", "bootstrapping", "enrolling", "enrolled", READY)
FACTS = ("minion_id", "kind", "stage", "sealed", "role", *PLACE, "instance_id", "public_ip", "private_ip")


def node(store: Store, minion_id: str, stage: str | None) -> dict[str, Any]:
    """
    Return the facts of the record of ``minion_id``.

    ``stage`` is the stage that the node must have reached (None: any stage).

    Raises ``Refused`` if ``minion_id`` is not a valid id or has no record, or if the node has not reached the stage or
    has failed.
    """
    if problem := check_minion_id(minion_id):
        raise Refused(f"{minion_id!r}: {problem}")
    if stage is not None and stage not in STAGES:
        raise Refused(f"stage must be one of {', '.join(STAGES)}")
    record = store.get(minion_id)
    if record is None:
        raise Refused(f"{minion_id}: there is no record of a node with that id")
    if stage is not None and not _reached(record.stage, stage):
        raise Refused(f"{minion_id}: the node is at stage {record.stage} and has not reached {stage}")
    return {**{name: getattr(record, name) for name in FACTS}, "addresses": _addresses(record)}


def node_of(store: Store, ip: str) -> dict[str, Any]:
    """
    Return ``ip`` in its usual form, and the ``minion_id`` of the node whose record has it, or None for no node.

    An IPv4-mapped IPv6 address, such as ``::ffff:203.0.113.7``, counts as that IPv4 address.

    Raises ``Refused`` if ``ip`` is not an IP address, or has a zone, such as ``fe80::1%eth0``.
    """
    address = _address(ip)
    if address is None:
        raise Refused("ip must be an IP address, such as ip=203.0.113.7")
    found = (record.minion_id for record in store.all() if address in map(_address, _addresses(record)))
    return {"ip": address, "minion_id": next(found, None)}


def _address(ip: Any) -> str | None:
    """
    Return an address in its usual form, or None if ``ip`` is not one.

    A number is not an address. A zone is refused, because Python accepts any text as the zone of an IPv6 address, and
    the caller puts the result into a command.
    """
    try:
        address = ipaddress.ip_address(ip) if isinstance(ip, str) and "%" not in ip else None
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address) if address else None


def _reached(at: str, stage: str) -> bool:
    return at in STAGES and STAGES.index(at) >= STAGES.index(stage)


def _addresses(record: Record) -> list[str]:
    own = [one for one in (record.public_ip, record.private_ip) if one]
    return [*own, *(one["ip"] for one in record.addresses)]
