"""Back-off after failures, and early looks that no flood of events can multiply."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hart_salt.fleets import pace
from hart_salt.fleets.pace import EarlyLooks, back_off


def half() -> float:
    return 0.5


def test_the_pause_doubles_with_each_failure_up_to_15_minutes() -> None:
    assert [back_off(60, number, half) for number in range(7)] == [60, 120, 240, 480, 900, 900, 900]
    assert back_off(5, 10_000, half) == 900
    assert back_off(3600, 3, half) == 3600


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 108.0), (1.0, 132.0)])
def test_several_masters_do_not_come_back_at_the_same_moment(random: float, seconds: float) -> None:
    assert back_off(60, 1, lambda: random) == pytest.approx(seconds)


@pytest.mark.parametrize(("interval", "took", "seconds"), [(60, 3, 57), (60, 59, 5), (60, 300, 5), (5, 9, 5)])
def test_there_is_time_between_two_looks_however_long_one_takes(interval: float, took: float, seconds: float) -> None:
    assert pace.pause(interval, took) == seconds


def flood(seconds: int) -> list[int]:
    """Return when there is an early look, if an event comes each second."""
    early, looks = EarlyLooks(0.0), []
    for now in range(seconds):
        if early.ready_in(float(now)) <= 0:
            early.take(float(now))
            looks.append(now)
    return looks


def test_a_flood_of_events_yields_few_looks_that_are_apart() -> None:
    looks = flood(3600)
    assert len(looks) <= pace.BURST + 60
    assert all(after - before >= pace.LEAST for before, after in pairwise(looks))
    later = [one for one in flood(8 * 3600) if one >= 7 * 3600]
    assert len(later) <= 61


def test_after_a_flood_a_genuine_event_waits_at_most_a_minute() -> None:
    looks = flood(3600)
    assert max(after - before for before, after in pairwise(looks)) <= 61


def test_a_look_of_any_kind_delays_the_next_early_one() -> None:
    early = EarlyLooks(0.0)
    early.looked(100.0)
    assert early.ready_in(102.0) == 3.0
    assert early.ready_in(105.0) == 0.0
