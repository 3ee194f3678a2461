"""One node uses no more of the event loop than its share, whatever it sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from hart_salt.node.pacing import PIECE, Pace, Paced


@dataclass
class Clock:
    """Two clocks, for wall time and processor time; ``work`` advances both."""

    now: float = 0.0
    used: float = 0.0

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.used += seconds

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def pace(self, share: float = 0.1, burst: float = 0.5) -> Pace:
        return Pace(share, burst, lambda: self.now, lambda: self.used, self.sleep)


def test_an_honest_node_does_not_have_to_wait() -> None:
    clock = Clock()
    pace = clock.pace()
    assert [pace.spend(clock.work, 0.1) for _ in range(5)] == [0.0] * 5


@pytest.mark.parametrize("step", [0.001, 0.01, 1.0])
def test_in_the_long_run_a_node_uses_its_share_and_no_more(step: float) -> None:
    clock = Clock()
    pace = clock.pace()

    async def main() -> None:
        while clock.now < 1000:
            await pace.work(clock.work, step)

    asyncio.run(main())
    assert clock.used == pytest.approx(0.1 * clock.now + 0.5, rel=0.02)


def test_idle_time_of_a_node_does_not_add_up() -> None:
    clock = Clock()
    pace = clock.pace()
    clock.now = 1e6
    assert pace.spend(clock.work, 0.5) == 0.0
    assert pace.spend(clock.work, 0.1) == pytest.approx(0.9)


def test_work_that_raises_counts_too() -> None:
    clock = Clock()
    pace = clock.pace()

    def fail() -> None:
        clock.work(2.0)
        raise ValueError

    with pytest.raises(ValueError):
        pace.spend(fail)
    assert pace.spend(clock.work, 0) > 10


# the connection


@dataclass
class Wire:
    """The transport that the protocol uses."""

    reading: bool = True
    aborted: bool = False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


@dataclass
class Inner(asyncio.Protocol):
    """The inner protocol: keeps the pieces, which cost as much time as the test sets."""

    cost: Callable[[int], None] = lambda size: None
    pieces: list[bytes] = field(default_factory=list)
    lost: bool = False

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self.cost(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


@dataclass
class Line:
    """A connection and its timers, which the test fires."""

    wire: Wire
    inner: Inner
    paced: Paced
    clock: Clock

    def pass_time(self) -> None:
        """Fire the next timer."""
        timer = self.paced._resting
        assert timer is not None
        timer.cancel()
        self.paced._go_on()


def play(scene: Callable[[Line], None], limit: int = 10**6, cost: float = 0.0) -> Line:
    """Run a scene with a connection on which each piece costs ``cost`` seconds."""

    async def main() -> Line:
        clock = Clock()
        inner, wire = Inner(lambda size: clock.work(cost)), Wire()
        line = Line(wire, inner, Paced(inner, clock.pace(burst=0.0), limit), clock)
        line.paced.connection_made(wire)  # type: ignore[arg-type]  # the part of a transport that is asked for
        scene(line)
        return line

    return asyncio.run(main())


def test_data_is_passed_on_in_pieces_between_which_others_get_a_turn() -> None:
    data = bytes(range(256)) * 64

    def scene(line: Line) -> None:
        line.paced.data_received(data)
        assert line.inner.pieces == [data[:PIECE]]
        assert not line.wire.reading
        while line.paced._resting:
            line.pass_time()
        assert line.wire.reading
        assert b"".join(line.inner.pieces) == data
        assert {len(piece) for piece in line.inner.pieces} == {PIECE}

    play(scene)


def test_a_node_that_uses_too_much_time_is_not_read_for_a_while_and_continues_in_order() -> None:
    def scene(line: Line) -> None:
        line.paced.data_received(b"one")
        assert not line.wire.reading
        line.paced.data_received(b"two")  # data that was still in transit
        assert line.inner.pieces == [b"one"]
        line.clock.now += 10.0
        line.pass_time()
        assert line.inner.pieces == [b"one", b"two"]

    play(scene, cost=1.0)


def test_hart_does_not_read_while_its_own_answers_are_not_read() -> None:
    def scene(line: Line) -> None:
        line.paced.pause_writing()
        assert not line.wire.reading
        line.paced.data_received(b"under way")
        assert not line.wire.reading
        line.paced.resume_writing()
        assert line.wire.reading

    play(scene)


def test_the_data_of_one_session_is_limited() -> None:
    def scene(line: Line) -> None:
        line.paced.data_received(b"x" * 10)
        assert not line.paced.exceeded
        line.paced.data_received(b"x")
        assert line.paced.exceeded
        assert line.wire.aborted
        assert line.inner.pieces == [b"x" * 10]

    play(scene, limit=10)


def test_after_the_end_nothing_is_passed_on() -> None:
    def scene(line: Line) -> None:
        line.paced.data_received(b"x" * PIECE * 3)
        line.paced.connection_lost(None)
        line.paced._go_on()
        assert line.inner.lost
        assert len(line.inner.pieces) == 1

    play(scene)


def test_the_share_covers_everything_that_a_node_causes() -> None:
    """Its connection and its log use the same credit."""
    clock = Clock()
    pace = clock.pace(burst=0.0)
    inner = Inner(lambda size: clock.work(0.5))

    async def main() -> Any:
        paced = Paced(inner, pace, 100)
        paced.connection_made(Wire())  # type: ignore[arg-type]  # the part of a transport that is asked for
        paced.data_received(b"x")
        await pace.work(clock.work, 0.5)

    asyncio.run(main())
    assert clock.now == pytest.approx(10.0 + 0.5, abs=0.6)
