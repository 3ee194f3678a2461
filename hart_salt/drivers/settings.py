"""Settings that several drivers share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from hart_salt.config.settings import Alias, ApiTimeout, Endpoint, Flag, Secret, Section


class TokenAccount(Section):
    """Access to an API that takes a token."""

    token: Secret = Field(description="An API token of the account or project, with permission to read and write.")
    endpoint: Endpoint | None = Field(
        None, description="Address of the API, if it is not the vendor's own, such as a proxy or a test server."
    )
    api_timeout: ApiTimeout = 60


class CloudOptions(Section):
    """Settings of a node that only some clouds have."""

    ALIASES: ClassVar[Mapping[str, Alias]] = {"enable_ipv6": Alias("ipv6")}

    ipv6: Flag = Field(False, description="Whether the instance gets a public IPv6 address.")
