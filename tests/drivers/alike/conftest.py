"""
Tests that several clouds share, each with its own values.

A test names its clouds with ``parametrize`` of ``cloud_name``, and gets the fixtures of that cloud.
"""

from __future__ import annotations

from tests.drivers.fixtures import driver, instance  # noqa: F401
