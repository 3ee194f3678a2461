"""The connection over which the key store reports changes: kept for a call, made again if it breaks."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.master.key_events import KeyEvents


class Bus:
    def __init__(self) -> None:
        self.fired: list[str] = []
        self.error: Exception | None = None
        self.closed = 0

    def fire_event(self, data: Any, tag: str) -> bool:
        if self.error:
            raise self.error
        data["_stamp"] = "now"  # as Salt does
        self.fired.append(tag)
        return True

    def destroy(self) -> None:
        self.closed += 1


@pytest.fixture
def buses(monkeypatch: pytest.MonkeyPatch) -> list[Bus]:
    """Return the buses that are made."""
    made: list[Bus] = []

    def get_event(*_: Any, **how: Any) -> Bus:
        assert how["listen"] is False
        made.append(Bus())
        return made[-1]

    monkeypatch.setattr("salt.utils.event.get_event", get_event)
    return made


def test_a_connection_is_closed_with_each_store_unless_it_is_kept(buses: list[Bus]) -> None:
    events = KeyEvents({"sock_dir": "/nowhere"})
    events.destroy()
    for _ in range(2):
        events.fire_event({}, "salt/key")
        events.destroy()
    assert [(len(bus.fired), bus.closed) for bus in buses] == [(1, 1), (1, 1)]
    with events.kept():
        for _ in range(2):
            events.fire_event({}, "salt/key")
            events.destroy()
        assert [(len(bus.fired), bus.closed) for bus in buses[2:]] == [(2, 0)]
    assert buses[2].closed == 1


def test_a_broken_connection_is_made_again_and_the_event_is_sent(buses: list[Bus]) -> None:
    events = KeyEvents({"sock_dir": "/nowhere"})
    with events.kept():
        events.fire_event({}, "first")
        buses[0].error = OSError("the master was restarted")
        assert events.fire_event({}, "second")
    assert [(bus.fired, bus.closed) for bus in buses] == [(["first"], 1), (["second"], 1)]
