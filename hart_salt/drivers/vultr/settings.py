"""The settings of Vultr: the account, and its own settings of a node."""

from __future__ import annotations

from pydantic import Field

from hart_salt.config.schema import Schema
from hart_salt.config.settings import Flag, Names, Secret, Text
from hart_salt.drivers.settings import CloudOptions, TokenAccount


class Account(TokenAccount):
    """How to reach Vultr's API."""

    token: Secret = Field(description="An API key. The account may limit the addresses that it works from.")


class Options(CloudOptions):
    """Vultr's own settings of a node."""

    disable_public_ipv4: Flag = Field(
        False,
        description="Whether the instance has no public IPv4 address, and is reached at its IPv6 one; takes `ipv6`.",
    )
    vpc: Text | None = Field(
        None, description="Id of the VPC to attach (default: none; with `private_networking`, the region's only one)."
    )
    firewall_group: Text | None = Field(None, description="Id of the firewall group to put the instance in.")
    backups: Flag = Field(False, description="Whether Vultr makes backups; they cost extra.")
    ssh_keys: Names = Field(
        default_factory=list, description="Ids of SSH keys of the account that root gets, and that stay."
    )


SCHEMA = Schema(driver="vultr", account=Account, options=Options, default_size="vc2-1c-1gb", default_region=None)
