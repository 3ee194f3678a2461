"""A simulated week of a fleet: no limit is exceeded, and the picture in the docs is what the tool draws."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from hart_salt.fleets.scene import GONE, READY
from tools import fleet_week
from tools import simulated_week as sim
from tools.simulated_week import DAY, PRICE, TICK, Moment, Week, live

#: nodes that can fail between two looks
FAILING = 3


@pytest.fixture(scope="module")
def week() -> Week:
    return live()


def well(week: Week) -> Iterator[tuple[Moment, Moment]]:
    """Return each look with the one before, while the network is well."""
    for before, now in pairwise(week.moments):
        if not (before.network or now.network):
            yield before, now


def test_there_are_never_more_nodes_than_max_and_they_never_cost_more_than_the_limit(week: Week) -> None:
    assert week.most == sim.MONTHLY_PRICE / PRICE.amount == 480
    assert week.dearest == sim.MONTHLY_PRICE
    assert max(one.wanted for one in week.moments) == 500
    assert sim.FIRST * PRICE.amount * 7 / 31 < week.spent < sim.MONTHLY_PRICE * 7 / 30


def test_there_are_never_fewer_ready_nodes_than_the_fleet_has_to_have(week: Week) -> None:
    assert min(one.ready for _, one in well(week)) >= 200
    for before, now in well(week):
        reached = min(before.wanted, now.wanted, 480)
        assert now.ready >= reached - FAILING, f"{now.ready} of {reached} nodes at {now.at / 3600:.1f} h"


def test_the_fleet_follows_the_load(week: Week) -> None:
    short = [now.at for _, now in well(week) if now.ready < min(0.85 * now.load, 480 - FAILING)]
    assert [at for at in short if not sim.SPIKE[0] <= at < sim.SPIKE[0] + 3 * TICK] == []
    assert week.moments[-1].ready < sim.load_at(6 * DAY + 14 * 3600)


def test_no_look_disturbs_more_nodes_than_at_once(week: Week) -> None:
    assert max(one.disturbed for one in week.moments) > 0
    assert all(one.disturbed <= sim.at_once(one.wanted) for one in week.moments)


def test_nothing_is_done_while_half_of_the_minions_are_silent(week: Week) -> None:
    out = [one for one in week.moments if one.network]
    assert [out[0].at, out[-1].at + TICK] == list(sim.OUTAGE)
    assert max(one.ready for one in out) < 0.6 * out[0].wanted
    assert week.during_outage == 0


def test_every_node_is_replaced_before_it_is_too_old_and_ends_with_its_ttl(week: Week) -> None:
    assert 5 * DAY < week.oldest < 6 * DAY
    ages = [sim.START + 7 * DAY - one.created for one in week.left if one.state != GONE]
    assert max(ages) < 6 * DAY
    assert week.causes["ttl"] == 5 * sim.TTL_NODES
    assert week.overtime == 0
    assert all(one.ends is None for one in week.left)


def test_spot_instances_are_replaced_before_they_end(week: Week) -> None:
    assert week.faults["notice"] == week.causes["interrupted"] > 20
    assert week.too_late == 0


def test_all_faults_are_repaired_and_all_drift_is_replaced(week: Week) -> None:
    assert week.causes["gone"] == week.faults["vanish"] > 0
    assert week.causes["repair"] > 0
    assert {one.state for one in week.left} == {READY}
    assert not [one for one in week.left if one.drift]
    assert min(one.created for one in week.left) >= sim.START + sim.NEW_IMAGE - sim.WINDOWS[1] * 3600
    assert set(week.causes) == {"few", "many", "gone", "ttl", "interrupted", "repair", "age", "drift"}


def test_the_nodes_are_spread_over_the_regions(week: Week) -> None:
    counts = [sum(one.region == region for one in week.left) for region in sim.REGIONS]
    assert max(counts) - min(counts) <= 3


def test_the_same_seed_gives_the_same_week_and_another_one_keeps_the_limits(week: Week) -> None:
    again, other = live(days=1), live(4, days=3)
    assert again.moments == week.moments[: len(again.moments)]
    assert other.moments != week.moments[: len(other.moments)]
    assert other.most <= 480
    assert (other.during_outage, other.too_late) == (0, 0)


# the picture


def test_the_picture_in_the_docs_is_what_the_tool_draws(week: Week) -> None:
    """Run ``python -m tools.fleet_week`` if it is not."""
    assert fleet_week.PICTURE.read_text(encoding="utf-8") == fleet_week.svg(week.moments)


def test_the_picture_says_what_it_shows_and_fetches_nothing() -> None:
    drawn = fleet_week.PICTURE.read_text(encoding="utf-8")
    words = " ".join(" ".join(ElementTree.fromstring(drawn).itertext()).split())  # noqa: S314 - trusted input
    for what in ("load, in nodes at the target", "wanted", "ready", "price in a month", "network fault", "Sunday"):
        assert what in words
    assert re.findall(r"@font-face|@import|url\(|\bhref\b|\bsrc\b", drawn) == []
