"""
The process of the engine, for as long as the master runs: it waits, has a look made, and reports failures once.

It keeps nothing that it could lose. What a look found is in the record store, and what this process says of itself in
``engine_files``.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hart_salt.base.errors import HartError
from hart_salt.fleets import child, pace
from hart_salt.fleets.engine_files import EngineFiles
from hart_salt.inventory.job_files import JobFiles
from hart_salt.inventory.session import now as ticking

log = logging.getLogger("hart_salt.engines.hart")

#: seconds between two checks whether the master lives, and of the jobs that run
TICK = 2.0
JOB_TICK = 1.0
SHORTEST = 0.05
#: seconds before the first look
FIRST = 5.0


@dataclass(frozen=True)
class Settings:
    """What ``engines:`` in the master config says, and the master."""

    conf_file: str
    cachedir: str
    interval: float
    #: hart's own file; None: the usual one
    config: str | None = None


@dataclass
class Engine:
    """The loop. What it needs of the world are its fields, so that tests need no process and no time."""

    settings: Settings
    #: return the answer to a request; see ``look.answered``
    ask: Callable[[Mapping[str, Any]], dict[str, Any]]
    #: fire an event on the master's bus
    fire: Callable[[str, Mapping[str, Any]], None]
    #: return whether the master lives
    lives: Callable[[], bool]
    #: wait for a wake-up at most so many seconds; return whether there was one
    wait: Callable[[float], bool]
    files: EngineFiles
    #: return whether a job has ended
    ended: Callable[[str], bool]
    clock: Callable[[], float] = ticking
    wall: Callable[[], float] = time.time
    failures: int = 0
    #: the last failure, to log it once
    error: str = ""
    seen: Any = None
    jobs: Sequence[str] = ()
    #: what ``engine_files`` gets
    status: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Look until the master ends."""
        self.status = {"pid": os.getpid(), "interval": self.settings.interval, "started": self.wall(), "looks": 0}
        self.early = pace.EarlyLooks(self.clock())
        self.files.write(self.status)
        # Salt starts engines before the processes that begin jobs.
        self.pause(FIRST)
        while self.lives():
            self.pause(self.look())

    def look(self) -> float:
        """Have one look made; return the seconds until the next."""
        began = self.clock()
        self.files.write({**self.status, "looking_since": self.wall()})
        request = {
            "conf_file": self.settings.conf_file, "config": self.settings.config, "interval": self.settings.interval,
            "seen": self.seen,
        }  # fmt: skip
        try:
            answer = self.ask(request)
        except Exception as error:  # such as no memory for another process
            answer = {"error": f"the look could not be started ({type(error).__name__})"}
        if not self.lives():
            return 0.0
        took = self.clock() - began
        seconds = self._failed(answer) if answer["error"] else self._succeeded(answer, took)
        self.early.looked(self.clock())
        self.status |= {"next": self.wall() + seconds, "failures": self.failures, "error": self.error}
        self.files.write(self.status)
        return seconds

    def _failed(self, answer: Mapping[str, Any]) -> float:
        error, broken = str(answer["error"]), bool(answer.get("broken"))
        self.failures += 1
        # A job that has ended is no reason to look at once again.
        self.jobs = ()
        self.status |= {"failed": self.wall()}
        if error != self.error:
            self.error = error
            what = "the configuration is broken, so nothing is changed" if broken else "a look failed"
            log.error("hart engine: %s: %s", what, error)
            for line in answer.get("log", ()):
                log.error("hart engine: %s", line)
            self._fire("hart/engine/broken", {"error": error, "configuration": broken})
        return pace.back_off(self.settings.interval, self.failures)

    def _succeeded(self, answer: Mapping[str, Any], took: float) -> float:
        if self.error:
            log.warning("hart engine: it works again after %d failed looks", self.failures)
            self._fire("hart/engine/working", {"failures": self.failures})
        self.failures, self.error = 0, ""
        self.seen, self.jobs = answer.get("seen"), list(answer.get("jobs", ()))
        leads = bool(answer.get("leads"))
        if leads != self.status.get("leads"):
            log.info("hart engine: %s", "this master leads" if leads else "another master leads")
        for message in answer.get("messages", ()):
            log.warning("hart engine: %s", message)
        self.status |= {
            "leads": leads, "looked": self.wall(), "took": round(took, 3), "looks": self.status.get("looks", 0) + 1
        }  # fmt: skip
        return pace.pause(self.settings.interval, took)

    def _fire(self, tag: str, data: Mapping[str, Any]) -> None:
        with suppress(Exception):  # the bus may be down; the log has it
            self.fire(tag, data)

    def pause(self, seconds: float) -> None:
        """
        Wait for the next look: so many seconds, or until a job has ended, or less after a wake-up.

        After a failure, a wake-up is no reason to look: the back-off counts.
        """
        until, woken = self.clock() + seconds, False
        while self.lives() and (left := until - self.clock()) > 0:
            if self.jobs and any(map(self.ended, self.jobs)):
                self.jobs = ()
                return
            if woken and (ready := self.early.ready_in(self.clock())) <= 0:
                self.early.take(self.clock())
                self.status["early"] = self.status.get("early", 0) + 1
                return
            tick = max(SHORTEST, min(left, JOB_TICK if self.jobs else TICK, *([ready] if woken else [])))
            woken = (self.wait(tick) or woken) and not self.failures


def run(opts: Mapping[str, Any], settings: Settings) -> None:
    """Run the engine of the master with these options until the master ends."""
    from hart_salt.master.client import Master

    parent, files, jobs = os.getppid(), EngineFiles(settings.cachedir), JobFiles(settings.cachedir)

    def lives() -> bool:
        return os.getppid() == parent

    master, woken = Master(opts), threading.Event()

    def wait(seconds: float) -> bool:
        found = woken.wait(seconds)
        woken.clear()
        return found

    def ended(token: str) -> bool:
        return jobs.has_begun(token) and not jobs.is_running(token)

    def once() -> None:
        with files.alone() as alone:
            if alone:
                with master.wakes(woken.set):
                    Engine(
                        settings, lambda request: child.ask(request, lives), master.fire, lives, wait, files, ended
                    ).run()

    failures = Failures()
    while lives():
        try:
            once()
        except Exception as error:  # such as a disk that is full; Salt would start the engine again every 10 seconds
            failures.note(str(error) if isinstance(error, HartError) else type(error).__name__)
        if lives():
            # Another process may be the engine of a master that was killed; it ends within seconds.
            time.sleep(pace.LEAST)


class Failures:
    """Logs why the engine cannot run, once."""

    def __init__(self) -> None:
        self._last = ""

    def note(self, error: str) -> None:
        """Log an error unless it is the last one."""
        if error != self._last:
            self._last = error
            log.error("hart engine: %s", error)


def idle() -> None:
    """Do nothing until the master ends: Salt starts an engine that ends again and again."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(TICK)
