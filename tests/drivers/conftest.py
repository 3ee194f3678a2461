"""Fixtures of tests over all drivers: a driver in the environment of its provider."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hart_salt.drivers import http, schemas
from hart_salt.drivers.contract import Driver
from tests.drivers.fixtures import api, client, clock, cloud, cloud_name, no_proxies, own, time  # noqa: F401


@pytest.fixture(autouse=True)
def _no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the jitter of waits, so that tests know their length."""
    monkeypatch.setattr(http, "CHANCE", lambda: 0.0)


@pytest.fixture(params=schemas())
def environment(request: pytest.FixtureRequest, root: Path) -> Iterator[Any]:
    """
    The environment of each driver, or of those that a test names with ``parametrize`` and ``indirect``.

    A driver without an ``environment.py`` fails every test of the contract.
    """
    # Imported here because it imports the emulators of all clouds, which tests of one cloud do not need.
    from tests.drivers import environments

    with environments.opened(request.param, root) as made:
        yield made


@pytest.fixture
def driver(environment: Any) -> Driver:
    """The driver of one call of hart."""
    made: Driver = environment.driver()
    return made
