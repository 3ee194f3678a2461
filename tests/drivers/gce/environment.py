"""Compute Engine as an environment of the contract suite."""

from __future__ import annotations

from typing import Any, ClassVar

from hart_salt.drivers.gce import driver as gce
from hart_salt.model import Instance, Node
from tests.drivers.environment import OWNER, USUAL, CloudEnvironment, Given
from tests.drivers.gce import driver as gce_driver
from tests.drivers.gce.emulator import answers as gce_answers
from tests.drivers.gce.emulator import catalog as gce_catalog
from tests.drivers.gce.emulator.cloud import NOTICE
from tests.emulation.faults import Fault


class ComputeEngineEnvironment(CloudEnvironment):
    module: ClassVar[Any] = gce_driver
    memory_mb = 2048
    user_data_limit = 256 * 1024
    places = {"us-central1": gce_driver.ZONE, "europe-west1": "europe-west1-d"}
    other_size = ("n1-standard-1", 3840)
    larger = "n1-standard-1"
    turn_off = {"method": "POST", "path": "/stop$"}
    stop_right = "compute.instances.stop"
    restart = {"method": "POST", "path": "/reset$"}
    #: from Instance.Status of google-cloud-compute
    states = {
        "PENDING": "pending", "PROVISIONING": "pending", "STAGING": "pending", "REPAIRING": "pending",
        "RUNNING": "running", "PENDING_STOP": "stopped", "STOPPING": "stopped", "STOPPED": "stopped",
        "SUSPENDING": "stopped", "SUSPENDED": "stopped", "TERMINATED": "stopped", "DEPROVISIONING": "stopped",
    }  # fmt: skip
    create = {"method": "POST", "path": gce_driver.INSERT}
    destroy = {"method": "DELETE", "path": gce_driver.INSTANCE}
    image_create = {"method": "POST", "path": r"/global/images$"}
    image_destroy = {"method": "DELETE", "path": r"/global/images/"}
    image_right = "compute.images.create"
    slow_delete = "delete_after"
    at_once = {"operation_after": 0, "delete_after": 0}
    words = {
        **USUAL,
        "invalid": (400, None),
        "quota": (403, gce_answers.error(403, "", "quotaExceeded")),
        "capacity": (503, gce_answers.error(503, "", "resourcePoolExhausted")),
    }

    def driver(self, owner: str = OWNER, **account: Any) -> gce.ComputeEngine:
        return gce_driver.driver_of(self.cloud, self.time, owner=owner, **account)

    def private(self, minion_id: str) -> Node:
        return self.with_settings(minion_id, public_ip=False, connect_via="private")

    def create_call(self, instance: Instance) -> dict[str, Any]:
        (call,) = (one for one in self.cloud.calls if one.method == "POST" and one.path.endswith("/instances"))
        labels = {name.removeprefix("hart-"): value for name, value in call.body["labels"].items()}
        return {**labels, "minion_id": call.body["description"]}

    def shown(self, instance: Instance) -> Any:
        """Settle the instance first: until then, everybody who can read an instance of the project sees its script."""
        self.driver().settle(instance)
        return self.driver()._parts.api.get("instances", zone=instance.zone, instance=instance.instance_id)

    def by_hand(self, name: str) -> str:
        return str(gce_driver.by_hand(self.driver(), gce_driver.names_of(name)[-1], {"theirs": "1"}))

    def labels(self, instance_id: str) -> Any:
        instance = self.cloud.state.instances[int(instance_id)]
        return instance.name, dict(instance.body.get("labels", {})), list(instance.metadata)

    def given(self, instance: Instance) -> Given:
        it = self.cloud.state.instances[int(instance.instance_id)]
        region, size = gce_catalog.region_of(it.zone) or "", gce_answers.last(it.body["machineType"])
        return Given(region, it.zone, size, it.image, it.addresses, frozenset(it.tags), it.user_data)

    def machine(self, instance: Instance) -> Any:
        return self.cloud.state.instances[int(instance.instance_id)]

    def interrupt(self, instance: Instance) -> float:
        self.cloud.preempt(instance.instance_id)
        return self.time.now + NOTICE

    def stop(self, instance: Instance) -> None:
        self.cloud.state.instances[int(instance.instance_id)].stopped = True

    def listing(self, state: str) -> Fault:
        zone = f"projects/p/zones/{gce_driver.ZONE}"
        shown = {"id": "7", "name": "a", "labels": {"hart-owner": OWNER}, "status": state, "zone": zone}
        return Fault("GET", gce_driver.LIST, status=200, answer=gce_driver.listing(shown))


ENVIRONMENT = ComputeEngineEnvironment
