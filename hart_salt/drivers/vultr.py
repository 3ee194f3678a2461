"""Vultr: what the driver may be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from hart_salt.model import Schema
from hart_salt.settings import Address, Alias, ApiTimeout, Flag, Secret, Section, Text


class Account(Section):
    """How to reach Vultr's API."""

    token: Secret = Field(description="An API key. The account may limit the addresses that it works from.")
    endpoint: Address | None = Field(
        None, description="Another address of the API, for a proxy or a test (default: Vultr's own)."
    )
    api_timeout: ApiTimeout = 60


class Options(Section):
    """Vultr's own settings of a node."""

    ALIASES: ClassVar[Mapping[str, Alias]] = {"enable_ipv6": Alias("ipv6")}

    ipv6: Flag = Field(False, description="Whether the instance gets a public IPv6 address.")
    vpc: Text | None = Field(None, description="Id of the VPC to attach (default: none).")
    firewall_group: Text | None = Field(None, description="Id of the firewall group to put the instance in.")


SCHEMA = Schema(
    driver="vultr",
    account=Account,
    options=Options,
    default_size="vc2-1c-1gb",
    default_region=None,
    available=False,
)
