"""Nodes outside of fleets whose ttl has ended, and nodes of a fleet with a ttl."""

from __future__ import annotations

import dataclasses

import pytest

from hart_salt.base.errors import EnvironmentFault, TemporaryFailure
from hart_salt.inventory.records import Store
from tests.functional.fleets.fleet_world import NOW, WEST, World, once, raising


def lone(world: World, minion_id: str = "lone", **changes: object) -> None:
    """Make a node outside of all fleets, whose ttl has ended unless the changes say otherwise."""
    world.start(minion_id, role="db", provider=WEST, **{"ends": NOW - 1, **changes})


@pytest.fixture(autouse=True)
def steady(world: World) -> None:
    world.start("a", "b", "c")


def test_a_node_whose_ttl_has_ended_is_destroyed(world: World) -> None:
    lone(world)
    lone(world, "later", ends=NOW + 60)
    lone(world, "never", ends=None)
    planned = world.call("plan")
    assert (planned["retcode"], list(planned["outside"])) == (3, ["lone"])
    done = world.apply()
    assert list(done["nodes"]) == ["lone"]
    assert world.nodes(WEST) == ["later", "never"]
    assert "retcode" not in world.call("plan")


@pytest.mark.parametrize("how", ["protected", "protected by its tag", "busy", "extended by its tag", "not ready"])
def test_a_node_stays_if_it_is(world: World, how: str) -> None:
    lone(world, protected=how == "protected", stage="enrolled" if how == "not ready" else "ready")
    account = world.clouds[WEST].account
    if how == "protected by its tag":
        account["i-lone"] = dataclasses.replace(account["i-lone"], protected=True)
    if how == "extended by its tag":
        account["i-lone"] = dataclasses.replace(account["i-lone"], ends=NOW + 3600)
    if how == "busy":
        world.works_on("lone")
    done = world.apply()
    assert (done["nodes"], list(account)) == ({}, ["i-lone"])
    assert "retcode" not in world.call("plan")


def test_a_node_of_one_fleet_by_name_leaves_the_others_alone(world: World) -> None:
    lone(world)
    assert "outside" not in world.call("plan", "web")
    assert world.apply("web")["nodes"] == {}


def test_a_provider_that_does_not_answer_keeps_only_its_nodes(world: World) -> None:
    lone(world)
    world.start("other", role="other", ends=NOW - 1)
    world.clouds[WEST].error = TemporaryFailure("503")
    done = world.apply(code=1)
    assert list(done["nodes"]) == ["other"]
    assert any("503" in one for one in done["problems"])


def test_a_node_at_a_provider_that_is_not_configured_any_more_stays_and_is_named(world: World) -> None:
    lone(world)
    del world.opts["hart"]["providers"][WEST]
    del world.opts["hart"]["roles"]["db"]
    done = world.apply(code=1)
    assert any("lone" in one and WEST in one for one in done["problems"]), done["problems"]
    assert "i-lone" in world.clouds[WEST].account


def test_a_node_of_a_fleet_that_was_removed_is_outside(world: World) -> None:
    world.opts["hart"]["fleets"] = {}
    world.start("old", ends=NOW - 1)
    world.apply()
    assert world.nodes() == ["a", "b", "c"]


def test_a_signal_ends_the_work_between_two_nodes(world: World) -> None:
    lone(world, "one")
    lone(world, "two")
    world.on["terminate i-one"] = once(world.interrupt)
    assert world.call("apply")["retcode"] == 143
    assert world.nodes(WEST) == ["two"]


def test_one_that_fails_does_not_keep_the_others(world: World) -> None:
    lone(world, "one")
    lone(world, "two")
    world.on["terminate i-one"] = raising(TemporaryFailure("no"))
    world.apply(code=1)
    assert list(world.clouds[WEST].account) == ["i-one"]


def test_a_node_that_is_extended_during_its_drain_stays(world: World) -> None:
    world.opts["hart"]["roles"]["db"]["drain"] = {"function": "db.leave"}
    lone(world)

    def extend() -> None:
        known = world.store.get("lone")
        assert known is not None
        world.store.put(dataclasses.replace(known, ends=NOW + 3600))

    world.on["drain lone"] = extend
    assert "has moved its end" in world.apply(code=1)["nodes"]["lone"]["error"]
    world.on.clear()
    assert world.apply()["nodes"] == {}
    assert world.nodes(WEST) == ["lone"]


def test_an_outage_of_the_store_keeps_the_outcome_of_the_fleets(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.start("d")

    def fail(store: Store) -> None:
        raise EnvironmentFault("the record store cannot be read: gone")

    monkeypatch.setattr(Store, "all", fail)
    done = world.call("apply")
    assert (done["retcode"], done["nodes"]["d"]["result"]) == (1, True)
    assert "the record store cannot be read: gone" in done["problems"]


def test_nodes_of_a_fleet_end_and_are_made_again(world: World) -> None:
    world.fleet["ttl"] = "30000d"
    world.start("c", ends=NOW - 1)
    world.apply()
    assert world.did == ["drain c", "- c", "+ here"]
    (new,) = [one for one in world.store.all() if one.minion_id not in ("a", "b")]
    assert new.ends is not None


def test_a_ttl_that_is_over_before_a_node_is_ready_is_no_loop(world: World) -> None:
    world.fleet.update(ttl="1s", count=4)
    done = world.apply(code=1)  # the clock of the test is ahead of that of new nodes
    assert world.did == ["+ here"]
    assert "would remove it again: its ttl has ended" in done["problems"][0]
