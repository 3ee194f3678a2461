"""Other sizes of nodes, and their tags: real drivers over emulated APIs. After a failure, the node is as before."""

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

from hart_salt.node import answering
from hart_salt.operations import resize, tagging
from hart_salt.operations.tagging import TagChange
from tests.emulation.faults import Fault
from tests.functional.operations import test_power
from tests.functional.operations.power_world import ID, OTHER, Stage, opened

SIZES = {"do": "s-1vcpu-2gb", "gce": "n1-standard-1", "vultr": "vc2-1c-2gb"}
EACH = pytest.mark.parametrize("stage", SIZES, indirect=True)


@pytest.fixture
def stage(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(answering, "ASK_AGAIN", 0.02)
    with opened(getattr(request, "param", "do"), root, ID, OTHER) as made:
        made.cloud.calls.clear()
        yield made


def larger(stage: Stage) -> str:
    return SIZES[stage.driver.provider.driver]


def to(stage: Stage, size: str = "", **more: Any) -> dict[str, Any]:
    outcomes, _ = stage.do(resize.resize(size or larger(stage), test=False), **more)
    entry: dict[str, Any] = outcomes[ID]
    return entry


def planned(stage: Stage, size: str) -> dict[str, Any]:
    outcomes, _ = stage.do(resize.resize(size, test=True))
    entry: dict[str, Any] = outcomes[ID]
    return entry


@EACH
def test_a_node_gets_another_size_and_its_minion_answers(stage: Stage) -> None:
    before = stage.record()
    entry = to(stage)
    assert (entry["result"], entry["changed"], entry["size"], entry["before"], entry["state"]) == (
        True, True, larger(stage), before.size, "running",
    ), entry  # fmt: skip
    instance, record = stage.instance(), stage.record()
    assert (instance.size, instance.state) == (record.size, "running")
    assert (record.size, record.public_ip) == (larger(stage), instance.public_ip)
    assert stage.events() == [f"hart/{ID}/resized"]
    (line,) = [json.loads(text) for text in stage.journal.read_text().splitlines()]
    assert (line["action"], line["size"], line["details"]) == ("resize", larger(stage), {"size": larger(stage)})


def test_the_record_has_the_price_of_the_new_size(stage: Stage) -> None:
    to(stage)
    assert (stage.record().monthly_price, stage.record().currency) == (12.0, "USD")


@EACH
def test_a_node_that_is_off_stays_off(stage: Stage) -> None:
    stage.do(test_power.STOP)
    entry = to(stage)
    assert (entry["result"], entry["state"], entry["notes"]) == (True, "stopped", [resize.WAS_OFF]), entry
    assert (stage.instance().size, stage.instance().state, stage.record().size) == (
        larger(stage), "stopped", larger(stage),
    )  # fmt: skip


@EACH
def test_a_failed_change_leaves_the_node_running_with_its_old_size(stage: Stage) -> None:
    before = stage.record()
    stage.cloud.settings.fails_resize = True
    entry = to(stage)
    assert not entry["result"]
    assert f"it was undone: the size is {before.size}, and its minion answers" in entry["error"], entry
    assert (stage.instance().size, stage.instance().state) == (before.size, "running")
    assert dataclasses.replace(stage.record(), public_ip=None) == dataclasses.replace(before, public_ip=None)
    assert stage.record().public_ip == stage.instance().public_ip


@EACH
def test_a_minion_that_does_not_answer_with_the_new_size_gets_the_old_one_again(stage: Stage) -> None:
    """Except at Vultr, which only upgrades; there the error says so."""
    before = stage.record()
    stage.master.silent.add(ID)
    entry = to(stage, timeout=0.2)
    assert not entry["result"]
    goes_back = not stage.driver.no_way_back
    size = before.size if goes_back else larger(stage)
    said = f"it was undone: the size is {size}" if goes_back else f"it keeps the size {size}, because Vultr can only"
    assert said in entry["error"]
    assert "but its minion does not answer" in entry["error"]
    assert (stage.instance().size, stage.record().size, stage.instance().state) == (size, size, "running")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_undoes_a_resize(stage: Stage, signum: int) -> None:
    before = stage.record()
    stage.master.silent.add(ID)

    def once() -> None:
        stage.master.meanwhile = lambda: None
        os.kill(os.getpid(), signum)
        time.sleep(0.5)  # while the waiting thread receives it

    stage.master.meanwhile = once
    outcomes, interrupted = stage.do(resize.resize(larger(stage), test=False))
    assert interrupted == signum
    assert outcomes[ID]["error"].endswith(f"it was undone: the size is {before.size}"), outcomes
    assert (stage.instance().size, stage.instance().state, stage.record()) == (before.size, "running", before)


def test_an_undo_that_fails_says_how_the_node_is_left(stage: Stage) -> None:
    stage.cloud.settings.fails_resize = True
    stage.cloud.faults.add(Fault("POST", "/actions$", body="power_on", status=422, times=None))
    entry = to(stage)
    assert "it could not be undone" in entry["error"]
    assert f"salt-run hart.show {ID}" in entry["error"]
    stage.cloud.faults.clear()


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("s-1vcpu-1gb", "it has the size s-1vcpu-1gb already"),
        ("s-1vcpu-2g", "has no size s-1vcpu-2g in nyc3, did you mean s-1vcpu-2gb?"),
        ("s-1vcpu-512mb-10gb", "has 10 GB, and that of s-1vcpu-1gb 25 GB: a disk cannot shrink"),
        ("s-8vcpu-32gb", "has no size s-8vcpu-32gb in nyc3"),
    ],
)
def test_what_cannot_be_is_refused_when_planning(stage: Stage, size: str, said: str) -> None:
    for entry in (planned(stage, size), to(stage, size)):
        assert (entry["result"], said in entry["error"]) == (False, True), entry
    assert (stage.changes(), stage.instance().state) == ([], "running")


@pytest.mark.parametrize("stage", ["vultr"], indirect=True)
def test_vultr_only_upgrades(stage: Stage) -> None:
    to(stage)
    entry = planned(stage, "vc2-1c-1gb")
    assert (
        "a disk cannot shrink; Vultr can only upgrade an instance, and not to vc2-1c-1gb; possible are: vc2-2c-4gb"
        in (entry["error"])
    )


def test_a_plan_names_both_prices_and_changes_nothing(stage: Stage) -> None:
    entry = planned(stage, "s-1vcpu-2gb")
    assert {name: entry[name] for name in ("result", "action", "size", "before", "monthly_price", "restarts")} == {
        "result": None, "action": "resize", "size": "s-1vcpu-2gb", "before": "s-1vcpu-1gb", "monthly_price": 12.0,
        "restarts": True,
    }  # fmt: skip
    assert (entry["monthly_price_before"], entry["currency"], entry["can_be_undone"]) == (6.0, "USD", True)
    assert (stage.changes(), stage.events(), stage.journal.exists()) == ([], [], False)


def test_the_list_has_the_size_that_the_cloud_reports(stage: Stage) -> None:
    """A call that was killed may have changed it without the record; the next call writes it there."""
    stage.cloud.state.droplets[int(stage.record().instance_id or "")].size = "s-1vcpu-2gb"
    assert test_power.listed(stage)["size"] == "s-1vcpu-2gb"
    assert stage.record().size == "s-1vcpu-1gb"
    stage.do(test_power.START)
    assert stage.record().size == "s-1vcpu-2gb"


# tags


def tagged(stage: Stage, tags: dict[str, str], *remove: str, test: bool = False) -> dict[str, Any]:
    outcomes, _ = stage.do(tagging.set_tags(TagChange(tags, remove), test=test), ID, OTHER)
    assert outcomes[ID]["result"] == outcomes[OTHER]["result"]
    entry: dict[str, Any] = outcomes[ID]
    return entry


@EACH
def test_tags_of_several_nodes_are_set_and_removed_and_what_is_so_already_is_a_success(stage: Stage) -> None:
    start = dict(stage.driver.user_tags(stage.instance()))
    entry = tagged(stage, {"team": "blue", "plain": ""})
    assert (entry["result"], entry["changed"], entry["tags"]) == (True, True, {**start, "team": "blue", "plain": ""})
    assert stage.driver.user_tags(stage.instance(OTHER))["team"] == "blue"
    stage.cloud.calls.clear()
    assert tagged(stage, {"team": "blue"}, "absent")["changed"] is False
    assert stage.changes() == []
    assert tagged(stage, {"team": "red"}, "plain")["tags"] == {**start, "team": "red"}
    assert [one.minion_id for one in stage.driver.instances()] == [ID, OTHER]
    assert stage.events() == []


def test_tags_of_hart_are_refused_and_a_plan_changes_nothing(stage: Stage) -> None:
    for entry in (tagged(stage, {"hart-owner": "me"}), tagged(stage, {}, "hart-role"), tagged(stage, {"hart": ""})):
        assert "is one of hart's own" in entry["error"]
    assert "can contain only letters" in tagged(stage, {"team": "b.l"})["error"]
    entry = tagged(stage, {"team": "blue"}, test=True)
    assert (entry["result"], entry["action"], entry["tags"]) == (None, "set_tags", {"team": "blue"})
    assert tagged(stage, {}, "absent", test=True)["action"] == "none"
    assert stage.changes() == []
