"""The world of the tests of declared fleets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.fleets.fleet_world import World, open_world


@pytest.fixture
def world(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with open_world(root, monkeypatch) as made:
        yield made
