"""Sweep, beside living operations: what it removes, what it keeps, and that every create starts with it."""

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
    """Kill a create call at a point of its driver."""
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


def test_of_two_runs_the_dead_one_is_removed_and_the_living_one_unchanged(master: SaltMaster, trial: Trial) -> None:
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
    """Return what exists of a node; its machine may be starting and ending processes now."""
    return {part.split()[0] for part in tools.left_of(master, minion_id)}


def test_a_test_run_shows_what_would_be_removed_and_changes_nothing(master: SaltMaster, trial: Trial) -> None:
    kill_at(master, trial, "launched", "dead")
    left = parts(master, "dead")
    looked = sweep(master, "test=True")
    (orphan,) = looked["would_remove"]
    assert (orphan["kind"], orphan["name"], orphan["why"]) == ("node", "dead", "it was left at launching")
    assert parts(master, "dead") == left
    assert names(sweep(master)["removed"]) == ["dead"], "it is known to be dead, so no grace is due"


def test_each_create_first_removes_what_died(master: SaltMaster, trial: Trial) -> None:
    kill_at(master, trial, "launched", "dead")
    ran = master.run("hart.create", "next", "role=app")
    assert (ran.code, set(ran.data)) == (0, {"next"}), ran
    assert tools.left_of(master, "dead") == []
    assert "hart: removed dead, which a call that died left behind" in ran.stderr
    assert "'kind'" not in ran.stderr
    kill_at(master, trial, "launched", "dead-too")
    assert master.run("hart.create", "planned", "role=app", "test=True").code == 0
    assert tools.left_of(master, "dead-too") != [], "a plan touches nothing"
    assert master.run("hart.scale", "app", "count=1").data["changed"] is False
    assert tools.left_of(master, "dead-too") == []


def test_kept_nodes_and_those_younger_than_the_grace_period_stay(master: SaltMaster, trial: Trial) -> None:
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
    # As with another account: the provider does not know the instance.
    claim = master.instances / "moved/instance.json"
    claim.write_text(json.dumps({**json.loads(claim.read_text()), "owner": "0" * 16}))
    swept = sweep(master, "grace=0", "provider=local")
    assert (swept["removed"], names(swept["kept"]), names(swept["rebuilt"])) == ([], ["moved"], ["unrecorded"])
    assert "its minion answers" in swept["kept"][0]["why"]
    assert master.run("hart.list_minions").data["unrecorded"]["status"] == "ready"


def test_a_minion_whose_instance_is_gone_loses_its_key_and_a_foreign_key_stays(master: SaltMaster) -> None:
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


def test_after_the_master_was_killed_during_a_call_a_sweep_leaves_nothing(make_master: MakeMaster) -> None:
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


def test_a_run_without_its_master_undoes_its_node(make_master: MakeMaster) -> None:
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
    """Kill the master and its own processes, as a power failure does."""
    assert master.daemon is not None
    with contextlib.suppress(Exception):
        tools.kill_family(master.daemon.pid)
    master.stop()


def test_a_lock_that_a_dead_process_left_is_removed(master: SaltMaster) -> None:
    lock: Path = master.cachedir / "hart/locks/dead.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    sweep(master)
    assert not lock.exists()
