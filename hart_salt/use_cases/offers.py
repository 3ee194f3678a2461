"""What the configuration and the providers offer: roles, regions, sizes and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from hart_salt.drivers.contract import Driver
from hart_salt.model import Node
from hart_salt.operations import catalog
from hart_salt.operations.sizes import SizeFilter
from hart_salt.planning import resolve as roles
from hart_salt.result import Result
from hart_salt.use_cases.parts import Parts


class Offers:
    """The use cases of ``Service`` that show what new nodes can be like."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def list_roles(self) -> Result:
        """Return every role, with the providers that are possible for it."""
        return Result({role: list(providers) for role, providers in self._parts.config.role_names().items()})

    def show_role(
        self, role: str, *, provider: str | None, region: str | None, settings: Mapping[str, Any],
        takes: Sequence[str] = (),
    ) -> Result:  # fmt: skip
        """Return the settings that a node of this role would have, with all layers merged."""
        return Result(roles.show(self.example(role, provider, region, settings, takes), self._parts.info))

    def list_regions(self, provider: str | None) -> Result:
        """Return the regions of a provider."""
        return Result(catalog.regions(self._asked_driver(provider)))

    def list_sizes(self, provider: str | None, region: str | None, wanted: SizeFilter) -> Result:
        """Return the sizes of a provider that match."""
        driver = self._asked_driver(provider)
        return Result(catalog.sizes(driver, catalog.region_of(driver, self._parts.config, region), wanted))

    def _asked_driver(self, provider: str | None) -> Driver:
        return self._parts.driver(roles.choose_provider(self._parts.config, None, provider).name)

    def example(
        self, role: str | None, provider: str | None, region: str | None, settings: Mapping[str, Any] | None = None,
        takes: Sequence[str] = (),
    ) -> Node:  # fmt: skip
        """Return a node of a role as it would be created now. For ``takes`` see ``resolve.resolve``."""
        parts = self._parts
        return roles.resolve(
            parts.config, parts.schemas, parts.info, role=role, provider=provider, region=region, arguments=settings,
            now=datetime.now(timezone.utc), preview=True, takes=takes,
        )  # fmt: skip
