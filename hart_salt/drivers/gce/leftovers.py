"""What a call of hart may leave in a project: temporary firewall rules, and disks that no instance uses any more."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hart_salt.base.errors import NotFound
from hart_salt.drivers.gce import instances
from hart_salt.model import Leftover

if TYPE_CHECKING:
    from hart_salt.drivers.gce.client import Api


def left(api: Api, owner: str) -> list[Leftover]:
    """Return a master's firewall rules, and the disks with its label that no instance uses."""
    prefix = instances.access_prefix(owner)
    rules = [
        Leftover("firewall rule", rule.name, f"firewalls/{rule.name}", rule.name.removeprefix(prefix),
                 created=instances.seconds(rule.creation_timestamp))
        for rule in api.list_of("firewalls", filter=f"name eq {prefix}.*")
        if rule.name.startswith(prefix)
    ]  # fmt: skip
    disks = api.aggregated("disks", filter=instances.owned_by(owner))
    return [*rules, *(_disk(disk) for disk in disks if instances.is_owned(disk, owner) and not disk.users)]


def _disk(disk: Any) -> Leftover:
    zone = instances.last(disk.zone)
    return Leftover(
        "disk", disk.name, f"disks/{zone}/{disk.id}", disk.labels.get(instances.BATCH, ""),
        region=zone.rpartition("-")[0], created=instances.seconds(disk.creation_timestamp),
        keep=instances.KEEP in disk.labels,
    )  # fmt: skip


def remove(api: Api, leftover: Leftover) -> None:
    """Delete a rule or a disk, and wait for the operation."""
    kind, _, rest = leftover.handle.partition("/")
    with suppress(NotFound):
        if kind == "disks":
            zone, _, disk = rest.partition("/")
            api.wait(api.change("disks", "delete", zone=zone, disk=disk))
        else:
            api.wait(api.change("firewalls", "delete", firewall=rest))
