"""Lengths of time as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_core import PydanticCustomError

from hart_salt.config.durations import as_duration, as_duration_or_zero, words


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30d", 2592000), ("8h", 28800), ("10m", 600), ("45s", 45), ("1h30m", 5400), (" 10M ", 600), (90, 90), ("90", 90),
     (1.5, 1.5), ("1.5", 1.5)],
)  # fmt: skip
def test_a_length_of_time_is_its_seconds(written: Any, seconds: float) -> None:
    assert as_duration(written) == seconds


@pytest.mark.parametrize("wrong", ["", "h", "10x", "m10", "10 m", "-5m", "1h-3m", None, True, [], {}, "1m1h", "NaN"])
def test_what_is_no_length_of_time_is_refused_with_an_example(wrong: Any) -> None:
    with pytest.raises(PydanticCustomError, match="must be a length of time such as 30d"):
        as_duration(wrong)


@pytest.mark.parametrize("wrong", [0, "0", "0s", -1, "99999d"])
def test_a_length_out_of_range_is_refused(wrong: Any) -> None:
    with pytest.raises(PydanticCustomError, match="longer than 0"):
        as_duration(wrong)


def test_zero_is_accepted_where_it_has_a_meaning() -> None:
    assert (as_duration_or_zero(0), as_duration_or_zero("0s"), as_duration_or_zero("5m")) == (0, 0, 300)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.6, "1m"), (3661, "1h 1m"), (100000, "1d 3h"), (-5, "0s"), (600, "10m")]
)
def test_people_read_the_two_largest_units(seconds: float, text: str) -> None:
    assert words(seconds) == text
