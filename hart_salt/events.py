"""What minions are heard to say on the master's event bus."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from typing import Any

EVENT_BUS_TIMEOUT = 3.0  #: seconds that a running master may take to let us on its event bus


class Events:
    """
    A thread that hears minions on the event bus, as a context manager; it listens from the moment that it is entered.

    ``on_start`` is called in that thread with the id of each minion that starts, ``on_answer`` with the job id and the
    minion id of each answer to a test.ping.
    """

    _START = re.compile("salt/minion/(?P<minion_id>[^/]+)/start")
    _RETURN = re.compile("salt/job/(?P<jid>[^/]+)/ret/(?P<minion_id>[^/]+)")

    def __init__(
        self, connect: Callable[[], Any], on_start: Callable[[str], None], on_answer: Callable[[str, str], None]
    ) -> None:
        self._connect = connect
        self._on_start = on_start
        self._on_answer = on_answer
        self._stop = threading.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="hart-events", daemon=True)

    def __enter__(self) -> Events:
        self._thread.start()
        self._listening.wait(EVENT_BUS_TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(EVENT_BUS_TIMEOUT)

    def _listen(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(Exception), self._connect() as bus:
                # The master may be restarted meanwhile: a connection that broke is made anew.
                if bus.connect_pub(timeout=EVENT_BUS_TIMEOUT):
                    self._listening.set()
                    self._forward(bus)
            self._stop.wait(0.2)

    def _forward(self, bus: Any) -> None:
        while not self._stop.is_set():
            # How tags match is a setting of the master, unless it is said.
            event = bus.get_event(wait=0.5, tag="salt/", full=True, match_type="startswith", auto_reconnect=False)
            if event:
                self._hear(event["tag"], event["data"])

    def _hear(self, tag: str, data: Any) -> None:
        if start := self._START.fullmatch(tag):
            self._on_start(start["minion_id"])
        elif (answer := self._RETURN.fullmatch(tag)) and data.get("fun") == "test.ping" and data.get("return") is True:
            self._on_answer(answer["jid"], answer["minion_id"])
