"""Hetzner Cloud as the contract suite sees it."""

from __future__ import annotations

from typing import Any, ClassVar

from hart_salt.model import Instance, Node
from tests.drivers.environment import OWNER, USUAL, Given, RestEnvironment
from tests.drivers.hetzner import driver as hetzner_driver
from tests.emulation.backend import Addresses
from tests.emulation.faults import Fault


class HetznerEnvironment(RestEnvironment):
    module: ClassVar[Any] = hetzner_driver
    memory_mb = 4096
    user_data_limit = 32 * 1024
    unique_names = True
    theirs = {"labels": {"theirs": ""}}
    places = {"fsn1": None, "nbg1": None}
    other_size = ("ccx13", 8192)
    larger = "ccx13"
    turn_off = {"method": "POST", "path": "actions/shutdown$"}
    stop_right = "Read & Write"
    can_ignore = True
    restart = {"method": "POST", "path": "actions/reboot$"}
    #: source: Server.status in hcloud, the vendor's own client
    states = {
        "initializing": "pending", "starting": "pending", "running": "running", "stopping": "stopped",
        "off": "stopped", "migrating": "running", "rebuilding": "pending", "unknown": "pending", "odd": "pending",
        "deleting": "gone",
    }  # fmt: skip
    create = {"method": "POST", "path": hetzner_driver.CREATE}
    destroy = {"method": "DELETE", "path": hetzner_driver.SERVER}
    image_create = {"method": "POST", "path": r"/actions/create_image$"}
    image_destroy = {"method": "DELETE", "path": r"/v1/images/[0-9]+$"}
    image_right = "Read & Write"
    words = {
        **USUAL,
        "conflict": (409, {"error": {"code": "uniqueness_error", "message": "server name is already used"}}),
        "invalid": (422, {"error": {"code": "invalid_input", "message": "invalid input in field 'image'"}}),
        "quota": (403, {"error": {"code": "resource_limit_exceeded", "message": "server limit exceeded"}}),
        "capacity": (412, {"error": {"code": "resource_unavailable", "message": "error during placement"}}),
    }

    def private(self, minion_id: str) -> Node:
        self.cloud.add_network("inside", "eu-central")
        return self.with_settings(minion_id, public_ip=False, options={"network": "inside"})

    def create_call(self, instance: Instance) -> dict[str, Any]:
        body = self.created("/v1/servers")
        labels = {name.removeprefix("hart-"): value for name, value in body["labels"].items()}
        return {**labels, "minion_id": body["name"]}

    def labels(self, instance_id: str) -> Any:
        server = self.cloud.state.servers[int(instance_id)]
        return server.name, dict(server.labels)

    def left(self) -> dict[str, list[str]]:
        """Return what is left, without the private networks, which belong to the project."""
        return {kind: names for kind, names in super().left().items() if kind != "networks"}

    def given(self, instance: Instance) -> Given:
        it = self.cloud.state.servers[int(instance.instance_id)]
        tags = frozenset(":".join(filter(None, label)) for label in it.labels.items())
        # A server has a private address only in a private network.
        addresses = Addresses(it.addresses.public, it.addresses.private if it.network_ids else "")
        return Given(it.location, None, it.server_type, it.image["name"], addresses, tags, it.user_data)

    def machine(self, instance: Instance) -> Any:
        return self.cloud.state.servers[int(instance.instance_id)]

    def stop(self, instance: Instance) -> None:
        hetzner_driver.Client(self.cloud).call("POST", f"servers/{instance.instance_id}/actions/poweroff")

    def listing(self, state: str) -> Fault:
        shown = {"id": 7, "name": "a", "labels": {"hart-owner": OWNER}, "status": state}
        answer = {"servers": [shown], "meta": {"pagination": {"page": 1, "next_page": None}}}
        return Fault("GET", hetzner_driver.CREATE, status=200, answer=answer)


ENVIRONMENT = HetznerEnvironment
