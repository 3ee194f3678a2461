"""What a node is made from and when it ends: in its record before the create call, and in the result."""

from __future__ import annotations

import dataclasses

import pytest

from hart_salt.base.errors import InvalidRequest, NodeFailed
from hart_salt.operations.create import facts
from tests.functional.node.life_world import NOTHING, Stage, failure, plainly

DIGEST = "1-65107e62-986ec20d-fe2fd151-8b02980e-644b00b0-2ef8519c"
END = 4_000_000_000.0


def test_the_record_has_both_before_the_provider_is_asked(stage: Stage) -> None:
    seen: list[tuple[str | None, float | None]] = []

    def look() -> None:
        (record,) = stage.store.all()
        seen.append((record.digest, record.ends))

    stage.world.faults["before launch"] = look
    life = stage.play(dataclasses.replace(stage.node(), digest=DIGEST, ends=END), plainly)
    assert seen == [(DIGEST, END)]
    (record,) = stage.store.all()
    assert (record.digest, record.ends) == (DIGEST, END)
    assert facts(life.record)["ends"] == "2096-10-02T07:06:40+00:00"


def test_without_them_the_record_has_none_and_the_result_no_end(stage: Stage) -> None:
    life = stage.play(stage.node(), plainly)
    assert (life.record.digest, life.record.ends) == (None, None)
    assert "ends" not in facts(life.record)


@pytest.mark.parametrize("said", ["the label value is too long", "a server has too many labels"])
def test_a_provider_that_refuses_the_tags_leaves_nothing(stage: Stage, said: str) -> None:
    def refuse() -> None:
        raise InvalidRequest(said)

    stage.world.faults["before launch"] = refuse
    assert failure(stage, dataclasses.replace(stage.node(), digest=DIGEST, ends=END)) == said
    assert stage.left() == NOTHING


def test_a_node_that_fails_after_its_creation_is_rolled_back_with_its_end(stage: Stage) -> None:
    def fail() -> None:
        raise NodeFailed("it broke")

    stage.world.faults["seal"] = fail
    failure(stage, dataclasses.replace(stage.node(), digest=DIGEST, ends=END))
    assert stage.left() == NOTHING
