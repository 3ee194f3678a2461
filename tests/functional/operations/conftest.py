"""The world for the tests of the number of a role's nodes; the other tests make their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.operations.scale_world import World, open_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Return two providers with a role's nodes, in memory."""
    with open_world(tmp_path, monkeypatch) as made:
        yield made
