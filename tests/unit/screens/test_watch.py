"""The list that is renewed fits the terminal, survives an outage, and ends with Ctrl-C as a success."""

from __future__ import annotations

import io
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest

from hart_salt.base.errors import Interrupted, Refused, TemporaryFailure
from hart_salt.operations import listing as names
from hart_salt.result import Result
from hart_salt.screens import listing, watch
from hart_salt.screens.paper import Paper
from hart_salt.screens.watch import Watch, fitting


def nodes(number: int, failed: int = 0) -> dict[str, Any]:
    return {
        f"web-{one:04}.example.com": {"status": "failed" if number - one <= failed else "ready", "role": "web"}
        for one in range(number)
    }


def shown(number: int, failed: int = 0, **more: Any) -> dict[str, Any]:
    document = {"version": 2, "function": "list_minions", "nodes": nodes(number, failed), "problems": [], "notes": []}
    return {**document, **more}


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept = 0
        self.then: Callable[[int], None] = lambda slept: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += 1
        self.then(self.slept)


@pytest.fixture
def size(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return a list with the size of the terminal, which a test can change."""
    found = [(80, 24)]
    monkeypatch.setattr(watch, "size_of", lambda stream: found[0])
    return found


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ended(signum: int, at: int) -> Callable[[int], None]:
    """Return what raises as a signal does, after so many sleeps."""

    def then(slept: int) -> None:
        if slept >= at:
            raise SystemExit(128 + signum)

    return then


def watching(look: Callable[[], Result], clock: Clock, stream: io.StringIO, every: float = 1.0) -> Watch:
    return Watch(look, lambda data: data, every, stream, sleep=clock.sleep, clock=clock)


def frames(stream: io.StringIO) -> list[str]:
    """Return what was drawn each time, without control sequences."""
    return [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", one) for one in stream.getvalue().split("\x1b[J")][:-1]


@pytest.mark.parametrize("error", [SystemExit(130), Interrupted(signal.SIGINT, "interrupted by SIGINT")])
def test_ctrl_c_ends_it_with_the_last_list_as_a_success(
    size: list[tuple[int, int]], clock: Clock, error: BaseException
) -> None:
    results = [Result(nodes(1)), Result(nodes(2), False, problems=["do: no answer"])]

    def then(slept: int) -> None:
        if slept > 15:
            raise error

    clock.then = then
    stream = io.StringIO()
    last = watching(lambda: results.pop(0), clock, stream).run()
    assert (len(last.data), last.ok) == (2, True)
    drawn = frames(stream)
    assert len(drawn) == 3
    assert drawn[0].strip().startswith("Every 1 s, last at ")
    assert ("1 node: 1 ready." in drawn[0], "2 nodes: 2 ready." in drawn[1]) == (True, True)
    assert "problem: do: no answer" in drawn[1]
    assert drawn[2].strip() == "", "the table has gone, and the outputter prints the last list"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_another_signal_is_none_of_its_ends(size: list[tuple[int, int]], clock: Clock, signum: int) -> None:
    clock.then = ended(signum, 1)
    with pytest.raises(SystemExit) as raised:
        watching(lambda: Result(nodes(1)), clock, io.StringIO()).run()
    assert raised.value.code == 128 + signum


def test_a_wrong_argument_is_refused_before_anything_is_drawn(size: list[tuple[int, int]], clock: Clock) -> None:
    def look() -> Result:
        raise Refused("there is no role ap")

    stream = io.StringIO()
    with pytest.raises(Refused):
        watching(look, clock, stream).run()
    assert stream.getvalue() == ""


def test_a_list_that_fails_later_leaves_the_last_nodes(size: list[tuple[int, int]], clock: Clock) -> None:
    calls = [0]

    def look() -> Result:
        calls[0] += 1
        if calls[0] == 2:
            raise TemporaryFailure("the record store does not answer")
        return Result(nodes(1))

    clock.then = ended(signal.SIGINT, 25)
    stream = io.StringIO()
    watching(look, clock, stream).run()
    first, second, third, _ = frames(stream)
    assert "problem" not in first + third
    assert "1 node: 1 ready." in second
    assert "problem: the record store does not answer" in second


def test_a_resized_terminal_is_drawn_again_at_once(size: list[tuple[int, int]], clock: Clock) -> None:
    def then(slept: int) -> None:
        if slept == 3:
            size[0] = (40, 12)
        if slept == 6:
            raise SystemExit(130)

    clock.then = then
    stream = io.StringIO()
    watching(lambda: Result(nodes(500)), clock, stream, every=60).run()
    assert len(frames(stream)) == 3
    for drawn, (width, height) in zip(frames(stream), ((80, 24), (40, 12)), strict=False):
        lines = drawn.lstrip("\r").splitlines()
        assert len(lines) < height
        assert all(len(line) <= width for line in lines)


def test_what_is_drawn_passes_the_gate(size: list[tuple[int, int]], clock: Clock) -> None:
    clock.then = ended(signal.SIGINT, 1)
    stream = io.StringIO()
    gate = lambda data: {**data, "problems": ["***"]}  # noqa: E731 - it is short
    Watch(lambda: Result(nodes(1), problems=["secret"]), gate, 1.0, stream, sleep=clock.sleep, clock=clock).run()
    assert "secret" not in stream.getvalue()
    assert "problem: ***" in frames(stream)[0]


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("room", [1, 5, 20])
def test_of_many_nodes_those_that_are_not_ready_come_first(width: int, room: int) -> None:
    lines = fitting(shown(1000, failed=3), Paper(width), room)
    assert len(lines) <= room
    if room == 20:
        assert [line.split()[1] for line in lines[1:5]] == ["failed", "failed", "failed", "ready"]
        assert "1000 nodes: 997 ready, 3 failed." in lines[-1 if width > 40 else -2]


def test_the_remarks_below_rows_count_as_lines() -> None:
    document = shown(12)
    for entry in document["nodes"].values():
        entry["note"] = "word " * 40
    lines = fitting(document, Paper(60), 20)
    assert len(lines) <= 20
    assert "not shown" in " ".join(lines)


def test_columns_are_those_that_were_named_in_their_order() -> None:
    entry = {
        "status": "ready", "public_ip": None, "private_ip": "10.0.0.1", "monthly_price": 6.0, "currency": "USD",
        "created": "2020-01-01T00:00:00.000+00:00", "by": "anna",
    }  # fmt: skip
    document = shown(0, columns=["ip", "id", "price", "by", "created"])
    document["nodes"] = {"web-1": entry}
    lines = [line.plain.split() for line in listing.minions(document, Paper(200))]
    assert lines[0] == ["ADDRESS", "MINION", "PER", "MONTH", "BY", "CREATED"]
    assert lines[1] == ["10.0.0.1", "web-1", "$6.00", "anna", "2020-01-01T00:00:00.000+00:00"]


def test_the_list_says_how_many_nodes_are_protected_and_a_column_which() -> None:
    document = shown(0, columns=["id", "protected"])
    nodes = {"db-1": {"status": "ready", "protected": True}, "app-1": {"status": "ready", "protected": False}}
    lines = listing.minions({**document, "nodes": nodes}, Paper(80))
    assert [line.plain.split() for line in lines[1:3]] == [["db-1", "yes"], ["app-1"]]
    assert lines[-1].plain == "2 nodes: 2 ready. 1 of them is protected."
    assert "protected" not in listing.minions({**document, "columns": None, "nodes": {"app-1": nodes["app-1"]}},
                                              Paper(80))[-1].plain  # fmt: skip


def test_a_narrow_terminal_keeps_the_columns_that_were_named() -> None:
    lines = listing.minions(shown(1, columns=["id", "role", "status", "created"]), Paper(40))
    assert lines[0].plain.split() == ["MINION", "ROLE", "STATUS", "CREATED"]


def test_each_column_that_can_be_named_can_be_drawn() -> None:
    assert tuple(listing.COLUMNS) == names.COLUMNS
    assert set(listing.DEFAULT) <= set(names.COLUMNS)
