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

    def __init__(
        self, connect: Callable[[], Any], hear: Callable[[str, Any], None], prefix: str, wanted: tuple[bytes, ...]
    ) -> None:
        """
        Keep the arguments.

        ``hear`` is called in the thread with the tag and the data of each event. ``prefix`` is the beginning of all
        their tags, and ``wanted`` has the beginnings of those that count.
        """
        self._connect = connect
        self._hear = hear
        self._prefix = prefix
        self._wanted = wanted
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
            event = bus.get_event(wait=LULL, tag=self._prefix, full=True, match_type="startswith", auto_reconnect=False)
            if event:
                self._hear(event["tag"], event["data"])

    async def _receive(self, bus: Any, inner: Any) -> None:
        """
        Receive events until none arrives for a while; called on the event loop of the bus.

        ``get_event`` starts and stops that loop for each event, and unpacks those that nobody wants. With a thousand
        new minions, that would take seconds.
        """
        while not self._stop.is_set() and (raw := await inner.recv(timeout=LULL)):
            if raw.startswith(self._wanted):
                self._hear(*bus.unpack(raw))


#: the tags of what minions send: their start, and the return of a job
_START = re.compile("salt/minion/(?P<minion_id>[^/]+)/start")
_RETURN = re.compile("salt/job/[^/]+/ret/(?P<minion_id>[^/]+)")


def of_minions(
    connect: Callable[[], Any], on_start: Callable[[str], None], on_answer: Callable[[str, str], None]
) -> Listener:
    """
    Return the listener to minions' events.

    ``on_start`` is called in the thread with the minion id of each start event, ``on_answer`` with the minion id and
    the text of each answer to ``QUESTION``; the receiver must check the answer.
    """

    def hear(tag: str, data: Any) -> None:
        if start := _START.fullmatch(tag):
            on_start(start["minion_id"])
        elif (answer := _RETURN.fullmatch(tag)) and (said := _said(data)):
            on_answer(answer["minion_id"], said)

    return Listener(connect, hear, "salt/", WANTED)


def of_interruptions(connect: Callable[[], Any], on_wake: Callable[[], None]) -> Listener:
    """Return the listener to events that announce an interruption; ``on_wake`` is called in the thread for each."""
    return Listener(connect, lambda _tag, _data: on_wake(), INTERRUPTION, (INTERRUPTION.encode(),))


def _said(data: Any) -> str:
    """Return the answer to the question in a return; empty if the return is something else."""
    said = data.get("return") if isinstance(data, Mapping) and data.get("fun") == QUESTION else ""
    return said if isinstance(said, str) else ""
