"""Leadership is stable: another master takes over only when the leader has not looked for three intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hart_salt.fleets.engine_state import EngineState
from hart_salt.fleets.leadership import EngineHost, Seen, leads, seen_of, written

ME, OTHER = EngineHost("m1", "one 1"), EngineHost("m2", "two 2")
STATE = EngineState(leader="m2", machine="two 2", looks=7, interval=60.0, looked=1e9)


@pytest.mark.parametrize("state", [None, EngineState(), replace(STATE, leader="m1", machine="one 1")])
def test_a_master_leads_if_nobody_does_or_if_it_led_before(state: EngineState | None) -> None:
    assert leads(state, ME, None, 0.0) == (True, None)


@pytest.mark.parametrize("machine", ["one 2", "two 2"])
def test_a_master_with_the_same_id_on_another_machine_is_another_one(machine: str) -> None:
    assert leads(replace(STATE, leader="m1", machine=machine), ME, None, 0.0)[0] is False


def test_it_takes_over_three_intervals_after_the_last_look_that_it_has_seen() -> None:
    leading, seen = leads(STATE, ME, None, 1000.0)
    assert (leading, seen) == (False, Seen("m2", "two 2", 7, 1000.0))
    assert leads(STATE, ME, seen, 1179.9) == (False, seen)
    assert leads(STATE, ME, seen, 1180.0) == (True, seen)


def test_each_look_of_the_leader_begins_the_time_again() -> None:
    _, seen = leads(STATE, ME, None, 1000.0)
    leading, seen = leads(replace(STATE, looks=8), ME, seen, 1179.0)
    assert (leading, seen) == (False, Seen("m2", "two 2", 8, 1179.0))
    assert leads(replace(STATE, looks=8), ME, seen, 1358.0)[0] is False


def test_the_clock_of_the_leader_does_not_matter() -> None:
    _, seen = leads(STATE, ME, None, 0.0)
    assert leads(replace(STATE, looked=0.0), ME, seen, 10.0)[0] is False


def test_what_was_seen_survives_as_plain_data_and_anything_else_is_nothing() -> None:
    seen = Seen("m2", "two 2", 7, 1000.0)
    assert seen_of(written(seen)) == seen
    nothing: list[Any] = [None, {}, [], {"leader": "a", "machine": "b", "looks": "x", "since": 1}]
    assert [seen_of(it) for it in nothing] == [None] * 4
