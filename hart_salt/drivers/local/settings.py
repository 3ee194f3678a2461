"""The settings of the driver ``local``: the account, and its own settings of a node."""

from __future__ import annotations

from hart_salt.config.schema import Schema
from hart_salt.config.settings import Section

REGION = "local"
SIZE = "shared"


class Account(Section):
    """There is no account."""


class Options(Section):
    """Nothing beyond the common settings."""


SCHEMA = Schema(driver="local", account=Account, options=Options, default_size=SIZE, default_region=REGION)
