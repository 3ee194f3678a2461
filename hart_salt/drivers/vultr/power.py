"""
Turn Vultr's instances on and off, and upgrade their plan.

``client.py`` explains the names of sources. Vultr has no shutdown: it cuts the power, also for a restart (govultr,
instance.go).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hart_salt.drivers.power import Look, Power
from hart_salt.model import Instance, Size


class VultrPower(Power):
    """The calls for the power of an instance; they return before anything has happened."""

    def __init__(self, api: Callable[[], Any], look: Look, sleep: Callable[[float], None]) -> None:
        super().__init__(look, sleep)
        self._api = api

    def start(self, instance: Instance) -> None:
        """Ask for the start."""
        self._act(instance, "start")

    def stop(self, instance: Instance) -> None:
        """Cut the power."""
        self._act(instance, "halt")

    def restart(self, instance: Instance, *, force: bool) -> None:
        """Cut the power and start."""
        self._act(instance, "reboot")

    def change(self, instance: Instance, size: str) -> None:
        """Upgrade the plan, with its disk; Vultr may start the instance for that (docs.vultr.com, change plan)."""
        self._api().change(f"instances/{instance.instance_id}", {"plan": size})

    def objections(self, instance: Instance, size: Size) -> Sequence[str]:
        """Make one call, which lists the plans that the instance can be upgraded to (govultr)."""
        found = self._api().get(f"instances/{instance.instance_id}/upgrades", "upgrades", type="plans")
        plans = [str(plan) for plan in found.get("plans") or []]
        if size.name in plans:
            return []
        return [
            f"Vultr can only upgrade an instance, and not to {size.name}; possible are: {', '.join(plans) or 'none'}"
        ]

    def _act(self, instance: Instance, what: str) -> None:
        self._api().act(f"instances/{instance.instance_id}/{what}", {})
