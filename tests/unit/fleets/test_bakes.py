"""How a fleet that bakes its images plans: the new image first, and nothing urgent waits for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from hart_salt.base.errors import EnvironmentFault, Interrupted
from hart_salt.fleets import actions as do
from hart_salt.fleets.reconcile import Wave, Work
from hart_salt.fleets.report import of_plan
from hart_salt.fleets.scene import Bake, Room
from hart_salt.operations.fleet import Outcomes
from tests.unit.fleets.scenes import DAY, HOUR, NOW, brief, member, members, planned, scene, spec
from tests.unit.fleets.world import BREAKS, FAILS, KILLED, OK, Images, World

DUE = Bake("there is no image", "nyc3")
WAITS = dataclasses.replace(DUE, waits="the last bake failed (no capacity)", since=NOW + HOUR)
MISSING = dataclasses.replace(DUE, missing={"nyc3": "image is baked!, and there is none"})
OUTDATED = "a new image of the role app is due, and comes first"
RUNNING = Bake("", "nyc3", running=True)
FLEET = spec(count=3, drift="replace", bake_after="7d", expire_after="30d")


def with_room(nodes: int, why: str = "full") -> Bake:
    """Return a bake for which the limits of the configuration allow so many more nodes."""
    return dataclasses.replace(DUE, room=Room(nodes, why))


def test_a_due_image_is_made_before_nodes_are_renewed() -> None:
    nodes = [*members(2, drift=("image",)), member("old", created=NOW - 29 * DAY)]
    found = planned(FLEET, nodes, bake=DUE)
    assert brief(found.actions) == ["bake image nyc3"]
    assert (found.actions[0].reason, found.actions[0].minion_id) == ("there is no image", None)
    assert brief(found.following) == ["replace age old", "replace drift web-0", "replace drift web-1"]
    assert found.state == do.CHANGING


def test_every_difference_waits_because_the_new_image_can_remove_it() -> None:
    """A changed minion configuration is both: nodes differ, and so does the image that they will run from."""
    found = planned(FLEET, members(3, drift=("settings",)), bake=DUE)
    assert brief(found.actions) == ["bake image nyc3"]
    assert len(found.following) == 3


def test_what_is_urgent_does_not_wait_and_comes_first() -> None:
    nodes = [
        member("gone", "gone"), member("ended", ends=NOW - 1), member("spot", interrupted=NOW + 90),
        member("broken", "stopped"), member("fine"),
    ]  # fmt: skip
    one = spec(count=5, drift="replace", bake_after="7d", repair_after="10m", disruption={"at_once": 2})
    assert brief(planned(one, nodes, bake=DUE).actions) == [
        "destroy gone gone", "destroy ttl ended", "create few nyc3", "create few nyc3", "replace interrupted spot",
        "replace repair broken", "bake image nyc3",
    ]  # fmt: skip


def test_surplus_nodes_go_beside_a_bake() -> None:
    assert brief(planned(FLEET, members(4), bake=DUE).actions) == ["destroy many web-3", "bake image nyc3"]


def test_a_bake_counts_as_no_change_and_waits_for_no_window() -> None:
    one = spec(
        count=3, drift="replace", bake_after="7d", limits={"changes_per_hour": 1, "monthly_price": 18}, max=3,
        disruption={"windows": ["Sat 02:00-05:00"]},
    )  # fmt: skip
    found = planned(one, members(3, drift=("image",)), bake=DUE, changes=[NOW - 1])
    assert brief(found.actions) == ["bake image nyc3"]
    assert {later.why for later in found.later} == {"the next window opens at 2026-12-05 02:00 UTC"}


def test_a_bake_that_would_fail_is_not_begun_and_says_what_is_wrong() -> None:
    wrong = dataclasses.replace(WAITS, wrong="bake: there is no state nosuch")
    found = planned(FLEET, members(2, drift=("image",)), bake=wrong)
    assert brief(found.actions) == ["create few nyc3"]
    assert [one.why for one in found.later] == ["bake: there is no state nosuch", *[OUTDATED] * 2]
    assert found.why == "no new image of the role app can be made: bake: there is no state nosuch"
    assert planned(FLEET, members(3), bake=wrong).state == do.BLOCKED


def test_a_plan_says_which_new_nodes_the_bake_makes_old() -> None:
    two = "2 new nodes come up before the new image is there, and are replaced after it"
    assert planned(FLEET, members(1), bake=DUE).notes == (two,)
    one = "1 new node comes up before the new image is there, and is replaced after it"
    assert planned(FLEET, members(2), bake=DUE).notes == (one,)
    for fleet, bake in ((spec(count=3, bake_after="7d"), DUE), (FLEET, WAITS), (FLEET, MISSING)):
        assert planned(fleet, members(2), bake=bake).notes == ()


def test_a_bake_needs_room_for_its_node_within_the_limits_of_the_configuration() -> None:
    full = with_room(0, "hart:max_nodes is 3")
    found = planned(FLEET, members(3), bake=full)
    assert (found.actions, found.state) == ((), do.BLOCKED)
    assert found.why == "a new image of the role app is due, but hart:max_nodes is 3"
    assert [one.why for one in found.later] == ["hart:max_nodes is 3"]
    assert brief(planned(FLEET, members(2), bake=with_room(1)).actions) == ["create few nyc3"]
    assert brief(planned(FLEET, members(2), bake=with_room(2)).actions)[-1] == "bake image nyc3"


def test_the_limits_of_the_role_do_not_count_the_node_of_a_bake() -> None:
    """It is none of the role's nodes."""
    found = planned(FLEET, members(3), bake=with_room(1), room=Room(0, "hart:roles:app:max_nodes is 3"))
    assert brief(found.actions) == ["bake image nyc3"]


def test_without_room_for_a_bake_no_node_is_renewed_onto_the_old_image() -> None:
    found = planned(FLEET, members(3, drift=("size",)), bake=with_room(0))
    assert (found.actions, found.state) == ((), do.BLOCKED)
    assert [one.why for one in found.later] == ["full", *[OUTDATED] * 3]


def test_a_fleet_that_is_held_or_not_seen_whole_bakes_nothing() -> None:
    found = planned(FLEET, members(3, drift=("image",)), bake=DUE, held="held by root")
    assert (found.actions, found.state) == ((), do.HELD)
    assert {one.why for one in found.later} == {"held by root"}
    assert planned(FLEET, members(3), bake=DUE, problems=["the cloud does not answer"]).actions == ()
    assert planned(FLEET, members(3), bake=DUE, network="nobody answers").actions == ()


def test_after_a_bake_that_failed_no_node_is_renewed_onto_the_old_image() -> None:
    nodes = [*members(2, drift=("image",)), member("old", created=NOW - 29 * DAY)]
    found = planned(FLEET, nodes, bake=WAITS)
    assert (found.actions, found.following) == ((), ())
    assert [(brief([one.action]), one.why, one.since) for one in found.later] == [
        (["bake image nyc3"], WAITS.waits, NOW + HOUR),
        *((["replace " + what], OUTDATED, NOW + HOUR) for what in ("age old", "drift web-0", "drift web-1")),
    ]
    assert found.why == f"1 change waits: {WAITS.waits}; 3 changes wait: {OUTDATED}"


def test_after_a_bake_that_failed_what_is_urgent_goes_on_with_the_image_that_is_there() -> None:
    nodes = [member("gone", "gone"), member("broken", "stopped"), member("spot", interrupted=NOW + 90)]
    one = spec(count=3, drift="replace", bake_after="7d", repair_after="10m")
    assert brief(planned(one, nodes, bake=WAITS).actions) == [
        "destroy gone gone", "create few nyc3", "replace interrupted spot", "replace repair broken"
    ]  # fmt: skip
    assert brief(planned(FLEET, members(4), bake=WAITS).actions) == ["destroy many web-3"]


# a role that needs a baked image


def test_nodes_that_need_an_image_are_created_after_the_bake() -> None:
    found = planned(FLEET, bake=MISSING)
    assert (brief(found.actions), brief(found.following)) == (["bake image nyc3"], ["create few nyc3"] * 3)
    assert (found.later, found.state) == ((), do.CHANGING)


def test_so_are_the_successors_of_nodes_that_break_or_end() -> None:
    nodes = [member("gone", "gone"), member("broken", "stopped"), member("spot", interrupted=NOW + 90)]
    one = spec(count=3, bake_after="7d", repair_after="10m")
    found = planned(one, nodes, bake=MISSING)
    assert brief(found.actions) == ["destroy gone gone", "bake image nyc3"]
    assert brief(found.following) == ["create few nyc3", "replace interrupted spot", "replace repair broken"]


def test_where_an_image_is_nodes_are_created_at_once() -> None:
    found = planned(spec(["fra1", "nyc3"], count=2, bake_after="7d"), bake=MISSING)
    assert (brief(found.actions), brief(found.following)) == (
        ["create few fra1", "bake image nyc3"], ["create few nyc3"]
    )  # fmt: skip


def test_the_node_of_the_bake_needs_no_room_beside_nodes_that_come_after_it() -> None:
    found = planned(spec(count=1, bake_after="7d"), bake=dataclasses.replace(MISSING, room=Room(1, "full")))
    assert (brief(found.actions), brief(found.following)) == (["bake image nyc3"], ["create few nyc3"])


def test_no_more_nodes_follow_a_bake_than_the_limits_allow() -> None:
    found = planned(FLEET, bake=MISSING, room=Room(2, "full"))
    assert (brief(found.actions), brief(found.following)) == (["bake image nyc3"], ["create few nyc3"] * 2)
    assert [(brief([one.action]), one.why) for one in found.later] == [(["create few nyc3"], "full")]


def test_nodes_that_need_an_image_wait_as_long_as_it_cannot_be_made_and_say_why() -> None:
    nodes = [member("broken", "stopped")]
    one = spec(count=3, bake_after="7d", repair_after="10m")
    found = planned(one, nodes, bake=dataclasses.replace(MISSING, waits="it failed", since=NOW + HOUR))
    assert (found.actions, found.following, found.state) == ((), (), do.BLOCKED)
    assert found.why == (
        "2 more nodes are wanted, but image is baked!, and there is none; broken cannot be replaced: image is baked!, "
        "and there is none; the next bake is possible at 2026-12-02 13:00 UTC"
    )
    found = planned(one, nodes, bake=dataclasses.replace(MISSING, running=True))
    assert (found.actions, found.state, {one.why for one in found.later}) == (
        (), do.CHANGING, {"a call bakes the role app"}
    )  # fmt: skip
    found = planned(one, nodes, bake=MISSING, held="held by root")
    assert (found.actions, {one.why for one in found.later}) == ((), {"held by root"})


# other calls


def test_a_bake_of_another_call_is_waited_for_and_not_doubled() -> None:
    for bake in (RUNNING, dataclasses.replace(RUNNING, due="it is too old")):
        found = planned(FLEET, [member("gone", "gone"), *members(3, drift=("image",))], bake=bake)
        assert brief(found.actions) == ["destroy gone gone"]
        assert (found.following, found.state) == ((), do.CHANGING)
        assert {one.why for one in found.later} == {"a call bakes the role app"}
        assert len(found.later) == 3 + bool(bake.due)


def test_a_fleet_without_nodes_needs_no_image() -> None:
    empty = spec(count=0, bake_after="7d")
    assert planned(empty, bake=DUE).actions == ()
    assert brief(planned(spec(min=0, max=3, bake_after="7d"), bake=DUE).actions) == ["bake image nyc3"]


def test_without_a_due_image_a_fleet_does_what_it_did_before() -> None:
    nodes = members(3, drift=("image",))
    assert planned(FLEET, nodes, bake=Bake("", "nyc3")) == planned(FLEET, nodes)


def test_a_bake_in_a_result_has_a_reason_and_no_price() -> None:
    seen = scene(FLEET, members(3), bake=DUE)
    data = of_plan(planned(FLEET, members(3), bake=DUE), seen)
    assert data["actions"] == [
        {"action": "bake", "minion_id": None, "region": "nyc3", "cause": "image", "reason": "there is no image"}
    ]
    assert data["price"] == {"before": {"USD": 18.0}, "after": {"USD": 18.0}}


# carried out


def world(faults: list[str], **changes: object) -> World:
    images = Images(newest=1, created=NOW - 8 * DAY, of_node={f"web-{number}": 1 for number in range(3)})
    made = World(FLEET, NOW, {one.minion_id: one for one in members(3)}, faults=iter(faults), images=images)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_nodes_are_renewed_onto_the_new_image_one_after_the_other() -> None:
    made = world([])
    did = [brief(made.apply().actions) for _ in range(5)]
    assert did[0] == ["bake image nyc3"]
    assert did[1:] == [["replace drift web-0"], ["replace drift web-1"], ["replace drift web-2"], []]
    assert {made.images.of_node[name] for name in made.nodes} == {made.images.newest}
    assert made.problems == []


def test_a_bake_that_fails_is_tried_once_and_the_nodes_stay() -> None:
    made = world([FAILS])
    before = set(made.nodes)
    assert brief(made.apply().actions) == ["bake image nyc3"]
    assert made.apply().actions == ()
    assert set(made.nodes) == before
    made.now += HOUR
    assert brief(made.apply().actions) == ["bake image nyc3"]


def test_a_bake_that_was_killed_is_begun_again_by_the_next_call() -> None:
    made = world([KILLED])
    made.apply()
    assert brief(made.apply().actions) == ["bake image nyc3"]
    assert made.images.made == 1


def carried_out(bake: Callable[[], Outcomes]) -> Work:
    """Return what a wave notes in which the role is baked like this."""
    made, work = world([OK] * 9), Work()
    found = planned(FLEET, members(3), bake=DUE)
    made._bake = bake  # type: ignore[method-assign]
    Wave(found, {}, made.operations(), work).run()
    return work


def test_the_outcome_of_a_bake_is_kept() -> None:
    work = carried_out(lambda: Outcomes({"app": {"result": True, "image": "i-1"}}))
    assert (work.bakes, work.failed, work.bake_problems) == ({"app": {"result": True, "image": "i-1"}}, False, [])


@pytest.mark.parametrize(
    "done",
    [
        Outcomes({"app": {"result": False, "error": "no capacity"}}, ok=False),
        Outcomes({}, ok=False, problems=["no capacity"]),
    ],
)
def test_a_bake_that_fails_is_a_problem_but_does_not_end_the_work_on_the_fleet(done: Outcomes) -> None:
    work = carried_out(lambda: done)
    assert (work.bake_problems, work.failed) == (["no capacity"], False)


def test_a_bake_that_cannot_begin_is_a_problem_too() -> None:
    def fails() -> Outcomes:
        raise EnvironmentFault("the provider cannot be asked")

    work = carried_out(fails)
    assert (work.bake_problems, work.failed) == (["the provider cannot be asked"], False)


def test_a_signal_during_a_bake_ends_the_work() -> None:
    def interrupted() -> Outcomes:
        raise Interrupted(15, "SIGTERM")

    assert carried_out(interrupted).interrupted == 15
    assert carried_out(lambda: Outcomes({}, ok=False, interrupted=15)).interrupted == 15


@pytest.mark.parametrize("fault", [FAILS, BREAKS])
def test_a_node_that_cannot_be_created_does_not_keep_the_new_image_from_being_made(fault: str) -> None:
    """It may be the old image that does not boot."""
    made = world([fault])
    del made.nodes["web-2"]
    found = made.apply()
    assert brief(found.actions) == ["create few nyc3", "bake image nyc3"]
    assert made.images.made == 1


def test_a_fleet_without_any_image_gets_one_and_then_its_nodes() -> None:
    made = world([], nodes={}, images=Images(required=True))
    assert [brief(made.apply().actions) for _ in range(3)] == [["bake image nyc3"], ["create few nyc3"] * 3, []]
    assert (len(made.nodes), made.problems) == (3, [])
