"""
Tests that are the same for several clouds, each with its own words for it.

A test names its clouds with ``parametrize`` of ``cloud_name``; its fixtures are those of that cloud.
"""

from __future__ import annotations

from tests.drivers.fixtures import driver, instance  # noqa: F401
