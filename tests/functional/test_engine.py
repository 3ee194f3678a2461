"""A look of the engine on a master with a fake provider: real configuration, records, locks and runner; no daemons."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from hart_salt import look
from hart_salt.base import machine
from hart_salt.base.errors import AuthError, EnvironmentFault
from hart_salt.fleets.engine_files import EngineFiles
from hart_salt.fleets.engine_state import EngineState, EngineStore
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.job_files import JobFiles, Outcome, new_token
from hart_salt.inventory.records import Store
from hart_salt.master.client import Master
from hart_salt.runners import hart as runner
from tests.functional import test_use_cases
from tests.functional.test_use_cases import HART, Place

place = test_use_cases.place
WEB = {"role": "app", "count": 2}


class Scene:
    """The master as the engine finds it."""

    def __init__(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        self.jobs: list[tuple[str, Mapping[str, Any]]] = []
        self.fired: list[tuple[str, Mapping[str, Any]]] = []
        monkeypatch.setattr(Master, "begin", lambda master, function, arguments: self._begin(function, arguments))
        monkeypatch.setattr(Master, "fire", lambda master, tag, data: self.fired.append((tag, data)))
        monkeypatch.setattr(look, "ATTEMPTS", 1)

    def _begin(self, function: str, arguments: Mapping[str, Any]) -> str:
        self.jobs.append((function, arguments))
        return f"2026{len(self.jobs)}"

    def write(self, **hart: Any) -> None:
        """Write ``hart:`` into the file of the master config; no option of a running master changes."""
        path = Path(self.place.opts["conf_file"])
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "hart": {**HART, **hart}}))

    def look(self, **more: Any) -> dict[str, Any]:
        request = {"conf_file": self.place.opts["conf_file"], "config": None, "interval": 60, "seen": None, **more}
        return look.answered(request)

    @property
    def documents(self) -> EngineStore:
        return EngineStore(self.place.store, self.place.info.owner)


@pytest.fixture
def scene(place: Place, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(place, monkeypatch)


def test_a_fleet_that_lacks_nodes_gets_a_job_of_one_wave(scene: Scene) -> None:
    scene.write(fleets={"web": WEB})
    answer = scene.look()
    assert (answer["error"], answer["leads"], len(answer["jobs"])) == ("", True, 1)
    ((function, arguments),) = scene.jobs
    assert function == "hart.apply"
    token = answer["jobs"][0]
    marks = {runner.BACKGROUND: True, runner.BY: "engine", runner.ENGINE: token}
    assert arguments == {"fleet": "web", "waves": 1, **marks}
    assert [tag for tag, _ in scene.fired] == ["hart/fleet/web/changing"]
    state = scene.documents.read()
    assert state is not None
    assert (state.fleets["web"].jid, state.looks) == ("20261", 1)


def test_a_second_look_begins_no_second_job_and_its_end_the_next(scene: Scene) -> None:
    scene.write(fleets={"web": WEB})
    (token,) = scene.look()["jobs"]
    with JobFiles(scene.place.opts["cachedir"]).held(token) as outcome:
        assert scene.look()["jobs"] == [token]
        outcome.update(ok=True)
    assert len(scene.jobs) == 1
    scene.place.start("app-1")
    assert len(scene.look()["jobs"]) == 1
    assert len(scene.jobs) == 2


def test_each_look_reads_the_files_again(scene: Scene) -> None:
    scene.write(fleets={})
    assert scene.look()["jobs"] == []
    scene.write(fleets={"web": WEB})
    assert len(scene.look()["jobs"]) == 1


@pytest.mark.parametrize("text", ["hart: {fleets: {web: {role: app, cuont: 2}}}", "hart: [", "hart: {fleets: 3}"])
def test_a_broken_configuration_changes_nothing_and_is_reported(scene: Scene, text: str) -> None:
    scene.write(fleets={"web": WEB})
    path = Path(scene.place.opts["conf_file"])
    rest = {key: value for key, value in yaml.safe_load(path.read_text()).items() if key != "hart"}
    path.write_text(f"{yaml.safe_dump(rest)}\n{text}\n")
    answer = scene.look()
    assert answer["broken"] is True
    assert answer["error"]
    assert (scene.jobs, scene.fired, scene.documents.read()) == ([], [], None)


def test_a_provider_that_does_not_answer_begins_nothing(scene: Scene) -> None:
    scene.write(fleets={"web": WEB})
    scene.place.clouds["cloud"].error = AuthError("the token is wrong")
    answer = scene.look()
    assert scene.jobs == []
    state = scene.documents.read()
    assert state is not None
    assert answer["error"] or state.fleets["web"].state == "blocked"


def test_a_record_store_that_cannot_be_used_is_a_failure_and_no_crash(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(store: Store, bank: str, key: str) -> dict[str, Any]:
        raise EnvironmentFault("the record store cannot be read")

    scene.write(fleets={"web": WEB})
    monkeypatch.setattr(Store, "recall", broken)
    assert scene.look() == {"error": "the record store cannot be read", "broken": False, "log": []}


def test_a_defect_leaves_its_place_for_the_log_of_the_master(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(fleets: Any) -> Any:
        raise KeyError("a password")

    monkeypatch.setattr("hart_salt.use_cases.fleets.Fleets.observe", defect)
    answer = scene.look()
    assert answer["error"] == "a defect in hart: KeyError; the log shows where"
    (line,) = answer["log"]
    assert line.startswith("hart failed with KeyError at ")
    assert "in defect" in line
    assert "a password" not in line


def test_while_another_process_looks_it_does_not(scene: Scene) -> None:
    scene.write(fleets={"web": WEB})
    with FileLocks(scene.place.opts["cachedir"]).engine() as held:
        assert held
        assert scene.look()["error"] == look.BUSY
    assert scene.jobs == []


def test_the_leader_of_another_machine_is_followed(scene: Scene) -> None:
    scene.write(fleets={"web": WEB})
    scene.documents.write(EngineState(leader="m2", machine="other 0123456789ab", looks=3))
    answer = scene.look()
    assert (answer["error"], answer["leads"], scene.jobs) == ("", False, [])
    assert answer["seen"]["looks"] == 3
    late = {**answer["seen"], "since": answer["seen"]["since"] - 180}
    answer = scene.look(seen=late)
    assert (answer["leads"], len(scene.jobs)) == (True, 1)
    state = scene.documents.read()
    assert state is not None
    me = machine.machine(scene.place.opts["cachedir"])
    assert (state.leader, state.machine, state.looks) == ("test_master", me, 4)


def test_a_failed_look_does_not_keep_the_leadership(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another master, which may reach the provider, takes over; hart.engine shows the failure everywhere."""
    scene.write(fleets={"web": WEB})
    scene.look()
    before = scene.documents.read()

    def failing(fleets: Any) -> Any:
        raise EnvironmentFault("the disk is full")

    monkeypatch.setattr("hart_salt.use_cases.fleets.Fleets.observe", failing)
    assert scene.look()["error"] == "the disk is full"
    state = scene.documents.read()
    assert before is not None
    assert state is not None
    assert (state.error, state.looks) == ("the disk is full", before.looks)


# the jobs


@contextlib.contextmanager
def own(place: Place) -> Iterator[str]:
    """Yield the token of a job, and check that its file is not held afterwards."""
    token = new_token()
    yield token
    assert not JobFiles(place.opts["cachedir"]).is_running(token)


def apply(token: object, **more: Any) -> dict[str, Any]:
    marks: dict[str, Any] = {runner.BACKGROUND: True, runner.BY: "engine", runner.ENGINE: token}
    data: dict[str, Any] = runner.apply(**{"fleet": "web", "waves": 1, **more, **marks})
    return data


def test_a_job_uses_the_configuration_of_the_look_and_leaves_its_outcome(scene: Scene) -> None:
    """The master that runs the job keeps the configuration with which it was started."""
    scene.write(fleets={"web": {**WEB, "count": 0, "max": 2}})
    assert "fleets" not in scene.place.opts["hart"]
    with own(scene.place) as token:
        data = apply(token)
    assert data["fleets"]["web"]["wanted"] == 0
    assert JobFiles(scene.place.opts["cachedir"]).outcome(token) == Outcome(ok=True)


def test_a_job_that_fails_says_why_in_its_file_and_not_in_the_log(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.write(fleets={"web": WEB})
    with own(scene.place) as token:
        apply(token)
    outcome = JobFiles(scene.place.opts["cachedir"]).outcome(token)
    assert not outcome.ok
    assert "the account may have 0 instances" in outcome.error
    assert [record for record in caplog.records if "which a reactor called" in record.getMessage()] == []


def test_the_marks_of_the_engine_are_those_of_the_runner() -> None:
    assert look.JOB == {runner.BACKGROUND: True, runner.BY: "engine"}
    assert look.TOKEN == runner.ENGINE


# hart.engine


def shown(place: Place) -> dict[str, Any]:
    data: dict[str, Any] = runner.engine()
    return data


def test_hart_engine_without_an_engine_says_so(place: Place) -> None:
    data = shown(place)
    assert data["engine"] == {"status": "not configured", "fleets": {}}
    assert "retcode" not in data
    assert data["notes"] == ["the engine is not configured: see the page Fleets of the documentation"]


def test_hart_engine_fails_if_the_engine_is_configured_and_does_not_run(place: Place) -> None:
    place.opts["engines"] = [{"hart": {"interval": 30}}]
    data = shown(place)
    assert (data["engine"]["status"], data["retcode"]) == ("not running", 1)


def test_hart_engine_works_with_a_broken_configuration_and_names_wrong_settings(place: Place) -> None:
    place.opts["hart"]["roles"] = 3
    place.opts["engines"] = [{"hart": {"interval": 1}}]
    data = shown(place)
    assert data["problems"][0].startswith("engines: hart: interval: must be a number of seconds of at least 5")


def test_hart_engine_shows_what_the_engine_did(scene: Scene) -> None:
    scene.place.opts["engines"] = ["hart"]
    scene.write(fleets={"web": WEB})
    scene.look()
    files = EngineFiles(scene.place.opts["cachedir"])
    state = scene.documents.read()
    assert state is not None
    scene.documents.write(replace(state, looked=0.0))
    with files.alone():
        files.write({"interval": 60, "started": time.time(), "looked": time.time(), "took": 1.0, "next": time.time()})
        data = shown(scene.place)
    assert "retcode" not in data
    assert (data["engine"]["status"], data["engine"]["leads"]) == ("working", True)
    assert data["engine"]["fleets"]["web"]["job"] == "20261"


def test_ready_nodes_that_end_within_an_hour_are_announced_once(scene: Scene) -> None:
    now = time.time()
    scene.write(fleets={})
    scene.place.start("ci-1", ends=now + 1800)
    scene.place.start("ci-2", ends=now + 9000)
    scene.place.start("ci-3")
    scene.place.start("ci-4", ends=now + 1800, stage="enrolling")
    scene.look()
    scene.look()
    ((tag, data),) = scene.fired
    assert (tag, data["role"], data["ends"]) == ("hart/ci-1/ending", "app", now + 1800)
    assert 1700 < data["seconds"] <= 1800


def test_a_node_outside_of_fleets_whose_ttl_has_ended_gets_a_job_for_all(scene: Scene) -> None:
    scene.write(fleets={})
    scene.place.start("ci-1", ends=time.time() - 1)
    scene.look()
    ((function, arguments),) = scene.jobs
    assert (function, arguments["waves"], "fleet" in arguments) == ("hart.apply", 1, False)
