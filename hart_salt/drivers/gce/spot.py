"""
Preemptions of spot instances, as Compute Engine's lists of operations show them.

An instance that is being preempted has the status ``STOPPING``, like one that a user stops. Only the operation
``compute.instances.preempted`` says which of them it is (cloud.google.com/compute/docs/instances/preemptible).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hart_salt.drivers.gce.instances import seconds
from hart_salt.model import Instance

NOTICE = 30.0  #: seconds from the preemption until the instance is cut off
PREEMPTED = "compute.instances.preempted"


def interruptions(api: Any, instances: Sequence[Instance]) -> dict[str, float | None]:
    """
    Implement ``Driver.interruptions``: make one list call for each zone in which a spot instance does not run.

    While all spot instances run, make no call.
    """
    ids = {one.instance_id: str(one.zone) for one in instances if one.spot and one.state == "stopped" and one.zone}
    found: dict[str, float | None] = {}
    for zone in sorted(set(ids.values())):
        for operation in api.list_of("zone_operations", zone=zone, filter=f'(operationType = "{PREEMPTED}")'):
            began = seconds(operation.start_time or operation.insert_time)
            if ids.get(str(operation.target_id)) == zone:
                found[str(operation.target_id)] = None if began is None else began + NOTICE
    return found
