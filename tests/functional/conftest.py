"""What holds for all functional tests: no salt-master runs."""

from __future__ import annotations

import pytest
from salt.utils.event import SaltEvent


@pytest.fixture(autouse=True)
def _no_event_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Salt notice at once that no master takes its events; it would try for a second and use a CPU for it."""
    monkeypatch.setattr(SaltEvent, "connect_pull", lambda self, timeout=0: False)
