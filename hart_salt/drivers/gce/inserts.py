"""
Create calls that have not ended: only its operation shows that a create call failed late.

The instance of such a call shows up in lists for a moment and disappears, or never shows up
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

#: operations per call: the filter is part of an address, whose length is limited
AT_ONCE = 50
#: the namespace of request ids: the same call of hart has the same ids in every process
REQUESTS = uuid.UUID("5f0d8a52-6f0b-4c2f-9c55-3b2f0f0b9e71")


class Inserts:
    """The create calls of one driver object. Safe for several threads."""

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
        Return the request id of a node's create call, which is the same for a retry after an uncertain outcome.

        Another zone has another id, and so has a create call after a successful one: the instance was terminated since.
        """
        number = self._made[node.batch, node.minion_id]
        return str(uuid.uuid5(REQUESTS, f"{node.batch} {node.minion_id} {node.zone} {number}"))

    def add(self, operation: str, instance: Instance) -> None:
        """Record a create call."""
        with self._lock:
            self._under_way[operation] = instance
            self._made[instance.batch, instance.minion_id] += 1

    def find(self, instance: Instance) -> None:
        """Find and record the create call of an existing instance; its answer was lost."""
        wanted = f"targetId = {instance.instance_id}"
        for operation in self._api.list_of("zone_operations", zone=instance.zone, filter=wanted):
            if operation.operation_type == "insert" and str(operation.target_id) == instance.instance_id:
                self.add(operation.name, instance)

    def forget(self, instance_id: str) -> None:
        """Drop the create call of a terminated instance."""
        with self._lock:
            self._failed.pop(instance_id, None)
            ended = [name for name, instance in self._under_way.items() if instance.instance_id == instance_id]
            for name in ended:
                del self._under_way[name]

    def failed(self) -> dict[str, Instance]:
        """
        Return the instances whose create call failed, by id, with their problem.

        Make one list call for each zone with unfinished create calls.
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
