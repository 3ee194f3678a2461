"""The events and returns of an accepted minion in the name of others decide nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import salt.config
from saltfactories.manager import FactoriesManager

from hart_salt.master.client import Master
from tests.emulation.light import make_minion_key
from tests.end_to_end import forging, tools
from tests.end_to_end.conftest import SaltMaster, running_master
from tests.end_to_end.forging import Forger


@dataclass(frozen=True)
class Scene:
    """A master, and a compromised minion of it."""

    master: SaltMaster
    mallory: Forger


WITH_CACHE = pytest.param({}, id="job cache")
WITHOUT = pytest.param({"job_cache": False}, id="none kept")
EITHER = pytest.mark.parametrize("_scene", [WITH_CACHE, WITHOUT], indirect=True)
KEPT = pytest.mark.parametrize("_scene", [WITH_CACHE], indirect=True)


@pytest.fixture(scope="module")
def _scene(factories: FactoriesManager, request: pytest.FixtureRequest) -> Iterator[Scene]:
    with running_master(factories, **request.param) as master, forging.taken_over(master) as mallory:
        yield Scene(master, mallory)


@pytest.fixture
def scene(_scene: Scene) -> Iterator[Scene]:
    yield _scene
    _scene.master.config["hart"] = {"roles": {"app": {}}}
    _scene.master.write()


@EITHER
def test_a_node_whose_minion_never_runs_is_undone_whatever_another_minion_claims(scene: Scene) -> None:
    master, ghost = scene.master, "ghost"
    with tools.tried(master) as trial:
        trial.alter(ghost, tools.AT_START, ":\n")
        arguments = (ghost, "role=app", "ready_timeout=7")
        with tools.running(master, "hart.create", *arguments) as run:
            values = (True, "", f"Minion {ghost} started")
            jobs = forging.answer_until_ended(scene.mallory, master, run, ghost, *values, ways=forging.WAYS)
            ran = tools.ended(run)
        assert jobs, "it was asked: the forged start event woke hart up"
        assert len(jobs) < 40, "and many of them do not make it ask as many times"
        assert ran.code == 1, ran
        assert "did not answer this master within 7 s" in ran.data[ghost]["error"]
        assert tools.left_of(master, ghost, trial) == []


@EITHER
def test_a_node_is_ready_while_another_minion_answers_wrongly_for_it(scene: Scene) -> None:
    master, node = scene.master, "honest"
    with tools.running(master, "hart.create", node, "role=app") as run:
        forging.answer_until_ended(scene.mallory, master, run, node, False, "wrong", ways=forging.WAYS)
        ran = tools.ended(run)
    assert ran.code == 0, ran
    config = (master.instances / node / "etc/salt/minion.d/zzz-hart.conf").read_text()
    assert "hart_answer" not in config, "the code is gone once the node is sealed"
    assert master.run("hart.destroy", node).code == 0


@KEPT
def test_a_node_is_not_drained_because_another_minion_says_so(scene: Scene) -> None:
    master, node = scene.master, "drained"
    master.hart["roles"] = {"app": {"drain": {"function": "cmd.run", "args": ["sleep 4; exit 1"]}}}
    master.write()
    assert master.run("hart.create", node, "role=app").code == 0
    with tools.running(master, "hart.scale", "app", "count=0") as run:
        jobs = forging.answer_until_ended(scene.mallory, master, run, node, "", ways=("event", "return"))
        ran = tools.ended(run)
    assert "cmd.run" in [job["fun"] for job in jobs]
    assert list(ran.data["kept"]) == [node], ran
    assert "cmd.run failed" in str(ran.data["kept"][node])
    assert master.run("hart.destroy", node).code == 0


@KEPT
def test_a_stopped_minion_is_not_up_because_another_minion_says_so(scene: Scene) -> None:
    """All other questions use the same path as ``ping`` and ``grains``."""
    master, silent = scene.master, "silent"
    ours = Master(salt.config.master_config(str(master.root / "etc/master")))
    ours.keys.accept(silent, make_minion_key())
    assert ours.minions.ping("mallory", 5), "a minion that is there answers"
    began = time.time()
    with ThreadPoolExecutor() as pool:
        asked: list[Future[Any]] = [
            pool.submit(ours.minions.present, [silent]),
            pool.submit(ours.minions.grains, [silent], ["ipv4"]),
        ]
        while not all(one.done() for one in asked):
            for job in forging.jobs_for(master, silent, began):
                scene.mallory.answer(job, silent, True if job["fun"] == "test.ping" else {"ipv4": []}, "event")
            time.sleep(0.3)
    assert [one.result() for one in asked] == [frozenset(), {}]
    ours.keys.delete([silent])
