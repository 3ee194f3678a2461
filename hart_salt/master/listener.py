"""
The listener on the master's event bus. Any minion can fire any event: an event only wakes hart up, and proves nothing.
"""

from __future__ import annotations

import contextlib
import functools
import re
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

EVENT_BUS_TIMEOUT = 3.0  #: seconds that a running master may take to accept a connection to its event bus
ANSWER_SETTING = "hart_answer"  #: the setting of a new minion that holds the code of its answer
LULL = 0.5  #: seconds without an event after which the thread looks whether it must stop
#: the beginnings of the tags of the events that count
WANTED = (b"salt/minion/", b"salt/job/")
QUESTION = "config.get"  #: the execution function that asks for it
#: the beginning of the tags of the events that wake up the engine
INTERRUPTION = "hart/interruption"


class Listener:
    """A context manager whose thread receives events; it listens from the moment that it is entered."""

    #: the beginning of the tags, and more exactly the beginnings of those that count
    _PREFIX = "salt/"
    _WANTED: tuple[bytes, ...] = WANTED

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._stop = threading.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="hart-events", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait(EVENT_BUS_TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(EVENT_BUS_TIMEOUT)

    def _listen(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(Exception), self._connect() as bus:
                # The master may restart in the meantime: reconnect after a broken connection.
                if bus.connect_pub(timeout=EVENT_BUS_TIMEOUT):
                    self._listening.set()
                    self._forward(bus)
            self._stop.wait(0.2)

    def _forward(self, bus: Any) -> None:
        subscriber: Any = getattr(bus, "subscriber", None)
        inner = getattr(subscriber, "obj", None)
        while not self._stop.is_set():
            if hasattr(inner, "recv") and hasattr(subscriber, "io_loop"):  # since Salt 3007
                subscriber.io_loop.run_sync(functools.partial(self._receive, bus, inner))
                continue
            # Without match_type, a setting of the master would decide how tags match.
            event = bus.get_event(wait=LULL, tag=self._PREFIX, full=True, match_type="startswith", auto_reconnect=False)
            if event:
                self._hear(event["tag"], event["data"])

    async def _receive(self, bus: Any, inner: Any) -> None:
        """
        Receive events until none arrives for a while; called on the event loop of the bus.

        ``get_event`` starts and stops that loop for each event, and unpacks those that nobody wants. With a thousand
        new minions, that would take seconds.
        """
        while not self._stop.is_set() and (raw := await inner.recv(timeout=LULL)):
            if raw.startswith(self._WANTED):
                self._hear(*bus.unpack(raw))

    def _hear(self, tag: str, data: Any) -> None:
        """Do something about an event, in the thread."""
        raise NotImplementedError


class Events(Listener):
    """
    Receives minions' events.

    ``on_start`` is called in the thread with the minion id of each start event, ``on_answer`` with the minion id and
    the text of each answer to ``QUESTION``; the receiver must check the answer.
    """

    _START = re.compile("salt/minion/(?P<minion_id>[^/]+)/start")
    _RETURN = re.compile("salt/job/[^/]+/ret/(?P<minion_id>[^/]+)")

    def __init__(
        self, connect: Callable[[], Any], on_start: Callable[[str], None], on_answer: Callable[[str, str], None]
    ) -> None:
        super().__init__(connect)
        self._on_start = on_start
        self._on_answer = on_answer

    def _hear(self, tag: str, data: Any) -> None:
        if start := self._START.fullmatch(tag):
            self._on_start(start["minion_id"])
        elif (answer := self._RETURN.fullmatch(tag)) and (said := _said(data)):
            self._on_answer(answer["minion_id"], said)


class Wakes(Listener):
    """Receives the events that announce an interruption; ``on_wake`` is called in the thread for each of them."""

    _PREFIX = INTERRUPTION
    _WANTED = (INTERRUPTION.encode(),)

    def __init__(self, connect: Callable[[], Any], on_wake: Callable[[], None]) -> None:
        super().__init__(connect)
        self._on_wake = on_wake

    def _hear(self, tag: str, data: Any) -> None:
        self._on_wake()


def _said(data: Any) -> str:
    """Return the answer to the question in a return; empty if the return is something else."""
    said = data.get("return") if isinstance(data, Mapping) and data.get("fun") == QUESTION else ""
    return said if isinstance(said, str) else ""
