"""The listener hands on start events and answers of minions, and connects again after a connection that broke."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from hart_salt.master.listener import QUESTION, Listener, of_interruptions, of_minions


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


class NewBus(Bus):
    """A connection as Salt has it since 3007: its client receives packed events on a loop of its own."""

    def __init__(self, *events: Any) -> None:
        super().__init__(*events)
        self.subscriber = SimpleNamespace(obj=SimpleNamespace(recv=self._recv), io_loop=self)
        self.unpacked: list[str] = []
        self.runs = 0

    def run_sync(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.runs += 1
        asyncio.run(work())

    async def _recv(self, timeout: float) -> bytes | None:
        event = self.get_event(tag="salt/", match_type="startswith")
        return json.dumps([event["tag"], event["data"]]).removeprefix('["').encode() if event else None

    def unpack(self, raw: bytes) -> tuple[str, Any]:
        tag, data = json.loads('["' + raw.decode())
        self.unpacked.append(tag)
        return tag, data


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


def listen(*buses: Bus | Exception) -> tuple[Listener, Heard]:
    """A listener that gets one of ``buses`` after the other, and its hearer."""
    heard, left = Heard(), list(buses)

    def connect() -> Bus:
        bus = left.pop(0) if left else Bus()
        if isinstance(bus, Exception):
            raise bus
        return bus

    return of_minions(connect, heard.start, heard.answer), heard


@pytest.mark.parametrize("kind", [Bus, NewBus])
def test_start_events_and_answers_are_handed_on_and_nothing_else(kind: type[Bus]) -> None:
    bus = kind(
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


def test_many_events_are_received_at_a_time_and_those_that_nobody_wants_are_not_unpacked() -> None:
    tags = [f"{beginning}/{number}" for number in range(50) for beginning in ("hart/web-1/ready", "salt/auth")]
    bus = NewBus(*[(tag, {}) for tag in tags], ("salt/minion/web-1/start", {}))
    events, heard = listen(bus)
    with events:
        assert heard.wait(1) == ["web-1"]
        assert (bus.runs, bus.unpacked) == (1, ["salt/minion/web-1/start"])


@pytest.mark.parametrize(
    "first",
    [Bus(OSError("broken")), NewBus(OSError("broken")), OSError("no master"), Bus(connects=False)],
    ids=["breaks", "breaks since 3007", "fails", "no answer"],
)
def test_a_broken_connection_is_made_again(first: Bus | Exception) -> None:
    events, heard = listen(first, Bus(("salt/minion/web-1/start", {})))
    with events:
        assert heard.wait(1) == ["web-1"]


class InterruptionBus(NewBus):
    """A connection of the engine."""

    def get_event(self, **asked: Any) -> Mapping[str, Any] | None:
        return super().get_event(tag="salt/", match_type="startswith")


@pytest.mark.parametrize("old", [False, True])
def test_the_engine_is_woken_up_by_interruptions_only(old: bool) -> None:
    """Nothing of the event is used, because any minion can fire it."""
    tags = ("salt/minion/web-1/start", "hart/web-1/ready", "hart/interruption", "hart/interruption/web-1")
    wanted: list[Any] = [(tag, {}) for tag in tags if not old or tag.startswith("hart/interruption")]
    bus = InterruptionBus(*wanted)
    if old:
        del bus.subscriber
    woken, twice = [], threading.Event()

    def wake() -> None:
        woken.append(1)
        if len(woken) == 2:
            twice.set()

    buses = [bus]
    with of_interruptions(lambda: buses.pop() if buses else InterruptionBus(), wake):
        assert twice.wait(300)
    assert len(woken) == 2
    assert bus.unpacked == ([] if old else ["hart/interruption", "hart/interruption/web-1"])
