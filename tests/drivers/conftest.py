"""What the tests over all drivers share: a driver in the environment of its provider."""

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
    """Waits are as long as they are without chance, so that tests know them."""
    monkeypatch.setattr(http, "CHANCE", lambda: 0.0)


@pytest.fixture(params=schemas())
def environment(request: pytest.FixtureRequest, root: Path) -> Iterator[Any]:
    """
    Each driver's, or those that a test names with ``parametrize`` and ``indirect``.

    A driver without an ``environment.py`` fails every test of the contract.
    """
    # Imported here: with it come the emulators of all clouds, which the tests of a single one do not need.
    from tests.drivers import environments

    with environments.opened(request.param, root) as made:
        yield made


@pytest.fixture
def driver(environment: Any) -> Driver:
    """As one call of hart has it."""
    made: Driver = environment.driver()
    return made
