"""Which nodes are repaired, and when the network is at fault; nodes that end; nodes that their provider takes away."""

from __future__ import annotations

import pytest

from hart_salt.fleets.diff import network_fault
from tests.unit.fleets.scenes import DAY, MINUTE, NOW, brief, done, member, members, planned, spec

REPAIRED = spec(count=4, repair_after="10m")


@pytest.mark.parametrize(("minutes", "expected"), [(9, []), (10, ["replace repair bad"]), (60, ["replace repair bad"])])
def test_a_silent_node_is_replaced_after_repair_after(minutes: int, expected: list[str]) -> None:
    there = [*members(3), member("bad", "silent", silent_since=NOW - minutes * MINUTE)]
    assert done(REPAIRED, there) == expected


def test_the_reason_says_since_when_the_minion_has_not_answered() -> None:
    found = planned(REPAIRED, [*members(3), member("bad", "silent", silent_since=NOW - 12 * MINUTE)])
    assert [one.reason for one in found.actions] == ["its minion has not answered for 12m"]


def test_a_node_is_not_replaced_if_nobody_knows_since_when_it_is_silent() -> None:
    assert done(REPAIRED, [*members(3), member("bad", "silent")]) == []


def test_a_stopped_node_is_replaced_at_once() -> None:
    found = planned(REPAIRED, [*members(3), member("bad", "stopped")])
    assert brief(found.actions) == ["replace repair bad"]
    assert found.actions[0].reason == "its instance is stopped"


def test_nothing_is_repaired_without_repair_after_and_a_note_says_so() -> None:
    there = [*members(2), member("bad", "stopped"), member("worse", "silent", silent_since=NOW - DAY)]
    found = planned(spec(count=4), there)
    assert (found.state, found.actions) == ("steady", ())
    assert found.notes == ("not replaced although the instance does not run: bad; set repair_after",)


def test_at_most_at_once_nodes_are_repaired_at_the_same_time() -> None:
    there = [*members(2), *(member(f"bad-{number}", "stopped") for number in range(3))]
    found = planned(spec(count=5, repair_after="10m", disruption={"at_once": 2}), there)
    assert brief(found.actions) == ["replace repair bad-0", "replace repair bad-1"]
    assert brief(found.following) == ["replace repair bad-2"]


def test_repairs_and_other_changes_together_are_at_most_at_once() -> None:
    there = [*members(4), member("bad", "stopped"), member("drifted", drift=("size",))]
    found = planned(spec(count=6, repair_after="10m", drift="replace", disruption={"at_once": 2}), there)
    assert brief(found.actions) == ["replace repair bad", "replace drift drifted"]
    found = planned(spec(count=6, repair_after="10m", drift="replace"), there)
    assert brief(found.actions) == ["replace repair bad"]
    assert brief(found.following) == ["replace drift drifted"]


def test_protected_and_busy_nodes_are_not_repaired() -> None:
    there = [*members(2), member("safe", "stopped", protected=True), member("used", "stopped", busy=True)]
    found = planned(REPAIRED, there)
    assert found.actions == ()
    assert found.notes == ("safe stays although its instance is stopped: it is protected",)


@pytest.mark.parametrize(
    ("silent", "ready", "fault"),
    [(1, 0, False), (1, 1, False), (2, 0, True), (2, 1, True), (2, 4, False), (2, 3, True),
     (3, 6, False), (4, 6, True)],
)  # fmt: skip
def test_more_than_a_third_of_silent_nodes_is_a_fault_of_the_network(silent: int, ready: int, fault: bool) -> None:
    there = [*members(ready), *(member(f"bad-{it}", "silent", silent_since=NOW - DAY) for it in range(silent))]
    assert bool(network_fault(there)) == fault
    found = planned(spec(count=20, repair_after="10m"), there, force=True)
    assert (found.state == "blocked") == fault
    if fault:
        assert (found.actions, found.following, found.later) == ((), (), ())
        assert found.why == (
            f"{silent} of {silent + ready} minions do not answer although their instances run, which is more than a "
            "third: the network or the master is probably at fault"
        )


def test_nodes_that_do_not_run_are_no_fault_of_the_network() -> None:
    there = [*members(2), *(member(f"bad-{number}", "stopped") for number in range(3))]
    assert network_fault([*there, member("lost", "gone")]) == ""


def test_a_fault_that_all_fleets_show_stops_each() -> None:
    found = planned(spec(count=5), members(3), network="too many minions are silent")
    assert (found.state, found.why, found.actions) == ("blocked", "too many minions are silent", ())


def test_a_scene_that_was_not_seen_whole_changes_nothing() -> None:
    found = planned(spec(count=5), members(3), problems=["do: does not answer", "the store: timeout"], force=True)
    assert (found.state, found.why, found.actions) == ("blocked", "do: does not answer; the store: timeout", ())
    assert found.anything


# nodes that end


def test_a_node_whose_ttl_has_ended_is_destroyed_and_the_fleet_filled_up_again() -> None:
    there = [*members(2), member("ended", ends=NOW), member("ends-later", ends=NOW + 1)]
    found = planned(spec(count=4), there)
    assert brief(found.actions) == ["destroy ttl ended", "create few nyc3"]
    assert found.actions[0].reason == "its ttl has ended"


def test_ends_hold_nothing_and_do_not_wait_for_at_once_or_a_window() -> None:
    there = members(5, ends=NOW - 1)
    found = done(spec(count=0, max=20, disruption={"windows": ["Sat 02:00-05:00"]}), there)
    assert found == [f"destroy ttl web-{number}" for number in range(5)]


def test_a_protected_node_stays_after_its_ttl_and_counts() -> None:
    found = planned(spec(count=2), [member("a"), member("safe", ends=NOW - 1, protected=True)])
    assert found.actions == ()
    assert found.notes == ("safe stays although its ttl has ended: it is protected",)
    assert planned(spec(count=1), [member("used", ends=NOW - 1, busy=True)]).actions == ()


def test_a_protected_node_stays_known_although_its_instance_is_gone() -> None:
    found = planned(spec(count=2), [*members(2), member("safe", "gone", protected=True)])
    assert (found.state, found.actions) == ("steady", ())
    assert found.notes == ("safe stays although its instance is gone: it is protected",)


# nodes that their provider takes away


def test_nodes_that_their_provider_takes_away_are_replaced_before_they_end() -> None:
    there = [*members(2), *(member(f"spot-{number}", interrupted=NOW + 2 * MINUTE) for number in range(2))]
    found = planned(spec(count=4, disruption={"windows": ["Sat 02:00-05:00"]}), there)
    assert brief(found.actions) == ["replace interrupted spot-0", "replace interrupted spot-1"]
    assert [one.deadline for one in found.actions] == [NOW + 2 * MINUTE] * 2
    assert found.actions[0].surge
    assert found.actions[0].reason == "its provider takes it away at 2026-12-02 12:02 UTC"


def test_no_other_node_is_disturbed_while_their_provider_takes_nodes_away() -> None:
    there = [*members(2), member("spot", interrupted=NOW + 60), member("drifted", drift=("size",))]
    found = planned(spec(count=4, drift="replace"), there)
    assert brief(found.actions) == ["replace interrupted spot"]
    assert brief(found.following) == ["replace drift drifted"]


def test_a_node_whose_ttl_has_ended_has_no_successor_of_its_own() -> None:
    found = done(spec(min=0), [member("spot", ends=NOW - 1, interrupted=NOW + 60)])
    assert found == ["destroy ttl spot"]


def test_a_protected_node_stays_although_its_provider_takes_it_away() -> None:
    found = planned(spec(count=1), [member("spot", interrupted=NOW + 60, protected=True)])
    assert found.actions == ()
    assert found.notes == ("spot stays although its provider takes it away at 2026-12-02 12:01 UTC: it is protected",)
