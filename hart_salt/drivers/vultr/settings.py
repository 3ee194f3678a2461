"""The settings of the driver ``vultr``: of the account and of a node."""

from __future__ import annotations

from pydantic import Field

from hart_salt.config.schema import Schema
from hart_salt.config.settings import Flag, Names, Secret, Text
from hart_salt.drivers.settings import CloudOptions, TokenAccount


class Account(TokenAccount):
    """Access to Vultr's API."""

    token: Secret = Field(description="An API key. The account can restrict the addresses from which it works.")


class Options(CloudOptions):
    """Settings of a node that only Vultr has."""

    disable_public_ipv4: Flag = Field(
        False,
        description="Whether the instance has no public IPv4 address; the master then connects to its IPv6 address. "
        "Requires `ipv6`.",
    )
    vpc: Text | None = Field(
        None, description="Id of the VPC to attach (default: none; with `private_networking`, the region's only one)."
    )
    firewall_group: Text | None = Field(None, description="Id of the firewall group for the instance.")
    backups: Flag = Field(False, description="Whether Vultr makes backups, at extra cost.")
    ssh_keys: Names = Field(
        default_factory=list, description="Ids of the account's SSH keys for root; they stay on the instance."
    )


SCHEMA = Schema(driver="vultr", account=Account, options=Options, default_size="vc2-1c-1gb", default_region=None)
