"""Several nodes of one call, and several concurrent calls."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.end_to_end import tools
from tests.end_to_end.conftest import SaltMaster

IDS = tuple(f"n{number}.example" for number in range(1, 6))


def test_five_nodes_come_up_at_once_one_failure_affects_no_other_and_their_keys_are_deleted_at_once(
    master: SaltMaster,
) -> None:
    unlucky = IDS[2]
    others = [minion_id for minion_id in IDS if minion_id != unlucky]
    with tools.tried(master) as trial:
        for minion_id in IDS:
            trial.hold_script(minion_id, "script", tools.BEFORE_KEY)
        trial.alter(unlucky, "begin install\n", "begin install\necho 'disk full, says the node'; exit 28\n")
        with tools.running(master, "hart.create", ",".join(IDS), "role=app") as run:
            for minion_id in IDS:
                trial.wait("script", minion_id)  # all five exist before any of them continues
            for minion_id in IDS:
                trial.go("script", minion_id)
            done = tools.ended(run)
        assert done.code == 1
        assert {minion_id: done.data[minion_id]["result"] for minion_id in others} == dict.fromkeys(others, True)
        entry = done.data[unlucky]
        assert entry["result"] is False
        assert "failed in step install with exit code 28" in entry["error"]
        assert "disk full, says the node" in "\n".join(entry["output"])
        assert entry["log"] == str(master.log_dir / f"{unlucky}.log")
        assert "disk full, says the node" in tools.log_of(master, unlucky)
        assert tools.left_of(master, unlucky, trial) == []
        assert master.salt("*", "test.ping").data == dict.fromkeys(others, True)

        rotations = len(trial.noted("rotations"))
        with master.events() as events:
            gone = master.run("hart.destroy", ",".join(others))
        assert gone.code == 0, gone
        assert len(trial.noted("rotations")) - rotations == 1
        assert sorted(data["id"] for data in tools.of(events, "salt/key", act="delete")) == others
        assert not any(master.left_over().values())


def test_a_node_that_fails_before_its_minion_started_makes_no_other_minion_log_in_again(master: SaltMaster) -> None:
    with tools.tried(master) as trial:
        trial.fail("accepted", "a", "NodeFailed")
        assert master.run("hart.create", "a", "role=app").code == 1
        assert trial.noted("rotations") == []
        assert tools.left_of(master, "a", trial) == []


def test_two_concurrent_calls_with_different_ids_both_work(master: SaltMaster) -> None:
    with tools.tried(master) as trial:
        trial.hold_script("a", "script", tools.BEFORE_KEY)
        trial.hold_script("b", "script", tools.BEFORE_KEY)
        with (
            tools.running(master, "hart.create", "a", "role=app") as first,
            tools.running(master, "hart.create", "b", "role=app") as second,
        ):
            trial.wait("script", "a")
            trial.wait("script", "b")
            trial.go("script", "a")
            trial.go("script", "b")
            assert (tools.ended(first).code, tools.ended(second).code) == (0, 0)
        assert master.salt("-L", "a,b", "test.ping").data == {"a": True, "b": True}


def test_a_call_for_an_id_that_another_call_works_on_is_refused_and_changes_nothing(master: SaltMaster) -> None:
    with tools.tried(master) as trial:
        trial.hold_script("a", "script", tools.BEFORE_KEY)
        with tools.running(master, "hart.create", "a", "role=app") as first:
            trial.wait("script", "a")
            for refused in (master.run("hart.create", "a", "role=app"), master.run("hart.destroy", "a")):
                assert refused.code != 0
                assert "Traceback" not in refused.stdout
            assert "being worked on by another operation" in refused.stdout
            assert master.run("hart.list_minions").data["a"]["status"] == "in progress"
            trial.go("script", "a")
            done = tools.ended(first)
        assert done.code == 0, done
        assert master.salt("a", "test.ping").data == {"a": True}


def test_of_two_calls_for_one_free_id_exactly_one_wins(master: SaltMaster) -> None:
    with tools.tried(master) as trial:
        trial.hold("begun", "call")
        with (
            tools.running(master, "hart.create", "a", "role=app") as first,
            tools.running(master, "hart.create", "a", "role=app") as second,
        ):
            tools.until(lambda: len(trial.noted("begun")) == 2, "two calls that have found the id free")
            trial.go("begun", "call")
            done = [tools.ended(first), tools.ended(second)]
        won = [run for run in done if run.code == 0]
        lost = [run for run in done if run.code != 0]
        assert (len(won), len(lost)) == (1, 1), done
        assert won[0].data["a"]["result"] is True
        assert "error" in json.dumps(lost[0].data)
        assert master.salt("a", "test.ping").data == {"a": True}
        assert tools.left_of(master, "a", trial)[:3] == ["key minions", "instance", "record"]


def test_a_killed_destroy_can_be_repeated_and_one_with_a_signal_finishes_what_it_started(
    master: SaltMaster,
) -> None:
    with tools.tried(master) as trial:
        assert master.run("hart.create", "a,b", "role=app").code == 0
        trial.hold("terminate", "b")
        trial.hold("terminated", "a")
        with tools.running(master, "hart.destroy", "a,b") as run:
            trial.wait("terminate", "b")
            trial.wait("terminated", "a")
            run.kill()
        left = {minion_id: entry["status"] for minion_id, entry in master.run("hart.list_minions").data.items()}
        assert left == {"a": "no instance", "b": "ready"}
        (trial.path / "reached/terminate@b").unlink()
        with tools.running(master, "hart.destroy", "a,b") as run:
            trial.wait("terminate", "b")
            os.kill(run.pid, signal.SIGINT)
            assert run.stderr is not None
            while "SIGINT: rolling back" not in run.stderr.readline():
                pass
            trial.go("terminated", "a")
            trial.go("terminate", "b")
            done = tools.ended(run)
        assert {minion_id: done.data[minion_id]["result"] for minion_id in "ab"} == {"a": True, "b": True}, done
        assert tools.left_of_each(master, "ab", trial) == {"a": [], "b": []}


@pytest.mark.parametrize("error", ["TemporaryFailure", "a defect"])
def test_a_destroy_that_cannot_remove_one_instance_removes_the_others(master: SaltMaster, error: str) -> None:
    with tools.tried(master) as trial:
        assert master.run("hart.create", "a,b", "role=app").code == 0
        trial.fail("terminate", "a", error)
        done = master.run("hart.destroy", "a,b")
        assert done.code == 1
        assert (done.data["a"]["result"], done.data["b"]["result"]) == (False, True)
        assert "planned fault at terminate" in done.data["a"]["error"]
        assert tools.left_of(master, "b", trial) == []
        assert tools.left_of(master, "a", trial)[:3] == ["key minions", "instance", "record"]
        trial.fix()
        assert master.run("hart.destroy", "a").code == 0
        assert tools.left_of(master, "a", trial) == []
