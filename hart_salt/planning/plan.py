"""What a call would do: the zones of new nodes, and plain data as the answer to ``test=True``. Pure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hart_salt.inventory.records import Record
from hart_salt.model import IpAddress, Node, Size

#: as a zone: the one with the fewest minions of the role
DISTRIBUTED = "distributed"


def spread(
    zones: Sequence[str],
    there: Iterable[str | None],
    count: int,
    choose: Callable[[Sequence[str]], str] = random.choice,
) -> list[str]:
    """
    The zones of ``count`` new nodes: each goes where the fewest are by then, ties at random.

    zones
        those that can be had
    there
        the zones of the nodes that there are; others than ``zones`` do not count
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


def creation(nodes: Iterable[Node], size: Size | None) -> dict[str, dict[str, Any]]:
    """
    The nodes that would be created, by minion id; all of them have the same size.

    ``monthly_price`` is in ``currency``, before tax; None: the provider does not tell.
    """
    return {
        node.minion_id: {
            "result": None,
            "action": "create",
            "role": node.role,
            **asdict(node.place),
            "monthly_price": size.monthly_price if size else None,
            "currency": size.currency if size else None,
        }
        for node in nodes
    }


def destruction(records: Mapping[str, Record]) -> dict[str, dict[str, Any]]:
    """The nodes that would be destroyed, by minion id."""
    return {
        minion_id: {
            "result": None,
            "action": "destroy",
            "role": record.role,
            **asdict(record.place),
            "instance_id": record.instance_id,
        }
        for minion_id, record in records.items()
    }


def removal(address: IpAddress) -> dict[str, Any]:
    """The further address that would be taken from a node."""
    facts = {"kind": address.kind, "ip": address.ip, "restarts": address.restarts}
    return {"result": None, "action": "remove", **facts}


def importation(record: Record, notes: Sequence[str]) -> dict[str, Any]:
    """A minion that would be imported, and its instance."""
    return {**destruction({record.minion_id: record})[record.minion_id], "action": "import", "notes": list(notes)}
