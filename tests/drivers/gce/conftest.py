"""The tests here are about this cloud's driver; the other fixtures are those of the folder above."""

from __future__ import annotations

from tests.drivers.fixtures import driver, instance  # noqa: F401
