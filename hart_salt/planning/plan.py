"""What a call would do: the zones of new nodes, and the plain data that ``test=True`` returns. Pure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hart_salt.inventory.journal import iso
from hart_salt.inventory.records import Record
from hart_salt.model import IpAddress, Node

#: as a zone: the zone with the fewest minions of the role
DISTRIBUTED = "distributed"


def spread(
    zones: Sequence[str],
    there: Iterable[str | None],
    count: int,
    choose: Callable[[Sequence[str]], str] = random.choice,
) -> list[str]:
    """
    Return the zones of ``count`` new nodes. Each node goes to the zone with the fewest nodes by then, ties at random.

    ``zones`` holds the available zones. ``there`` holds the zones of the existing nodes; zones that are not in
    ``zones`` do not count.
    """
    numbers = Counter(dict.fromkeys(zones, 0))
    numbers.update(zone for zone in there if zone is not None and zone in numbers)
    chosen = []
    for _ in range(count):
        fewest = min(numbers.values())
        zone = choose([zone for zone, number in numbers.items() if number == fewest])
        numbers[zone] += 1
        chosen.append(zone)
    return chosen


def creation(nodes: Iterable[Node]) -> dict[str, dict[str, Any]]:
    """
    Return the nodes that would be created, by minion id.

    ``monthly_price`` is in ``currency``, before tax; None if the provider does not publish it.
    """
    return {
        node.minion_id: {
            "result": None,
            "action": "create",
            "role": node.role,
            **asdict(node.place),
            "monthly_price": node.monthly_price,
            "currency": node.currency,
            **({} if node.ends is None else {"ends": iso(node.ends, "seconds")}),
            **({"image": node.settings.image} if node.baked or node.notes else {}),
            **({"notes": list(node.notes)} if node.notes else {}),
        }
        for node in nodes
    }


def destruction(records: Mapping[str, Record]) -> dict[str, dict[str, Any]]:
    """Return the nodes that would be destroyed, by minion id."""
    return {
        minion_id: {
            "result": None,
            "action": "destroy",
            "role": record.role,
            **asdict(record.place),
            "instance_id": record.instance_id,
            "monthly_price": record.monthly_price,
            "currency": record.currency,
        }
        for minion_id, record in records.items()
    }


def removal(address: IpAddress) -> dict[str, Any]:
    """Return the additional address that would be removed from a node."""
    facts = {"kind": address.kind, "ip": address.ip, "restarts": address.restarts}
    return {"result": None, "action": "remove", **facts}


def importation(record: Record, notes: Sequence[str]) -> dict[str, Any]:
    """Return a minion that would be imported, with its instance."""
    return {**destruction({record.minion_id: record})[record.minion_id], "action": "import", "notes": list(notes)}
