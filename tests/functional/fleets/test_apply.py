"""Apply: the order of the work, and what becomes of a fleet when a part of it fails or is interrupted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hart_salt.base.errors import (
    AuthError,
    DriverError,
    EnvironmentFault,
    HartError,
    InvalidRequest,
    LeaseLost,
    NoCapacity,
    NodeFailed,
    NotFound,
    Protected,
    QuotaExceeded,
    RateLimited,
    Refused,
    TemporaryFailure,
)
from hart_salt.inventory.records import Store
from tests.functional.fleets.fleet_world import EAST, NOW, WEST, World, actions, counts, once, raising


def test_a_new_fleet_comes_up_and_stays_as_it_is(world: World) -> None:
    assert world.call("plan")["retcode"] == 3
    done = world.apply()
    assert len(world.nodes()) == 3
    assert (done["fleets"]["web"]["state"], len(done["nodes"])) == ("steady", 3)
    assert world.apply()["nodes"] == {}
    assert "retcode" not in world.call("plan")
    assert counts(world.plan()) == {"ready": 3}


# the order


def test_surplus_nodes_are_drained_and_go_one_after_the_other(world: World) -> None:
    world.start("a", "b", "c", "d", "e")
    assert (actions(world.plan()), actions(world.plan(), "following")) == ([("destroy", "e")], [("destroy", "d")])
    world.apply()
    assert world.did == ["drain e", "- e", "drain d", "- d"]
    assert world.nodes() == ["a", "b", "c"]


def test_waves_limits_the_work_of_one_call(world: World) -> None:
    world.start("a", "b", "c", "d", "e")
    done = world.apply(waves=1)
    assert world.did == ["drain e", "- e"]
    assert actions(done["fleets"]["web"]) == [("destroy", "d")]


def test_a_node_is_replaced_by_one_that_is_ready_first(world: World) -> None:
    world.fleet["expire_after"] = "1h"
    world.start("a", "b", "c")
    world.apply()
    assert world.did == ["+ here", "drain a", "- a", "+ here", "drain b", "- b", "+ here", "drain c", "- c"]
    assert len(world.nodes()) == 3


def test_at_max_the_old_node_goes_first(world: World) -> None:
    world.fleet.update(expire_after="1h", max=3)
    world.start("a", "b", "c")
    world.apply()
    assert world.did[:3] == ["drain a", "- a", "+ here"]
    assert len(world.nodes()) == 3


def test_several_at_once(world: World) -> None:
    world.fleet.update(expire_after="1h", disruption={"at_once": "100%"})
    world.start("a", "b", "c")
    world.apply()
    assert world.did[:3] == ["+ here"] * 3
    assert {*world.did[3:6]} == {"drain a", "drain b", "drain c"}


def test_a_broken_node_is_not_drained(world: World) -> None:
    world.start("a", "b", "c")
    world.break_down("c", "stopped")
    world.apply()
    assert world.did == ["+ here", "- c"]


def test_a_protected_node_stays(world: World) -> None:
    world.fleet["count"] = 1
    world.start("b")
    world.start("a", protected=True)
    world.apply()
    assert world.nodes() == ["a"]


def test_a_fleet_of_no_nodes_needs_force(world: World) -> None:
    world.fleet["count"] = 0
    world.start("a", "b", "c")
    assert "more than half" in str(world.apply(code=1)["problems"])
    assert world.nodes() == ["a", "b", "c"]
    world.apply(force=True)
    assert world.nodes() == []
    assert world.apply()["fleets"]["web"]["state"] == "steady"


def test_a_role_without_nodes_and_a_fleet_of_none(world: World) -> None:
    world.fleet["count"] = 0
    assert world.apply()["nodes"] == {}
    assert "retcode" not in world.call("plan")


def test_a_fleet_that_the_configuration_lost_keeps_its_nodes(world: World) -> None:
    world.start("a", "b")
    world.opts["hart"]["fleets"] = {}
    assert world.call("plan")["notes"] == ["no fleet is declared: declare one under hart:fleets"]
    world.apply()
    assert world.nodes() == ["a", "b"]


@pytest.mark.parametrize("lost", [("roles", "app"), ("providers", EAST)])
def test_a_configuration_without_the_role_or_provider_of_a_fleet_changes_nothing(
    world: World, lost: tuple[str, str]
) -> None:
    world.start("a", "b")
    del world.opts["hart"][lost[0]][lost[1]]
    refused = world.apply(code=2)
    assert "hart:fleets:web" in refused["error"] or "hart:roles:app:provider: there is no such" in refused["error"]
    assert world.nodes() == ["a", "b"]


# drain


def test_a_drain_that_fails_keeps_the_node_and_ends_the_work_on_the_fleet(world: World) -> None:
    world.start("a", "b", "c", "d", "e")
    world.drain_problems["e"] = ["app.leave failed"]
    done = world.apply(code=1)
    assert world.did == ["drain e"]
    assert "app.leave failed" in done["nodes"]["e"]["error"]
    assert world.nodes() == ["a", "b", "c", "d", "e"]
    world.drain_problems.clear()
    world.apply()
    assert world.nodes() == ["a", "b", "c"]


def test_a_drain_that_fails_in_a_replacement_leaves_one_more_node_and_no_loop(world: World) -> None:
    world.fleet.update(expire_after="1h", max=10)
    world.start("a", "b", "c")
    world.drain_problems["a"] = ["app.leave failed"]
    world.apply(code=1)
    assert (world.did, len(world.nodes())) == (["+ here", "drain a"], 4)


# spot


@pytest.mark.parametrize(("seconds", "given"), [(60, 50), (10, 5), (-5, 5), (9000, 300)])
@pytest.mark.parametrize("problems", [[], ["app.leave failed"]])
def test_a_node_that_is_taken_away_is_replaced_and_drained_for_the_time_that_is_left(
    world: World, seconds: float, given: float, problems: list[str]
) -> None:
    world.opts["hart"]["roles"]["app"]["drain_timeout"] = 300
    world.start("a", "b", "c")
    world.cloud.account["i-c"] = dataclasses.replace(world.cloud.account["i-c"], spot=True)
    world.cloud.taken["i-c"] = NOW + seconds
    world.drain_problems["c"] = problems
    world.apply()
    assert world.did == ["+ here", "drain c", "- c"]
    assert world.given["c"] == given


# failures


@pytest.mark.parametrize(
    "error",
    [
        AuthError, DriverError, EnvironmentFault, InvalidRequest, LeaseLost, NoCapacity, NodeFailed, NotFound,
        Protected, QuotaExceeded, RateLimited, Refused, TemporaryFailure,
    ],
)  # fmt: skip
def test_a_create_that_fails_is_reported_and_not_tried_again_at_once(world: World, error: type[HartError]) -> None:
    world.start("a")
    tried: list[int] = []

    def fail() -> None:
        tried.append(1)
        raise error("the cloud says no")

    world.on["create"] = fail
    done = world.apply(code=1)
    assert (len(tried), world.nodes()) == (2, ["a"])
    assert "the cloud says no" in str(done["nodes"])
    world.on.clear()
    world.apply()
    assert len(world.nodes()) == 3


def test_a_create_that_fails_partly_keeps_what_came_up(world: World) -> None:
    world.on["create"] = once(raising(NoCapacity("no room")), after=1)
    done = world.apply(code=1)
    assert len(world.nodes()) == 2
    assert sorted(one["result"] for one in done["nodes"].values()) == [False, True, True]
    assert [one["action"] for one in done["fleets"]["web"]["actions"]] == ["create"]
    world.apply()
    assert len(world.nodes()) == 3


def test_a_replacement_that_cannot_be_created_keeps_the_old_node(world: World) -> None:
    world.start("a", "b", "c")
    world.break_down("c", "stopped")
    world.on["create"] = raising(NoCapacity("no room"))
    world.apply(code=1)
    assert (world.did, world.nodes()) == ([], ["a", "b", "c"])


def test_a_refusal_before_anything_is_created_is_the_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **keywords: Any) -> Any:
        raise QuotaExceeded("the account may have 2 instances")

    monkeypatch.setattr("hart_salt.operations.create.create_all", refuse)
    assert world.apply(code=1)["problems"] == ["web: the account may have 2 instances"]


def test_what_of_a_batch_could_not_be_removed_is_reported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = world.create_all

    def with_a_problem(*arguments: Any, **keywords: Any) -> Any:
        data, signum = real(*arguments, **keywords)
        return {**data, "errors": ["the temporary key hart-1 could not be removed"]}, signum

    monkeypatch.setattr("hart_salt.operations.create.create_all", with_a_problem)
    done = world.apply(code=1)
    assert done["problems"] == ["web: the temporary key hart-1 could not be removed"]
    assert len(world.nodes()) == 3


def test_a_destroy_that_fails_is_reported_and_the_next_call_completes_it(world: World) -> None:
    world.start("a", "b", "c", "d")
    world.on["terminate i-d"] = raising(InvalidRequest("no"))
    done = world.apply(code=1)
    assert (done["nodes"]["d"]["result"], world.nodes()) == (False, ["a", "b", "c", "d"])
    world.on.clear()
    world.apply()
    assert world.nodes() == ["a", "b", "c"]


def test_an_outage_between_two_waves_keeps_the_outcome_of_the_first(world: World) -> None:
    world.start("a", "b", "c", "d", "e")

    def outage() -> None:
        world.cloud.error = TemporaryFailure("503")

    world.on["terminate i-e"] = outage
    done = world.apply(code=1)
    assert done["nodes"]["e"]["result"] is True
    assert world.cloud.account.keys() == {"i-a", "i-b", "i-c", "i-d"}
    assert done["problems"] == [f"web is blocked: {EAST}: 503"]


def test_a_store_outage_between_two_waves_keeps_the_outcome_of_the_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start("a", "b", "c", "d", "e")
    real = Store.read

    def read(store: Store) -> Any:
        if "- e" in world.did:
            raise EnvironmentFault("the record store cannot be read: gone")
        return real(store)

    monkeypatch.setattr(Store, "read", read)
    done = world.apply(code=1)
    assert done["nodes"]["e"]["result"] is True
    assert "the record store cannot be read: gone" in done["problems"]


def test_a_failure_of_one_fleet_does_not_keep_the_other(world: World) -> None:
    world.opts["hart"]["fleets"]["data"] = {"role": "db", "count": 2}
    world.start("a", "b", "c", "d")
    world.drain_problems["d"] = ["no"]
    done = world.apply(code=1)
    assert len(world.clouds[WEST].account) == 2
    assert (done["fleets"]["data"]["state"], world.nodes()) == ("steady", ["a", "b", "c", "d"])


def test_a_node_that_stays_in_lists_after_it_was_destroyed_is_no_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start("a", "b", "c", "d")
    kept = dict(world.cloud.account)
    real = world.cloud.terminate

    def comes_back(instance: Any) -> None:
        real(instance)
        world.cloud.account.update(kept)
        world.present.add("d")

    monkeypatch.setattr(world.cloud, "terminate", comes_back)
    world.call("apply")
    assert world.did.count("- d") == 1
