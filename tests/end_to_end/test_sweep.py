"""Sweep, beside what is alive: what it removes, what it keeps, and that every create begins with it."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import tools
from tests.end_to_end.conftest import MakeMaster, SaltMaster
from tests.end_to_end.runs import side_by_side
from tests.end_to_end.tools import Trial


@pytest.fixture
def trial(master: SaltMaster) -> Iterator[Trial]:
    with tools.tried(master) as planned:
        yield planned


def kill_at(master: SaltMaster, trial: Trial, point: str, minion_id: str) -> None:
    """Let a creation die at a point of its driver."""
    trial.hold(point, minion_id)
    with tools.running(master, "hart.create", minion_id, "role=app") as run:
        trial.wait(point, minion_id)
        run.send_signal(signal.SIGKILL)
        run.wait(300)


def sweep(master: SaltMaster, *arguments: str) -> dict[str, Any]:
    ran = master.run("hart.sweep", *arguments)
    assert ran.code == 0, ran
    data: dict[str, Any] = ran.data
    return data


def names(orphans: list[dict[str, Any]]) -> list[str]:
    return sorted(orphan["name"] for orphan in orphans)


def test_of_two_runs_the_dead_one_is_removed_and_the_living_one_untouched(master: SaltMaster, trial: Trial) -> None:
    trial.hold("launched", "living")
    with tools.running(master, "hart.create", "living", "role=app") as living:
        trial.wait("launched", "living")
        kill_at(master, trial, "launched", "dead")
        swept = sweep(master, "grace=0")
        assert names(swept["removed"]) == ["dead"]
        assert tools.left_of(master, "dead", None) == []
        trial.go("launched", "living")
        ran = tools.ended(living)
    assert (ran.code, ran.data["living"]["result"]) == (0, True), ran
    assert sweep(master, "grace=0")["removed"] == []
    assert master.run("hart.list_minions").data["living"]["status"] == "ready"


def parts(master: SaltMaster, minion_id: str) -> set[str]:
    """What there is of a node; its machine may be starting and ending processes at this moment."""
    return {part.split()[0] for part in tools.left_of(master, minion_id)}


def test_a_look_shows_what_would_be_removed_and_touches_nothing(master: SaltMaster, trial: Trial) -> None:
    kill_at(master, trial, "launched", "dead")
    left = parts(master, "dead")
    looked = sweep(master, "test=True")
    (orphan,) = looked["would_remove"]
    assert (orphan["kind"], orphan["name"], orphan["why"]) == ("node", "dead", "it was left at launching")
    assert parts(master, "dead") == left
    assert names(sweep(master)["removed"]) == ["dead"], "it is known to be dead, so no grace is due"


def test_each_create_begins_with_removing_what_died(master: SaltMaster, trial: Trial) -> None:
    kill_at(master, trial, "launched", "dead")
    ran = master.run("hart.create", "next", "role=app")
    assert (ran.code, set(ran.data)) == (0, {"next"}), ran
    assert tools.left_of(master, "dead") == []
    assert "hart sweep: removed" in ran.stderr
    kill_at(master, trial, "launched", "dead-too")
    assert master.run("hart.create", "planned", "role=app", "test=True").code == 0
    assert tools.left_of(master, "dead-too") != [], "a plan touches nothing"
    assert master.run("hart.scale", "app", "count=1").data["changed"] is False
    assert tools.left_of(master, "dead-too") == []


def test_what_was_kept_as_asked_and_what_is_younger_than_the_grace_period_stays(
    master: SaltMaster, trial: Trial
) -> None:
    trial.fail("settle", "kept")
    assert master.run("hart.create", "kept", "role=app", "keep_failed=True").code == 1
    assert master.run("hart.create", "unrecorded", "role=app").code == 0
    master.record("unrecorded").unlink()
    tools.salt_key(master, "-d", "unrecorded")
    swept = sweep(master)
    assert (swept["removed"], names(swept["kept"])) == ([], ["unrecorded"])
    assert "younger than the grace period" in swept["kept"][0]["why"]
    assert names(sweep(master, "grace=0")["removed"]) == ["unrecorded"]
    assert (tools.left_of(master, "unrecorded"), "instance" in tools.left_of(master, "kept")) == ([], True)


def test_a_minion_that_answers_gets_its_lost_record_again_and_is_kept_without_its_instance(
    master: SaltMaster,
) -> None:
    master.hart["providers"] = {"local": {}, "other": {"driver": "local"}}
    master.write()
    assert master.run("hart.create", "unrecorded,moved", "role=app", "provider=local").code == 0
    master.record("unrecorded").unlink()
    # As if the account were another one today: the provider knows nothing of the instance.
    claim = master.instances / "moved/instance.json"
    claim.write_text(json.dumps({**json.loads(claim.read_text()), "owner": "0" * 16}))
    swept = sweep(master, "grace=0", "provider=local")
    assert (swept["removed"], names(swept["kept"]), names(swept["rebuilt"])) == ([], ["moved"], ["unrecorded"])
    assert "its minion answers" in swept["kept"][0]["why"]
    assert master.run("hart.list_minions").data["unrecorded"]["status"] == "ready"


def test_a_minion_whose_instance_is_gone_loses_its_key_and_a_stranger_s_key_stays(master: SaltMaster) -> None:
    assert master.run("hart.create", "gone,replaced", "role=app").code == 0
    for name in ("gone", "replaced"):
        tools.end_instance(master, name)
    tools.salt_key(master, "-d", "replaced")
    with tools.bare_minion(master, "replaced"):
        tools.until(lambda: "replaced" in master.keys()["minions_pre"], "another minion of that name")
        assert names(sweep(master, "grace=0")["removed"]) == ["gone", "replaced"]
        assert "replaced" in master.keys()["minions_pre"]
    assert "gone" not in master.keys()["minions"]
    assert not master.record("gone").exists()


def test_two_sweeps_at_once_do_the_work_of_one(master: SaltMaster, trial: Trial) -> None:
    dead = [f"dead-{number}" for number in range(3)]
    for name in dead:
        kill_at(master, trial, "launched", name)
    both = side_by_side(master, [("hart.sweep", "grace=0"), ("hart.sweep", "grace=0")])
    assert [ran.code for ran in both] == [0, 0], both
    assert [tools.left_of(master, name) for name in dead] == [[]] * 3


def test_with_the_master_killed_underneath_a_sweep_after_its_start_leaves_nothing(make_master: MakeMaster) -> None:
    master = make_master()
    with tools.tried(master) as trial:
        for point in ("launched", "accepted"):
            trial.hold(point, point)
            with tools.running(master, "hart.create", point, "role=app") as run:
                trial.wait(point, point)
                kill_daemon(master)
                run.send_signal(signal.SIGKILL)
                run.wait(300)
            master.start()
            assert tools.left_of(master, point)
            assert names(sweep(master)["removed"]) == [point]
            assert tools.left_of(master, point) == []


def test_a_run_that_goes_on_without_its_master_undoes_its_node(make_master: MakeMaster) -> None:
    master = make_master()
    with tools.tried(master) as trial:
        trial.hold("accepted", "alone")
        with tools.running(master, "hart.create", "alone", "role=app", "ready_timeout=3") as run:
            trial.wait("accepted", "alone")
            kill_daemon(master)
            trial.go("accepted", "alone")
            ran = tools.ended(run)
        # salt-run itself cannot print a result without a master.
        assert ran.code == 1, ran
        assert "no salt-master is running on the sockets in" in ran.stderr
        master.start()
        assert tools.left_of(master, "alone") == []
        assert sweep(master)["removed"] == []


def kill_daemon(master: SaltMaster) -> None:
    """End the master as by a power cut, with all that it started itself."""
    assert master.daemon is not None
    with contextlib.suppress(Exception):
        tools.kill_family(master.daemon.pid)
    master.stop()


def test_a_lock_that_a_dead_process_left_is_cleared(master: SaltMaster) -> None:
    lock: Path = master.cachedir / "hart/locks/dead.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    sweep(master)
    assert not lock.exists()
