"""
Fixtures of tests for one cloud, or for several clouds alike.

A test in a cloud's folder is about that cloud; a test in ``alike/`` names its clouds with ``parametrize``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hart_salt.drivers.contract import Driver
from hart_salt.model import Instance
from tests.drivers.clouds import driver_of, module_of
from tests.drivers.do.emulator.client import Clock
from tests.drivers.tested import Time

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
CERTIFICATES = ("requests_ca_bundle", "curl_ca_bundle")


@pytest.fixture
def cloud_name(request: pytest.FixtureRequest) -> str:
    """Return the cloud's name; by default, that of the test's folder."""
    return str(request.path.parent.name)


@pytest.fixture
def own(cloud_name: str) -> ModuleType:
    """Return the cloud's own ``driver.py`` beside its tests: its nodes, its paths, and how to open it."""
    return module_of(cloud_name)


@pytest.fixture
def time() -> Time:
    """Return a clock that advances when the driver waits."""
    return Time()


@pytest.fixture
def clock() -> Clock:
    """Return a clock that advances when a test says so."""
    return Clock()


@pytest.fixture
def cloud(own: ModuleType, time: Time) -> Iterator[Any]:
    """Yield the emulated cloud with the clock ``time``."""
    with own.open_cloud(time) as cloud:
        yield cloud


@pytest.fixture
def driver(cloud_name: str, cloud: Any, time: Time, tmp_path: Path) -> Driver:
    """Return the cloud's driver for the emulator's account."""
    return driver_of(cloud_name, cloud, time, tmp_path)


@pytest.fixture
def instance(own: ModuleType, driver: Driver, time: Time) -> Instance:
    """Return a running instance as it is listed."""
    own.launch(driver, own.node())
    time.advance(60)
    (listed,) = driver.instances()
    return listed


@pytest.fixture
def client(own: ModuleType, cloud: Any) -> Iterator[Any]:
    """Yield a client of the cloud that returns every answer unchanged."""
    with contextlib.closing(own.Client(cloud)) as client:
        yield client


@pytest.fixture
def api(own: ModuleType, cloud: Any, time: Time) -> Any:
    """Return the driver's client of the API."""
    return own.TESTED.api(cloud, time)


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove proxies and certificates from the environment."""
    for name in (*PROXIES, *CERTIFICATES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
