"""What a person sees: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

import io
import os
import pty
import re
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from hart_salt import terminal
from hart_salt.terminal import Lines, LiveTable, view_for


def console() -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=False)


def drawn(live: LiveTable) -> list[str]:
    """The table as text, one entry per row."""
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


def test_the_last_line_stays_until_there_is_another(table: LiveTable) -> None:
    table.update("a", "bootstrapping", 0.0, "unpacking")
    table.update("a", "enrolling", 0.0, "")
    assert drawn(table)[1] == "a enrolling 0.0 s unpacking"


@pytest.mark.parametrize("stage", ["done", "failed", "destroyed"])
def test_the_time_stands_still_after_the_last_stage(table: LiveTable, clock: Clock, stage: str) -> None:
    table.update("a", "ready", 0.0, "")
    clock.now += 2
    table.update("a", stage, 2.0, "")
    clock.now += 60
    assert drawn(table)[1] == f"a {stage} 2.0 s"


def test_what_a_node_prints_is_text_and_no_markup(table: LiveTable) -> None:
    table.update("a", "bootstrapping", 0.0, "[red]x[/red] [/nonsense]")
    assert drawn(table)[1].endswith("[red]x[/red] [/nonsense]")


def test_a_long_line_does_not_make_a_second_row(table: LiveTable) -> None:
    table.update("a", "bootstrapping", 0.0, "word " * 100)
    assert len(drawn(table)) == 2


def test_lines_go_to_the_stream_that_was_given() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.update("a", "launching", 0.0, "")
    lines.update("a", "bootstrapping", 12.34, "unpacking")
    lines.close()
    assert stream.getvalue().splitlines() == ["a    0.0s [launching]", "a   12.3s unpacking"]


def test_a_pipe_gets_lines_and_a_terminal_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(view_for(io.StringIO()), Lines)
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave, "w") as terminal:
            view = view_for(terminal)
            view.update("a", "launching", 0.0, "")
            view.close()
        assert isinstance(view, LiveTable)
        seen = b""
        while b"launching" not in seen:  # it comes in pieces, and a terminal that was closed ends in an error
            seen += os.read(master, 65536)
    finally:
        os.close(master)
    assert capsys.readouterr().out == ""


def test_without_a_choice_it_goes_to_standard_error_and_never_to_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = view_for()
    view.update("a", "launching", 0.0, "")
    view.close()
    captured = capsys.readouterr()
    assert (captured.out, "launching" in captured.err) == ("", True)


def test_nodes_as_a_table_with_a_row_for_each() -> None:
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
