"""The providers in which every driver is held against the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.drivers.do.environment import DigitalOceanEnvironment
from tests.drivers.ec2.environment import Ec2Environment
from tests.drivers.environment import CloudEnvironment, Environment
from tests.drivers.gce.environment import ComputeEngineEnvironment
from tests.drivers.hetzner.environment import HetznerEnvironment
from tests.drivers.local.environment import LocalEnvironment
from tests.drivers.vultr.environment import VultrEnvironment

ENVIRONMENTS: dict[str, type[Environment]] = {
    "local": LocalEnvironment,
    "do": DigitalOceanEnvironment,
    "ec2": Ec2Environment,
    "gce": ComputeEngineEnvironment,
    "hetzner": HetznerEnvironment,
    "vultr": VultrEnvironment,
}
CLOUDS = [name for name, kind in ENVIRONMENTS.items() if issubclass(kind, CloudEnvironment)]
#: those that give further addresses
GIVING = [name for name, kind in ENVIRONMENTS.items() if kind.reserve is not Environment.reserve]


@contextmanager
def opened(name: str, root: Path) -> Iterator[Any]:
    """The environment of a driver."""
    made = ENVIRONMENTS[name](root)
    with made.closing:
        yield made
