"""
Turn droplets on and off, and change their size.

Facts about the API come from DigitalOcean's own description (digitalocean/openapi, resources/droplets, actions).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hart_salt.base.errors import InvalidRequest
from hart_salt.drivers.catalog import number
from hart_salt.drivers.do.addresses import PENDING
from hart_salt.drivers.power import RESIZE_TIMEOUT, TIMEOUT, Look, Power
from hart_salt.drivers.retry import ActionFailed, Busy
from hart_salt.model import Instance, Size


class DropletPower(Power):
    """The actions of droplets. One at a time: another is refused as pending, which is temporary."""

    def __init__(self, api: Callable[[], Any], look: Look, sleep: Callable[[float], None]) -> None:
        super().__init__(look, sleep)
        self._api = api

    def start(self, instance: Instance) -> None:
        """Ask for the start."""
        self._act(instance, {"type": "power_on"})

    def stop(self, instance: Instance) -> None:
        """Ask the operating system, which may ignore it."""
        self._act(instance, {"type": "shutdown"})

    def cut(self, instance: Instance) -> None:
        """Cut the power."""
        self._act(instance, {"type": "power_off"})

    def restart(self, instance: Instance, *, force: bool) -> None:
        """Restart the operating system, or cut the power and start."""
        kind = "power_cycle" if force else "reboot"
        self._finish(instance, self._act(instance, {"type": kind}), TIMEOUT)

    def change(self, instance: Instance, size: str) -> None:
        """Change the size. Only without its disk can a droplet become smaller again."""
        action = self._act(instance, {"type": "resize", "size": size, "disk": False})
        self._finish(instance, action, RESIZE_TIMEOUT)

    def objections(self, instance: Instance, size: Size) -> Sequence[str]:
        """Make one call: the disk can be larger than that of the droplet's size, if it was resized with its disk."""
        disk = number(self._api().get(f"droplets/{instance.instance_id}", "droplet").get("disk"))
        if disk is None or size.disk_gb is None or disk <= size.disk_gb:
            return []
        return [f"the droplet's disk has {disk:g} GB, and {size.name} only {size.disk_gb:g} GB: a disk cannot shrink"]

    def _act(self, instance: Instance, body: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            action: Mapping[str, Any] = self._api().post(f"droplets/{instance.instance_id}/actions", body, "action")
        except InvalidRequest as error:
            if PENDING in str(error):
                raise Busy(str(error)) from error
            raise
        return action

    def _finish(self, instance: Instance, action: Mapping[str, Any], timeout: float) -> None:
        """Wait for the end of an action. DigitalOcean does not say why one ended with an error."""
        path, kind = f"droplets/{instance.instance_id}/actions/{action.get('id')}", action.get("type")

        def is_done() -> bool:
            status = self._api().get(path, "action").get("status")
            if status == "errored":
                raise ActionFailed(f"DigitalOcean: the action {kind} ended with an error", uncertain=True)
            return bool(status == "completed")

        self.wait_for(is_done, f"DigitalOcean: the action {kind}", timeout)
