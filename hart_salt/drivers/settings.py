"""Settings that several drivers have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from hart_salt.config.settings import Alias, ApiTimeout, Endpoint, Flag, Secret, Section


class TokenAccount(Section):
    """How to reach an API that takes a token."""

    token: Secret = Field(description="An API token of the account or project that may read and write.")
    endpoint: Endpoint | None = Field(
        None, description="Another address of the API, for a proxy or a test (default: the vendor's own)."
    )
    api_timeout: ApiTimeout = 60


class CloudOptions(Section):
    """A cloud's own settings of a node."""

    ALIASES: ClassVar[Mapping[str, Alias]] = {"enable_ipv6": Alias("ipv6")}

    ipv6: Flag = Field(False, description="Whether the instance gets a public IPv6 address.")
