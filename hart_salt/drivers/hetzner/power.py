"""
Turn Hetzner's servers on and off, and change their type.

``client.py`` explains the names of sources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hart_salt.base.errors import NotFound
from hart_salt.drivers.catalog import number
from hart_salt.drivers.power import RESIZE_TIMEOUT, STOPPED, TIMEOUT, Look, Power
from hart_salt.model import Instance, Size


class HetznerPower(Power):
    """The actions of servers. One at a time: another is refused because the server is locked, which is temporary."""

    def __init__(self, api: Callable[[], Any], look: Look, sleep: Callable[[float], None]) -> None:
        super().__init__(look, sleep)
        self._api = api

    def state(self, instance: Instance) -> str:
        """Return the state; a server that is stopping has not stopped."""
        try:
            server = self._api().get(f"servers/{instance.instance_id}", "server")
        except NotFound as error:
            raise NotFound(f"the instance {instance.instance_id} is gone") from error
        status = str(server.get("status"))
        return STOPPED if status == "off" else status

    def start(self, instance: Instance) -> None:
        """Ask for the start."""
        self._act(instance, "poweron")

    def stop(self, instance: Instance) -> None:
        """Ask the operating system, which may ignore it (docs)."""
        self._act(instance, "shutdown")

    def cut(self, instance: Instance) -> None:
        """Cut the power."""
        self._act(instance, "poweroff")

    def restart(self, instance: Instance, *, force: bool) -> None:
        """Restart the operating system, or cut the power and start."""
        self._finish(self._act(instance, "reset" if force else "reboot"), TIMEOUT)

    def change(self, instance: Instance, size: str) -> None:
        """Change the type. Only without its disk can a server become smaller again (docs)."""
        action = self._act(instance, "change_type", {"server_type": size, "upgrade_disk": False})
        self._finish(action, RESIZE_TIMEOUT)

    def objections(self, instance: Instance, size: Size) -> Sequence[str]:
        """Make two calls: architecture and disk must fit, because the disk stays."""
        server = self._api().get(f"servers/{instance.instance_id}", "server")
        types = {str(one.get("name")): one for one in self._api().listed("server_types", "server_types")}
        wanted, found = types.get(size.name, {}), []
        have, want = (it.get("architecture") for it in (server.get("server_type") or {}, wanted))
        if have != want and None not in (have, want):
            found.append(f"the server is {have}, and {size.name} is {want}")
        disk, room = number(server.get("primary_disk_size")), number(wanted.get("disk"))
        if disk is not None and room is not None and disk > room:
            found.append(f"the server's disk has {disk:g} GB, and {size.name} only {room:g} GB: a disk cannot shrink")
        return found

    def _act(self, instance: Instance, what: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        path = f"servers/{instance.instance_id}/actions/{what}"
        action: Mapping[str, Any] = self._api().post(path, body or {}, "action")
        return action

    def _finish(self, action: Mapping[str, Any], timeout: float) -> None:
        """Wait for the end of an action."""
        command = action.get("command")

        def is_done() -> bool:
            found = self._api().get(f"actions/{action.get('id')}", "action")
            if found.get("status") == "error":
                raise self._api().failure_of(found)
            return bool(found.get("status") == "success")

        self.wait_for(is_done, f"Hetzner: the action {command}", timeout)
