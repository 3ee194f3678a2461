"""What autoscaling would have done over recorded days."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hart_salt.base.errors import Refused
from hart_salt.fleets.samples import Sample
from hart_salt.fleets.simulate import Row, Setup, Simulated, divided, simulate
from tests.unit.fleets import days
from tests.unit.fleets.days import MIDNIGHT
from tests.unit.fleets.test_autoscale import settings


def simulated(samples: list[Sample], *, low: int = 1, high: int = 20, boot: float = 60.0, **more: Any) -> Simulated:
    return simulate(Setup(settings(**{"warm_up": 0.0, **more}), low, high, boot), samples)


def changes(found: Simulated) -> list[tuple[float, int]]:
    """Return the minute and the number of each change."""
    rows = found.rows
    return [((row.at - MIDNIGHT) / 60, row.wanted) for one, row in zip(rows, rows[1:], strict=False)
            if one.wanted != row.wanted]  # fmt: skip


def at(found: Simulated, minute: int) -> Row:
    """Return the row that holds at a minute."""
    return [row for row in found.rows if row.at <= MIDNIGHT + 60 * minute][-1]


# the days of the issue


def test_sawtooth_the_fleet_follows_each_tooth_and_never_removes_what_it_just_added() -> None:
    found = simulated(days.sawtooth())
    assert found.totals.overloaded_seconds < 0.15 * found.totals.seconds
    wanted = changes(found)
    ups = [(minute, number) for (minute, number), (_, before) in zip(wanted[1:], wanted, strict=False)
           if number > before]  # fmt: skip
    for up, number in ups:
        assert all(later >= number for minute, later in wanted if up <= minute < up + 5)
    assert 12 <= found.totals.highest <= 13


def test_sawtooth_with_a_long_window_the_fleet_stays() -> None:
    found = simulated(days.sawtooth(), down_after=3600.0)
    assert len([number for minute, number in changes(found) if minute > 60]) == 0
    assert at(found, 1000).wanted == 12


def test_spike_the_fleet_doubles_at_once_and_shrinks_by_halves_after_the_window() -> None:
    found = simulated(days.spike())
    assert changes(found) == [(600, 6), (601, 12), (602, 20), (615, 10), (616, 5), (617, 3), (618, 2)]
    assert "one step goes to 6 at most" in at(found, 600).reason


def test_silence_changes_nothing() -> None:
    found = simulated(days.silence())
    assert (changes(found), found.totals.blind_seconds, found.totals.changes) == ([], 3600, 0)


def test_half_the_fleet_silent_changes_nothing() -> None:
    """The load of the others looks like a reason to shrink, and the network is at fault."""
    found = simulated(days.half_silent())
    assert (changes(found), found.totals.blind_seconds) == ([], 3600)


@pytest.mark.parametrize("lie", [0.0, 0.01, 1e9, 1e300, math.nan, -5.0, None])
def test_one_lying_minion_of_four_changes_nothing(lie: float | None) -> None:
    assert changes(simulated(days.liar(lambda minute: lie))) == []


def test_a_liar_that_changes_its_mind_changes_nothing() -> None:
    assert changes(simulated(days.liar(lambda minute: [1e9, 0.0, None][minute % 3]))) == []


def test_a_liar_does_not_hide_a_load() -> None:
    found = simulated(days.of_nodes(lambda minute: [1.0, 0.0, 1.0, 1.0], 30))
    assert found.rows[0].wanted == 8


def test_noise_changes_little() -> None:
    found = simulated(days.noise(), down_after=600.0)
    assert found.totals.changes < 120
    assert found.totals.overloaded_seconds < 0.1 * found.totals.seconds


def test_scheduled_minimums_hold_on_their_days() -> None:
    minimums = [{"at": "Mon-Fri 08:00", "min": 6}, {"at": "Mon-Fri 19:00", "min": 2}]
    found = simulated(days.of_load(lambda minute: 0.5), minimums=minimums)
    assert [at(found, minute).wanted for minute in (479, 480, 1139, 1140, 1150)] == [2, 6, 6, 3, 2]
    assert at(found, 480).reason.endswith("the scheduled minimum is 6")


# the loop


def test_a_node_takes_its_share_when_it_has_booted() -> None:
    found = simulated(days.of_load(lambda minute: 1.0 if minute < 10 else 2.0, 30), boot=180.0)
    assert [(row.wanted, row.ready, row.average) for row in found.rows] == [(2, 2, 0.5), (4, 2, 1.0), (4, 4, 0.5)]
    assert [row.at - MIDNIGHT for row in found.rows] == [0, 600, 780]
    assert found.totals.overloaded_seconds == 180


def test_a_node_is_measured_when_it_is_warm() -> None:
    """Until then the others show the load, and the new ones do not make the fleet grow further."""
    found = simulated(days.of_load(lambda minute: 1.0 if minute < 10 else 4.0, 30), boot=60.0, warm_up=180.0)
    assert changes(found) == [(10, 6), (13, 8)]
    assert "no change" in at(found, 11).reason


@pytest.mark.parametrize(
    ("sample", "ready", "answers"),
    [
        (Sample(0, 4.0), 4, [1.0] * 4),
        (Sample(0, 4.0), 0, []),
        (Sample(0), 2, [None, None]),
        (Sample(0, values=(1.0, None)), 2, [1.0, None]),
        (Sample(0, values=(1.0, None)), 4, [0.5, None, 0.5, None]),
        (Sample(0, values=(1.0, None, 3.0)), 1, [3.0]),
    ],
)
def test_the_load_is_divided_among_the_ready_nodes(sample: Sample, ready: int, answers: list[float | None]) -> None:
    assert list(divided(sample, ready).values()) == answers


def test_the_fleet_begins_as_it_was_recorded_or_as_the_load_needs_within_its_bounds() -> None:
    starts = [[Sample(0, 2.1)], [Sample(0, values=(0.5,) * 7)], [Sample(0)], [Sample(0, 99.0)]]
    assert [simulated(samples, low=2, high=9).rows[0].ready for samples in starts] == [5, 7, 2, 9]


def test_the_totals() -> None:
    found = simulated(days.spike())
    assert found.totals.as_dict() == {
        "hours": 23.98, "node_hours": 52.3, "overloaded_hours": 0.05, "blind_hours": 0.0, "highest": 20, "lowest": 2,
        "changes": 7,
    }  # fmt: skip
    assert simulated(days.silence()).totals.as_dict()["recorded_node_hours"] == 95.93
    assert found.rows[0].as_dict() == {
        "time": "2026-11-30T00:00:00+00:00", "load": 1.0, "average": 0.5, "wanted": 2, "ready": 2,
        "reason": "the average is 0.5, the target 0.5: no change",
    }  # fmt: skip


def test_a_sample_holds_until_the_next_one() -> None:
    found = simulated([Sample(MIDNIGHT, 1.0), Sample(MIDNIGHT + 605, 2.0), Sample(MIDNIGHT + 1200, 2.0)])
    assert changes(found) == [(11, 4)]


def test_too_many_looks_are_refused() -> None:
    with pytest.raises(Refused, match="has 1440001 looks, and at most 500000 are possible: raise interval"):
        simulate(Setup(settings(), 1, 2, interval=1.0), [Sample(0, 1.0), Sample(1_440_000, 1.0)])


def test_a_note_about_a_liar_is_there_once() -> None:
    assert simulated(days.liar(lambda minute: 9.0)).notes == (
        "node 2 reports 9, far above the others; it counts as 0.5",
    )


@given(
    loads=st.lists(st.one_of(st.none(), st.floats(0, 50)), min_size=2, max_size=60), low=st.integers(0, 5),
    more=st.integers(0, 15), boot=st.sampled_from([0.0, 60.0, 400.0]), down_after=st.sampled_from([0.0, 300.0]),
)  # fmt: skip
def test_whatever_the_load_is_the_fleet_is_within_its_bounds(
    loads: list[float | None], low: int, more: int, boot: float, down_after: float
) -> None:
    samples = [Sample(MIDNIGHT + 60 * minute, load) for minute, load in enumerate(loads)]
    found = simulated(samples, low=low, high=low + more, boot=boot, down_after=down_after)
    assert all(low <= row.wanted <= low + more for row in found.rows)
    assert low <= found.totals.lowest <= found.totals.highest <= low + more
