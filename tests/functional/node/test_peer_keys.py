"""A node's key on other masters: accepted before the minion starts, and gone from all of them if the node fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hart_salt.base.concurrency import Calls
from hart_salt.base.errors import NodeFailed
from hart_salt.node.peer_keys import PeerKeys
from tests.functional.fakes import FakePeer, fails_with, other_masters
from tests.functional.node.life_world import ALL, NOTHING, PEM, Stage, create_all, failure, no_time, plainly

KEY = {"web": PEM}


def test_every_master_has_the_key_before_the_minion_starts(stage: Stage) -> None:
    m2, m3 = FakePeer(), FakePeer()
    stage.others = other_masters(m2=m2, m3=m3)
    there: list[Any] = []
    stage.world.faults["start"] = lambda: there.append((dict(m2.keys), dict(m3.keys)))
    life = stage.play(stage.node(), plainly)
    assert there == [(KEY, KEY)]
    assert (life.sealed, life.notes, stage.left()) == (True, [], ALL)


@pytest.mark.parametrize("step", ["start", "seal", "stream"])
def test_a_node_that_fails_leaves_no_key_on_any_master(stage: Stage, step: str) -> None:
    m2 = FakePeer()
    stage.others = other_masters(m2=m2)
    stage.world.faults[step] = fails_with(NodeFailed("it broke"))
    failure(stage)
    assert (m2.keys, stage.left()) == ({}, NOTHING)
    assert [work for work, _ in m2.requests] == ([] if step == "stream" else ["accept", "delete"])


def test_a_master_that_does_not_accept_rolls_the_node_back_on_all(stage: Stage) -> None:
    m2, m3 = FakePeer(), FakePeer(web="another machine's key")
    stage.others = other_masters(m2=m2, m3=m3)
    said = failure(stage)
    assert said == "the master m3 did not accept the node's key: another key is accepted (on m3)"
    assert (m2.keys, m3.keys, stage.left()) == ({}, {"web": "another machine's key"}, NOTHING)


def test_a_master_that_goes_down_keeps_the_record_for_destroy(stage: Stage) -> None:
    m2 = FakePeer()
    stage.others = other_masters(m2=m2)

    def go_down() -> None:
        m2.down = True
        raise NodeFailed("it broke")

    stage.world.faults["start"] = go_down
    said = failure(stage)
    assert "the key could not be deleted on another master: the master m2 may still have the node's key" in said
    assert "salt-run hart.destroy web removes it" in said
    assert stage.left() == {**NOTHING, "records": ["web"]}


def test_a_master_that_may_be_down_costs_a_note(stage: Stage) -> None:
    m2 = FakePeer()
    m2.down = True
    stage.others = other_masters(m2=m2, may_be_down=True)
    life = stage.play(stage.node(), plainly)
    assert life.sealed
    assert [note.split(":")[0] for note in life.notes] == ["the master m2 has not confirmed the node's key"]


def test_a_key_that_may_be_left_on_a_master_that_is_down_is_remembered(stage: Stage) -> None:
    m2 = FakePeer()
    m2.down = True
    stage.others = other_masters(m2=m2, may_be_down=True)
    stage.world.faults["seal"] = fails_with(NodeFailed("it broke"))
    assert "the node's key may still be on m2" in failure(stage)
    assert stage.left() == NOTHING
    assert [(left.minion_id, left.key, left.masters) for left in stage.others.left()] == [("web", PEM, ("m2",))]


def test_nodes_that_wait_at_the_same_time_share_a_request() -> None:
    m2 = FakePeer()

    async def main() -> None:
        with Calls(no_time) as calls:
            keys = PeerKeys(other_masters(m2=m2), calls)
            first = asyncio.ensure_future(keys.accept("a", "key a"))
            second = asyncio.ensure_future(keys.accept("b", "key b"))

            await asyncio.gather(first, second)
            await keys.accept("c", "key c")

    asyncio.run(main())
    assert m2.requests == [("accept", ("a", "b")), ("accept", ("c",))]


def test_one_node_s_failure_on_a_master_is_no_other_s(stage: Stage) -> None:
    m2 = FakePeer(bad="another machine's key")
    stage.others = other_masters(m2=m2)
    data = create_all(stage, stage.node("good"), stage.node("bad"))
    assert {name: entry["result"] for name, entry in data.items()} == {"good": True, "bad": False}
    assert m2.keys == {"good": PEM, "bad": "another machine's key"}


def test_an_error_of_the_request_reaches_every_node_that_waits() -> None:
    m2 = FakePeer()

    def fail(work: str) -> None:
        raise RuntimeError("a defect")

    m2.on_request = fail

    async def main() -> list[Any]:
        with Calls(no_time) as calls:
            keys = PeerKeys(other_masters(m2=m2), calls)
            both = asyncio.gather(keys.accept("a", "A"), keys.accept("b", "B"), return_exceptions=True)
            return list(await both)

    assert [str(error) for error in asyncio.run(main())] == ["a defect", "a defect"]
