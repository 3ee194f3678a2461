"""The drivers of salt-cloud that hart knows."""

from __future__ import annotations

from collections.abc import Mapping

from hart_salt.migration.salt_cloud import do, ec2, gce, vultr
from hart_salt.migration.salt_cloud.terms import Driver

#: by salt-cloud's name of the driver
DRIVERS: Mapping[str, Driver] = {
    "digitalocean": do.DRIVER,
    "digital_ocean": do.DRIVER,
    "digital_ocean_v2": do.DRIVER,
    "do": do.DRIVER,
    "ec2": ec2.DRIVER,
    "aws": ec2.DRIVER,
    "gce": gce.DRIVER,
    "vultr": vultr.DRIVER,
    "vultrpy": vultr.DRIVER,
}
