"""Nodes are replaced before they are too old, and because they differ, in windows."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis import given

from hart_salt.config.week import as_window
from hart_salt.fleets import aging
from tests.unit.fleets.scenes import DAY, HOUR, MINUTE, NOW, brief, done, member, members, planned, settings, spec

SATURDAY = datetime(2026, 12, 5, 2, tzinfo=timezone.utc).timestamp()
WINDOW = {"windows": ["Sat 02:00-05:00 UTC"]}


def aged(days: float, **given: Any) -> Any:
    return member("old", created=NOW - days * DAY, **given)


# age


@pytest.mark.parametrize(("days", "due"), [(28.9, False), (29.0, True), (35, True)])
def test_a_node_is_replaced_a_day_before_it_is_too_old(days: float, due: bool) -> None:
    found = done(spec(count=3, expire_after="30d"), [*members(2, created=NOW - DAY), aged(days)])
    assert found == (["replace age old"] if due else [])


@pytest.mark.parametrize(("minutes", "due"), [(53, False), (54, True)])
def test_a_short_life_has_a_tenth_of_it_as_the_lead(minutes: int, due: bool) -> None:
    found = done(spec(count=1, expire_after="1h"), [aged(minutes * MINUTE / DAY)])
    assert found == (["replace age old"] if due else [])


def test_the_reason_has_the_age() -> None:
    found = planned(spec(count=1, expire_after="30d"), [aged(29.5)])
    assert [one.reason for one in found.actions] == ["it is 29d 12h old, and expire_after is 30d"]


def test_the_oldest_nodes_go_first() -> None:
    there = [aged(29.2, region="fra1"), member("older", created=NOW - 29.6 * DAY), member("young")]
    found = planned(spec(["nyc3", "fra1"], count=3, expire_after="30d"), there)
    assert brief(found.actions) == ["replace age older"]
    assert brief(found.following) == ["replace age old"]
    assert [one.region for one in found.following] == ["fra1"]


def test_a_big_fleet_of_one_age_begins_early_enough() -> None:
    """Five hundred nodes of one day cannot be replaced one by one within the last day."""
    there = [member(f"web-{number:03}", created=NOW - 27 * DAY) for number in range(500)]
    assert done(spec(count=500, expire_after="30d"), there) == ["replace age web-000"]
    found = planned(spec(count=500, expire_after="30d", disruption={"at_once": 5}), there)
    assert (found.actions, found.following) == ((), ())


def test_the_limit_of_changes_makes_a_fleet_begin_early() -> None:
    there = [member(f"web-{number:02}", created=NOW - 27 * DAY) for number in range(60)]
    fleet = spec(count=60, expire_after="30d", disruption={"at_once": 5}, limits={"changes_per_hour": 1})
    assert done(fleet, there) == ["replace age web-00"]


def test_no_node_is_replaced_before_half_of_its_time() -> None:
    there = [member(f"web-{number:03}", created=NOW - 11 * HOUR) for number in range(300)]
    assert done(spec(count=300, expire_after="1d"), there) == []
    older = [member("web-000", created=NOW - 12 * HOUR), *there[1:]]
    assert done(spec(count=300, expire_after="1d"), older) == ["replace age web-000"]


@given(st.lists(st.integers(0, 100), min_size=1, max_size=30), st.integers(1, 3))
@hypothesis.settings(max_examples=40)
def test_started_at_its_latest_time_each_node_is_replaced_before_it_is_too_old(ages: list[int], at_once: int) -> None:
    """A replacement takes a turn here, and begins only when the planner says so."""
    limit = settings(count=1, expire_after="20d")
    there = {f"web-{number}": NOW - days * HOUR for number, days in enumerate(ages)}
    now, made = NOW, 0
    while now < NOW + 25 * DAY:
        nodes = [member(name, created=created) for name, created in there.items()]
        due = aging.expiring(nodes, limit, at_once, now)[:at_once]
        now += aging.TURN if due else HOUR
        for one in due:
            del there[one.minion_id]
            there[f"new-{made}"], made = now, made + 1
        assert now - min(there.values()) <= 20 * DAY


# windows


def test_age_and_drift_wait_for_a_window() -> None:
    there = [*members(2, created=NOW - DAY), aged(29.5), member("drifted", drift=("size",))]
    fleet = spec(count=4, expire_after="30d", drift="replace", disruption=WINDOW)
    found = planned(fleet, there)
    assert (found.state, found.actions, found.anything) == ("steady", (), True)
    assert found.why == "2 changes wait: the next window opens at 2026-12-05 02:00 UTC"
    assert [(one.action.minion_id, one.since) for one in found.later] == [("old", SATURDAY), ("drifted", SATURDAY)]


@pytest.mark.parametrize(("now", "expected"), [(SATURDAY - 1, 0), (SATURDAY, 1), (SATURDAY + 3 * HOUR, 0)])
def test_drift_is_replaced_while_a_window_is_open(now: float, expected: int) -> None:
    fleet = spec(count=1, drift="replace", disruption=WINDOW)
    assert len(done(fleet, [member("drifted", drift=("size",))], now=now)) == expected


def test_a_node_is_replaced_in_the_last_window_before_it_is_too_old() -> None:
    fleet = spec(count=1, expire_after="30d", disruption=WINDOW)
    begins_next = SATURDAY + 7 * DAY
    last = member("old", created=begins_next - 29 * DAY - 1)
    assert done(fleet, [last], now=SATURDAY) == ["replace age old"]
    still = member("old", created=begins_next - 29 * DAY + 3 * HOUR)
    assert done(fleet, [still], now=SATURDAY) == []


def test_what_does_not_fit_into_the_last_window_is_done_in_the_one_before() -> None:
    """Three hours are enough for 18 nodes, one after the other."""
    fleet = spec(count=20, expire_after="30d", disruption=WINDOW)
    created = SATURDAY + 7 * DAY + 4 * HOUR - 29 * DAY
    there = [member(f"web-{number:02}", created=created) for number in range(20)]
    assert done(fleet, there, now=SATURDAY) == ["replace age web-00"]
    found = planned(fleet, there, now=SATURDAY)
    assert brief(found.following) == ["replace age web-01"]
    smaller = spec(count=18, expire_after="30d", disruption=WINDOW)
    assert done(smaller, there[:18], now=SATURDAY) == []


def test_urgent_changes_do_not_wait_for_a_window() -> None:
    there = [*members(3), member("bad", "stopped"), member("lost", "gone")]
    found = done(spec(count=5, repair_after="1m", disruption=WINDOW), there)
    assert found == ["destroy gone lost", "create few nyc3", "replace repair bad"]
    assert done(spec(count=2, disruption=WINDOW), members(3)) == ["destroy many web-2"]


def test_the_time_in_open_windows_is_counted_once_where_they_overlap() -> None:
    windows = [as_window("Sat 02:00-05:00"), as_window("Sat 04:00-06:00"), as_window("Sun 00:00-01:00")]
    spans = aging._spans(windows, SATURDAY + HOUR, 3 * HOUR)
    hours = [((one.begin - SATURDAY) / HOUR, (one.end - SATURDAY) / HOUR) for one in spans]
    assert hours == [(1, 3), (3, 4), (22, 23), (7 * 24, 7 * 24 + 3)]
    assert aging.opening(windows, SATURDAY) is None
    assert aging.opening(windows, SATURDAY + 5 * HOUR) == SATURDAY + 22 * HOUR
    assert aging.opening(None, SATURDAY) is None


# drift


def test_drift_is_replaced_node_by_node_while_the_others_are_ready() -> None:
    there = members(3, drift=("size", "image"))
    found = planned(spec(count=3, drift="replace"), there)
    assert brief(found.actions) == ["replace drift web-0"]
    assert brief(found.following) == ["replace drift web-1", "replace drift web-2"]
    assert found.actions[0].reason == "it differs from the configuration: size, image"


def test_drift_is_reported_or_ignored() -> None:
    there = [*members(5, drift=("size",)), member("other", drift=("image",))]
    found = planned(spec(count=6), there)
    assert (found.state, found.actions) == ("steady", ())
    assert found.notes == (
        "other differs from the configuration: image", "web-0, web-1, web-2, 2 more differ from the configuration: size"
    )  # fmt: skip
    assert planned(spec(count=6, drift="ignore"), there).notes == ()


def test_a_node_that_drifts_and_is_protected_or_busy_stays() -> None:
    there = [member("safe", protected=True, drift=("size",)), member("used", busy=True, drift=("size",))]
    found = planned(spec(count=2, drift="replace"), there)
    assert found.actions == ()
    assert found.notes == ("safe stays although it differs from the configuration: size: it is protected",)


@pytest.mark.parametrize("state", ["silent", "stopped"])
def test_no_node_is_replaced_while_another_one_is_not_ready(state: str) -> None:
    there = [*members(3), member("bad", state, silent_since=NOW), member("drifted", drift=("size",))]
    found = planned(spec(count=5, drift="replace"), there)
    assert found.actions == ()
    assert [one.why for one in found.later] == ["no other node can go while these are not ready: bad"]
    found = planned(spec(count=5, drift="replace", disruption={"at_once": 2}), there)
    assert brief(found.actions) == ["replace drift drifted"]


def test_a_node_that_is_not_ready_and_differs_is_replaced_first() -> None:
    there = [*members(3, drift=("size",)), member("zz-bad", "stopped", drift=("size",))]
    found = planned(spec(count=4, drift="replace"), there)
    assert brief(found.actions) == ["replace drift zz-bad"]
    assert [one.action.minion_id for one in found.later] == ["web-0", "web-1", "web-2"]


def test_nodes_are_created_before_others_are_replaced() -> None:
    found = planned(spec(count=4, drift="replace"), members(3, drift=("size",)))
    assert brief(found.actions) == ["create few nyc3"]
    assert brief(found.following) == [f"replace drift web-{number}" for number in range(3)]


def test_a_share_of_the_fleet_can_be_replaced_at_once() -> None:
    found = planned(spec(count=10, drift="replace", disruption={"at_once": "25%"}), members(10, drift=("size",)))
    assert (len(found.actions), len(found.following)) == (2, 8)


def test_the_new_node_of_a_region_that_left_the_fleet_goes_to_the_emptiest_regions() -> None:
    there = [member("a"), *(member(f"moved-{number}", region="sfo3", drift=("region",)) for number in range(3))]
    fleet = spec(["nyc3", "fra1"], count=4, drift="replace", disruption={"at_once": 3})
    assert [one.region for one in planned(fleet, there).actions] == ["fra1", "nyc3", "fra1"]
