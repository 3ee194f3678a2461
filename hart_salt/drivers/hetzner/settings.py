"""The settings of the driver ``hetzner``: of the account and of a node."""

from __future__ import annotations

from pydantic import Field

from hart_salt.config.schema import Schema
from hart_salt.config.settings import Names, Text
from hart_salt.drivers.settings import CloudOptions, TokenAccount


class Account(TokenAccount):
    """Access to Hetzner's API."""


class Options(CloudOptions):
    """Settings of a node that only Hetzner has."""

    network: Text | None = Field(None, description="Id or name of the private network to attach (default: none).")
    firewall: Text | None = Field(None, description="Id or name of the firewall for the server.")
    ssh_keys: Names = Field(
        default_factory=list, description="Ids or names of the project's SSH keys for root; they stay on the server."
    )


SCHEMA = Schema(driver="hetzner", account=Account, options=Options, default_size="cx23", default_region=None)
