"""DigitalOcean for the contract tests."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from hart_salt.model import Instance
from tests.drivers.do import driver as do_driver
from tests.drivers.environment import OWNER, USUAL, Given, RestEnvironment
from tests.emulation.faults import Fault


class DigitalOceanEnvironment(RestEnvironment):
    module: ClassVar[Any] = do_driver
    memory_mb = 1024
    user_data_limit = 64 * 1024
    places = {"nyc3": None, "ams3": None}
    other_size = ("s-2vcpu-4gb", 4096)
    larger = "s-1vcpu-2gb"
    turn_off = {"method": "POST", "path": r"/droplets/\d+/actions$", "body": "shutdown"}
    stop_right = "droplet:update"
    can_ignore = True
    restart = {"method": "POST", "path": r"/droplets/\d+/actions$", "body": "reboot"}
    states = {"new": "pending", "active": "running", "off": "stopped", "archive": "stopped", "odd": "pending"}
    create = {"method": "POST", "path": do_driver.CREATE}
    destroy = {"method": "DELETE", "path": r"/v2/droplets/\d+$"}
    image_create = {"method": "POST", "path": r"/droplets/\d+/actions$", "body": "snapshot"}
    image_destroy = {"method": "DELETE", "path": r"/v2/images/\d+$"}
    image_right = "image:create"
    words = {
        **USUAL,
        "quota": (422, {"id": "a", "message": "creating this/these droplet(s) will exceed your droplet limit"}),
        "capacity": (422, {"id": "a", "message": "Region is not available"}),
    }

    def create_call(self, instance: Instance) -> dict[str, Any]:
        body = self.created("/v2/droplets")
        tags = dict(tag.removeprefix("hart-").split(":", 1) for tag in body["tags"] if ":" in tag)
        return {**tags, "batch": tags["batch"].removeprefix(f"{OWNER}:"), "minion_id": body["name"]}

    def reserve(self) -> str:
        return str(self.cloud.add_reserved("nyc3"))

    def labels(self, instance_id: str) -> Any:
        droplet = self.cloud.state.droplets[int(instance_id)]
        return droplet.name, sorted(droplet.tags)

    def left(self) -> dict[str, list[str]]:
        """Return what is left, without the tags that stay: hart's, the owner's and the role's."""
        found = super().left()
        tags = [tag for tag in found.pop("tags", []) if re.match(r"hart-(batch|image):|hart-digest:.*:.*:", tag)]
        return {**found, **({"tags": tags} if tags else {})}

    def given(self, instance: Instance) -> Given:
        it = self.cloud.state.droplets[int(instance.instance_id)]
        return Given(it.region, None, it.size, it.image.slug, it.addresses, frozenset(it.tags), it.user_data)

    def machine(self, instance: Instance) -> Any:
        return self.cloud.state.droplets[int(instance.instance_id)]

    def stop(self, instance: Instance) -> None:
        do_driver.Client(self.cloud).call("POST", f"droplets/{instance.instance_id}/actions", {"type": "power_off"})

    def listing(self, state: str) -> Fault:
        shown = {"id": 7, "name": "a", "tags": [f"hart-owner:{OWNER}"], "status": state}
        return Fault("GET", do_driver.CREATE, status=200, answer={"droplets": [shown], "links": {}})


ENVIRONMENT = DigitalOceanEnvironment
