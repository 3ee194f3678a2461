"""Retries, and the waits between two attempts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hart_salt.base.errors import DriverError, RateLimited, TemporaryFailure
from hart_salt.drivers import http
from hart_salt.drivers.outage import Unreachable

LAST = 1 - 2**-53  #: the highest number that ``random`` returns


def waits(error: DriverError, tries: int, chance: Callable[[], float] = lambda: 0.0) -> list[float]:
    """Return the waits of a call that fails so many times."""
    failures, waited = [error] * tries, list[float]()

    def call() -> None:
        if failures:
            raise failures.pop()

    http.repeated(call, waited.append, chance=chance)
    return waited


def test_a_wait_is_doubled_each_time_up_to_8_seconds() -> None:
    assert waits(TemporaryFailure("no"), 6) == [0.5, 1, 2, 4, 8, 8]


def test_for_a_server_that_cannot_be_reached_up_to_2_seconds() -> None:
    assert waits(Unreachable("no"), 4) == [0.5, 1, 2, 2]


@pytest.mark.parametrize("error", [TemporaryFailure("no"), RateLimited("no"), RateLimited("no", 0.0)])
def test_chance_takes_up_to_half_of_a_wait_away(error: DriverError) -> None:
    drawn = iter([0.0, 0.5, 1.0, 0.25])
    assert waits(error, 3, drawn.__next__) == [0.5, 0.75, 1]


def test_what_the_vendor_asks_for_is_waited_for_and_chance_adds_to_it() -> None:
    drawn = iter([0.0, 0.5, 1.0, 0.25])
    assert waits(RateLimited("no", 7), 3, drawn.__next__) == [7, 7.5, 9]


@pytest.mark.parametrize("number", [0.0, 0.1, 0.5, LAST])
def test_never_less_than_the_vendor_asks_for(number: float) -> None:
    assert min(waits(RateLimited("no", 3), 8, lambda: number)) >= 3


def test_two_calls_that_were_throttled_together_do_not_come_back_together() -> None:
    assert waits(RateLimited("no", 7), 1, lambda: 0.2) != waits(RateLimited("no", 7), 1, lambda: 0.6)


def test_by_itself_chance_is_chance() -> None:
    drawn = [http.CHANCE() for _ in range(100)]
    assert len(set(drawn)) > 90
    assert min(drawn) >= 0
    assert max(drawn) < 1


@pytest.mark.parametrize("number", [0.0, 0.5, LAST])
@pytest.mark.parametrize("error", [TemporaryFailure("no"), RateLimited("no", 25)])
def test_the_waits_together_are_no_longer_than_two_minutes(error: DriverError, number: float) -> None:
    waited: list[float] = []

    def call() -> None:
        raise error

    with pytest.raises(DriverError):
        http.repeated(call, waited.append, chance=lambda: number)
    assert 90 < sum(waited) <= http.RETRY_FOR


def test_whether_there_is_time_goes_by_the_wait_that_is_made() -> None:
    """With a second random number for the check, the second wait, which just fits, would be skipped."""
    waited: list[float] = []

    def call() -> None:
        raise RateLimited("no", http.LONGEST_WAIT)

    with pytest.raises(RateLimited):
        http.repeated(call, waited.append, chance=lambda: 0.0)
    assert waited == [60, 60]
