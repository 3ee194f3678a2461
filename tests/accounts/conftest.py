"""A salt-master as in the end-to-end tests."""

from __future__ import annotations

from tests.end_to_end.conftest import factories, salt_factories_config

__all__ = ["factories", "salt_factories_config"]
