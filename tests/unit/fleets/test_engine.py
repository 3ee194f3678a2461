"""One look of the engine: jobs, events and what is remembered, without a master, a store, or time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hart_salt.base.errors import Refused
from hart_salt.fleets import engine
from hart_salt.fleets.engine import Ending, Looked, Tools, look, plain
from hart_salt.fleets.engine_state import EngineState, FleetNote, state_of
from hart_salt.fleets.leadership import EngineHost
from hart_salt.inventory.job_files import Outcome

CREATE = {"action": "create", "minion_id": None}


def plan(state: str = "steady", *actions: Mapping[str, Any], later: int = 0, **more: Any) -> dict[str, Any]:
    found = {"state": state, "why": "", "role": "app", "actions": list(actions), "later": later, "counts": {}}
    return {**found, **more}


class Killed(BaseException):
    """The process is killed at this point."""


@dataclass
class World:
    """Everything that a look can touch. What is in ``store`` survives when a look is killed."""

    plans: dict[str, Any] = field(default_factory=dict)
    now: float = 1e9
    store: EngineState = field(default_factory=EngineState)
    ends: list[Ending] = field(default_factory=list)
    #: tokens: None while the job runs
    jobs: dict[str, Outcome | None] = field(default_factory=dict)
    begun: list[tuple[str, str]] = field(default_factory=list)
    fired: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    refuses: str = ""
    #: before which step the process is killed: its name, and which time
    kill: tuple[str, int] = ("", 0)
    steps: list[str] = field(default_factory=list)
    lost: bool = False

    def step(self, name: str) -> None:
        self.steps.append(name)
        if self.kill == (name, self.steps.count(name)):
            raise Killed

    def is_running(self, token: str) -> bool:
        return token in self.jobs and self.jobs[token] is None

    def has_begun(self, token: str) -> bool:
        return token in self.jobs

    def outcome(self, token: str) -> Outcome:
        found = self.jobs[token]
        assert found is not None
        return found

    def forget(self, token: str) -> None:
        del self.jobs[token]

    def _plan(self) -> Mapping[str, Any]:
        self.step("plan")
        return self.plans

    def _begin(self, fleet: str, token: str) -> str:
        self.step("begin")
        if self.refuses:
            raise Refused(self.refuses)
        self.begun.append((fleet, token))
        self.jobs[token] = None
        self.step("has begun")
        return f"jid-{token}"

    def _fire(self, tag: str, data: Mapping[str, Any]) -> None:
        self.step("fire")
        self.fired.append((tag, data))

    def _write(self, state: EngineState) -> None:
        self.step("write")
        self.store = state

    def _check(self) -> None:
        if self.lost:
            raise Refused("the lease is lost")

    def look(self) -> Looked:
        tokens = iter(range(len(self.jobs) + len(self.begun), 10**6))
        return look(
            Tools(
                EngineHost("m1", "one 1"), 60.0, lambda: self.now, self._plan, lambda: self.ends, self,
                lambda: f"t{next(tokens)}", self._begin, self._fire, self._write, self._check,
            ),
            self.store,
        )  # fmt: skip

    def end(self, outcome: Outcome) -> None:
        """End all jobs that run."""
        self.jobs = {token: outcome if known is None else known for token, known in self.jobs.items()}

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.fired]


def test_nothing_to_do_begins_nothing_and_is_reported_once() -> None:
    world = World({"web": plan("steady")})
    world.look()
    world.look()
    assert (world.begun, world.tags) == ([], ["hart/fleet/web/steady"])
    assert (world.store.looks, world.store.leader, world.store.looked) == (2, "m1", world.now)


def test_a_fleet_with_something_to_do_gets_one_job_until_that_has_ended() -> None:
    world = World({"web": plan("changing", CREATE)})
    world.look()
    world.look()
    assert [name for name, _ in world.begun] == ["web"]
    assert world.store.fleets["web"].jid == "jid-t0"
    world.end(Outcome(ok=True))
    world.plans = {"web": plan("changing", {"action": "destroy", "minion_id": "web-1"})}
    world.look()
    assert [name for name, _ in world.begun] == ["web", "web"]


@pytest.mark.parametrize("state", ["blocked", "held"])
def test_a_fleet_that_is_held_or_blocked_gets_no_job(state: str) -> None:
    world = World({"web": plan(state, CREATE)})
    world.look()
    assert world.begun == []


def test_what_has_to_wait_begins_nothing() -> None:
    world = World({"web": plan("steady", later=3)})
    world.look()
    assert (world.begun, world.store.fleets["web"].later) == ([], 3)


def test_a_job_that_fails_makes_the_next_one_wait_longer_each_time_and_is_logged_once() -> None:
    world = World({"web": plan("changing", CREATE), "db": plan("changing", CREATE, role="db")})
    messages, waits = [], []
    for _ in range(4):
        messages += world.look().messages
        world.jobs = {token: Outcome(ok=False, error="no capacity") for token in world.jobs}
        messages += world.look().messages
        waits.append(world.store.fleets["web"].not_before - world.now)
        assert len(world.begun) == 2 * len(waits)
        world.now = max(note.not_before for note in world.store.fleets.values())
    assert [round(wait / 60) for wait in waits] == pytest.approx([2, 4, 8, 15], rel=0.15)
    assert [text for text in messages if "web" in text] == ["the job jid-t1 for the fleet web failed: no capacity"]


def test_the_failures_of_one_fleet_do_not_delay_another() -> None:
    world = World({"web": plan("changing", CREATE), "db": plan()})
    world.look()
    world.end(Outcome(ok=False, error="no capacity"))
    world.plans = {"web": plan("changing", CREATE), "db": plan("changing", CREATE, role="db")}
    world.look()
    assert [name for name, _ in world.begun] == ["web", "db"]


def test_after_a_job_that_succeeds_the_failures_are_forgotten() -> None:
    world = World({"web": plan("changing", CREATE)}, store=EngineState(
        fleets={"web": FleetNote("changing", failures=3, error="no capacity")}
    ))  # fmt: skip
    world.look()
    world.end(Outcome(ok=True))
    world.plans = {"web": plan("steady")}
    world.look()
    note = world.store.fleets["web"]
    assert (note.failures, note.error, note.runs) == (0, "", False)


def test_a_job_that_changes_nothing_does_not_make_the_next_one_begin_at_once() -> None:
    """Otherwise the engine would begin one job after the other for as long as the fleet needs the same."""
    world = World({"web": plan("changing", CREATE, counts={"ready": 1})})
    world.look()
    messages = []
    for _ in range(3):
        world.end(Outcome(ok=True))
        messages += world.look().messages
    assert len(world.begun) == 1
    assert len(messages) == 1
    assert engine.UNCHANGED in messages[0]
    world.now = world.store.fleets["web"].not_before
    world.look()
    assert len(world.begun) == 2


def test_a_wave_that_made_nodes_is_followed_by_the_next_at_once() -> None:
    world = World({"web": plan("changing", CREATE, counts={"ready": 1})})
    world.look()
    world.end(Outcome(ok=True))
    world.plans = {"web": plan("changing", CREATE, counts={"ready": 2})}
    world.look()
    assert len(world.begun) == 2


def test_a_job_that_the_master_did_not_start_counts_as_failed_after_a_while() -> None:
    world = World({"web": plan("changing", CREATE)})
    world.look()
    world.jobs.clear()
    world.now += engine.START - 1
    world.look()
    assert world.store.fleets["web"].runs
    world.now += 2
    world.look()
    note = world.store.fleets["web"]
    assert (note.runs, note.error, len(world.begun)) == (False, engine.NOT_STARTED, 1)


def test_a_master_that_refuses_a_job_fails_that_fleet_only() -> None:
    world = World({"web": plan("changing", CREATE), "db": plan("steady")}, refuses="no salt-master is running")
    messages = world.look().messages
    assert messages == ["the job hart.apply for the fleet web failed: no salt-master is running"]
    assert (world.store.fleets["web"].runs, world.store.looks) == (False, 1)


def test_the_number_of_jobs_is_bounded_and_every_fleet_has_its_turn() -> None:
    names = [f"f{number}" for number in range(10)]
    world = World({name: plan("changing", CREATE, role=name) for name in names})
    seen: list[str] = []
    for round_ in range(1, 4):
        world.now += 100
        world.look()
        assert sum(it is None for it in world.jobs.values()) <= engine.MAX_JOBS
        seen = [name for name, _ in world.begun]
        world.end(Outcome(ok=True))
        world.plans = {name: plan("changing", CREATE, role=name, counts={"ready": round_}) for name in names}
    assert set(seen[: 3 * engine.MAX_JOBS]) == set(names)


def test_fleets_of_one_role_take_turns() -> None:
    world = World({"here": plan("changing", CREATE), "there": plan("changing", CREATE)})
    world.look()
    world.look()
    assert [name for name, _ in world.begun] == ["here"]
    world.end(Outcome(ok=True))
    world.plans["here"] = plan()
    world.look()
    assert [name for name, _ in world.begun] == ["here", "there"]


BAKE = {"action": "bake", "minion_id": None}


def test_nodes_are_repaired_while_a_job_only_bakes() -> None:
    world = World({"web": plan("changing", BAKE)})
    world.look()
    world.look()
    assert [name for name, _ in world.begun] == ["web"]
    world.plans = {"web": plan("changing", CREATE)}
    world.look()
    world.look()
    assert [name for name, _ in world.begun] == ["web", "web"], "one job beside the bake"


def test_a_job_that_only_bakes_bakes_for_all_fleets_of_its_role_and_keeps_none_of_them_from_repairs() -> None:
    world = World({"web": plan("changing", BAKE), "api": plan("changing", BAKE), "db": plan(role="db")})
    world.look()
    world.look()
    assert [name for name, _ in world.begun] == ["api"]
    world.plans = {**world.plans, "web": plan("changing", CREATE, BAKE), "db": plan("changing", BAKE, role="db")}
    world.look()
    assert [name for name, _ in world.begun] == ["api", "db", "web"]


def test_a_job_that_bakes_and_changes_nodes_too_has_the_role_for_itself() -> None:
    world = World({"web": plan("changing", CREATE, BAKE), "api": plan()})
    world.look()
    world.plans = {"web": plan("changing", CREATE), "api": plan("changing", CREATE)}
    world.look()
    assert [name for name, _ in world.begun] == ["web"]


def test_nodes_outside_of_fleets_have_a_job_that_runs_alone() -> None:
    world = World({"web": plan("changing", CREATE)})
    world.look()
    world.plans = plain({}, {}, outside=True) | {"web": plan(), "db": plan("changing", CREATE, role="db")}
    world.look()
    assert [name for name, _ in world.begun] == ["web"]
    world.end(Outcome(ok=True))
    world.look()
    world.look()
    assert [name for name, _ in world.begun] == ["web", engine.OUTSIDE]
    world.end(Outcome(ok=True))
    del world.plans[engine.OUTSIDE]
    world.look()
    assert [name for name, _ in world.begun] == ["web", engine.OUTSIDE, "db"]
    assert "hart/fleet//changing" not in world.tags


def test_a_fleet_that_is_no_longer_declared_is_forgotten_when_its_job_has_ended() -> None:
    world = World({"web": plan("changing", CREATE)})
    world.look()
    world.plans = {}
    world.look()
    assert world.store.fleets["web"].runs
    world.end(Outcome(ok=True))
    world.look()
    assert world.store.fleets == {}


def test_an_event_is_fired_for_each_change_of_a_state_with_its_reason_and_numbers() -> None:
    world = World({"web": plan("steady")})
    world.look()
    world.plans = {"web": {**plan("blocked", counts={"ready": 2}, later=1), "why": "the network is at fault"}}
    messages = world.look().messages
    world.look()
    assert world.tags == ["hart/fleet/web/steady", "hart/fleet/web/blocked"]
    assert world.fired[-1][1] == {
        "fleet": "web", "state": "blocked", "why": "the network is at fault",
        "counts": {"actions": 0, "later": 1, "ready": 2},
    }  # fmt: skip
    assert messages == ["the fleet web is blocked: the network is at fault"]


def test_a_node_is_announced_once_an_hour_before_its_end_and_again_if_the_end_moves() -> None:
    world = World(ends=[Ending("ci-1", 1e9 + 7200, {"role": "runner"})])
    world.look()
    assert world.fired == []
    world.now = 1e9 + 3600
    world.look()
    world.look()
    data = {"role": "runner", "minion_id": "ci-1", "ends": 1e9 + 7200, "seconds": 3600}
    assert world.fired == [("hart/ci-1/ending", data)]
    world.ends = [Ending("ci-1", 1e9 + 7200 + 14400, {})]
    world.look()
    assert len(world.fired) == 1
    world.now += 14400
    world.look()
    assert world.tags == ["hart/ci-1/ending"] * 2


def test_a_node_that_is_not_seen_for_a_moment_is_not_announced_again() -> None:
    ends = [Ending("ci-1", 1e9 + 1800, {})]
    world = World(ends=ends)
    world.look()
    world.ends = []
    world.look()
    world.ends = ends
    world.look()
    assert len(world.fired) == 1


def test_the_memory_of_ends_does_not_grow() -> None:
    world = World(ends=[Ending(f"ci-{number}", 1e9 + 10, {}) for number in range(100)])
    world.look()
    world.ends, world.now = [], 1e9 + 11
    world.look()
    assert world.store.ending == {}


def test_nothing_is_begun_if_the_plan_fails_or_the_lease_is_lost() -> None:
    world = World({"web": plan("changing", CREATE)}, lost=True)
    with pytest.raises(Refused):
        world.look()
    assert (world.begun, world.fired, world.store) == ([], [], EngineState())


STEPS = [
    ("plan", 1),
    ("write", 1),
    ("fire", 1),
    ("fire", 2),
    ("begin", 1),
    ("has begun", 1),
    ("begin", 2),
    ("write", 2),
]


@pytest.mark.parametrize("kill", STEPS, ids=lambda step: f"{step[0]} {step[1]}")
def test_a_look_that_is_killed_anywhere_loses_no_event_and_begins_no_job_twice(kill: tuple[str, int]) -> None:
    world = World(
        {"web": plan("changing", CREATE), "db": plan("changing", CREATE, role="db")},
        ends=[Ending("ci-1", 1e9 + 60, {})],
        kill=kill,
    )
    with pytest.raises(Killed):
        world.look()
    world.kill = ("", 0)
    for _ in range(5):
        world.now += engine.START / 2 + 1
        world.look()
    running = [name for name, token in world.begun if world.jobs.get(token, 0) is None]
    assert sorted(running) == ["db", "web"]
    assert set(world.tags) >= {"hart/fleet/web/changing", "hart/fleet/db/changing", "hart/ci-1/ending"}


def test_the_document_survives_the_store() -> None:
    world = World({"web": plan("changing", CREATE)}, ends=[Ending("ci-1", 1e9 + 60, {})])
    world.look()
    from dataclasses import asdict

    state = replace(world.store, unsent=[("hart/fleet/web/changing", {"a": 1})])
    assert state_of({**asdict(state), "format": 1}) == state


@pytest.mark.parametrize("data", [None, {}, [], {"format": 2}, {"format": 1, "looks": "x"}, {"format": 1, "fleets": 3}])
def test_a_document_that_cannot_be_used_counts_as_none(data: Any) -> None:
    assert state_of(data) is None
