"""The setting ``protect``: a node is protected once nothing can roll it back any more."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.base.errors import DriverError, NodeFailed
from hart_salt.operations.create import Outcomes, _outcome
from tests.functional.fakes import fails_with
from tests.functional.node.life_world import ALL, NOTHING, Stage, failure, plainly


def test_a_node_is_protected_once_it_is_sealed(stage: Stage) -> None:
    seen: list[tuple[bool, bool]] = []

    def look() -> None:
        (record,) = stage.store.all()
        seen.append((record.stage == "ready", record.protected))

    stage.world.faults["protect"] = look
    life = stage.play(stage.node(protect=True, apply="highstate"), plainly)
    assert seen == [(True, True)], "the record says it before the provider is asked: a crash in between loses nothing"
    assert stage.world.sealed == {"web"}
    assert [one.protected for one in stage.world.instances.values()] == [True]
    (record,) = stage.store.all()
    assert (record.protected, record.sealed, life.record.protected, life.unprotected) == (True, True, True, "")


def test_a_node_is_not_protected_without_the_setting(stage: Stage) -> None:
    stage.world.faults["protect"] = fails_with(AssertionError("not asked for"))
    stage.play(stage.node(), plainly)
    assert [one.protected for one in stage.world.instances.values()] == [False]
    (record,) = stage.store.all()
    assert record.protected is False


@pytest.mark.parametrize("step", ["start", "ping", "seal", "settle"])
def test_a_node_that_fails_is_rolled_back_whatever_its_settings(stage: Stage, step: str) -> None:
    stage.world.faults[step] = fails_with(NodeFailed("it broke"))
    failure(stage, stage.node(protect=True, ready_timeout=0.2))
    assert stage.left() == NOTHING


def test_what_is_left_of_a_failed_node_can_be_destroyed(stage: Stage) -> None:
    """Its record does not protect it."""
    stage.world.faults["settle"] = fails_with(NodeFailed("it broke"))
    stage.world.faults["terminate"] = fails_with(DriverError("no"))
    failure(stage, stage.node(protect=True))
    (record,) = stage.store.all()
    assert (record.stage, record.protected) == ("failed", False)


@pytest.mark.parametrize("apply", [None, "highstate"])
def test_a_failure_to_protect_is_reported_and_the_node_stays(stage: Stage, apply: Any) -> None:
    stage.world.faults["protect"] = fails_with(DriverError("the token cannot write tags"))
    node = stage.node(protect=True, **({"apply": apply} if apply else {}))
    life = stage.play(node, plainly)
    assert stage.left() == ALL
    assert (life.sealed, life.unprotected, life.problems) == (True, "the token cannot write tags", [])
    (record,) = stage.store.all()
    assert (record.protected, record.sealed, record.session) == (True, True, None), "hart itself keeps it"
    outcomes: Any = Outcomes({"web": life})
    entry = _outcome(node, outcomes, None)  # type: ignore[arg-type]  # only of a node that failed
    assert (entry["result"], entry["protected"]) == (False, True)
    assert entry["error"] == (
        "the node is a minion and was kept, but its protection is not complete: the token cannot write tags; "
        "salt-run hart.protect web completes it"
    )
