"""A salt-master as the integration tests have it."""

from __future__ import annotations

from tests.integration.conftest import factories, salt_factories_config

__all__ = ["factories", "salt_factories_config"]
