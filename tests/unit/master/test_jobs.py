"""The answers of a job are those that the master has stored; events only say when to look."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from hart_salt.base.errors import HartError
from hart_salt.master.jobs import Job, collect

ANSWER = {"return": True, "retcode": 0}


@dataclass
class Scene:
    """Time passes while no event arrives; ``at`` has the events and the stored answers of each second."""

    heard: list[tuple[float, str]] = field(default_factory=list)
    stores: list[tuple[float, str]] = field(default_factory=list)
    #: until when the job runs
    runs_until: float = 0.0
    now: float = 0.0
    looks: int = 0
    asked: list[Collection[str]] = field(default_factory=list)

    def hear(self, seconds: float) -> str | None:
        if self.heard and self.heard[0][0] <= self.now + max(seconds, 0.0):
            at, name = self.heard.pop(0)
            self.now = max(at, self.now)
            return name
        self.now += max(seconds, 0.001)
        return None

    def stored(self) -> Mapping[str, Any]:
        self.looks += 1
        self.now += 0.001
        return {name: ANSWER for at, name in self.stores if at <= self.now}

    def runs(self, missing: Collection[str]) -> bool:
        self.asked.append(sorted(missing))
        self.now += 1
        return self.now < self.runs_until

    def collect(self, *expected: str, timeout: float = 5.0) -> dict[str, Any]:
        return collect(self, set(expected), self.runs, timeout, clock=lambda: self.now)


def test_a_stored_answer_is_found_at_its_event() -> None:
    scene = Scene(heard=[(1.0, "a")], stores=[(1.0, "a")])
    assert scene.collect("a") == {"a": ANSWER}
    assert scene.now < 1.01
    assert scene.looks == 1


def test_an_event_can_come_some_time_before_its_answer_is_stored() -> None:
    for late in (0.003, 0.05, 0.3):
        scene = Scene(heard=[(1.0, "a")], stores=[(1.0 + late, "a")])
        assert scene.collect("a") == {"a": ANSWER}
        assert scene.now < 1.5


def test_an_event_without_a_stored_answer_is_not_an_answer() -> None:
    scene = Scene(heard=[(number / 1000, "a") for number in range(4000)])
    assert scene.collect("a") == {}
    assert scene.asked == [["a"]]
    assert scene.looks < 1500, "a flood of events makes it look for a part of the time"


def test_events_of_other_minions_cause_no_look() -> None:
    scene = Scene(heard=[(number / 1000, "b") for number in range(4000)])
    assert scene.collect("a") == {}
    assert scene.looks < 10


def test_a_false_answer_does_not_end_the_wait_for_the_right_one() -> None:
    scene = Scene(heard=[(0.5, "a"), (3.0, "a")], stores=[(3.0, "a")])
    assert scene.collect("a") == {"a": ANSWER}
    assert 3.0 <= scene.now < 3.1


def test_a_job_that_still_runs_is_waited_for() -> None:
    scene = Scene(heard=[(33.0, "a")], stores=[(33.0, "a")], runs_until=40.0)
    assert scene.collect("a") == {"a": ANSWER}
    assert len(scene.asked) > 3


def test_an_answer_without_an_event_is_found_at_the_end() -> None:
    assert Scene(stores=[(2.0, "a")]).collect("a", "b") == {"a": ANSWER}


def test_an_answer_that_arrives_during_the_question_whether_the_job_runs_is_found_soon() -> None:
    scene = Scene(stores=[(5.5, "a")], runs_until=100.0)
    assert scene.collect("a") == {"a": ANSWER}
    assert scene.now < 7.0


def test_endless_events_do_not_prolong_the_wait() -> None:
    scene = Scene(heard=[(number / 10, "a") for number in range(10000)])
    assert scene.collect("a") == {}
    assert scene.now < 10.0


def test_many_answers_at_once_need_few_looks() -> None:
    names = [f"m{number}" for number in range(100)]
    times = [(1.0 + number / 10000, name) for number, name in enumerate(names)]
    scene = Scene(heard=list(times), stores=list(times))
    assert len(scene.collect(*names)) == 100
    assert scene.looks < 20


class _Client:
    def __init__(self, get_jid: Any) -> None:
        self.opts = {"master_job_cache": "mysql"}
        self.returners = {"mysql.get_jid": get_jid}


def test_a_job_cache_that_cannot_be_read_is_reported_by_its_name() -> None:
    def broken(jid: str) -> None:
        raise OSError("gone")

    with pytest.raises(HartError, match=r"job cache of this master \(mysql\) cannot be read \(OSError\)"):
        Job(_Client(broken), "1", cached=True).stored()


def test_without_a_job_cache_the_events_have_to_suffice() -> None:
    assert Job(_Client(None), "1", cached=False).stored() == {}
