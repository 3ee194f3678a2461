"""What a call of hart may leave in a region: temporary groups, and volumes that belong to no instance any more."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hart_salt.base.errors import NotFound
from hart_salt.drivers.ec2 import request
from hart_salt.model import Leftover

if TYPE_CHECKING:
    from hart_salt.drivers.ec2.network import Networks


def left_in(networks: Networks, region: str, owner: str) -> list[Leftover]:
    """Return the groups and volumes of a master. The owner is checked here as well: sweep removes what is returned."""
    tagged, listed = {f"tag:{request.OWNER}": owner}, networks.api.listed
    groups = listed(region, "describe_security_groups", "SecurityGroups", Filters=request.filters(tagged))
    free = request.filters({**tagged, "status": "available"})
    volumes = listed(region, "describe_volumes", "Volumes", Filters=free)
    return [
        *(request.group_left(facts, region) for facts in groups if request.is_owned(facts, owner)),
        *(request.volume_left(facts, region) for facts in volumes if request.is_owned(facts, owner)),
    ]


def remove(networks: Networks, leftover: Leftover) -> None:
    """Delete a volume, or a group after detaching it from the instances that stay."""
    region = leftover.region or networks.api.default_region
    if leftover.kind == request.GROUP:
        networks.remove_group(region, leftover.handle)
        return
    with suppress(NotFound):
        networks.api.call(region, "delete_volume", VolumeId=leftover.handle)
