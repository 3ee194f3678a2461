"""The settings of DigitalOcean: the account, and its own settings of a node."""

from __future__ import annotations

from pydantic import Field

from hart_salt.config.schema import Schema
from hart_salt.config.settings import Flag, Names, Secret, Text
from hart_salt.drivers.settings import CloudOptions, TokenAccount


class Account(TokenAccount):
    """How to reach DigitalOcean's API."""

    token: Secret = Field(description="An API token that may read and write droplets, keys and tags.")


class Options(CloudOptions):
    """DigitalOcean's own settings of a node."""

    vpc: Text | None = Field(None, description="The VPC's UUID (default: the region's default VPC).")
    monitoring: Flag = Field(False, description="Whether DigitalOcean's metrics agent is installed.")
    backups: Flag = Field(False, description="Whether DigitalOcean makes backups; they cost extra.")
    volumes: Names = Field(default_factory=list, description="Ids of existing volumes to attach.")
    firewall: Text | None = Field(
        None, description="Id of a cloud firewall to put the droplet in, or the tag that one is for."
    )


SCHEMA = Schema(driver="do", account=Account, options=Options, default_size="s-1vcpu-1gb", default_region=None)
