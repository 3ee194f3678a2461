"""The world for the lifecycle tests of a node."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.node.life_world import Stage, new_stage


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return a world in which nothing has happened yet."""
    return new_stage(tmp_path, monkeypatch)
