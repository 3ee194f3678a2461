"""The loop of the engine: when it looks, what it logs, and that nothing ends it but the end of the master."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import HartError
from hart_salt.fleets import engine_process, pace
from hart_salt.fleets.engine_files import EngineFiles
from hart_salt.fleets.engine_process import Engine, Settings

GOOD: dict[str, Any] = {"error": "", "leads": True, "seen": None, "messages": [], "jobs": []}
Answer = Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass
class Clock:
    """Time that passes only while the engine waits or looks, and what it is answered."""

    answers: list[dict[str, Any] | Exception]
    now: float = 1000.0
    took: float = 1.0
    #: when the events come that wake it up
    events: list[float] = field(default_factory=list)
    #: when which job ends
    ends: dict[str, float] = field(default_factory=dict)
    looks: list[float] = field(default_factory=list)
    requests: list[Mapping[str, Any]] = field(default_factory=list)
    fired: list[str] = field(default_factory=list)

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.looks.append(self.now)
        self.requests.append(request)
        self.now += self.took
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def lives(self) -> bool:
        return bool(self.answers)

    def wait(self, seconds: float) -> bool:
        assert seconds > 0
        due = [at for at in self.events if at <= self.now + seconds]
        self.now = max(self.now, min(due)) if due else self.now + seconds
        self.events = [at for at in self.events if at > self.now]
        return bool(due)

    def fire(self, tag: str, data: Mapping[str, Any]) -> None:
        self.fired.append(tag)

    def run(self, directory: Path, interval: float = 60.0) -> Engine:
        made = Engine(
            Settings("/etc/salt/master", str(directory), interval), self.ask, self.fire, self.lives, self.wait,
            EngineFiles(str(directory)), lambda token: self.ends.get(token, 0.0) <= self.now, lambda: self.now,
            lambda: self.now,
        )  # fmt: skip
        made.run()
        return made


@pytest.fixture(autouse=True)
def _no_jitter_and_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "JITTER", 0.0)
    monkeypatch.setattr(engine_process, "FIRST", 0.0)


def test_it_looks_once_per_interval(tmp_path: Path) -> None:
    clock = Clock([GOOD] * 4)
    clock.run(tmp_path)
    assert clock.looks == [1000, 1060, 1120, 1180]


def test_failures_back_off_are_logged_once_and_so_is_their_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = {"error": "the record store cannot be read"}
    clock = Clock([GOOD, bad, bad, bad, GOOD, GOOD])
    clock.run(tmp_path)
    assert [after - before for before, after in pairwise(clock.looks)] == [60, 121, 241, 481, 60]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "hart engine: a look failed: the record store cannot be read",
        "hart engine: it works again after 3 failed looks",
    ]
    assert clock.fired == ["hart/engine/broken", "hart/engine/working"]


def test_another_text_of_a_failure_is_logged_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = {"error": "hart:fleets:web:cuont: unknown setting", "broken": True}
    Clock([{"error": "a", "log": ["at x.py:1"]}, broken, broken, {"error": "a"}]).run(tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        "hart engine: a look failed: a",
        "hart engine: at x.py:1",
        "hart engine: the configuration is broken, so nothing is changed: hart:fleets:web:cuont: unknown setting",
    ]


def test_no_exception_ends_it(tmp_path: Path) -> None:
    clock = Clock([MemoryError(), OSError(), GOOD, GOOD])
    made = clock.run(tmp_path)
    assert len(clock.looks) == 4
    assert made.status["looks"] == 1


def test_the_end_of_a_job_is_followed_by_a_look_at_once(tmp_path: Path) -> None:
    clock = Clock([{**GOOD, "jobs": ["t"]}, GOOD, GOOD], ends={"t": 1011.5})
    clock.run(tmp_path)
    assert clock.looks == [1000, 1012, 1072]


def test_while_a_job_runs_it_looks_once_per_interval(tmp_path: Path) -> None:
    clock = Clock([{**GOOD, "jobs": ["t"]}] * 3, ends={"t": 1e9})
    clock.run(tmp_path)
    assert clock.looks == [1000, 1060, 1120]


def test_an_event_makes_the_next_look_earlier(tmp_path: Path) -> None:
    clock = Clock([GOOD] * 3, events=[1030.0])
    clock.run(tmp_path)
    assert clock.looks == [1000, 1030, 1090]


def test_a_flood_of_events_makes_few_early_looks(tmp_path: Path) -> None:
    clock = Clock([GOOD] * 200, events=[1000.0 + number for number in range(3600)])
    made = clock.run(tmp_path)
    hour = [at for at in clock.looks if at <= 4600]
    assert len(hour) <= 1 + 60 + pace.BURST + 60
    assert all(after - before >= pace.LEAST for before, after in pairwise(hour))
    assert made.status["early"] <= pace.BURST + 61


def test_events_do_not_end_a_back_off(tmp_path: Path) -> None:
    bad = {"error": "the provider does not answer"}
    clock = Clock([bad] * 3, events=[1000 + number for number in range(600)])
    clock.run(tmp_path)
    assert clock.looks == [1000, 1121, 1362]


def test_what_a_follower_has_seen_is_part_of_the_next_request(tmp_path: Path) -> None:
    seen = {"leader": "m2", "machine": "two 2", "looks": 7, "since": 1.0}
    clock = Clock([{**GOOD, "leads": False, "seen": seen}, GOOD, GOOD])
    clock.run(tmp_path)
    assert [request["seen"] for request in clock.requests] == [None, seen, None]


def test_its_file_says_what_it_does(tmp_path: Path) -> None:
    Clock([GOOD, {"error": "the store is down"}]).run(tmp_path)
    said = EngineFiles(str(tmp_path)).read()
    assert (said["looked"], said["took"], said["next"]) == (1001, 1.0, 1060)
    Clock([GOOD, {"error": "the store is down"}, GOOD]).run(tmp_path)
    said = EngineFiles(str(tmp_path)).read()
    assert (said["failures"], said["error"], said["next"]) == (1, "the store is down", 1181)


def test_only_one_engine_of_a_master_runs(tmp_path: Path) -> None:
    files, other = EngineFiles(str(tmp_path)), EngineFiles(str(tmp_path))
    assert not other.runs()
    with files.alone() as alone:
        assert alone
        assert other.runs()
        with other.alone() as second:
            assert not second
    assert not other.runs()


def test_a_disk_that_is_full_or_read_only_does_not_end_it(tmp_path: Path) -> None:
    (tmp_path / "hart").write_text("in the way")
    clock = Clock([GOOD] * 3)
    clock.run(tmp_path)
    assert len(clock.looks) == 3
    assert EngineFiles(str(tmp_path)).read() == {}


def test_a_reason_why_it_cannot_run_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    failures = engine_process.Failures()
    for error in ("the disk is full", "the disk is full", "no permission"):
        failures.note(error)
    assert [record.getMessage() for record in caplog.records] == [
        "hart engine: the disk is full", "hart engine: no permission"
    ]  # fmt: skip


def test_the_master_has_a_moment_to_start_before_the_first_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_process, "FIRST", 5.0)
    clock = Clock([GOOD])
    clock.run(tmp_path)
    assert clock.looks == [1005]


class Salt:
    """The master as the process of the engine sees it: its parent, its bus, and the looks that it has made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lives = True
        self.asked: list[Mapping[str, Any]] = []
        self.fired: list[str] = []
        self.slept: list[float] = []
        self.refusals: list[Exception] = []
        monkeypatch.setattr("os.getppid", lambda: 7 if self.lives else 1)
        monkeypatch.setattr("time.sleep", self.sleep)
        monkeypatch.setattr("hart_salt.fleets.child.ask", self.ask)
        monkeypatch.setattr("hart_salt.master.client.Master", lambda opts: self)

    def fire(self, tag: str, data: Mapping[str, Any]) -> None:
        self.fired.append(tag)

    @contextlib.contextmanager
    def wakes(self, wake: Callable[[], None]) -> Iterator[None]:
        if self.refusals:
            raise self.refusals.pop()
        yield

    def ask(self, request: Mapping[str, Any], lives: Callable[[], bool]) -> dict[str, Any]:
        assert lives()
        self.asked.append(request)
        self.lives = False
        return GOOD

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.lives = bool(self.refusals) or not self.slept[2:]


def test_the_process_looks_until_its_master_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    salt = Salt(monkeypatch)
    engine_process.run({}, Settings("/etc/salt/master", str(tmp_path), 60.0, "/srv/hart.toml"))
    assert [(one["conf_file"], one["config"]) for one in salt.asked] == [("/etc/salt/master", "/srv/hart.toml")]
    assert (salt.slept, salt.fired) == ([], [])


def test_a_bus_that_cannot_be_reached_is_logged_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    salt = Salt(monkeypatch)
    salt.refusals = [OSError("quotes anything"), OSError(), HartError("the bus is down")]
    engine_process.run({}, Settings("/etc/salt/master", str(tmp_path), 60.0))
    assert salt.slept == [pace.LEAST] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "hart engine: the bus is down", "hart engine: OSError"
    ]  # fmt: skip


def test_with_wrong_settings_it_does_nothing_until_the_master_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    salt = Salt(monkeypatch)
    engine_process.idle()
    assert salt.slept == [engine_process.TICK] * 3
    assert salt.asked == []
