"""The fixtures ``driver`` and ``instance`` for the tests of this driver; the others are in the folder above."""

from __future__ import annotations

from tests.drivers.fixtures import driver, instance  # noqa: F401
