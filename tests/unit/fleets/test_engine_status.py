"""What hart.engine shows: whether an engine runs, what it did last, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.fleets.engine_state import EngineState, FleetNote
from hart_salt.fleets.engine_status import report
from hart_salt.fleets.leadership import EngineHost

NOW = 1_800_000_000.0
ME = EngineHost("m1", "one 1")


def seen(**changes: Any) -> tuple[dict[str, Any], list[str]]:
    own = {"interval": 60.0, "started": NOW - 500, "looked": NOW - 30, "took": 1.5, "next": NOW + 30, "failures": 0}
    facts: dict[str, Any] = {
        "configured": True, "interval": 60.0, "runs": True, "own": own, "state": None, "me": ME, "now": NOW, **changes,
    }  # fmt: skip
    facts["own"] = {**own, **changes.get("own", {})}
    return report(**facts)


def test_a_working_engine_has_no_problem() -> None:
    note = FleetNote(
        "changing", why="1 node is missing", since=NOW - 60, actions=1, jid="20270115", begun=NOW - 9, runs=True
    )
    state = EngineState(leader="m1", machine="one 1", looked=NOW - 30, fleets={"web": note})
    data, problems = seen(state=state)
    assert problems == []
    assert data == {
        "status": "working", "interval": 60.0, "leader": "m1 (one)", "leads": True,
        "last_look": "2027-01-15T07:59:30Z", "seconds": 1.5, "next_look": "2027-01-15T08:00:30Z",
        "fleets": {"web": {
            "state": "changing", "why": "1 node is missing", "since": "2027-01-15T07:59:00Z", "actions": 1, "later": 0,
            "job": "20270115", "job_began": "2027-01-15T07:59:51Z", "job_runs": True,
        }},
    }  # fmt: skip


def test_without_engines_in_the_master_config_that_is_no_failure() -> None:
    data, problems = seen(configured=False, runs=False, own={"next": NOW + 9})
    assert (data["status"], problems, "next_look" in data) == ("not configured", [], False)


def test_an_engine_that_is_configured_and_does_not_run_is_a_problem() -> None:
    data, problems = seen(runs=False)
    assert data["status"] == "not running"
    assert "start or restart salt-master" in problems[0]


@pytest.mark.parametrize(("ago", "late"), [(200, False), (211, True)])
def test_an_engine_without_a_look_for_three_intervals_is_late(ago: float, late: bool) -> None:
    data, problems = seen(own={"looked": NOW - ago, "failures": 3, "error": "the store is down"})
    assert data["status"] == ("late" if late else "failing")
    assert problems == ([
        "the last look that succeeded was 211 s ago, and the interval is 60 s (the store is down)"
    ] if late else [])  # fmt: skip


def test_an_engine_that_has_just_begun_is_not_late() -> None:
    data, problems = seen(own={"looked": None, "started": NOW - 5})
    assert (data["status"], problems) == ("starting", [])
    data, problems = seen(own={"looked": None, "started": NOW - 1000})
    assert data["status"] == "late"
    assert problems[0].startswith("the last look that succeeded was never")


def test_after_jobs_that_failed_it_shows_why_and_when_the_next_one_may_begin() -> None:
    note = FleetNote("changing", failures=2, error="no capacity", not_before=NOW + 100)
    data, _ = seen(state=EngineState(leader="m2", machine="two 2", fleets={"web": note}))
    assert data["leads"] is False
    shown = data["fleets"]["web"]
    assert (shown["job_failures"], shown["job_error"], shown["next_job"]) == (2, "no capacity", "2027-01-15T08:01:40Z")
