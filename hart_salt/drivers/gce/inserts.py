"""
The creates that have not ended: a create that fails late is known by its operation alone.

The instance of such a create shows up in lists for a moment and vanishes, or never shows up at all
(googleapis/nodejs-compute#377).
"""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hart_salt.model import Instance, Node

if TYPE_CHECKING:
    from hart_salt.drivers.gce.client import Api

#: operations that are asked for in one call: a filter is part of an address, whose length is limited
AT_ONCE = 50
#: what request ids are made from: the same call of hart has the same ones, in whatever process
REQUESTS = uuid.UUID("5f0d8a52-6f0b-4c2f-9c55-3b2f0f0b9e71")


class Inserts:
    """The creates of one driver object. Safe from several threads."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        #: by the operation's name
        self._under_way: dict[str, Instance] = {}
        #: by the instance's id
        self._failed: dict[str, Instance] = {}
        self._made: Counter[tuple[str, str]] = Counter()

    def request_id(self, node: Node) -> str:
        """
        The id of a node's create: for a create of which nobody knows what became of it, the same again.

        Another zone is another create, and so is one after the node was made: it was terminated meanwhile.
        """
        number = self._made[node.batch, node.minion_id]
        return str(uuid.uuid5(REQUESTS, f"{node.batch} {node.minion_id} {node.zone} {number}"))

    def add(self, operation: str, instance: Instance) -> None:
        """Remember a create."""
        with self._lock:
            self._under_way[operation] = instance
            self._made[instance.batch, instance.minion_id] += 1

    def find(self, instance: Instance) -> None:
        """Remember the create of an instance that is there, if it can be found; its answer was lost."""
        wanted = f"targetId = {instance.instance_id}"
        for operation in self._api.list_of("zone_operations", zone=instance.zone, filter=wanted):
            if operation.operation_type == "insert" and str(operation.target_id) == instance.instance_id:
                self.add(operation.name, instance)

    def forget(self, instance_id: str) -> None:
        """It was terminated: what became of its create is of no interest any more."""
        with self._lock:
            self._failed.pop(instance_id, None)
            ended = [name for name, instance in self._under_way.items() if instance.instance_id == instance_id]
            for name in ended:
                del self._under_way[name]

    def failed(self) -> dict[str, Instance]:
        """
        The instances whose create has failed, by id, as reports with the problem.

        One list call for each zone with creates under way; none where all have ended.
        """
        with self._lock:
            under_way = dict(self._under_way)
        for zone in sorted({str(instance.zone) for instance in under_way.values()}):
            names = sorted(name for name, instance in under_way.items() if instance.zone == zone)
            for start in range(0, len(names), AT_ONCE):
                self._settle(self._ask(zone, names[start : start + AT_ONCE]))
        with self._lock:
            return dict(self._failed)

    def _ask(self, zone: str, names: list[str]) -> list[Any]:
        return self._api.list_of("zone_operations", zone=zone, filter=" OR ".join(f'(name = "{it}")' for it in names))

    def _settle(self, operations: Iterable[Any]) -> None:
        for operation in operations:
            if not self._api.is_done(operation):
                continue
            error = self._api.failure_of(operation)
            with self._lock:
                instance = self._under_way.pop(operation.name, None)
                if instance is not None and error is not None:
                    gone = dataclasses.replace(instance, state="gone", problem=str(error))
                    self._failed[instance.instance_id] = gone
