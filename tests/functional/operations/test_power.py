"""Start, stop and reboot: real drivers over emulated APIs, and minions that answer while their machines run."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hart_salt.inventory.snapshot import Snapshot, take_snapshot
from hart_salt.node import answering
from hart_salt.operations import leaks, listing, power
from tests.functional.operations.power_world import ID, OTHER, Stage, opened

START, STOP = power.start(test=False), power.stop(force=False, test=False)
REBOOT = power.reboot(force=False, test=False)


@pytest.fixture
def stage(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(answering, "ASK_AGAIN", 0.02)
    with opened(getattr(request, "param", "do"), root, ID, OTHER) as made:
        made.cloud.calls.clear()
        yield made


BOTH = pytest.mark.parametrize("stage", ["do", "gce"], indirect=True)


@BOTH
def test_a_node_is_stopped_and_started_and_its_record_stays_true(stage: Stage) -> None:
    """At Compute Engine, a stopped instance has no public address, and another one after its start."""
    before = stage.record()
    outcomes, interrupted = stage.do(STOP)
    entry = outcomes[ID]
    assert (entry["result"], entry["changed"], entry["state"], interrupted) == (True, True, "stopped", None), entry
    assert stage.record().public_ip == stage.instance().public_ip == entry["public_ip"]
    outcomes, _ = stage.do(START)
    entry = outcomes[ID]
    assert (entry["result"], entry["changed"], entry["state"]) == (True, True, "running"), entry
    assert stage.record().public_ip == stage.instance().public_ip == entry["public_ip"]
    changed = stage.driver.provider.driver == "gce"
    assert (stage.record().public_ip != before.public_ip) == changed
    assert dataclasses.replace(stage.record(), public_ip=before.public_ip) == before
    assert stage.record(OTHER).public_ip == stage.instance(OTHER).public_ip
    assert stage.events() == [f"hart/{ID}/stopped", f"hart/{ID}/started"]
    assert stage.master.sent[-1][1]["public_ip"] == stage.record().public_ip


def test_the_journal_has_what_was_changed(stage: Stage) -> None:
    for verb in (STOP, STOP, START, START, REBOOT):
        stage.do(verb)
    lines = [json.loads(line) for line in stage.journal.read_text().splitlines()]
    assert [(line["action"], line["minion_id"], line["result"]) for line in lines] == [
        ("stop", ID, True), ("start", ID, True), ("reboot", ID, True),
    ]  # fmt: skip


def test_what_is_in_that_state_already_is_a_success_without_a_change(stage: Stage) -> None:
    outcomes, _ = stage.do(START)
    assert (outcomes[ID]["result"], outcomes[ID]["changed"], "notes" in outcomes[ID]) == (True, False, False)
    stage.master.silent.add(ID)
    outcomes, _ = stage.do(START)
    assert outcomes[ID]["result"]
    assert "does not answer: salt-run hart.reboot" in outcomes[ID]["notes"][0]
    assert stage.changes() == []
    stage.do(STOP)
    stage.cloud.calls.clear()
    outcomes, _ = stage.do(STOP)
    assert (outcomes[ID]["result"], outcomes[ID]["changed"], stage.changes()) == (True, False, [])
    assert [tag for tag in stage.events() if "failed" in tag] == []


def test_a_start_without_an_event_is_noticed_all_the_same(stage: Stage) -> None:
    stage.do(STOP)
    stage.master.fires = False
    outcomes, _ = stage.do(START)
    assert outcomes[ID]["result"], outcomes


@pytest.mark.parametrize("verb", [START, REBOOT])
def test_an_event_alone_is_not_believed(stage: Stage, verb: Any) -> None:
    """Any minion can fire the start event of another one; the node stays as the provider made it."""
    if verb is START:
        stage.do(STOP)
    stage.master.silent.add(ID)
    outcomes, _ = stage.do(verb, timeout=0.3)
    assert not outcomes[ID]["result"]
    assert f"{ID} did not answer within 0.3 s" in outcomes[ID]["error"]
    assert stage.instance().state == "running"
    assert stage.events()[-1] == f"hart/{ID}/failed"


def test_an_answer_of_the_old_boot_is_not_believed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that is shutting down still answers, and one that hangs never restarts."""
    monkeypatch.setattr(stage.master, "boot", lambda minion_id: stage.master.on_start(minion_id))
    outcomes, _ = stage.do(REBOOT, timeout=0.3)
    assert not outcomes[ID]["result"]
    assert outcomes[ID]["error"].endswith("force=True cuts its power; the provider was asked to restart it")
    monkeypatch.undo()
    assert stage.do(REBOOT)[0][ID]["result"]


@pytest.mark.parametrize("how", ["mute", "silent"])
def test_a_minion_that_does_not_say_its_boot_can_be_restarted(stage: Stage, how: str) -> None:
    """One that cannot, by its start event and its answer; one that hangs, by its answer."""
    getattr(stage.master, how).add(ID)

    def boot(minion_id: str) -> None:
        stage.master.silent.clear()
        stage.master.on_start(minion_id)

    stage.master.boot = boot  # type: ignore[method-assign]
    outcomes, _ = stage.do(REBOOT)
    assert (outcomes[ID]["result"], outcomes[ID]["changed"]) == (True, True), outcomes


def test_a_node_that_is_stopped_is_not_rebooted(stage: Stage) -> None:
    stage.do(STOP)
    stage.cloud.calls.clear()
    outcomes, _ = stage.do(REBOOT)
    assert outcomes[ID]["error"] == f"it is stopped: salt-run hart.start {ID} starts it"
    assert stage.changes() == []


def test_several_nodes_are_independent(stage: Stage) -> None:
    stage.driver.terminate(stage.instance(OTHER))
    stage.clock.advance(60)
    stage.cloud.calls.clear()
    outcomes, interrupted = stage.do(STOP, ID, OTHER)
    assert (outcomes[ID]["result"], outcomes[OTHER]["result"], interrupted) == (True, False, None)
    assert "is gone" in outcomes[OTHER]["error"]
    lists = [call.path for call in stage.cloud.calls if call.method == "GET" and call.path.endswith("/droplets")]
    assert len(lists) == 1


@pytest.mark.parametrize("verb", [START, STOP, REBOOT])
def test_an_instance_of_another_master_is_never_changed(stage: Stage, verb: Any) -> None:
    """Its tags say it, whatever the record says."""
    droplet = stage.cloud.state.droplets[int(stage.record().instance_id or "")]
    droplet.tags = [tag for tag in droplet.tags if not tag.startswith("hart-owner:")] + ["hart-owner:" + "f" * 16]
    outcomes, _ = stage.do(verb)
    assert "does not have the tag of this master" in outcomes[ID]["error"]
    assert stage.changes() == []


@pytest.mark.parametrize("verb", [START, STOP, REBOOT])
def test_a_node_that_another_call_works_on_is_left_alone(stage: Stage, verb: Any) -> None:
    with stage.locks.claim(ID):
        outcomes, _ = stage.do(verb)
    assert "is being worked on by another operation" in outcomes[ID]["error"]
    assert stage.changes() == []


def test_a_node_that_is_not_ready_is_left_alone(stage: Stage) -> None:
    stage.store.put(dataclasses.replace(stage.record(), sealed=False))
    outcomes, _ = stage.do(STOP)
    assert "is not a ready node" in outcomes[ID]["error"]
    assert stage.changes() == []


def test_the_failure_of_the_provider_is_the_error_of_the_node(stage: Stage) -> None:
    stage.cloud.settings.denied = ("droplet:update",)
    outcomes, _ = stage.do(STOP)
    assert "needs the scope droplet:update" in outcomes[ID]["error"]
    assert stage.events()[-1] == f"hart/{ID}/failed"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_wait_for_a_minion_and_says_how_far_it_came(stage: Stage, signum: int) -> None:
    stage.do(STOP)
    stage.master.silent.add(ID)

    def once() -> None:
        stage.master.meanwhile = lambda: None
        os.kill(os.getpid(), signum)
        time.sleep(0.5)  # while the waiting thread receives it

    stage.master.meanwhile = once
    outcomes, interrupted = stage.do(START)
    assert interrupted == signum
    assert outcomes[ID]["error"].endswith("; its instance runs"), outcomes
    assert stage.instance().state == "running"
    assert stage.locks.look({}).busy(ID) is False


def test_a_plan_changes_nothing(stage: Stage) -> None:
    for verb, action in ((power.start(test=True), "none"), (power.stop(force=False, test=True), "stop"),
                         (power.reboot(force=False, test=True), "reboot")):  # fmt: skip
        with stage.locks.claim(ID):  # a plan does not need the node
            outcomes, _ = stage.do(verb)
        assert (outcomes[ID]["result"], outcomes[ID]["action"], outcomes[ID]["state"]) == (None, action, "running")
    assert (stage.changes(), stage.events(), stage.journal.exists()) == ([], [], False)


def test_a_stopped_node_is_listed_as_stopped_and_is_no_orphan(stage: Stage) -> None:
    stage.do(STOP)
    assert listed(stage)["status"] == "stopped"
    seen, info = seen_of(stage), stage.context.info
    scene = leaks.Scene(seen, [], lambda _: False, lambda _: False, {}, time.time() + 1e6, 0.0, owner=info.owner)
    decision = leaks.decide(scene)
    assert (decision.orphans, decision.kept, decision.unsealed) == ([], [], [])


def seen_of(stage: Stage) -> Snapshot:
    master: Any = _Keys()
    return take_snapshot([stage.driver], stage.store, master)


def listed(stage: Stage) -> dict[str, Any]:
    """Return the entry of the first node in the list of nodes."""
    return listing.nodes(seen_of(stage), lambda _: False, stage.context.info)[ID]


class _Keys:
    """A master with the accepted keys of both nodes."""

    def __init__(self) -> None:
        self.keys: Any = self

    def states(self) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys((ID, OTHER), ("minions",))
