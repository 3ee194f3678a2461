"""The listener hands on start events and answers of minions, and connects again after a connection that broke."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from hart_salt.master.listener import QUESTION, Events


class Bus:
    """A connection to an event bus that yields some events, and breaks where one of them is an error."""

    def __init__(self, *events: Any, connects: bool = True) -> None:
        self._events = list(events)
        self._connects = connects
        self.closed = False

    def __enter__(self) -> Bus:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def connect_pub(self, timeout: float) -> bool:
        return self._connects

    def get_event(self, **asked: Any) -> Mapping[str, Any] | None:
        assert (asked["tag"], asked["match_type"]) == ("salt/", "startswith")
        if not self._events:
            threading.Event().wait(0.01)
            return None
        event = self._events.pop(0)
        if isinstance(event, Exception):
            raise event
        return {"tag": event[0], "data": event[1]}


class Heard:
    """What the listener has handed on; ``wait`` returns it once there is as much as is expected."""

    def __init__(self) -> None:
        self.starts: list[str] = []
        self.answers: list[tuple[str, str]] = []
        self._more = threading.Condition()

    def start(self, minion_id: str) -> None:
        with self._more:
            self.starts.append(minion_id)
            self._more.notify_all()

    def answer(self, minion_id: str, said: str) -> None:
        with self._more:
            self.answers.append((minion_id, said))
            self._more.notify_all()

    def wait(self, starts: int) -> list[str]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.starts) >= starts, timeout=300)
            return self.starts


def listen(*buses: Bus | Exception) -> tuple[Events, Heard]:
    """A listener that gets one of ``buses`` after the other, and its hearer."""
    heard, left = Heard(), list(buses)

    def connect() -> Bus:
        bus = left.pop(0) if left else Bus()
        if isinstance(bus, Exception):
            raise bus
        return bus

    return Events(connect, heard.start, heard.answer), heard


def test_start_events_and_answers_are_handed_on_and_nothing_else() -> None:
    bus = Bus(
        ("salt/minion/web-1/start", {}),
        ("salt/job/1/ret/web-1", {"fun": QUESTION, "return": "a code"}),
        ("salt/job/2/ret/web-1", {"fun": "test.ping", "return": "a code"}),
        ("salt/job/3/ret/web-1", {"fun": QUESTION, "return": ["a code"]}),
        ("salt/job/4/ret/web-1", "no mapping"),
        ("salt/minion/a/b/start", {}),
        ("salt/auth", {}),
        ("salt/minion/web-2/start", {}),
    )
    events, heard = listen(bus)
    with events:
        assert heard.wait(2) == ["web-1", "web-2"]
    assert heard.answers == [("web-1", "a code")]
    assert bus.closed


@pytest.mark.parametrize(
    "first", [Bus(OSError("broken")), OSError("no master"), Bus(connects=False)], ids=["breaks", "fails", "no answer"]
)
def test_a_broken_connection_is_made_again(first: Bus | Exception) -> None:
    events, heard = listen(first, Bus(("salt/minion/web-1/start", {})))
    with events:
        assert heard.wait(1) == ["web-1"]
