"""Deadlines of blocking work, and what a signal shortens. Nothing here waits: what never ends is released."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from hart_salt.base.deadline import at_once, within

HOUR = 3600.0


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """Yield an event that is only set when the test has ended."""
    event = threading.Event()
    yield event
    event.set()


def test_the_result_and_the_error_are_those_of_the_work() -> None:
    assert within(HOUR, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(HOUR, lambda: 1 // 0)


def test_work_that_does_not_end_is_abandoned(never: threading.Event) -> None:
    with pytest.raises(TimeoutError, match=r"not done within 0 s"):
        within(0.0, never.wait)


def test_an_interruption_shortens_the_wait(never: threading.Event) -> None:
    with pytest.raises(TimeoutError):
        within(HOUR, never.wait, lambda: True)


def test_work_that_ends_within_the_grace_counts() -> None:
    assert within(HOUR, lambda: 3, lambda: True, HOUR) == 3


def test_several_works_run_at_the_same_time_and_keep_their_order() -> None:
    second = threading.Event()

    def release() -> bool:
        second.set()
        return True

    works = {"a": lambda: second.wait(HOUR), "b": release}
    assert list(at_once(works, 2).items()) == [("a", True), ("b", True)]


def test_no_more_than_the_limit_run_at_the_same_time() -> None:
    running: list[str] = []

    def work(name: str) -> list[str]:
        running.append(name)
        seen = list(running)
        running.remove(name)
        return seen

    found = at_once({name: lambda name=name: work(name) for name in "abcdef"}, 1)  # type: ignore[misc]
    assert found == {name: [name] for name in "abcdef"}


def test_an_error_is_raised_without_a_wait_for_the_others(never: threading.Event) -> None:
    with pytest.raises(ZeroDivisionError):
        at_once({"a": never.wait, "b": lambda: bool(1 // 0)}, 2)
    assert at_once({}, 2) == {}
