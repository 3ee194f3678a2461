"""What a plan says: the state of the fleet, the order of its actions, its notes; which nodes are a fleet's."""

from __future__ import annotations

import pytest

from hart_salt.fleets.actions import Plan
from hart_salt.fleets.scene import Target
from tests.unit.fleets.scenes import NOW, brief, member, members, planned, spec


def test_the_urgent_actions_come_first() -> None:
    there = [
        *members(6), member("age", created=NOW - 30 * 86400), member("drift", drift=("size",)),
        member("bad", "stopped"), member("spot", interrupted=NOW + 60), member("end", ends=NOW - 1),
        member("lost", "gone"),
    ]  # fmt: skip
    fleet = spec(
        count=11, repair_after="10m", expire_after="30d", drift="replace", disruption={"at_once": 9}
    )  # fmt: skip
    assert brief(planned(fleet, there).actions) == [
        "destroy gone lost", "destroy ttl end", "create few nyc3", "replace interrupted spot", "replace repair bad",
        "replace age age", "replace drift drift",
    ]  # fmt: skip


def test_a_node_has_one_action_even_with_several_causes() -> None:
    one = member("all", "stopped", drift=("size",), created=NOW - 99 * 86400)
    found = planned(spec(count=3, repair_after="1m", expire_after="30d", drift="replace"), [*members(2), one])
    assert [each for each in brief([*found.actions, *found.following]) if each.endswith("all")] == [
        "replace repair all"
    ]


def test_a_fleet_on_which_another_call_works_is_changing() -> None:
    found = planned(spec(count=2), [member("a"), member("b", "coming", busy=True)])
    assert (found.state, found.actions, found.counts["coming"]) == ("changing", (), 1)


def test_the_same_reason_is_said_once() -> None:
    found = planned(spec(count=6, limits={"changes_per_hour": 1}), members(2))
    assert found.why.count("changes_per_hour") == 1


def test_nothing_follows_if_nothing_is_done_now() -> None:
    """A call would end without it, so it is left for later."""
    there = [*members(3, drift=("size",)), member("bad", "stopped")]
    found = planned(spec(count=4, repair_after="1m", drift="replace", limits={"monthly_price": 1}), there, prices={})
    assert (found.state, found.actions, found.following) == ("blocked", (), ())
    assert {one.why for one in found.later} == {
        "limits:monthly_price is set, and the price of a new node is not known", "too few other nodes are ready"
    }  # fmt: skip


def test_notes_of_the_scene_are_kept() -> None:
    assert planned(spec(count=0), notes=["not counted: x"]).notes == ("not counted: x",)
    assert planned(spec(count=0), notes=["not counted: x"], problems=["no"]).notes == ("not counted: x",)


def test_the_load_explains_what_goes() -> None:
    found = planned(spec(min=1, max=9), members(4), target=Target(3, "the average is 0.2"))
    assert found.actions[0].reason == "4 nodes instead of 3: the average is 0.2"


@pytest.mark.parametrize(
    ("plan", "anything"),
    [(Plan("a", "steady"), False), (Plan("a", "blocked", "no"), True), (Plan("a", "held", "x"), False)],
)
def test_a_plan_knows_whether_something_differs(plan: Plan, anything: bool) -> None:
    assert plan.anything is anything


def test_a_fleet_has_the_nodes_of_its_role_at_its_provider() -> None:
    alone, shared = spec(["nyc3"], count=1), spec(["nyc3"], count=1)
    object.__setattr__(shared, "alone", False)
    assert alone.has("app", "do", "nyc3") and alone.has("app", "do", "fra1")
    assert shared.has("app", "do", "nyc3") and not shared.has("app", "do", "fra1")
    assert not alone.has("db", "do", "nyc3") and not alone.has("app", "ec2", "nyc3") and not alone.has(None, "do", None)
