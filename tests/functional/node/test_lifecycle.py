"""The lifecycle of one node and its undo, in a world in memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import DriverError, InvalidRequest, NodeFailed, TemporaryFailure
from hart_salt.drivers.ec2.settings import Options
from hart_salt.master.public_keys import fingerprint
from hart_salt.model import Instance
from hart_salt.node import bootstrap
from hart_salt.node.progress import Progress
from tests.functional.fakes import fails_with
from tests.functional.node.life_world import (
    ADDRESSES,
    ALL,
    COMMANDS,
    DOCUMENT,
    NOTHING,
    PEM,
    FakeDriver,
    Stage,
    failure,
    plainly,
)

# success


def test_a_node_becomes_sealed_with_its_stages_in_order(stage: Stage) -> None:
    life = stage.play(stage.node(apply="highstate"), plainly)
    assert (life.sealed, life.problems) == (True, [])
    assert stage.left() == ALL
    assert stage.world.sealed == {"web"}
    assert stage.world.applying == ["web"]
    assert stage.world.events == [
        f"hart/web/{name}" for name in ("launching", "running", "bootstrapping", "enrolled", "ready")
    ]
    (record,) = stage.store.all()
    assert (record.stage, record.sealed, record.instance_id, record.zone) == ("ready", True, "i-web-b1", "z9")
    assert record.ssh_host_keys == DOCUMENT["host_keys"]


def test_a_minion_that_the_image_started_is_reported(stage: Stage) -> None:
    stage.world.document["former_key"] = "an old key"
    life = stage.play(stage.node(), plainly)
    assert life.notes == ["a minion of the image's own with an old key"]
    del stage.world.document["former_key"]
    assert stage.play(stage.node(minion_id="web-2"), plainly).notes == []
    assert stage.world.applying == []


def test_permanent_changes_of_the_script_are_reported(stage: Stage) -> None:
    stage.world.document["notes"] = ["the image took passwords"]
    stage.world.document["former_key"] = "an old key"
    life = stage.play(stage.node(), plainly)
    assert life.notes == ["the image took passwords", "a minion of the image's own with an old key"]


def test_the_script_turns_password_logins_off_only_if_the_driver_says_so(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    render = bootstrap.render

    def noted(script: bootstrap.Script) -> str:
        asked.append(script.forbid_passwords)
        return render(script)

    monkeypatch.setattr(bootstrap, "render", noted)
    stage.play(stage.node(), plainly)
    monkeypatch.setattr(FakeDriver, "password_logins", True)
    stage.play(stage.node(minion_id="web-2"), plainly)
    assert asked == [False, True]


def test_the_script_knows_whether_the_image_is_baked_and_whether_cloud_init_runs_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bool, bool]] = []
    render = bootstrap.render

    def noted(script: bootstrap.Script) -> str:
        asked.append((script.baked, script.boothooks))
        return render(script)

    monkeypatch.setattr(bootstrap, "render", noted)
    stage.play(stage.node(), plainly)
    monkeypatch.setattr(FakeDriver, "boothooks", True)
    stage.play(dataclasses.replace(stage.node(minion_id="web-2"), baked="image-1"), plainly)
    assert asked == [(False, False), (True, True)]


def test_the_record_is_written_before_the_instance_is_requested(stage: Stage) -> None:
    def look() -> None:
        (record,) = stage.store.all()
        assert (record.stage, record.batch, record.instance_id) == ("launching", "b1", None)

    stage.world.faults["before launch"] = look
    assert stage.play(stage.node(), plainly).sealed


def test_the_record_names_the_key_before_it_is_accepted(stage: Stage) -> None:
    """Sweep deletes a key only if a record says that it is the node's."""

    def look() -> None:
        (record,) = stage.store.all()
        assert (record.stage, record.minion_key_finger) == ("enrolling", fingerprint(PEM))

    stage.world.faults["before accept"] = look
    assert stage.play(stage.node(), plainly).sealed


def test_the_record_has_a_stage_before_its_event(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[str, str]] = []
    report = Progress.stage

    def report_and_look(progress: Progress, minion_id: str, name: str, facts: Any) -> None:
        (record,) = stage.store.all()
        heard.append((name, record.stage))
        report(progress, minion_id, name, facts)

    monkeypatch.setattr(Progress, "stage", report_and_look)
    stage.play(stage.node(), plainly)
    stages = ["launching", "running", "bootstrapping", "enrolling", "enrolled", "ready"]
    assert heard == [*((name, name) for name in stages), ("done", "ready")]


# failure

EVERYWHERE = [
    "put", "before launch", "after launch", "connect", "stream", "before accept", "after accept", "start", "seal",
    "settle",
]  # fmt: skip


@pytest.mark.parametrize("error", [NodeFailed("no luck"), TemporaryFailure("no luck"), ZeroDivisionError("no luck")])
@pytest.mark.parametrize("place", EVERYWHERE)
def test_every_failure_is_undone_and_reported(stage: Stage, place: str, error: Exception) -> None:
    stage.world.faults[place] = fails_with(error)
    assert "no luck" in failure(stage)
    assert stage.left() == NOTHING
    assert stage.world.events[-1] == "hart/web/failed"


def test_a_question_that_could_not_be_asked_is_asked_again(stage: Stage) -> None:
    stage.world.faults["ping"] = fails_with(OSError("the master is being restarted"), times=3)
    assert stage.play(stage.node(), plainly).sealed


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("[ERROR   ] The master key has changed", "its log says: The master key has changed; "),
        ("[INFO    ] all is well", ""),
        (None, ""),
    ],
)
def test_the_error_of_a_silent_minion_has_the_reason_from_its_own_log(
    stage: Stage, log: str | None, reason: str
) -> None:
    stage.world.silent, stage.world.minion_log = True, log
    error = failure(stage, stage.node(ready_timeout=0.1))
    hint = "check that the node can reach this master at saltmaster (192.0.2.9)"
    assert error.endswith(f"did not reach this master within 0.1 s: {reason}{hint}")
    assert stage.left() == NOTHING


def test_a_minion_that_cannot_be_asked_in_time_is_undone_with_the_reason(stage: Stage) -> None:
    stage.world.faults["ping"] = fails_with(OSError("the bus is broken"))
    error = failure(stage, stage.node(ready_timeout=0.1))
    assert "did not answer this master within 0.1 s (last error: the bus is broken)" in error
    assert stage.left() == NOTHING


def test_the_instance_goes_before_its_key_and_the_key_before_the_record(stage: Stage) -> None:
    stage.world.faults["seal"] = fails_with(NodeFailed("no luck"))
    failure(stage)
    assert stage.world.undone == ["instance", "key", "record"]


@pytest.mark.parametrize(("reason", "shown"), [("", ""), ("the mirror is down ", ": the mirror is down")])
def test_a_step_that_failed_on_the_node_is_named_with_the_reason(stage: Stage, reason: str, shown: str) -> None:
    stage.world.document.update(exit_code=7, failed_step="install", minion_key="", reason=reason)
    assert failure(stage) == f"the bootstrap failed in step install with exit code 7{shown}"
    assert stage.left() == NOTHING


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({}, "public_ip"), ({"connect_via": "private"}, "private_ip"), ({"public_ip": False}, "private_ip")],
    ids=repr,
)
def test_hart_connects_to_the_address_that_the_settings_choose(
    stage: Stage, settings: dict[str, Any], kind: str
) -> None:
    stage.play(stage.node(**settings), plainly)
    assert stage.world.connected == [ADDRESSES[kind]]


def test_a_failed_operator_script_is_reported_and_the_node_undone(stage: Stage, tmp_path: Path) -> None:
    script = tmp_path / "init"
    script.touch()
    stage.world.exit_codes[COMMANDS.run_script] = 3
    assert failure(stage, stage.node(script=str(script))) == f"the script {script} ended with exit code 3 on the node"
    assert stage.left() == NOTHING


def test_a_failed_security_upgrade_is_reported_and_the_node_undone(stage: Stage) -> None:
    stage.world.exit_codes[COMMANDS.after] = 100
    assert failure(stage, stage.node(security_upgrades="after")) == "the security upgrades failed on the node"
    assert stage.left() == NOTHING
    stage.play(stage.node(), plainly)
    assert stage.world.sealed, "where no upgrades are left for later, no command looks for them"


def test_text_that_is_not_a_key_is_never_accepted(stage: Stage) -> None:
    stage.world.document["minion_key"] = "-----BEGIN PUBLIC KEY-----\ngarbage\n-----END PUBLIC KEY-----\n"
    assert "not a public key" in failure(stage)
    assert (stage.left(), stage.world.undone) == (NOTHING, ["instance", "record"])


def test_a_foreign_accepted_key_stays_when_the_node_is_undone(stage: Stage) -> None:
    stage.world.keys["web"] = "the admin's"
    assert "another key is accepted" in failure(stage)
    assert stage.left() == {**NOTHING, "keys": ["web"]}


def test_a_launch_whose_answer_was_lost_leaves_no_instance(stage: Stage) -> None:
    stage.world.faults["after launch"] = fails_with(TemporaryFailure("the connection broke", uncertain=True))
    assert "the connection broke" in failure(stage)
    assert stage.left() == NOTHING


def test_a_launch_whose_answer_was_lost_leaves_no_instance_even_if_it_appears_late(stage: Stage) -> None:
    late = Instance("i-web-b1", "web", "pending", batch="b1")

    def lose() -> None:
        stage.world.instances.clear()
        raise TemporaryFailure("the connection broke", uncertain=True)

    def show() -> None:
        if stage.world.lists == 2:
            stage.world.instances["i-web-b1"] = late

    stage.world.faults.update({"after launch": lose, "list": show})
    failure(stage)
    assert stage.left() == NOTHING
    assert stage.world.undone == ["instance", "record"]


def test_the_instance_of_another_call_with_the_same_id_is_never_touched(stage: Stage) -> None:
    stage.world.instances["i-theirs"] = Instance("i-theirs", "web", "running", batch="b0")
    stage.world.faults["before launch"] = fails_with(InvalidRequest("the name is taken"))
    assert "the name is taken" in failure(stage)
    assert stage.left() == {**NOTHING, "instances": ["i-theirs"]}


def test_an_undo_that_fails_at_first_is_repeated(stage: Stage) -> None:
    stage.world.faults["seal"] = fails_with(NodeFailed("no luck"))
    stage.world.faults["terminate"] = fails_with(TemporaryFailure("the API is down"), times=2)
    assert failure(stage) == "no luck"
    assert stage.left() == NOTHING


@pytest.mark.parametrize(
    ("place", "said", "stays"),
    [
        ("terminate", "the instance could not be removed", {"instances": ["i-web-b1"], "records": ["web"]}),
        ("delete key", "the key could not be deleted", {"keys": ["web"], "records": ["web"]}),
        ("remove record", "its record could not be removed", {"records": ["web"]}),
    ],
)
@pytest.mark.parametrize("error", [TemporaryFailure("the API is down"), OSError("the API is down")])
def test_a_failed_part_of_the_undo_is_reported_and_the_others_are_done(
    stage: Stage, place: str, said: str, stays: dict[str, list[str]], error: Exception
) -> None:
    stage.world.faults["seal"] = fails_with(NodeFailed("no luck"))
    stage.world.faults[place] = fails_with(error)
    reason = failure(stage)
    assert reason.startswith("no luck; ")
    assert f"{said}: the API is down" in reason
    assert stage.left() == {**NOTHING, **stays}


def test_what_is_left_has_a_record_that_says_why(stage: Stage) -> None:
    stage.world.faults["seal"] = fails_with(NodeFailed("no luck"))
    stage.world.faults["terminate"] = fails_with(DriverError("forbidden"))
    assert "salt-run hart.destroy web" in failure(stage)
    (record,) = stage.store.all()
    assert (record.stage, record.error, record.instance_id) == ("failed", "no luck", "i-web-b1")


def test_keep_failed_keeps_a_failed_node_but_not_its_key(stage: Stage) -> None:
    stage.world.faults["seal"] = fails_with(NodeFailed("no luck"))
    assert "kept because of keep_failed" in failure(stage, stage.node(keep_failed=True))
    assert stage.left() == {**ALL, "keys": []}


@pytest.mark.parametrize("error", [ZeroDivisionError("no luck"), OSError("no luck"), NodeFailed("no luck")])
def test_a_failure_of_apply_undoes_nothing(stage: Stage, error: Exception) -> None:
    stage.world.faults["apply"] = fails_with(error)
    life = stage.play(stage.node(apply="web"), plainly)
    assert "no luck" in life.problems[0]
    assert stage.world.reasons == [f"apply failed: {life.problems[0]}"]
    assert stage.left() == ALL


def test_a_spot_node_gets_the_module_before_its_minion_starts(stage: Stage) -> None:
    """The first scheduled job finds the function; no other node gets the file."""
    stage.play(stage.node(minion_id="plain"), plainly)
    assert COMMANDS.bring_module not in dict(stage.world.ran)
    stage.world.ran.clear()
    stage.play(dataclasses.replace(stage.node(), options=Options(spot=True)), plainly)
    assert [command for command, _ in stage.world.ran][:2] == [COMMANDS.bring_module, COMMANDS.start]
    assert "def interruption" in str(dict(stage.world.ran)[COMMANDS.bring_module])
