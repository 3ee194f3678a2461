"""The settings of the driver ``do``: of the account and of a node."""

from __future__ import annotations

from pydantic import Field

from hart_salt.config.schema import Schema
from hart_salt.config.settings import Flag, Names, Secret, Text
from hart_salt.drivers.settings import CloudOptions, TokenAccount


class Account(TokenAccount):
    """Access to DigitalOcean's API."""

    token: Secret = Field(description="An API token with permission to read and write droplets, keys and tags.")


class Options(CloudOptions):
    """Settings of a node that only DigitalOcean has."""

    vpc: Text | None = Field(None, description="UUID of the VPC (default: the region's default VPC).")
    monitoring: Flag = Field(False, description="Whether to install DigitalOcean's metrics agent.")
    backups: Flag = Field(False, description="Whether DigitalOcean makes backups, at extra cost.")
    volumes: Names = Field(default_factory=list, description="Ids of existing volumes to attach.")
    firewall: Text | None = Field(None, description="Id or tag of the cloud firewall for the droplet.")


SCHEMA = Schema(driver="do", account=Account, options=Options, default_size="s-1vcpu-1gb", default_region=None)
