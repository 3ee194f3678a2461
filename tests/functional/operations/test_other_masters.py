"""Keys of nodes on other masters: destroyed with the nodes, and compared with the records by ``hart.sync_keys``."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest

from hart_salt.inventory.records import Record
from hart_salt.master.keys import ACCEPTED, Keys
from hart_salt.master.public_keys import fingerprint
from hart_salt.operations import destroy, sync_keys
from tests.functional.fakes import FakePeer, other_masters
from tests.functional.operations.world import World, finger, nodes
from tests.parts import master_opts, new_public_key

OWN, FOREIGN = new_public_key() + "\n", new_public_key() + "\n"
ME = "test_master"

#: what some versions of Salt hash of a key
BODY = "".join(OWN.strip().splitlines(keepends=True)[1:-1])


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).digest().hex(":")


# destroy


def world_with(tmp_path: Path, *, may_be_down: bool = False, **peers: FakePeer) -> World:
    world = World(tmp_path)
    world.context = dataclasses.replace(world.context, others=other_masters(may_be_down=may_be_down, **peers))
    return world


def end(world: World, *records: Record, own_keys: bool = False) -> dict[str, Any]:
    by_id = {record.minion_id: record for record in records}
    data, _ = destroy.destroy_all(by_id, world.drivers, world.context, own_keys=own_keys)
    return data


@pytest.mark.parametrize("own_keys", [False, True])
def test_a_destroyed_node_has_no_key_on_any_master(tmp_path: Path, own_keys: bool) -> None:
    m2 = FakePeer(web=finger("web"), db="another machine's key")
    world = world_with(tmp_path, m2=m2)
    data = end(world, world.start("web"), world.start("db"), own_keys=own_keys)
    assert {name: entry["result"] for name, entry in data.items()} == {"web": True, "db": True}
    assert m2.keys == ({"db": "another machine's key"} if own_keys else {})
    assert m2.requests == [("delete", ("web", "db"))]


def test_a_node_whose_key_is_left_on_a_master_keeps_its_record_and_can_be_destroyed_again(tmp_path: Path) -> None:
    m2 = FakePeer(web=finger("web"))
    world = world_with(tmp_path, m2=m2)
    m2.down = True
    record = world.start("web")
    error = end(world, record)["web"]["error"]
    assert "the master m2 may still have the node's key: its minion does not answer" in error
    assert "salt-run hart.destroy web removes them" in error
    assert world.left() == {**nodes(), "records": ["web"]}
    marked = world.store.get("web")
    assert marked is not None
    assert (marked.stage, marked.error) == ("failed", error)
    m2.down = False
    assert end(world, record)["web"]["result"] is True
    assert (m2.keys, world.left()) == ({}, nodes())


def test_a_key_on_a_master_that_may_be_down_is_deleted_by_a_later_sync(tmp_path: Path) -> None:
    m2 = FakePeer(web=finger("web"))
    world = world_with(tmp_path, m2=m2, may_be_down=True)
    m2.down = True
    data = end(world, world.start("web"))
    assert data["web"]["result"] is True
    assert "salt-run hart.sync_keys deletes it" in data["web"]["notes"][0]
    assert (m2.keys, world.left()) == ({"web": finger("web")}, nodes())
    m2.down = False
    sync_keys.sync(with_keys(world, tmp_path))
    assert (m2.keys, world.context.others.left()) == ({}, [])


def test_each_key_that_an_id_had_is_deleted_by_a_later_sync(tmp_path: Path) -> None:
    m2, m3 = FakePeer(web=FOREIGN), FakePeer(web=OWN)
    world = world_with(tmp_path, m2=m2, m3=m3, may_be_down=True)
    m2.down = True
    world.context.others.delete({"web": FOREIGN})  # the first node, whose key m2 has
    m3.down = True
    world.context.others.delete({"web": OWN})  # the second one, which was created while m2 was down
    m2.down = m3.down = False
    left = world.context.others.left()
    assert {(one.key, one.masters) for one in left} == {(FOREIGN, ("m2",)), (OWN, ("m2", "m3"))}
    report = sync_keys.sync(with_keys(world, tmp_path), test=True)
    assert (report["m2"]["would_delete"], report["m3"]["would_delete"]) == (["web"], ["web"])
    assert sync_keys.sync(world.context)["m2"]["deleted"] == ["web"]
    assert (m2.keys, m3.keys, world.context.others.left()) == ({}, {}, [])


def test_a_key_is_left_on_every_master_that_was_down_once(tmp_path: Path) -> None:
    m2, m3 = FakePeer(), FakePeer()
    others = world_with(tmp_path, m2=m2, m3=m3, may_be_down=True).context.others
    for peer in (m2, m3):
        peer.down = True
        others.delete({"web": OWN})
        peer.down = False
    assert [(one.minion_id, one.key, one.masters) for one in others.left()] == [("web", OWN, ("m2", "m3"))]


def test_a_salt_master_that_hart_created_has_no_key_on_other_masters(tmp_path: Path) -> None:
    m2 = FakePeer()
    world = world_with(tmp_path, m2=m2)
    assert end(world, world.start("m", kind="master"))["m"]["result"] is True
    assert m2.requests == []


# sync_keys


def with_keys(world: World, tmp_path: Path) -> Any:
    """Return the world's context with a real key store."""
    root = tmp_path / "salt"
    root.mkdir(exist_ok=True)
    for part in ("minions", "minions_pre", "minions_rejected", "minions_denied"):
        (root / "pki" / part).mkdir(parents=True, exist_ok=True)
    (root / "cache").mkdir(exist_ok=True)
    master: Any = world.context.master
    master.keys = Keys(master_opts(root))
    return world.context


def known(world: World, *minion_ids: str) -> None:
    for minion_id in minion_ids:
        world.start(minion_id, minion_key_finger=fingerprint(OWN))


def test_a_missing_key_is_accepted_on_the_master_that_misses_it(tmp_path: Path) -> None:
    m2, m3 = FakePeer(a=OWN, b=OWN), FakePeer(a=OWN)
    world = world_with(tmp_path, m2=m2, m3=m3)
    known(world, "a", "b")
    context = with_keys(world, tmp_path)
    before = sync_keys.sync(context, test=True)
    assert before == {
        ME: {"result": None, "correct": 0, "would_accept": ["a", "b"]},
        "m2": {"result": None, "correct": 2},
        "m3": {"result": None, "correct": 1, "would_accept": ["b"]},
    }
    assert (m3.keys, context.master.keys.states()) == ({"a": OWN}, {})
    assert sync_keys.sync(context)["m3"] == {"result": True, "correct": 1, "accepted": ["b"]}
    assert m3.keys == {"a": OWN, "b": OWN}
    assert context.master.keys.states() == {"a": (ACCEPTED,), "b": (ACCEPTED,)}
    assert {name: report["correct"] for name, report in sync_keys.sync(context).items()} == {ME: 2, "m2": 2, "m3": 2}


def test_masters_with_different_versions_of_salt_agree_on_the_keys(tmp_path: Path) -> None:
    m2 = FakePeer(a=OWN, b=OWN)
    world = world_with(tmp_path, m2=m2)
    for name, text in {"a": BODY, "b": OWN}.items():
        world.start(name, minion_key_finger=sha256(text))
    report = sync_keys.sync(with_keys(world, tmp_path))
    assert (report[ME]["accepted"], report["m2"]["correct"]) == (["a", "b"], 2)


def test_a_foreign_key_is_reported_and_stays_and_nothing_spreads(tmp_path: Path) -> None:
    m2, m3 = FakePeer(a=FOREIGN, other=FOREIGN), FakePeer(a=OWN)
    world = world_with(tmp_path, m2=m2, m3=m3)
    known(world, "a")
    report = sync_keys.sync(with_keys(world, tmp_path))
    assert (report["m2"]["result"], report["m3"]["result"]) == (False, True)
    assert "another key has this id" in report["m2"]["kept"]["a"]
    assert (m2.keys, m3.keys) == ({"a": FOREIGN, "other": FOREIGN}, {"a": OWN})
    assert world.context.master.keys.states() == {"a": (ACCEPTED,)}


#: its body, and so its fingerprint in some versions of Salt, is that of the node's own key
DECORATED = OWN.replace("-----BEGIN PUBLIC KEY-----", "-----BEGIN \x1b[2J-----")


@pytest.mark.parametrize("lie", [FOREIGN, DECORATED])
def test_a_lying_master_makes_no_other_accept_its_key(tmp_path: Path, lie: str) -> None:
    m2, m3 = FakePeer(a=lie), FakePeer()
    world = world_with(tmp_path, m2=m2, m3=m3)
    world.start("a", minion_key_finger=sha256(BODY))
    report = sync_keys.sync(with_keys(world, tmp_path))
    assert {name: list(one["kept"]) for name, one in report.items()} == {ME: ["a"], "m2": ["a"], "m3": ["a"]}
    assert (m3.keys, world.context.master.keys.states()) == ({}, {})


def test_a_master_that_is_down_does_not_stop_the_others(tmp_path: Path) -> None:
    m2, m3 = FakePeer(), FakePeer(a=OWN)
    m2.down = True
    world = world_with(tmp_path, m2=m2, m3=m3)
    known(world, "a")
    report = sync_keys.sync(with_keys(world, tmp_path))
    assert (report["m2"]["error"], report[ME]["accepted"]) == ("its minion does not answer", ["a"])


def test_only_ready_minions_count(tmp_path: Path) -> None:
    m2 = FakePeer()
    world = world_with(tmp_path, m2=m2)
    world.start("early", stage="enrolling", minion_key_finger=fingerprint(OWN))
    world.start("m", kind="master", minion_key_finger=None)
    assert sync_keys.sync(with_keys(world, tmp_path))["m2"] == {"result": True, "correct": 0}


def test_a_node_that_is_destroyed_in_the_meantime_gets_no_key(tmp_path: Path) -> None:
    m2 = FakePeer()
    world = world_with(tmp_path, m2=m2)
    known(world, "a")
    context = with_keys(world, tmp_path)
    context.master.keys.accept("a", OWN)
    m2.on_request = lambda work: world.store.remove("a")
    sync_keys.sync(context)
    assert m2.keys == {}


def test_the_key_of_a_node_whose_destruction_was_not_finished_is_not_accepted_again(tmp_path: Path) -> None:
    m2 = FakePeer(a=OWN)
    world = world_with(tmp_path, m2=m2)
    known(world, "a")
    context = with_keys(world, tmp_path)
    context.master.keys.accept("a", OWN)
    record = world.store.get("a")
    assert record is not None
    m2.down = True
    end(world, record)
    m2.down = False
    said = sync_keys.sync(context)
    assert (said[ME]["correct"], said["m2"]["correct"]) == (0, 0)
    assert context.master.keys.states() == {}


def test_a_node_that_another_call_works_on_is_left_alone(tmp_path: Path) -> None:
    m2 = FakePeer()
    world = world_with(tmp_path, m2=m2)
    known(world, "a")
    context = with_keys(world, tmp_path)
    context.master.keys.accept("a", OWN)
    with world.locks.claim("a"):
        assert list(sync_keys.sync(context)["m2"]["kept"]) == ["a"]
    assert m2.keys == {}


def test_the_key_of_a_new_node_with_the_id_of_a_gone_one_stays(tmp_path: Path) -> None:
    m2 = FakePeer(a=OWN)
    world = world_with(tmp_path, m2=m2, may_be_down=True)
    m2.down = True
    world.context.others.delete({"a": FOREIGN})
    m2.down = False
    known(world, "a")
    context = with_keys(world, tmp_path)
    assert sync_keys.sync(context, test=True)["m2"]["would_delete"] == ["a"]
    sync_keys.sync(context)
    assert (m2.keys, context.others.left()) == ({"a": OWN}, [])


def test_a_master_that_does_not_answer_is_not_asked_again_for_each_key_that_is_left(tmp_path: Path) -> None:
    m2 = FakePeer()
    world = world_with(tmp_path, m2=m2, may_be_down=True)
    m2.down = True
    for name in "abc":
        world.context.others.delete({name: OWN})
    m2.requests.clear()
    report = sync_keys.sync(with_keys(world, tmp_path))
    assert report["m2"]["error"] == "its minion does not answer"
    assert m2.requests == [("list", ())]
    assert len(world.context.others.left()) == 3
