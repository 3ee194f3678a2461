"""Fixtures for the tests of this cloud's driver come from the folder above."""

from __future__ import annotations

from tests.drivers.fixtures import driver, instance  # noqa: F401
