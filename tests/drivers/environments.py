"""The environments in which the contract suite tests every driver."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hart_salt.drivers import OWN
from tests.drivers.environment import CloudEnvironment, Environment

#: from ``ENVIRONMENT`` in ``tests/drivers/<name>/environment.py``
ENVIRONMENTS: dict[str, type[Environment]] = {
    name: importlib.import_module(f"tests.drivers.{name}.environment").ENVIRONMENT for name in OWN
}
CLOUDS = [name for name, kind in ENVIRONMENTS.items() if issubclass(kind, CloudEnvironment)]
#: the providers whose driver can add addresses
WITH_ADDRESSES = [name for name, kind in ENVIRONMENTS.items() if kind.reserve is not Environment.reserve]


@contextmanager
def opened(name: str, root: Path) -> Iterator[Any]:
    """Open the environment of a driver."""
    made = ENVIRONMENTS[name](root)
    with made.closing:
        yield made
