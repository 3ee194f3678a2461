"""What a survey of a declared fleet counts, and as what; what it leaves alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from hart_salt.base.errors import AuthError
from hart_salt.inventory.records import BANK, SUFFIX, Store
from hart_salt.master.client import Master
from hart_salt.master.minions import Minions, Returned
from tests.functional.fleets.fleet_world import BATCH, EAST, NOW, WEST, World, actions, counts

Step = Callable[[World], object]


def lose_record(world: World) -> None:
    world.store.remove("x")


def lose_key(world: World) -> None:
    (world.keys / "x").unlink()


def lose_instance(world: World) -> None:
    world.break_down("x")
    del world.cloud.account["i-x"]


def record(**changes: Any) -> Step:
    """Return what changes the record of ``x``."""

    def change(world: World) -> None:
        known = world.store.get("x")
        assert known is not None
        world.store.put(dataclasses.replace(known, **changes))

    return change


def instance(**changes: Any) -> Step:
    """Return what changes the instance of ``x``."""

    def change(world: World) -> None:
        world.cloud.account["i-x"] = dataclasses.replace(world.cloud.account["i-x"], **changes)

    return change


def missed(lists: float) -> Step:
    """Return what lets so many lists miss the instance of ``x``."""
    return lambda world: world.cloud.gaps.update({"i-x": lists})


def silent(state: str = "running") -> Step:
    """Return what lets the minion of ``x`` stop answering."""
    return lambda world: world.break_down("x", state)


def steps(*several: Step) -> Step:
    def all_of_them(world: World) -> None:
        for step in several:
            step(world)

    return all_of_them


#: what happens to the node ``x`` beside two ready ones, and the state that the fleet counts it in; empty: in none
STATES: dict[str, tuple[Step, str]] = {
    "ready": (steps(), "ready"),
    "unsealed": (record(sealed=False), "ready"),
    "unreachable": (silent(), "silent"),
    "no key": (lose_key, "silent"),
    "pending": (silent("pending"), "silent"),
    "stopped": (silent("stopped"), "stopped"),
    "stopped, but it answers": (instance(state="stopped"), "ready"),
    "pending, but it answers": (instance(state="pending"), "ready"),
    "no instance": (lose_instance, "gone"),
    "no instance, but it answers": (lambda world: world.cloud.account.pop("i-x"), "ready"),
    "a gap in one list": (missed(1), "ready"),
    "gaps in all lists, and silent": (steps(silent(), missed(float("inf"))), "silent"),
    "no record": (lose_record, "ready"),
    "no record and silent": (steps(lose_record, silent()), "silent"),
    "no record, no key, old": (steps(lose_record, lose_key), ""),
    "no record, no key, young": (steps(lose_record, lose_key, instance(created=NOW - 60)), "coming"),
    "no record, no key, a call lives": (
        steps(lose_record, lose_key, lambda world: world.works_on_batch(BATCH)), "coming",
    ),
    "no record, no key, the call died": (
        steps(lose_record, lose_key, instance(created=NOW - 60), lambda world: world.dies(BATCH)), "",
    ),
    "in progress": (lambda world: world.works_on("x"), "coming"),
    "left at enrolled": (record(stage="enrolled", sealed=False), ""),
    "left at launching, no instance": (
        steps(record(stage="launching", sealed=False), lambda world: world.cloud.account.pop("i-x")), "",
    ),
    "failed and kept": (record(stage="failed", kept=True), ""),
    "another role": (steps(record(role="db"), instance(role="db")), ""),
    "a salt-master": (record(kind="master"), ""),
}  # fmt: skip


@pytest.mark.parametrize("case", STATES)
def test_the_state_of_a_node(world: World, case: str) -> None:
    happen, state = STATES[case]
    world.start("a", "b", "x")
    happen(world)
    found = world.plan()
    assert counts(found) == ({"ready": 3} if state == "ready" else {"ready": 2, **({state: 1} if state else {})})


@pytest.mark.parametrize(
    "case", [case for case, (_, state) in STATES.items() if state in ("ready", "coming", "silent")]
)
def test_a_node_that_may_be_there_is_neither_removed_nor_created_twice(world: World, case: str) -> None:
    world.start("a", "b", "x")
    STATES[case][0](world)
    before = set(world.cloud.account)
    world.call("apply")
    assert set(world.cloud.account) == before
    assert not [one for one in world.did if one[0] in "+-"]


@pytest.mark.parametrize("case", ["failed and kept", "left at enrolled", "no record, no key, old", "a salt-master"])
def test_what_is_not_counted_is_left_alone_and_named(world: World, case: str) -> None:
    world.start("a", "b", "x")
    STATES[case][0](world)
    notes = " ".join(world.plan()["notes"])
    assert ("not counted, because a call left them unfinished: x" in notes) is (case != "a salt-master")
    world.apply()
    assert world.did == ["+ here"]
    assert "i-x" in world.cloud.account
    assert len(world.cloud.account) == 4


def test_lost_records_are_named(world: World) -> None:
    world.start("a", "b", "x")
    lose_record(world)
    assert world.plan()["notes"] == ["counted, but without a record: x; salt-run hart.sweep rebuilds it"]


def test_many_names_in_a_note_are_counted(world: World) -> None:
    world.fleet["count"] = 9
    names = [f"n{number}" for number in range(9)]
    world.start(*names)
    for name in names:
        world.store.remove(name)
    (note,) = world.plan()["notes"]
    assert note.startswith("counted, but without a record: n0, n1, n2, n3, n4 and 4 more; ")


def test_a_node_whose_instance_is_gone_is_created_again_and_forgotten(world: World) -> None:
    world.start("a", "b", "x")
    lose_instance(world)
    assert actions(world.plan()) == [("destroy", "x"), ("create", None)]
    world.apply()
    assert ("x" in world.nodes(), len(world.nodes())) == (False, 3)


def test_an_account_that_is_another_one_creates_and_removes_nothing(world: World) -> None:
    world.start("a", "b", "c")
    world.cloud.account.clear()
    done = world.apply()
    assert (done["nodes"], world.cloud.account) == ({}, {})
    assert {one.minion_id for one in world.store.all()} == {"a", "b", "c"}
    assert "their minions answer, but their provider has no such instances: a, b, c" in str(done["fleets"])


def test_an_empty_account_with_silent_minions_is_held(world: World) -> None:
    world.start("a", "b", "c")
    world.cloud.account.clear()
    world.present.clear()
    done = world.apply(code=1)
    assert (done["nodes"], world.cloud.account) == ({}, {})
    assert "gone, more than half" in done["problems"][0]


def test_another_fleet_and_another_region_are_left_alone(world: World) -> None:
    world.opts["hart"]["fleets"] = {
        "here": {"role": "app", "count": 1, "region": "here"}, "there": {"role": "app", "count": 1, "region": "there"},
    }  # fmt: skip
    world.start("a", "b")
    world.start("c", region="there")
    world.start("d", role="db", provider=WEST)
    world.start("e", role="db")
    world.apply("there")
    assert world.did == []
    world.apply("here")
    assert world.did == ["drain b", "- b"]
    assert world.nodes() == ["a", "c", "e"]


def test_a_node_in_a_region_that_was_removed_from_the_fleet_moves(world: World) -> None:
    world.fleet.update(count=1, regions=["there"], drift="replace")
    world.start("a")
    world.apply()
    assert world.did == ["+ there", "drain a", "- a"]


# what cannot be seen


def test_a_provider_that_does_not_answer_blocks_only_its_fleets(world: World) -> None:
    world.opts["hart"]["fleets"]["data"] = {"role": "db", "count": 1}
    world.cloud.error = AuthError("the token is not valid")
    world.start("a")
    done = world.apply(code=1)
    assert done["fleets"]["web"]["state"] == "blocked"
    assert done["fleets"]["web"]["why"] == f"{EAST}: the token is not valid"
    assert (done["fleets"]["data"]["state"], len(world.clouds[WEST].account)) == ("steady", 1)


@pytest.mark.parametrize(("role", "blocked"), [("app", {"web"}), ("db", {"data"}), (None, {"web", "data"})])
def test_a_broken_record_blocks_the_fleets_that_it_can_be_of(world: World, role: str | None, blocked: set[str]) -> None:
    world.opts["hart"]["fleets"]["data"] = {"role": "db", "count": 1}
    world.start("w1", "w2", "w3")
    world.start("d1", role="db", provider=WEST)
    if role is not None:
        world.start("bad", role=role, provider=EAST if role == "app" else WEST)
    Master(world.opts).cache().store(BANK, f"bad{SUFFIX}", {"minion_id": 5})
    done = world.apply(code=1)
    assert {name for name, one in done["fleets"].items() if one["state"] == "blocked"} == blocked
    assert all("salt-run hart.destroy bad" in one for one in done["problems"])
    assert done["nodes"] == {}


def test_a_store_that_cannot_be_used_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start("a")

    def fail(store: Store) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Store, "_everything", fail)
    for function in ("plan", "apply", "fleets"):
        done = world.call(function)
        assert done["retcode"] in (2, 70), done
        assert "nput/output error" in done["error"]
    assert list(world.cloud.account) == ["i-a"]


@pytest.mark.parametrize("where", [{}, {"region": "here"}])
def test_a_role_of_which_no_node_can_be_made_changes_nothing_and_says_why(world: World, where: dict[str, str]) -> None:
    world.fleet.update(where, count=4)
    world.opts["hart"]["roles"]["app"]["role_naming_scheme"] = "{nothing}"
    world.start("a", "b", "c")
    for done in (world.call("plan"), world.call("apply")):
        assert done["retcode"], done
        assert "{nothing}" in str(done["problems"]) + str(done["fleets"])
    assert world.nodes() == ["a", "b", "c"]


# the network


@pytest.mark.parametrize(("number", "silent", "fault"), [(3, 1, False), (3, 2, True), (6, 2, False), (6, 3, True)])
def test_more_than_a_third_that_is_silent_is_the_network(world: World, number: int, silent: int, fault: bool) -> None:
    world.fleet["count"] = number
    names = [f"n{one}" for one in range(number)]
    world.start(*names)
    world.present -= set(names[:silent])
    found = world.plan()
    assert (found["state"] == "blocked", "network" in found["why"]) == (fault, fault)
    assert found["actions"] == []


def test_a_single_node_is_repaired_with_the_new_one_first(world: World) -> None:
    world.fleet["count"] = 1
    world.start("a")
    world.break_down("a")
    assert world.apply()["nodes"] == {}
    world.clock.sleep(601)
    world.apply()
    assert world.did == ["+ here", "- a"]


def test_all_silent_nodes_of_several_small_fleets_are_the_network(world: World) -> None:
    world.opts["hart"]["fleets"] = {"web": {"role": "app", "count": 1}, "data": {"role": "db", "count": 1}}
    world.start("a")
    world.start("d", role="db", provider=WEST)
    world.present.clear()
    assert "no minion of the 2 nodes that run answers" in str(world.apply(code=1)["problems"])


# limits of the configuration


def test_claims_of_other_calls_count_for_the_limit_of_nodes(world: World) -> None:
    world.opts["hart"]["max_nodes"] = 3
    world.start("a")
    world.works_on_batch(
        "70000001bbbbbb", provider=EAST, region="here", role="app", size="small", nodes=1, owner=world.info.owner
    )
    found = world.plan()
    assert (len(found["actions"]), len(found["later"])) == (1, 1)
    assert "hart:max_nodes is 3" in found["why"]


# spot nodes


def of_spot(world: World, monkeypatch: pytest.MonkeyPatch, notices: dict[str, float], **answers: Any) -> None:
    """Let all nodes be spot nodes; ``notices`` are the API's, ``answers`` the minions' own."""
    account = world.cloud.account
    account.update({name: dataclasses.replace(one, spot=True) for name, one in account.items()})
    monkeypatch.setattr(world.cloud, "interruptions", lambda instances: notices, raising=False)
    given = {name: [Returned(answer, True)] for name, answer in answers.items()}
    monkeypatch.setattr(Minions, "call_all", lambda self, minion_ids, calls, timeout: given)


def test_a_spot_node_that_its_provider_takes_away_is_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start("a", "b", "c")
    notice = {"notice": True, "action": "terminate", "within": 30, "source": "gce"}
    of_spot(world, monkeypatch, {"i-a": NOW + 100}, b=notice, c={"notice": False})
    assert sorted(actions(world.plan())) == [("replace", "a"), ("replace", "b")]
    reasons = " ".join(str(one) for one in world.plan()["actions"])
    assert reasons.count("its provider takes it away") >= 2


def test_the_notice_of_a_minion_is_about_no_other_node(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start("a", "b", "c")
    lie = {"notice": True, "action": "terminate", "time": "2100-01-01T00:00:00Z", "source": "ec2", "id": "b"}
    of_spot(world, monkeypatch, {"i-unknown": NOW}, a=lie)
    found = world.plan()
    assert actions(found) == []
    assert any("a answered hart.interruption with a notice that is not believed" in one for one in found["notes"])


def test_a_fleet_without_a_region_says_where_to_set_one(world: World) -> None:
    """A plan takes no argument region."""
    hart = world.opts["hart"]
    hart["providers"]["do"] = {"driver": "do", "token": "an-example"}
    hart["roles"]["web"] = {"provider": "do", "size": "s-1vcpu-1gb"}
    hart["fleets"] = {"front": {"role": "web", "count": 1}}
    assert world.call("plan")["error"] == (
        "hart:roles:web:region: is not set; set it here, in hart:providers:do, or as regions of the fleet"
    )
