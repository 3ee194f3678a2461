"""The settings of autoscaling in the configuration."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from hart_salt.config.autoscale import Autoscale
from tests.unit.config.test_fleets import faults, loaded

METRIC: dict[str, Any] = {"function": "status.loadavg", "key": "1-min", "per": "cpu"}
SCALE: dict[str, Any] = {"metric": METRIC, "target": 0.6}


def fleet(autoscale: Any, **more: Any) -> dict[str, Any]:
    return {"web": {"role": "app", "min": 2, "max": 10, "autoscale": autoscale, **more}}


def autoscale_of(value: Any) -> Autoscale:
    found = loaded(fleet(value)).fleets["web"].autoscale
    assert found is not None
    return found


def test_all_settings() -> None:
    minimums = [{"at": "Mon-Fri 08:00", "min": 6}, {"at": "Mon-Fri 19:00", "min": "2"}]
    metric = {**METRIC, "args": [1, "two"], "kwargs": {"a": True}, "timeout": "20s"}
    found = autoscale_of(
        {"metric": metric, "target": "0.6", "tolerance": 0.2, "up_after": "0s", "down_after": "10m", "cooldown": 90,
         "warm_up": "5m", "minimums": minimums}
    )  # fmt: skip
    assert (found.target, found.tolerance) == (0.6, 0.2)
    assert (found.up_after, found.down_after, found.cooldown, found.warm_up) == (0, 600, 90, 300)
    assert (found.metric.function, found.metric.key, found.metric.per) == ("status.loadavg", "1-min", "cpu")
    assert (found.metric.args, found.metric.kwargs, found.metric.timeout) == ([1, "two"], {"a": True}, 20)
    assert [entry.min for entry in found.minimums] == [6, 2]


def test_the_defaults_are_those_of_kubernetes() -> None:
    found = autoscale_of(SCALE)
    assert (found.tolerance, found.up_after, found.down_after, found.cooldown) == (0.1, 0, 300, 0)
    assert (found.minimums, found.metric.timeout, found.warm_up) == ([], 15, 180)


def test_a_fleet_without_autoscale_has_none() -> None:
    assert loaded({"web": {"role": "app", "count": 2}}).fleets["web"].autoscale is None


def test_a_later_source_overrides_single_settings() -> None:
    found = loaded(fleet(SCALE), {"web": {"autoscale": {"target": 0.8, "metric": {"key": "5-min"}}}}).fleets["web"]
    assert found.autoscale is not None
    assert (found.autoscale.target, found.autoscale.metric.key, found.autoscale.metric.per) == (0.8, "5-min", "cpu")


@pytest.mark.parametrize(
    ("autoscale", "fault"),
    [
        (1, ": must be a mapping"),
        (None, ": has no value"),
        ({"metric": METRIC}, ":target: is missing"),
        ({"target": 1}, ":metric: is missing"),
        ({"target": 1, "metric": {}}, ":metric:function: is missing"),
        ({"target": 1, "metric": "status.loadavg"}, ":metric: must be a mapping"),
        ({"target": 1, "metric": {**METRIC, "funktion": "x.y"}}, ":metric:funktion: unknown setting, did you mean"),
        ({"target": 1, "metric": {"function": "loadavg"}}, ":metric:function: must be the name of an execution"),
        ({"target": 1, "metric": {**METRIC, "per": "core"}}, ":metric:per: must be one of cpu"),
        ({"target": 1, "metric": {**METRIC, "args": "a"}}, ":metric:args: must be a list"),
        ({"target": 1, "metric": {**METRIC, "kwargs": {"a b": 1}}}, ":metric:kwargs: must be a mapping of names"),
        ({"target": 1, "metric": {**METRIC, "timeout": "3m"}}, ":metric:timeout: must be at most 2m"),
        ({"target": 1, "metric": {**METRIC, "timeout": 0}}, ":metric:timeout: must be longer than 0"),
        ({**SCALE, "target": 0}, ":target: must be a number above 0, such as 0.6"),
        ({**SCALE, "target": float("nan")}, ":target: must be a number above 0"),
        ({**SCALE, "target": True}, ":target: must be a number above 0"),
        ({**SCALE, "tolerance": 1}, ":tolerance: must be a number from 0 to below 1"),
        ({**SCALE, "down_after": "10 minutes"}, ":down_after: must be a length of time"),
        ({**SCALE, "down_after": "25h"}, ":down_after: must be at most 1d"),
        ({**SCALE, "up_after": "2d"}, ":up_after: must be at most 1d"),
        ({**SCALE, "warm_up": "2d"}, ":warm_up: must be at most 1d"),
        ({**SCALE, "cooldwn": 1}, ":cooldwn: unknown setting, did you mean cooldown?"),
        ({**SCALE, "minimums": {"at": "08:00"}}, ":minimums: must be a list of mappings"),
        ({**SCALE, "minimums": ["08:00"]}, ":minimums:0: must be a mapping"),
        ({**SCALE, "minimums": [{"at": "08:00"}]}, ":minimums:0:min: is missing"),
        ({**SCALE, "minimums": [{"at": "8", "min": 1}]}, ":minimums:0:at: must be a time of the week"),
        ({**SCALE, "minimums": [{"at": "08:00", "min": -1}]}, ":minimums:0:min: must be a whole number of at least 0"),
        ({**SCALE, "minimums": [{"at": "08:00", "min": 2}, {"at": "09:00", "min": 11}]},
         ":minimums:1:min: is above the fleet's max, 10"),
    ],
)  # fmt: skip
def test_a_fault_is_one_sentence_with_its_path(autoscale: Any, fault: str) -> None:
    said = faults(fleet(autoscale))
    assert said.startswith(f"hart:fleets:web:autoscale{fault}"), said
    assert "\n" not in said


def test_all_faults_are_reported_at_once() -> None:
    said = faults(fleet({"metric": {"function": "x"}, "target": 0, "minimums": [{"min": 1}]})).splitlines()
    assert [line.partition(": ")[0] for line in said] == [
        "hart:fleets:web:autoscale:metric:function",
        "hart:fleets:web:autoscale:target",
        "hart:fleets:web:autoscale:minimums:0:at",
    ]


@pytest.mark.parametrize("bounds", [{"count": 3, "min": None}, {"min": 1, "max": None}])
def test_it_needs_a_largest_number_of_nodes(bounds: dict[str, Any]) -> None:
    given = {"role": "app", "autoscale": SCALE, **{name: value for name, value in bounds.items() if value is not None}}
    assert faults({"web": given}).startswith("hart:fleets:web:autoscale: needs max, the largest number of nodes")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("now", "minimum"),
    [
        ("2026-11-27T07:59", 2),  # Friday
        ("2026-11-27T08:00", 6),
        ("2026-11-27T18:59", 6),
        ("2026-11-27T19:00", 2),
        ("2026-11-29T12:00", 2),  # Sunday: that of Friday evening still holds
        ("2026-11-30T08:00", 6),
    ],
)
def test_the_scheduled_minimum_is_that_whose_time_was_last(now: str, minimum: int) -> None:
    minimums = [{"at": "Mon-Fri 08:00", "min": 6}, {"at": "Mon-Fri 19:00", "min": 2}]
    assert autoscale_of({**SCALE, "minimums": minimums}).scheduled(at(now)) == minimum


def test_of_two_minimums_at_the_same_time_the_larger_holds() -> None:
    minimums = [{"at": "Mon 08:00", "min": 6}, {"at": "08:00", "min": 3}]
    found = autoscale_of({**SCALE, "minimums": minimums})
    assert [found.scheduled(at(f"2026-11-{day}T09:00")) for day in (30, 29)] == [6, 3]
    assert autoscale_of(SCALE).scheduled(0) == 0
