"""The view of the progress: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from hart_salt.node import terminal
from hart_salt.node.progress import View
from hart_salt.node.terminal import Lines, LiveTable, Silenced, view_for


def console() -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=False)


def drawn(live: LiveTable) -> list[str]:
    """Return the table as text, one entry per row."""
    paper = console()
    paper.print(live._table())
    assert isinstance(paper.file, io.StringIO)
    return [" ".join(line.split()) for line in paper.file.getvalue().splitlines()]


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> Iterator[LiveTable]:
    made = LiveTable(console(), clock)
    yield made
    made.close()


def test_each_node_has_a_row_with_its_stage_time_and_last_line(table: LiveTable, clock: Clock) -> None:
    table.update("a", "launching", 0.0, "")
    table.update("b", "bootstrapping", 2.0, "unpacking")
    clock.now += 1.5
    assert drawn(table) == ["minion stage time last line", "a launching 1.5 s", "b bootstrapping 3.5 s unpacking"]


def test_the_last_line_stays_until_there_is_a_new_one(table: LiveTable) -> None:
    table.update("a", "bootstrapping", 0.0, "unpacking")
    table.update("a", "enrolling", 0.0, "")
    assert drawn(table)[1] == "a enrolling 0.0 s unpacking"


@pytest.mark.parametrize("stage", ["done", "failed", "destroyed"])
def test_the_time_stops_after_the_last_stage(table: LiveTable, clock: Clock, stage: str) -> None:
    table.update("a", "ready", 0.0, "")
    clock.now += 2
    table.update("a", stage, 2.0, "")
    clock.now += 60
    assert drawn(table)[1] == f"a {stage} 2.0 s"


def test_the_output_of_a_node_is_text_and_not_markup(table: LiveTable) -> None:
    table.update("a", "bootstrapping", 0.0, "[red]x[/red] [/nonsense]")
    assert drawn(table)[1].endswith("[red]x[/red] [/nonsense]")


def test_a_long_line_does_not_add_a_row(table: LiveTable) -> None:
    table.update("a", "bootstrapping", 0.0, "word " * 100)
    assert len(drawn(table)) == 2


def test_of_many_nodes_failures_and_the_latest_changes_have_a_row_and_the_last_drawing_has_all(clock: Clock) -> None:
    live = LiveTable(Console(file=io.StringIO(), width=100, height=8, force_terminal=False), clock)
    for number in range(20):
        live.update(f"n{number:02}", "launching", 0.0, "")
    for minion_id, stage in (("n03", "failed"), ("n04", "done"), ("n07", "running"), ("n08", "ready")):
        clock.now += 1
        live.update(minion_id, stage, 0.0, "")
    rows = [row.split()[:2] for row in drawn(live)[1:]]
    assert rows[:-1] == [
        ["n00", "launching"],
        ["n01", "launching"],
        ["n03", "failed"],
        ["n07", "running"],
        ["n08", "ready"],
    ]
    assert drawn(live)[-1] == "15 more 14 launching, 1 done"
    live.close()
    assert len(drawn(live)) == 21


def test_lines_go_to_the_given_stream() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.update("a", "launching", 0.0, "")
    lines.update("a", "bootstrapping", 12.34, "unpacking")
    lines.close()
    assert stream.getvalue().splitlines() == ["a    0.0s [launching]", "a   12.3s unpacking"]


def test_a_pipe_gets_lines_and_a_terminal_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(_shown_by(view_for(io.StringIO())), Lines)
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave, "w") as terminal:
            view = view_for(terminal)
            view.update("a", "launching", 0.0, "")
            assert isinstance(_shown_by(view), LiveTable)
            view.close()
        seen = b""
        while b"launching" not in seen:  # it arrives in pieces, and reading a closed terminal ends with an error
            seen += os.read(master, 65536)
    finally:
        os.close(master)
    assert capsys.readouterr().out == ""


def _shown_by(view: View) -> View | None:
    assert isinstance(view, Silenced)
    return view.view


class Broken:
    """A view that fails at each call, and counts the calls."""

    def __init__(self, error: BaseException) -> None:
        self.calls = 0
        self._error = error

    def update(self, minion_id: str, stage: str, seconds: float, line: str) -> None:
        self.calls += 1
        raise self._error

    def close(self) -> None:
        self.calls += 1
        raise self._error


FAILURES = [BrokenPipeError(), OSError(5, "hung up"), ValueError("closed"), UnicodeEncodeError("ascii", "ü", 0, 1, ""),
            RuntimeError("reentrant call"), SystemExit(1)]  # fmt: skip


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_a_view_that_failed_once_is_silent_and_not_called_again(error: BaseException) -> None:
    for first in ("update", "close"):
        broken = Broken(error)
        view = Silenced(lambda: broken)  # noqa: B023 - called at once
        if first == "update":
            view.update("a", "launching", 0.0, "")
            view.update("a", "running", 0.0, "")
        view.close()
        view.update("a", "running", 0.0, "")
        assert broken.calls == 1


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_a_view_that_cannot_be_made_shows_nothing(error: BaseException) -> None:
    def make() -> View:
        raise error

    view = Silenced(make)
    view.update("a", "launching", 0.0, "")
    view.close()
    assert view.view is None


def test_a_terminal_that_hangs_up_ends_only_the_table() -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", closefd=False) as stream:
        view = view_for(stream)
        view.update("a", "launching", 0.0, "")
        os.close(master)
        view.update("a", "running", 1.0, "a line")
        view.close()
        with contextlib.suppress(OSError):
            stream.close()
    os.close(slave)
    refreshing = [thread for thread in threading.enumerate() if "Refresh" in type(thread).__name__]
    for thread in refreshing:
        thread.join(60)  # close was called
    assert not any(thread.is_alive() for thread in refreshing)


def test_without_standard_error_nothing_is_shown_anywhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr", None)
    view = view_for()
    view.update("a", "launching", 0.0, "")
    view.close()
    assert capsys.readouterr().out == ""


def test_in_a_thread_of_a_master_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    thread = threading.Thread(target=lambda: view_for().update("a", "launching", 0.0, ""))
    thread.start()
    thread.join()
    assert capsys.readouterr() == ("", "")


def test_by_default_it_goes_to_standard_error_and_never_to_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = view_for()
    view.update("a", "launching", 0.0, "")
    view.close()
    captured = capsys.readouterr()
    assert (captured.out, "launching" in captured.err) == ("", True)


def test_the_table_of_nodes_has_a_row_for_each() -> None:
    facts = {"role": "app", "provider": "do", "region": "nyc3", "size": "s-1", "private_ip": "10.0.0.1"}
    nodes: dict[str, dict[str, Any]] = {
        "a.example": {"status": "ready", **facts, "zone": None, "public_ip": "192.0.2.1"},
        "b.example": {"status": "no [red] key", **facts, "zone": "z1", "public_ip": None},
    }
    lines = without_colours(terminal.table(nodes, 100)).splitlines()
    assert [line.split() for line in lines] == [
        ["minion", "status", "role", "provider", "place", "size", "address"],
        ["a.example", "ready", "app", "do", "nyc3", "s-1", "192.0.2.1"],
        ["b.example", "no", "[red]", "key", "app", "do", "z1", "s-1", "10.0.0.1"],
    ]


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
