"""
Whatever ends a node early, at whatever stage: nothing of it is left.

Several nodes of one call each stop at one stage, by the plan of ``tools.Trial`` and not by chance; then the cause ends
all of them at once. The table of all stages and causes is printed at the end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.end_to_end import tools
from tests.end_to_end.conftest import Ran, SaltMaster
from tests.parts import print_lines

#: stage → what was left, for each cause; the tests fill it, and it is printed after the last
TABLE: dict[str, dict[str, list[str]]] = {}

ON_NODE = {"bootstrapping": tools.BEFORE_KEY, "starting": tools.AT_START, "sealing": tools.AT_SEAL}
IN_DRIVER = {"launching": "launch", "launched": "launched", "enrolling": "accepted", "settling": "settle"}
STAGES = ("launching", "launched", "running", "bootstrapping", "enrolling", "starting", "silent", "script", "sealing",
          "settling")  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _table(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    print_lines(request.config, _lines())


def _lines() -> Iterator[str]:
    causes = list(dict.fromkeys(cause for left in TABLE.values() for cause in left))
    yield "\n" + "what is left, by stage and cause".ljust(36) + "".join(f"{cause:<12}" for cause in causes)
    for stage, left in TABLE.items():
        words = [", ".join(left[cause]) or "nothing" if cause in left else "-" for cause in causes]
        yield f"  {stage:<34}" + "".join(f"{word:<12}" for word in words)


def _note(cause: str, left: dict[str, list[str]]) -> None:
    for stage, words in left.items():
        TABLE.setdefault(stage, {})[cause] = words


def _create(stages: tuple[str, ...]) -> tuple[str, ...]:
    return ("hart.create", ",".join(stages), "role=app")


def _alike(stages: tuple[str, ...], master: SaltMaster, trial: tools.Trial, script: str) -> None:
    """Make a node stop at ``silent`` and ``script``, where it fails or waits."""
    if "silent" in stages:
        (master_key,) = master.root.rglob("master.pub")
        trial.alter("silent", master_key.read_text().strip(), tools.foreign_key())
    path = trial.path / "script"
    path.write_text(f'#!/bin/sh\ncase "$HART_ROOT" in */script) ;; *) exit 0 ;; esac\n{script}\n')
    master.hart["script"] = str(path)


def test_a_failure_at_any_stage_leaves_nothing(master: SaltMaster) -> None:
    with tools.tried(master) as trial:
        for stage, line in ON_NODE.items():
            trial.alter(stage, line, f"exit 7\n{line}")
        for stage, point in IN_DRIVER.items():
            trial.fail(point, stage)
        trial.alter("enrolling", "\nmake_minion_key\n", '\nmake_minion_key\necho no key > "$minion_keys/minion.pub"\n')
        trial.seen_as("running", state="stopped")
        _alike(STAGES, master, trial, "exit 4")
        master.hart["ready_timeout"] = 15
        master.write()
        done = master.run(*_create(STAGES))
        left = tools.left_of_each(master, STAGES, trial)
    _note("error", left)
    assert done.code == 1, done
    assert left == {stage: [] for stage in STAGES}
    assert {stage: entry["result"] for stage, entry in done.data.items() if stage != "retcode"} == dict.fromkeys(
        STAGES, False
    )
    words = {
        "launching": "planned fault at launch",
        "launched": "planned fault at launched",
        "running": "the instance is stopped",
        "bootstrapping": "step trust with exit code 7",
        "enrolling": "not a public key",
        "starting": "exit code 7",
        "silent": "did not reach this master",
        "script": "exit code 4",
        "sealing": "exit code 7",
        "settling": "planned fault at settle",
    }
    assert {stage: word in done.data[stage]["error"] for stage, word in words.items()} == dict.fromkeys(words, True)


@pytest.mark.parametrize("signum", tools.SIGNALS, ids=lambda signum: signum.name)
def test_a_signal_at_any_stage_leaves_nothing_and_sets_the_exit_code(
    master: SaltMaster, signum: signal.Signals
) -> None:
    with tools.tried(master) as trial:
        for stage, line in ON_NODE.items():
            trial.hold_script(stage, "script", line)
        for stage, point in IN_DRIVER.items():
            trial.hold(point, stage)
        trial.hold_script("enrolling", "script", tools.BEFORE_KEY)
        trial.seen_as("running", state="pending")
        wait = f"touch {trial.path}/reached/script@script; while :; do sleep 0.05; done"
        _alike(STAGES, master, trial, wait)
        master.write()
        with tools.running(master, *_create(STAGES)) as run:
            for stage in (*ON_NODE, "enrolling", "script"):
                trial.wait("script", stage)
            for stage in ("launching", "launched", "settling"):
                trial.wait(IN_DRIVER[stage], stage)
            trial.wait("instances", "running")
            tools.until(lambda: _minion_of(master, "silent"), "a minion that does not reach its master")
            # The last one, since hart asks Salt one thing at a time: its key is accepted, the answer is pending.
            trial.go("script", "enrolling")
            trial.wait("accepted", "enrolling")
            done = _signalled(run, signum, trial)
        left = tools.left_of_each(master, STAGES, trial)
        answers = master.salt("settling", "test.ping").data
        removed = master.run("hart.destroy", "settling").code
    # A node whose access is closed and whose record says so is a minion: the signal waits for the provider's part of
    # sealing, since half of it would leave volumes that no record names.
    sealed = left.pop("settling")
    _note(signum.name, {**left, "settling": ["a minion"] if answers == {"settling": True} else sealed})
    assert done.code == 128 + signum, done
    undone = [stage for stage in STAGES if stage != "settling"]
    assert left == {stage: [] for stage in undone}
    expected = f"interrupted by {signum.name}; the node was rolled back"
    assert {stage: done.data[stage]["error"] for stage in undone} == dict.fromkeys(undone, expected)
    assert done.data["settling"]["result"] is True
    assert (answers, removed) == ({"settling": True}, 0)


def _minion_of(master: SaltMaster, minion_id: str) -> bool:
    return (master.instances / minion_id / "var/log/salt/minion").exists()


def _signalled(run: subprocess.Popen[str], signum: signal.Signals, trial: tools.Trial) -> Ran:
    """Send the signal; once it was received, release the driver. Nodes keep waiting."""
    os.kill(run.pid, signum)
    assert run.stderr is not None
    heard = ""
    while f"{signum.name}: rolling back" not in heard:
        heard = run.stderr.readline()
        assert heard, "the run ended without a word about the signal"
    for point in IN_DRIVER.items():
        trial.go(*reversed(point))
    return tools.ended(run)


@pytest.mark.parametrize("signum", tools.SIGNALS, ids=lambda signum: signum.name)
def test_a_signal_while_the_access_of_the_batch_is_made_removes_the_access(
    master: SaltMaster, signum: signal.Signals
) -> None:
    with tools.tried(master) as trial:
        trial.hold("opened", "batch")
        with tools.running(master, *_create(("a",))) as run:
            trial.wait("opened", "batch")
            os.kill(run.pid, signum)
            assert run.stderr is not None
            assert f"{signum.name}: rolling back" in run.stderr.readline()
            trial.go("opened", "batch")
            done = tools.ended(run)
        left = tools.left_of(master, "a", trial)
    _note(signum.name, {"access": left})
    assert done.code == 128 + signum
    assert left == []


def test_an_access_that_cannot_be_made_leaves_nothing(master: SaltMaster) -> None:
    with tools.tried(master) as trial:
        trial.fail("opened", "batch")
        done = master.run(*_create(("a",)))
        left = tools.left_of(master, "a", trial)
    _note("error", {"access": left})
    assert done.code != 0
    assert "planned fault at opened" in json.dumps(done.data)
    assert left == []


@pytest.mark.parametrize("error", ["TemporaryFailure", "a defect"])
def test_an_access_that_cannot_be_removed_is_reported_and_hides_no_node_s_outcome(
    master: SaltMaster, error: str
) -> None:
    with tools.tried(master) as trial:
        trial.fail("closed", "batch", error)
        done = master.run(*_create(("a",)))
        assert done.code != 0
        assert done.data["a"]["instance_id"] == "a"
        assert "planned fault at closed" in json.dumps(done.data)
        assert master.salt("a", "test.ping").data == {"a": True}


@pytest.mark.parametrize("signum", tools.SIGNALS, ids=lambda signum: signum.name)
def test_a_signal_before_anything_was_started_is_not_a_success(master: SaltMaster, signum: signal.Signals) -> None:
    with tools.tried(master) as trial:
        trial.hold("checks", "call")
        with tools.running(master, *_create(("a",))) as run:
            trial.wait("checks", "call")
            os.kill(run.pid, signum)
            trial.go("checks", "call")
            done = tools.ended(run)
        left = tools.left_of(master, "a", trial)
    _note(signum.name, {"checks": left})
    assert done.code == 128 + signum
    assert done.data["error"] == "interrupted; nothing was started"
    assert left == []


def test_a_second_signal_during_the_undo_does_not_interrupt_it(master: SaltMaster) -> None:
    with tools.tried(master) as trial:
        trial.hold_script("a", "script", tools.AT_START)
        trial.hold("terminate", "a")
        with tools.running(master, *_create(("a",))) as run:
            trial.wait("script", "a")
            os.kill(run.pid, signal.SIGINT)
            trial.wait("terminate", "a")
            for signum in tools.SIGNALS:
                os.kill(run.pid, signum)
            assert run.stderr is not None
            while "still rolling back" not in run.stderr.readline():
                pass
            trial.go("terminate", "a")
            done = tools.ended(run)
        left = tools.left_of(master, "a", trial)
    assert done.code > 128
    assert left == []


def test_an_instance_that_cannot_be_removed_at_first_is_removed_later(master: SaltMaster) -> None:
    with tools.tried(master) as trial:
        trial.alter("a", tools.BEFORE_KEY, "exit 7\n" + tools.BEFORE_KEY)
        trial.fail("terminate", "a", times=1)
        done = master.run(*_create(("a",)))
        left = tools.left_of(master, "a", trial)
    assert done.code == 1
    assert left == []


@pytest.mark.parametrize("cause", ["error", "SIGTERM"])
def test_an_instance_that_cannot_be_removed_is_reported_with_its_remedy_and_hart_destroy_removes_it(
    master: SaltMaster, cause: str
) -> None:
    with tools.tried(master) as trial:
        trial.fail("terminate", "a")
        if cause == "error":
            trial.alter("a", tools.AT_START, "exit 7\n" + tools.AT_START)
            done = master.run(*_create(("a",)))
        else:
            trial.hold_script("a", "script", tools.AT_START)
            with tools.running(master, *_create(("a",))) as run:
                trial.wait("script", "a")
                done = _signalled(run, signal.SIGTERM, trial)
        assert done.code == (1 if cause == "error" else 143)
        error = done.data["a"]["error"]
        assert "the instance could not be removed: a planned fault at terminate; salt-run hart.destroy a" in error
        assert "the node was rolled back" not in error
        assert tools.left_of(master, "a", trial)[:2] == ["instance", "record"]
        listed = master.run("hart.list_minions").data["a"]
        assert (listed["status"], listed["sources"]["key"]) == ("failed", None)
        trial.fix()
        assert master.run("hart.destroy", "a").code == 0
        assert tools.left_of(master, "a", trial) == []


def test_keep_failed_keeps_the_instance_and_the_record_but_not_the_key(master: SaltMaster) -> None:
    with tools.tried(master) as trial:
        trial.alter("a", tools.AT_START, "exit 7\n" + tools.AT_START)
        done = master.run(*_create(("a",)), "keep_failed=True")
        left = tools.left_of(master, "a", trial)
        assert done.code == 1
        assert "hart.destroy a" in done.data["a"]["error"]
        assert left[:2] == ["instance", "record"]
        assert [word for word in left if not word.startswith(("instance", "record", "process"))] == []
        assert master.run("hart.destroy", "a").code == 0
        assert tools.left_of(master, "a", trial) == []


def test_a_signal_undoes_a_node_even_with_keep_failed(master: SaltMaster) -> None:
    with tools.tried(master) as trial:
        trial.hold_script("a", "script", tools.BEFORE_KEY)
        with tools.running(master, *_create(("a",)), "keep_failed=True") as run:
            trial.wait("script", "a")
            done = _signalled(run, signal.SIGINT, trial)
        left = tools.left_of(master, "a", trial)
    assert done.code == 130
    assert left == []


def test_a_signal_while_states_are_applied_keeps_the_minion_and_says_so(master: SaltMaster) -> None:
    with tools.tried(master) as trial:
        wait = f"touch {trial.path}/reached/state@a; while [ ! -e {trial.path}/go/state@a ]; do sleep 0.05; done"
        (master.root / "srv/salt/slow.sls").write_text(json.dumps({"slow": {"cmd.run": [{"name": wait}]}}))
        with tools.running(master, *_create(("a",)), "apply=slow") as run:
            trial.wait("state", "a")
            done = _signalled(run, signal.SIGINT, trial)
        trial.go("state", "a")
        assert done.code == 130
        assert done.data["a"]["result"] is False
        assert "kept" in done.data["a"]["error"]
        assert master.salt("a", "test.ping").data == {"a": True}
