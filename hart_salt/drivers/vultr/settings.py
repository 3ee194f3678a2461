"""The settings of Vultr: the account, and its own settings of a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from hart_salt.config.schema import Schema
from hart_salt.config.settings import Alias, ApiTimeout, Endpoint, Flag, Names, Secret, Section, Text


class Account(Section):
    """How to reach Vultr's API."""

    token: Secret = Field(description="An API key. The account may limit the addresses that it works from.")
    endpoint: Endpoint | None = Field(
        None, description="Another address of the API, for a proxy or a test (default: Vultr's own)."
    )
    api_timeout: ApiTimeout = 60


class Options(Section):
    """Vultr's own settings of a node."""

    ALIASES: ClassVar[Mapping[str, Alias]] = {"enable_ipv6": Alias("ipv6")}

    ipv6: Flag = Field(False, description="Whether the instance gets a public IPv6 address.")
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
