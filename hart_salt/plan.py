"""What a call would do, as plain data: the answer to ``test=True``. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hart_salt.model import Node, Size
from hart_salt.store import Record


def creation(nodes: Iterable[Node], sizes: Sequence[Size]) -> dict[str, dict[str, Any]]:
    """
    The nodes that would be created, by minion id.

    ``monthly_price`` is in US dollars; None: the provider does not tell.
    """
    prices = {size.name: size.monthly_price for size in sizes}
    return {
        node.minion_id: {
            "result": None,
            "action": "create",
            "role": node.role,
            "provider": node.provider,
            "region": node.region,
            "zone": node.zone,
            "size": node.size,
            "monthly_price": prices.get(node.size),
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
            "provider": record.provider,
            "region": record.region,
            "zone": record.zone,
            "size": record.size,
            "instance_id": record.instance_id,
        }
        for minion_id, record in records.items()
    }
