"""The settings of Hetzner Cloud: the account, and its own settings of a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from hart_salt.config.schema import Schema
from hart_salt.config.settings import Alias, ApiTimeout, Endpoint, Flag, Names, Secret, Section, Text


class Account(Section):
    """How to reach Hetzner's API."""

    token: Secret = Field(description="An API token of the project that may read and write.")
    endpoint: Endpoint | None = Field(
        None, description="Another address of the API, for a proxy or a test (default: Hetzner's own)."
    )
    api_timeout: ApiTimeout = 60


class Options(Section):
    """Hetzner's own settings of a node."""

    ALIASES: ClassVar[Mapping[str, Alias]] = {"enable_ipv6": Alias("ipv6")}

    ipv6: Flag = Field(False, description="Whether the server gets a public IPv6 network.")
    network: Text | None = Field(None, description="Id or name of the private network to attach (default: none).")
    firewall: Text | None = Field(None, description="Id or name of the firewall to put the server in.")
    ssh_keys: Names = Field(
        default_factory=list, description="Ids or names of SSH keys of the project that root gets, and that stay."
    )


SCHEMA = Schema(driver="hetzner", account=Account, options=Options, default_size="cx23", default_region=None)
