"""
Fixtures of tests that are about a single cloud, or the same for several.

A test in a cloud's folder is about that cloud; one in ``alike/`` names its clouds with ``parametrize``.
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
    """The cloud's name: where a test does not say it, that of the folder which the test is in."""
    return str(request.path.parent.name)


@pytest.fixture
def own(cloud_name: str) -> ModuleType:
    """The cloud's own ``driver.py`` beside its tests: its nodes, its paths, and how it is opened."""
    return module_of(cloud_name)


@pytest.fixture
def time() -> Time:
    """Passes when the driver waits."""
    return Time()


@pytest.fixture
def clock() -> Clock:
    """Passes when a test says so."""
    return Clock()


@pytest.fixture
def cloud(own: ModuleType, time: Time) -> Iterator[Any]:
    """The emulated cloud, whose time is ``time``."""
    with own.open_cloud(time) as cloud:
        yield cloud


@pytest.fixture
def driver(cloud_name: str, cloud: Any, time: Time, tmp_path: Path) -> Driver:
    """The cloud's driver, for the account that the emulator has."""
    return driver_of(cloud_name, cloud, time, tmp_path)


@pytest.fixture
def instance(own: ModuleType, driver: Driver, time: Time) -> Instance:
    """An instance that runs, as it is listed."""
    own.launch(driver, own.node())
    time.advance(60)
    (listed,) = driver.instances()
    return listed


@pytest.fixture
def client(own: ModuleType, cloud: Any) -> Iterator[Any]:
    """Asks the cloud, and hides nothing."""
    with contextlib.closing(own.Client(cloud)) as client:
        yield client


@pytest.fixture
def api(own: ModuleType, cloud: Any, time: Time) -> Any:
    """What the driver asks the cloud with."""
    return own.TESTED.api(cloud, time)


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment says how servers are reached, or which certificates are believed."""
    for name in (*PROXIES, *CERTIFICATES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
