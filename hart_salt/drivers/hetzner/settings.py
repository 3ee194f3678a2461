"""The settings of Hetzner Cloud: the account, and its own settings of a node."""

from __future__ import annotations

from pydantic import Field

from hart_salt.config.schema import Schema
from hart_salt.config.settings import Names, Text
from hart_salt.drivers.settings import CloudOptions, TokenAccount


class Account(TokenAccount):
    """How to reach Hetzner's API."""


class Options(CloudOptions):
    """Hetzner's own settings of a node."""

    network: Text | None = Field(None, description="Id or name of the private network to attach (default: none).")
    firewall: Text | None = Field(None, description="Id or name of the firewall to put the server in.")
    ssh_keys: Names = Field(
        default_factory=list, description="Ids or names of SSH keys of the project that root gets, and that stay."
    )


SCHEMA = Schema(driver="hetzner", account=Account, options=Options, default_size="cx23", default_region=None)
