"""Many nodes in one call: none affects another, and shared resources are removed with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hart_salt.base.errors import InvalidRequest, NodeFailed, Refused
from hart_salt.inventory.flocks import FileLocks
from tests.functional.fakes import fails_with
from tests.functional.node.life_world import Stage, create_all


def test_the_failure_of_one_node_does_not_affect_the_others(stage: Stage) -> None:
    def only_b() -> None:
        if len(stage.world.instances) == 2:
            raise InvalidRequest("no luck")

    stage.world.faults["after launch"] = only_b
    data = create_all(stage, *(stage.node(minion_id) for minion_id in ("a", "b", "c")))
    good = [minion_id for minion_id, entry in data.items() if entry["result"]]
    assert len(good) == 2
    (bad,) = set(data) - set(good)
    assert "no luck" in data[bad]["error"]
    assert Path(data[bad]["log"]).exists()
    assert stage.left()["keys"] == stage.left()["records"] == good


def test_the_access_of_a_batch_is_closed_whether_its_nodes_fail_or_not(stage: Stage) -> None:
    create_all(stage, stage.node("a"))
    assert stage.world.access_open == 0
    stage.world.faults["connect"] = fails_with(NodeFailed("no luck"))
    create_all(stage, stage.node("b"))
    assert stage.world.access_open == 0


def test_afterwards_no_lock_is_held_and_no_lock_file_is_left(stage: Stage, tmp_path: Path) -> None:
    stage.world.faults["connect"] = fails_with(NodeFailed("no luck"), times=1)
    create_all(stage, stage.node("a"), stage.node("b"))
    assert list((tmp_path / "hart/locks").iterdir()) == []
    assert not FileLocks(stage.info.cachedir).busy("a")


def test_a_node_that_another_call_works_on_is_refused_and_that_call_s_log_unchanged(stage: Stage) -> None:
    with FileLocks(stage.info.cachedir).claim("b"), pytest.raises(Refused, match="b is being worked on"):
        create_all(stage, stage.node("a"), stage.node("b"))
    assert list(Path(stage.info.log_dir).glob("*.log")) == []
    assert (stage.left()["records"], FileLocks(stage.info.cachedir).dead_batches()) == ([], {})


def test_the_claim_of_a_batch_stays_if_something_could_not_be_removed(stage: Stage, tmp_path: Path) -> None:
    stage.world.faults["connect"] = fails_with(NodeFailed("no luck"))
    stage.world.faults["terminate"] = fails_with(InvalidRequest("locked"))
    create_all(stage, stage.node("a"))
    dead = FileLocks(stage.info.cachedir).dead_batches()
    assert {batch: facts["owner"] for batch, facts in dead.items()} == {"b1": stage.info.owner}


def test_the_claim_of_a_batch_does_not_stay_for_a_node_kept_by_keep_failed(stage: Stage) -> None:
    stage.world.faults["connect"] = fails_with(NodeFailed("no luck"))
    create_all(stage, stage.node("a", keep_failed=True))
    record = stage.store.get("a")
    assert record is not None
    assert record.kept
    assert FileLocks(stage.info.cachedir).dead_batches() == {}
