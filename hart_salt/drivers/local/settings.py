"""The settings of the driver ``local``: of the account and of a node."""

from __future__ import annotations

from hart_salt.config.schema import Schema
from hart_salt.config.settings import Section

REGION = "local"
SIZE = "shared"


class Account(Section):
    """An empty section: there is no account."""


class Options(Section):
    """An empty section: there are only the common settings."""


SCHEMA = Schema(driver="local", account=Account, options=Options, default_size=SIZE, default_region=REGION)
