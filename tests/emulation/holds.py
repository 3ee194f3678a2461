"""Calls of an emulated cloud that wait until the test releases them: races without sleeps."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field

from tests.emulation.http import Request

DEADLINE = 180.0  #: seconds within which the expected calls must come


@dataclass(eq=False)
class Hold:
    """
    Calls to hold. ``path`` and ``body`` are regular expressions to search for, ``method`` one for the whole method.

    ``when`` says whether a call waits before or after it has its effect.
    """

    method: str = ".*"
    path: str = ""
    body: str = ""
    when: str = "before"
    #: the calls that have reached the hold, by their text
    reached: list[str] = field(default_factory=list)
    _open: threading.Event = field(default_factory=threading.Event, repr=False)

    def __post_init__(self) -> None:
        if self.when not in ("before", "after"):
            raise ValueError(f"when is {self.when!r}: it must be before or after")

    def matches(self, request: Request, when: str) -> bool:
        """Return whether the hold applies to this call."""
        return (
            when == self.when
            and re.fullmatch(self.method, request.method) is not None
            and re.search(self.path, request.path) is not None
            and re.search(self.body, request.body.decode(errors="replace")) is not None
        )

    def wait(self, number: int = 1, seconds: float = DEADLINE) -> bool:
        """Wait until so many calls have reached the hold; return False if they have not within ``seconds``."""
        deadline = time.monotonic() + seconds
        while len(self.reached) < number and time.monotonic() < deadline:
            time.sleep(0.02)
        return len(self.reached) >= number

    def release(self) -> None:
        """Let all calls pass from now on."""
        self._open.set()

    def keep(self, request: Request) -> None:
        """Keep a call until the release."""
        self.reached.append(request.body.decode(errors="replace"))
        self._open.wait()


class Holds:
    """The holds of one emulator."""

    def __init__(self) -> None:
        self._holds: list[Hold] = []

    def add(self, hold: Hold) -> Hold:
        """Hold such calls from now on."""
        self._holds.append(hold)
        return hold

    def clear(self) -> None:
        """Release everything."""
        for hold in self._holds:
            hold.release()
        self._holds = []

    def keep(self, request: Request, when: str) -> None:
        """Keep a call at each hold that applies to it."""
        for hold in list(self._holds):
            if hold.matches(request, when):
                hold.keep(request)
