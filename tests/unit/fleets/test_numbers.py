"""How many nodes there should be, where new ones go, which ones go first, and what is held."""

from __future__ import annotations

from collections import Counter
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from hart_salt.fleets.choice import spread, victims
from hart_salt.fleets.scene import Target
from tests.unit.fleets.scenes import DAY, HOUR, NOW, brief, done, member, members, planned, spec


def test_a_fleet_that_is_as_declared_is_steady() -> None:
    found = planned(spec(count=3), members(3))
    assert (found.state, found.why, found.wanted, found.anything) == ("steady", "", 3, False)
    assert found.counts == {"ready": 3, "coming": 0, "silent": 0, "stopped": 0, "gone": 0}


def test_an_empty_fleet_is_created() -> None:
    found = planned(spec(count=2))
    assert brief(found.actions) == ["create few nyc3"] * 2
    assert (found.state, found.anything) == ("changing", True)
    assert found.actions[0].reason == "0 of 2 nodes are there"
    assert found.actions[0].after is not None and found.actions[0].before is None


@pytest.mark.parametrize(
    ("declared", "there", "wanted"),
    [
        ({"count": 4}, 3, 4), ({"count": 4}, 5, 4), ({"min": 2, "max": 4}, 1, 2), ({"min": 2, "max": 4}, 3, 3),
        ({"min": 2, "max": 4}, 6, 4),
        ({"count": 2, "max": 4}, 3, 3), ({"count": 2, "max": 4}, 0, 2), ({"min": 2}, 9, 9),
        ({"count": 0}, 1, 0), ({"count": 0, "max": 20}, 7, 7),
    ],
)  # fmt: skip
def test_the_number_of_nodes_stays_within_the_bounds(declared: dict[str, Any], there: int, wanted: int) -> None:
    found = planned(spec(**declared), members(there), force=True)
    assert found.wanted == wanted
    removed = [one for one in [*found.actions, *found.following] if one.kind == "destroy"]
    created = [one for one in found.actions if one.kind == "create"]
    assert len(created) - len(removed) == wanted - there


@pytest.mark.parametrize(("asked", "wanted"), [(1, 2), (3, 3), (9, 5)])
def test_the_load_decides_within_the_bounds(asked: int, wanted: int) -> None:
    found = planned(spec(min=2, max=5), members(2), target=Target(asked, "the average is 0.9"))
    assert found.wanted == wanted
    assert all(one.reason == f"2 of {wanted} nodes are there: the average is 0.9" for one in found.actions)


def test_nodes_whose_instances_are_gone_have_successors_in_a_fleet_without_a_fixed_number() -> None:
    found = planned(spec(min=1, max=9), [*members(3), member("lost", "gone")])
    assert brief(found.actions) == ["destroy gone lost", "create few nyc3"]
    assert found.actions[0].reason == "its instance is gone"


@pytest.mark.parametrize("given", [{"protected": True}, {"busy": True}, {"ends": NOW - 1}])
def test_a_node_that_is_gone_has_no_successor_if_it_stays_known_or_had_ended(given: dict[str, Any]) -> None:
    found = planned(spec(min=1, max=9), [*members(3), member("lost", "gone", **given)])
    assert found.wanted == 3
    assert "create" not in [one.kind for one in found.actions]


def test_new_nodes_go_to_the_regions_with_the_fewest() -> None:
    there = [member("a", region="fra1"), member("b", region="fra1"), member("c", region="nyc3")]
    found = done(spec(["nyc3", "fra1", "ams3"], count=7), there)
    assert found == [f"create few {region}" for region in ("ams3", "nyc3", "ams3", "nyc3")]


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9)), st.integers(1, 4), st.integers(0, 40))
def test_the_spread_is_as_even_as_it_can_be(there: dict[str, int], regions: int, number: int) -> None:
    names = "abcd"[:regions]
    chosen = Counter(spread(names, there, number))
    totals = {name: there.get(name, 0) + chosen[name] for name in names}
    assert sum(chosen.values()) == number
    assert all(totals[name] - min(totals.values()) <= 1 for name in chosen)


# which nodes go


def test_the_newest_nodes_go_first_or_the_oldest_if_the_fleet_says_so() -> None:
    assert done(spec(count=3), members(4)) == ["destroy many web-3"]
    assert done(spec(count=3, remove="oldest"), members(4)) == ["destroy many web-0"]


def test_nodes_that_are_leaving_go_first_then_broken_ones_then_those_that_differ() -> None:
    there = [
        *members(3), member("a-drifted", drift=("size",), created=NOW - 90 * DAY),
        member("b-stopped", "stopped", created=NOW - 90 * DAY),
        member("c-leaving", interrupted=NOW + 60, created=NOW - 90 * DAY),
    ]  # fmt: skip
    order = [one.minion_id for one in victims(there, 6, newest=True, first={"a-drifted"})]
    assert order == ["c-leaving", "b-stopped", "a-drifted", "web-2", "web-1", "web-0"]
    assert done(spec(count=5), there)[0] == "destroy many c-leaving"


def test_a_node_goes_from_the_region_with_the_most() -> None:
    there = [*members(3), member("f-0", region="fra1", created=NOW)]
    assert done(spec(["nyc3", "fra1"], count=3), there) == ["destroy many web-2"]


def test_of_two_equal_regions_the_one_with_the_node_that_goes_first_is_taken() -> None:
    there = [member("n", region="nyc3", created=NOW - HOUR), member("f", region="fra1", created=NOW)]
    assert [one.minion_id for one in victims(there, 1, newest=True)] == ["f"]
    assert [one.minion_id for one in victims(there, 1, newest=False)] == ["n"]
    assert [one.minion_id for one in victims(there, 1, newest=True, first={"n"})] == ["n"]


def test_after_an_interrupted_replacement_the_old_node_goes_and_not_the_new_one() -> None:
    """With ``remove: newest``, the new node would go, and the next call would replace the old one again."""
    there = [*members(3, created=NOW - DAY), member("old", created=NOW - 29.5 * DAY)]
    assert done(spec(count=3, expire_after="30d"), there) == ["destroy many old"]


def test_protected_and_busy_nodes_stay_and_the_fleet_says_so() -> None:
    there = [member("a", protected=True), member("b", busy=True), member("c", protected=True)]
    found = planned(spec(count=2), [*there, member("d")])
    assert brief(found.actions) == ["destroy many d"]
    found = planned(spec(count=1), [*there, member("d")], force=True)
    assert found.why == "3 nodes are too many, but only 1 can go: the others are protected, or a call works on them"
    found = planned(spec(count=2), [member(name, protected=True) for name in "abc"])
    assert (found.state, found.actions) == ("blocked", ())
    assert found.why.startswith("1 nodes are too many, but only 0 can go")


def test_at_most_at_once_of_those_that_are_too_many_go_at_the_same_time() -> None:
    found = planned(spec(count=5, disruption={"at_once": 2}), members(8))
    assert brief(found.actions) == ["destroy many web-7", "destroy many web-6"]
    assert brief(found.following) == ["destroy many web-5"]
    assert found.actions[0].reason == "8 nodes instead of 5"


def test_nodes_that_are_too_many_stay_until_those_that_come_are_ready() -> None:
    """Otherwise, fewer nodes would be ready than ``at_once`` leaves."""
    coming = [member(f"new-{number}", "coming", busy=True) for number in range(3)]
    found = planned(spec(min=1, max=9), [*members(4), *coming], target=Target(4, "less load"))
    assert brief(found.actions) == ["destroy many web-3"]
    why = "no other node can go while these are not ready: new-0, new-1, new-2"
    assert [one.why for one in found.later] == [why] * 2
    assert found.state == "changing"


def test_nodes_that_their_provider_takes_away_do_not_wait_for_at_once() -> None:
    there = [*members(4), *(member(f"leaving-{number}", interrupted=NOW + 60) for number in range(3))]
    found = planned(spec(count=4), there)
    assert brief(found.actions) == [f"destroy many leaving-{number}" for number in (2, 1, 0)]


# what is held


def test_more_than_half_at_once_is_held_until_it_is_forced() -> None:
    found = planned(spec(count=1), members(4))
    assert (found.state, found.actions, found.following) == ("held", (), ())
    assert found.why == "3 of 4 nodes would be removed, more than half: salt-run hart.apply web force=True does it"
    assert [one.why for one in found.later] == [found.why] * 3
    assert len(done(spec(count=1, disruption={"at_once": 5}), members(4), force=True)) == 3


@pytest.mark.parametrize(("there", "count", "state"), [(4, 2, "changing"), (2, 1, "changing"), (1, 0, "held")])
def test_half_of_the_nodes_can_go(there: int, count: int, state: str) -> None:
    assert planned(spec(count=count), members(there)).state == state


@pytest.mark.parametrize(("gone", "there", "state"), [(1, 0, "changing"), (2, 2, "changing"), (3, 2, "held")])
def test_if_more_than_half_of_the_instances_are_gone_it_may_be_the_wrong_account(
    gone: int, there: int, state: str
) -> None:
    lost = [member(f"lost-{number}", "gone") for number in range(gone)]
    found = planned(spec(count=gone + there), [*members(there), *lost])
    assert found.state == state
    assert planned(spec(count=gone + there), [*members(there), *lost], force=True).state == "changing"
    if state == "held":
        assert found.why == (
            "the instances of 3 of 5 nodes are gone, more than half: if the account is the right one, salt-run "
            "hart.apply web force=True does it"
        )


def test_nodes_that_are_gone_because_another_call_destroys_them_hold_nothing() -> None:
    lost = [member(f"lost-{number}", "gone", busy=True) for number in range(3)]
    assert planned(spec(min=1), [*members(1), *lost]).state == "steady"


def test_a_fleet_that_a_person_holds_stays_as_it_is_even_with_force() -> None:
    found = planned(spec(count=1), members(4), held="held by alice", force=True)
    assert (found.state, found.why, found.actions) == ("held", "held by alice", ())
    assert {one.why for one in found.later} == {"held by alice"}
    assert planned(spec(count=4), members(4), held="held by alice").state == "held"
