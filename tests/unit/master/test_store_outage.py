"""Outages of a record store: what is waited for, what fails at once, and for how long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hart_salt.master.store_outage import INTERVAL, LIMIT, PAUSE, StoreOutage


class World:
    """A store, a clock that only the store and the waits move, and an outage of the store."""

    def __init__(self) -> None:
        self.now = 0.0
        self.down = False
        #: seconds that a request to a store takes that is down
        self.takes = 0.0
        self.back_at: float | None = None
        self.requests = 0
        self.outage = StoreOutage(self.request, lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def request(self) -> str:
        self.requests += 1
        if self.down and (self.back_at is None or self.now < self.back_at):
            self.now += self.takes
            raise ConnectionError("refused")
        return "answer"

    def call(self, work: Callable[[], str] | None = None) -> str:
        return self.outage.call(work or self.request)


@pytest.fixture
def world() -> World:
    return World()


def test_a_store_that_never_answered_fails_at_once(world: World) -> None:
    world.down = True
    with pytest.raises(ConnectionError):
        world.call()
    assert world.now == 0


def test_a_store_that_restarts_is_waited_for(world: World) -> None:
    world.call()
    world.down, world.back_at = True, 10.0
    assert world.call() == "answer"
    assert 10 <= world.now < 10 + 2 * INTERVAL


def test_a_store_that_stays_away_is_given_up(world: World) -> None:
    world.call()
    world.down = True
    with pytest.raises(ConnectionError):
        world.call()
    assert LIMIT <= world.now < LIMIT + 2 * INTERVAL


@pytest.mark.parametrize("answered", [True, False])
def test_a_request_that_hangs_is_not_followed_by_another(world: World, answered: bool) -> None:
    if answered:
        world.call()
    before, world.down, world.takes = world.requests, True, LIMIT
    with pytest.raises(ConnectionError):
        world.call()
    assert (world.now, world.requests - before) == (LIMIT, 1)


def test_after_it_was_given_up_a_thousand_requests_take_no_time_each(world: World) -> None:
    world.call()
    world.down, world.takes = True, LIMIT
    for _ in range(1000):
        with pytest.raises(ConnectionError):
            world.call()
    assert world.now == LIMIT
    world.now += PAUSE
    before = world.requests
    with pytest.raises(ConnectionError):
        world.call()
    assert (world.now, world.requests - before) == (LIMIT + PAUSE + LIMIT, 1)


def test_a_store_that_is_back_after_it_was_given_up_is_used_again(world: World) -> None:
    world.down = True
    with pytest.raises(ConnectionError):
        world.call()
    world.down = False
    world.now += PAUSE
    assert world.call() == "answer"
    world.down, world.back_at = True, world.now + 5
    assert world.call() == "answer"  # it is waited for again


def test_a_request_that_cannot_work_fails_without_a_wait(world: World) -> None:
    """The store answers another one, so it is not away; the request is tried twice."""
    tried = []

    def broken() -> str:
        tried.append(world.now)
        raise ValueError("not what Salt stores")

    for _ in range(2):
        with pytest.raises(ValueError, match="not what Salt stores"):
            world.call(broken)
    assert (tried, world.now) == ([0.0] * 4, 0.0)
    assert world.call() == "answer"
