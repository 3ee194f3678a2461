"""The settings of DigitalOcean: the account, and its own settings of a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from hart_salt.config.schema import Schema
from hart_salt.config.settings import Alias, ApiTimeout, Endpoint, Flag, Names, Secret, Section, Text


class Account(Section):
    """How to reach DigitalOcean's API."""

    token: Secret = Field(description="An API token that may read and write droplets, keys and tags.")
    endpoint: Endpoint | None = Field(
        None, description="Another address of the API, for a proxy or a test (default: DigitalOcean's own)."
    )
    api_timeout: ApiTimeout = 60


class Options(Section):
    """DigitalOcean's own settings of a node."""

    ALIASES: ClassVar[Mapping[str, Alias]] = {"enable_ipv6": Alias("ipv6")}

    ipv6: Flag = Field(False, description="Whether the droplet gets a public IPv6 address.")
    vpc: Text | None = Field(None, description="The VPC's UUID (default: the region's default VPC).")
    monitoring: Flag = Field(False, description="Whether DigitalOcean's metrics agent is installed.")
    backups: Flag = Field(False, description="Whether DigitalOcean makes backups; they cost extra.")
    volumes: Names = Field(default_factory=list, description="Ids of existing volumes to attach.")
    firewall: Text | None = Field(
        None, description="Id of a cloud firewall to put the droplet in, or the tag that one is for."
    )


SCHEMA = Schema(driver="do", account=Account, options=Options, default_size="s-1vcpu-1gb", default_region=None)
