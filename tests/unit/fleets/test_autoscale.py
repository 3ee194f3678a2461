"""How many nodes a fleet should have by its load."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hart_salt.config.autoscale import Autoscale, Metric
from hart_salt.fleets.autoscale import (
    MOST_KEPT,
    Change,
    Decision,
    Past,
    Recommended,
    decide,
    usable,
    winsorized,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=timezone.utc).timestamp()  #: a Monday
METRIC = Metric(function="status.loadavg", key="1-min", per="cpu")


def settings(**more: Any) -> Autoscale:
    return Autoscale(metric=METRIC, **{"target": 0.5, **more})


def named(values: Sequence[Any]) -> dict[str, Any]:
    return {f"web-{number}": value for number, value in enumerate(values)}


def decided(
    values: Sequence[Any], past: Past | None = None, *, have: int | None = None, low: int = 1, high: int = 20,
    now: float = NOW, **more: Any,
) -> Decision:  # fmt: skip
    given = past or Past()
    return decide(settings(**more), low, high, len(values) if have is None else have, named(values), given, now)


def settled(number: int, seconds: float = 1000) -> Past:
    """Return the past of a fleet for which a number has been recommended for some time."""
    return Past((Recommended(NOW - seconds, number, number),))


# the number by the load


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([0.5, 0.5], 2),
        ([0.54, 0.54], 2),  # within the tolerance of 10 %
        ([0.46, 0.46], 2),
        ([0.56, 0.56], 3),
        ([0.75] * 4, 6),
        ([1.0] * 4, 8),
        ([0.2] * 4, 2),
        ([0.24] * 4, 2),
        ([0.0] * 4, 2),  # a step removes half at most
        ([0.0], 1),  # the last one stays
        ([0.3] * 5, 3),
        ([9.0], 5),  # a step adds 4 at most, or doubles
        ([9.0] * 6, 12),
    ],
)
def test_the_number_is_that_of_the_nodes_that_would_be_at_the_target(values: list[float], wanted: int) -> None:
    assert decided(values, settled(1), low=0).wanted == wanted


def test_the_load_never_asks_for_no_node_at_all() -> None:
    assert decided([0.0], settled(1), low=0).reason == "the average is 0, the target 0.5: it takes 1 node"


def test_a_sum_of_floats_asks_for_no_node_more() -> None:
    assert decided([0.1 + 0.2] * 3, target=0.3 / 2).wanted == 6


@pytest.mark.parametrize(
    ("values", "have", "wanted"),
    [
        ([1.0, 1.0], 4, 4),  # the two that start take their share
        ([1.0, 1.0, 1.0], 4, 6),
        ([1.3, 1.3], 5, 5),  # with them, the average is within the tolerance
        ([0.6, 0.6], 4, 4),  # with them, the direction would turn
        ([0.2, 0.2], 4, 2),
        ([], 3, 3),
    ],
)
def test_nodes_that_start_count_as_idle_if_the_fleet_would_grow(values: list[float], have: int, wanted: int) -> None:
    assert decided(values, settled(1), have=have).wanted == wanted


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1.0, 1.0, None], 4),  # as if it had 0
        ([0.6, 0.6, None], 3),  # then the direction would turn
        ([0.1, 0.1, None], 2),  # as if it were at the target
        ([0.3] * 8 + [None, None], 7),  # not the 5 of those that answered
        ([0.0, None], 1),
        ([1.0, None], 2),  # one silent node of two is half, but it can be at fault alone
        ([1.5, None], 3),
        ([2.0] * 4 + [None, None], 12),  # a third
    ],
)
def test_a_silent_node_counts_against_the_change(values: list[Any], wanted: int) -> None:
    assert decided(values, settled(1)).wanted == wanted


@pytest.mark.parametrize(
    "values", [[0.0, None, None], [2.0] * 2 + [None] * 2, [2.0] * 5 + [None] * 3, [None], [None] * 2]
)
def test_while_more_than_a_third_is_silent_nothing_changes(values: list[Any]) -> None:
    found = decided(values, settled(1))
    assert found.wanted == len(values)
    assert found.reason.endswith(
        f"{values.count(None)} of {len(values)} nodes did not answer, more than a third: no change"
    )


def test_silence_does_not_go_on_with_a_decrease_but_with_an_increase() -> None:
    down = Past((Recommended(NOW - 900, 4, 4),), Change(NOW - 60, 8, 4))
    assert decided([None] * 6, down).wanted == 6
    up = Past((Recommended(NOW - 900, 8, 8),), Change(NOW - 60, 4, 8))
    assert decided([None] * 6, up).wanted == 8


def test_after_silence_the_fleet_waits_before_it_shrinks() -> None:
    past = decided([None] * 8, settled(2)).past
    assert decided([0.1] * 8, past, now=NOW + 60).wanted == 8
    assert decided([0.1] * 8, decided([0.1] * 8, past, now=NOW + 60).past, now=NOW + 400).wanted == 4


@pytest.mark.parametrize(("low", "high", "have", "wanted"), [(3, 5, 2, 3), (3, 5, 9, 5), (0, 5, 0, 0), (2, 5, 0, 2)])
def test_the_bounds_hold_whatever_the_load(low: int, high: int, have: int, wanted: int) -> None:
    assert decided([0.5] * have, low=low, high=high).wanted == wanted


# windows, steps, cooldown


def test_the_fleet_shrinks_only_to_the_largest_number_of_the_window() -> None:
    past = Past((Recommended(NOW - 900, 9, 9), Recommended(NOW - 200, 5, 5), Recommended(NOW - 100, 3, 3)))
    found = decided([0.1] * 8, past, down_after=150.0)
    assert (found.wanted, found.reason) == (
        5, "the average is 0.1, the target 0.5: it takes 2 nodes; 5 within the last 2m 30s (down_after)"
    )  # fmt: skip
    assert decided([0.1] * 8, past, down_after=99.0).wanted == 4  # a step removes half at most


def test_the_fleet_grows_only_to_the_smallest_number_of_the_window() -> None:
    past = Past((Recommended(NOW - 900, 2, 2), Recommended(NOW - 100, 5, 5), Recommended(NOW - 50, 6, 6)))
    found = decided([2.0] * 4, past, up_after=80.0)
    assert (found.wanted, found.reason) == (
        5, "the average is 2, the target 0.5: it takes 16 nodes; 5 within the last 1m 20s (up_after)"
    )  # fmt: skip
    assert decided([2.0] * 4, past, up_after=200.0).wanted == 4


def test_a_gap_in_which_nobody_looked_is_no_reason_to_shrink() -> None:
    past = settled(8, seconds=86400)
    first = decided([0.1] * 8, past)
    assert first.wanted == 8
    assert decided([0.1] * 8, first.past, now=NOW + 299).wanted == 8
    assert decided([0.1] * 8, first.past, now=NOW + 300).wanted == 4


def test_looks_that_are_rarer_than_the_window_still_shrink_the_fleet() -> None:
    past = decided([0.1] * 8, settled(8)).past
    assert decided([0.1] * 8, past, now=NOW + 3600).wanted == 4


def test_without_a_past_the_fleet_waits_before_it_shrinks_and_grows_at_once() -> None:
    assert decided([0.1] * 8).wanted == 8
    assert decided([0.1] * 8, decided([0.1] * 8).past, now=NOW + 300).wanted == 4
    assert decided([1.0] * 4).wanted == 8
    assert decided([1.0] * 4, up_after=60.0).wanted == 4


def test_a_cooldown_keeps_the_number_and_says_why() -> None:
    past = Past((Recommended(NOW - 900, 4, 4),), Change(NOW - 30, 2, 4))
    found = decided([1.0] * 4, past, cooldown=60.0)
    assert found.wanted == 4
    assert found.reason.endswith("; cooldown: the last change was 30s ago")
    assert decided([1.0] * 4, past, cooldown=30.0).wanted == 8


def test_a_change_that_is_under_way_goes_on() -> None:
    """A node that could not be created does not end the change."""
    past = Past((Recommended(NOW - 30, 6, 6),), Change(NOW - 30, 4, 6))
    assert decided([0.6] * 5, past, cooldown=60.0).wanted == 6
    assert decided([0.5] * 5, past).wanted == 6


def test_a_decrease_ends_when_the_load_comes_back() -> None:
    past = Past((Recommended(NOW - 300, 4, 4),), Change(NOW - 30, 8, 4))
    assert decided([0.5] * 6, past).wanted == 6


def test_the_past_knows_only_real_changes() -> None:
    first = decided([1.0] * 2)
    assert first.past.change == Change(NOW, 2, 4)
    again = decided([1.0, 1.0], first.past, have=4, now=NOW + 60)
    assert (again.wanted, again.past.change) == (4, Change(NOW, 2, 4))


# scheduled minimums


def scheduled(at: str, number: int) -> dict[str, Any]:
    return {"minimums": [{"at": at, "min": number}]}


def test_a_scheduled_minimum_raises_the_number_and_never_lowers_it() -> None:
    found = decided([0.5] * 2, **scheduled("Mon 08:00", 6))
    assert (found.wanted, found.reason) == (
        6, "the average is 0.5, the target 0.5: no change; the scheduled minimum is 6"
    )  # fmt: skip
    assert decided([0.1] * 4, settled(1), low=4, **scheduled("Mon 08:00", 2)).wanted == 4
    assert decided([], low=0, **scheduled("Mon 08:00", 3)).wanted == 3
    assert decided([0.5] * 2, high=5, **scheduled("Mon 08:00", 6)).wanted == 5


# answers that are no loads


@pytest.mark.parametrize(
    "value",
    [None, True, False, -0.1, math.nan, math.inf, -math.inf, "0.5", b"1", [1], {}, 10**400, 1e300, 1j, object()],
)
def test_what_is_no_load_is_silence(value: Any) -> None:
    assert usable(value) is None
    found = decided([2.0, 2.0, value], settled(1))
    assert (found.wanted, found.mean) == (7, 2.0)
    assert decided([value], settled(1)).wanted == 1


def test_a_liar_counts_as_its_honest_neighbour() -> None:
    assert winsorized([0.4, 0.5, 1e9]) == 0.5
    assert winsorized([0.0, 0.5, 0.6]) == 0.5
    assert winsorized([1.0, 3.0]) == 2.0
    found = decided([0.5, 0.5, 1e9], settled(3))
    assert (found.wanted, found.notes) == (
        3, ("web-2 reports 1e+09, far above the others; it counts as 0.5",)
    )  # fmt: skip
    assert decided([0.5, 0.5, 0.6]).notes == ()
    assert decided([0.5, 1e9]).notes == ()


# what is remembered


def test_what_is_remembered_goes_to_json_and_back() -> None:
    past = decided([1.0] * 2, settled(2)).past
    assert past.change is not None
    assert Past.from_dict(json.loads(json.dumps(past.as_dict()))) == past
    assert Past.from_dict(Past().as_dict()) == Past()


@pytest.mark.parametrize(
    "data",
    [
        None, 1, "x", [], {"recommended": 1}, {"recommended": {"a": 1}}, {"recommended": [1, None, [], [1], "abc"]},
        {"recommended": [[NOW, 1.5, 2], [NOW, True, 2], [NOW, -1, 2], [NOW, 10**9, 2], [math.nan, 1, 1]]},
        {"recommended": [["x", 1, 1], [-5, 1, 1], [math.inf, 1, 1], [10**400, 1, 1]]},
        {"change": 1}, {"change": [NOW, 1]}, {"change": [NOW, "a", "b"]}, {"change": {"at": 1}},
    ],
)  # fmt: skip
def test_a_past_that_is_damaged_is_no_past(data: Any) -> None:
    assert Past.from_dict(data) == Past()


def test_what_is_right_in_a_damaged_past_counts() -> None:
    data = {"recommended": [[NOW, 5, 3], "x", [NOW - 60, 2, 2]], "change": [NOW, 1, 2], "more": 1}
    assert Past.from_dict(data) == Past((Recommended(NOW - 60, 2, 2), Recommended(NOW, 3, 5)), Change(NOW, 1, 2))
    assert len(Past.from_dict({"recommended": [[NOW, 1, 1]] * 100_000}).recommended) == MOST_KEPT


def test_a_clock_that_is_set_back_does_not_stop_the_fleet() -> None:
    ahead = NOW + 10 * 86400
    past = Past((Recommended(ahead, 8, 8),), Change(ahead, 4, 8))
    first = decided([0.1] * 8, past, cooldown=60.0)
    assert (first.wanted, first.past.recommended[0].at) == (8, NOW)
    assert decided([0.1] * 8, first.past, now=NOW + 300, cooldown=60.0).wanted == 4


def test_a_long_window_with_a_load_that_never_rests_is_remembered_in_few_entries() -> None:
    past, most = Past(), 0
    for minute in range(3000):
        load = 0.5 + 0.3 * math.sin(minute / 200) + 0.1 * math.sin(minute)
        decision = decided([load] * 10, past, now=NOW + 60 * minute, down_after=86400.0, high=30)
        past, most = decision.past, max(most, len(decision.past.recommended))
    assert 20 < most <= 110
    assert past.recommended[0].at <= NOW + 60 * 2999 - 86400


def test_a_peak_is_remembered_for_a_whole_long_window_and_not_much_longer() -> None:
    past = decided([1.2] * 10, high=30, down_after=86400.0).past
    minute, have = 0, 20
    while have == 20:
        minute += 1
        load = 0.2 + 0.05 * math.sin(minute)
        decision = decided([load] * have, past, high=30, now=NOW + 60 * minute, down_after=86400.0)
        past, have = decision.past, decision.wanted
    assert 1440 <= minute <= 1440 * 1.02


# properties

LOADS = st.floats(0, 5)
JUNK = st.one_of(st.none(), st.booleans(), st.text(max_size=3), st.floats(), st.integers(), st.lists(LOADS, max_size=2))
TUNING = st.fixed_dictionaries(
    {
        "target": st.floats(0.01, 5), "tolerance": st.floats(0, 0.9), "up_after": st.sampled_from([0.0, 60.0, 600.0]),
        "down_after": st.sampled_from([0.0, 90.0, 300.0]), "cooldown": st.sampled_from([0.0, 120.0]),
    }
)  # fmt: skip
PASTS = st.builds(
    lambda rows, change: Past.from_dict({"recommended": rows, "change": change}),
    st.lists(st.tuples(st.floats(NOW - 1000, NOW + 1000), st.integers(0, 30), st.integers(0, 30)), max_size=8),
    st.one_of(st.none(), st.tuples(st.floats(NOW - 1000, NOW + 1000), st.integers(0, 30), st.integers(0, 30))),
)


@given(
    tuning=TUNING, past=PASTS, low=st.integers(0, 10), more=st.integers(0, 20), have=st.integers(0, 40),
    values=st.lists(st.one_of(LOADS, JUNK), max_size=40),
)  # fmt: skip
def test_whatever_the_answers_are_the_number_is_within_the_bounds(
    tuning: dict[str, float], past: Past, low: int, more: int, have: int, values: list[Any]
) -> None:
    found = decide(settings(**tuning), low, low + more, have, named(values), past, NOW)
    assert low <= found.wanted <= low + more
    assert Past.from_dict(json.loads(json.dumps(found.past.as_dict()))) == found.past
    assert found.reason


@given(tuning=TUNING, past=PASTS, have=st.integers(1, 40), values=st.lists(st.one_of(LOADS, JUNK), max_size=40))
def test_a_step_never_removes_more_than_half_and_adds_4_or_as_many_as_there_are(
    tuning: dict[str, float], past: Past, have: int, values: list[Any]
) -> None:
    have = max(have, len(values))
    found = decide(settings(**tuning), 0, 1000, have, named(values), Past(past.recommended), NOW)
    assert math.ceil(have / 2) <= found.wanted <= max(2 * have, have + 4)


@given(tuning=TUNING, past=PASTS, have=st.integers(1, 40), data=st.data())
def test_more_load_never_asks_for_fewer_nodes(tuning: dict[str, float], past: Past, have: int, data: Any) -> None:
    less = data.draw(st.lists(st.one_of(st.none(), LOADS), max_size=have))
    more = [None if value is None else value + data.draw(st.floats(0, 3)) for value in less]
    first, second = (decide(settings(**tuning), 0, 40, have, named(one), past, NOW) for one in (less, more))
    assert first.wanted <= second.wanted


@given(
    tuning=TUNING, start=st.integers(1, 20), pauses=st.lists(st.sampled_from([15.0, 60.0, 200.0]), max_size=40),
    data=st.data(),
)  # fmt: skip
def test_what_was_just_added_is_not_removed_within_down_after(
    tuning: dict[str, float], start: int, pauses: list[float], data: Any
) -> None:
    past, have, now, rises = Past(), start, NOW, [(-math.inf, 0)]
    for pause in pauses:
        values = data.draw(st.lists(LOADS, min_size=have, max_size=have))
        found = decide(settings(**tuning), 1, 30, have, named(values), past, now)
        recent = [number for at, number in rises if now - at < tuning["down_after"]]
        assert all(found.wanted >= number for number in recent)
        if found.wanted > have:
            rises.append((now, found.wanted))
        past, have, now = found.past, found.wanted, now + pause


@given(
    honest=st.lists(LOADS, min_size=2, max_size=20), lie=LOADS.map(lambda load: load * 1e6), place=st.integers(0, 20)
)
def test_one_liar_among_three_or_more_counts_at_most_as_the_highest_and_the_lowest_honest_node(
    honest: list[float], lie: float, place: int
) -> None:
    values = honest[:place] + [lie] + honest[place:]
    past = settled(1)
    lowest, highest = (decided([one(honest)] * len(values), past, high=200).wanted for one in (min, max))
    assert lowest <= decided(values, past, high=200).wanted <= highest


@given(junk=JUNK, others=st.integers(2, 20))
def test_one_liar_cannot_move_a_fleet_that_is_at_its_target(junk: Any, others: int) -> None:
    assert decided([0.5] * others + [junk], settled(1), high=200).wanted == others + 1


def test_a_mapping_is_enough() -> None:
    readings: Mapping[str, float | None] = {"a": 1.0}
    assert decide(settings(), 1, 9, 1, readings, Past(), NOW).wanted == 2
