"""Fixtures for tests of this cloud's driver; the other fixtures are in the folder above."""

from __future__ import annotations

from tests.drivers.fixtures import driver, instance  # noqa: F401
