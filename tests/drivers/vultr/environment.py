"""Vultr for the contract tests."""

from __future__ import annotations

from typing import Any, ClassVar

from hart_salt.model import Instance, Node
from tests.drivers.environment import OWNER, USUAL, Given, RestEnvironment
from tests.drivers.vultr import driver as vultr_driver
from tests.drivers.vultr.emulator import catalog as vultr_catalog
from tests.emulation.backend import Addresses
from tests.emulation.faults import Fault


class VultrEnvironment(RestEnvironment):
    module: ClassVar[Any] = vultr_driver
    memory_mb = 1024
    places = {"ams": None, "ewr": None}
    other_size = ("vc2-2c-4gb", 4096)
    is_silent = True
    larger = "vc2-1c-2gb"
    turn_off = {"method": "POST", "path": "/halt$"}
    stop_right = "compute.instance.Update"
    restart = {"method": "POST", "path": "/reboot$"}
    states = {
        "active": "running", "pending": "pending", "suspended": "stopped", "resizing": "pending", "odd": "pending",
    }  # fmt: skip
    create = {"method": "POST", "path": vultr_driver.CREATE}
    destroy = {"method": "DELETE", "path": vultr_driver.INSTANCE}
    image_create = {"method": "POST", "path": r"/v2/snapshots$"}
    image_destroy = {"method": "DELETE", "path": r"/v2/snapshots/[0-9a-f-]+$"}
    image_right = "compute.snapshot.Create"
    words = {
        **USUAL,
        "quota": (400, {"error": "Server add failed: You have reached the maximum number of active instances."}),
        "capacity": (400, {"error": "Server add failed: plan is not available in the selected region"}),
    }

    def private(self, minion_id: str) -> Node:
        vpc = self.cloud.add_vpc("own", "ams", gateway=True)
        return self.with_settings(minion_id, public_ip=False, options={"vpc": vpc})

    def create_call(self, instance: Instance) -> dict[str, Any]:
        body = self.created("/v2/instances")
        tags = dict(tag.removeprefix("hart-").split(":", 1) for tag in body["tags"] if ":" in tag)
        return {**tags, "minion_id": body["label"]}

    def reserve(self) -> str:
        return str(self.cloud.add_reserved("ams"))

    def labels(self, instance_id: str) -> Any:
        instance = self.cloud.state.instances[instance_id]
        return instance.label, sorted(instance.tags)

    def left(self) -> dict[str, list[str]]:
        """Return what is left, without the private networks, which belong to the account's owner."""
        return {kind: names for kind, names in super().left().items() if kind != "VPCs"}

    def given(self, instance: Instance) -> Given:
        it = self.cloud.state.instances[instance.instance_id]
        # An instance has a private address only in a private network.
        addresses = Addresses(it.addresses.public, it.addresses.private if it.vpc_ids else "")
        system = vultr_catalog.system(it.os_id)
        return Given(it.region, None, it.plan, system, addresses, frozenset(it.tags), it.user_data)

    def machine(self, instance: Instance) -> Any:
        return self.cloud.state.instances[instance.instance_id]

    def stop(self, instance: Instance) -> None:
        vultr_driver.Client(self.cloud).call("POST", f"instances/{instance.instance_id}/halt")

    def listing(self, state: str) -> Fault:
        shown = {"id": "a", "label": "a", "tags": [f"hart-owner:{OWNER}"], "status": state, "power_status": "running"}
        answer = {"instances": [shown], "meta": {"links": {"next": ""}}}
        return Fault("GET", vultr_driver.CREATE, status=200, answer=answer)


ENVIRONMENT = VultrEnvironment
