"""The live table fits the terminal, whatever its size, its colours and its encoding, and a summary takes its place."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hart_salt.node.drawing import REASONS, Paper
from hart_salt.node.live_table import LiveTable, paper_of
from hart_salt.node.progress import Expected
from hart_salt.node.remaining import FormerTimes

LONG = "web-4f9c2a7d.eu-central-1.customers.platform.example.internal.net"


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[[Paper], LiveTable]


@pytest.fixture
def make(clock: Clock) -> Iterator[Make]:
    made: list[LiveTable] = []

    def new(paper: Paper) -> LiveTable:
        made.append(LiveTable(io.StringIO(), lambda: paper, clock))
        made[-1]._refreshing.stop()  # a test draws it itself
        return made[-1]

    yield new
    for one in made:
        one.close()


WIDE = Paper(100, 40, colour=False)


def drawn(table: LiveTable, paper: Paper = WIDE) -> list[str]:
    """Return the lines of the table, without control sequences."""
    return [re.sub(r"\x1b\[[0-9;]*m", "", line.text) for line in table.lines(paper)]


def words(table: LiveTable, paper: Paper = WIDE) -> list[str]:
    """Return the lines of the table with single blanks."""
    return [" ".join(line.split()) for line in drawn(table, paper)]


def written(table: LiveTable) -> str:
    stream = table._repaint._stream
    assert isinstance(stream, io.StringIO)
    return stream.getvalue()


def test_each_node_has_a_row_with_its_stage_time_and_last_line(make: Make, clock: Clock) -> None:
    table = make(WIDE)
    table.update("a", "launching", 0.0, "")
    table.update("b", "bootstrapping", 2.0, "unpacking")
    clock.now += 1.5
    assert words(table) == [
        "done 0 failed 0 waiting 2", "minion stage time last line", "a launching 1.5 s",
        "b bootstrapping 3.5 s unpacking",
    ]  # fmt: skip


def test_the_last_line_stays_until_there_is_a_new_one(make: Make) -> None:
    table = make(WIDE)
    table.update("a", "bootstrapping", 0.0, "unpacking")
    table.update("a", "enrolling", 0.0, "")
    assert words(table)[2] == "a enrolling 0.0 s unpacking"


@pytest.mark.parametrize("stage", ["done", "failed", "destroyed"])
def test_the_time_stops_after_the_last_stage(make: Make, clock: Clock, stage: str) -> None:
    table = make(WIDE)
    table.update("a", "ready", 0.0, "")
    clock.now += 2
    table.update("a", stage, 2.0, "")
    clock.now += 60
    table.update("a", stage, 62.0, "a late line")
    assert words(table)[2] == f"a {stage} 2.0 s a late line"


def test_the_counts_include_the_nodes_that_have_not_begun(make: Make) -> None:
    table = make(WIDE)
    table.expect(Expected([f"n{number}" for number in range(100)], "ready"))
    for number in range(50):
        table.update(f"n{number}", "done" if number < 41 else "failed" if number < 43 else "running", 0.0, "")
    assert words(table)[0] == "ready 41 failed 2 waiting 57"
    assert words(table)[-1] == "64 more: 50 waiting, 14 done"


def test_a_node_whose_states_failed_counts_as_failed(make: Make) -> None:
    table = make(WIDE)
    table.update("a", "done", 0.0, "", "apply failed: no SLS nginx")
    assert words(table)[0] == "done 0 failed 1 waiting 0"


@pytest.mark.parametrize("width", [20, 40, 80, 160])
@pytest.mark.parametrize("height", [2, 5, 24])
def test_a_thousand_nodes_fit_any_terminal_and_failed_ones_come_first(make: Make, width: int, height: int) -> None:
    paper = Paper(width, height, colour=False)
    table = make(paper)
    table.expect(Expected([f"{LONG}{number}" for number in range(1000)], "ready"))
    for number in range(900):
        table.update(f"{LONG}{number}", "failed" if number in (7, 500) else "bootstrapping", 0.0, "word " * 100)
    lines = drawn(table, paper)
    assert len(lines) < height
    assert all(len(line) < width for line in lines)
    if height == 24:
        assert len(lines) == 23
        stages = [next(word for word in ("failed", "bootstrap") if word in line) for line in lines[2:-1]]
        assert stages == ["failed"] * 2 + ["bootstrap"] * 18


def test_many_failures_leave_half_of_the_rows_to_the_others(make: Make) -> None:
    paper = Paper(80, 24, colour=False)
    table = make(paper)
    for number in range(300):
        table.update(f"n{number}", "failed" if number < 200 else "running", 0.0, "")
    stages = [line.split()[1] for line in words(table, paper)[2:-1]]
    assert stages == ["failed"] * 10 + ["running"] * 10


def test_of_many_nodes_those_that_changed_last_have_a_row_in_the_order_of_their_beginning(
    make: Make, clock: Clock
) -> None:
    paper = Paper(100, 9, colour=False)
    table = make(paper)
    for number in range(20):
        table.update(f"n{number:02}", "launching", 0.0, "")
    for minion_id, stage in (("n03", "failed"), ("n09", "running"), ("n04", "done"), ("n07", "ready")):
        clock.now += 1
        table.update(minion_id, stage, 0.0, "")
    rows = [row.split()[:2] for row in words(table, paper)[2:]]
    assert rows[:-1] == [
        ["n03", "failed"], ["n00", "launching"], ["n01", "launching"], ["n07", "ready"], ["n09", "running"],
    ]  # fmt: skip
    assert words(table, paper)[-1] == "15 more: 14 launching, 1 done"


@pytest.mark.parametrize(("width", "has_line"), [(40, False), (80, True), (160, True)])
def test_a_long_id_is_shortened_in_its_middle_and_its_stage_stays_readable(
    make: Make, width: int, has_line: bool
) -> None:
    paper = Paper(width, 24, colour=False)
    table = make(paper)
    table.update(LONG, "bootstrapping", 12.0, "unpacking")
    row = drawn(table, paper)[2]
    name, stage, *_ = row.split()
    assert stage == "bootstrapping"
    assert "12.0 s" in row
    start, mark, end = name.partition("…")
    assert (start + mark + end == LONG) if width == 160 else (LONG.startswith(start) and LONG.endswith(end) and end)
    assert ("unpacking" in row) is has_line


def test_ids_with_the_same_end_show_where_they_differ(make: Make) -> None:
    paper = Paper(50, 24, colour=False)
    table = make(paper)
    for number in range(2):
        table.update(f"web-{number:012}{LONG}", "running", 0.0, "")
    names = [row.split()[0] for row in drawn(table, paper)[2:]]
    assert names == ["web-000000000000web-4f9c…", "web-000000000001web-4f9c…"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_nothing_is_drawn_that_the_terminal_cannot_show(make: Make, encoding: str) -> None:
    paper = Paper(60, 24, encoding, colour=False)
    table = make(paper)
    table.update(LONG, "bootstrapping", 0.0, "Größe 漢字 … – ✓")
    table.update("b", "failed", 0.0, "", "Größe 漢字")
    "\n".join(drawn(table, paper)).encode(encoding)
    table.close()
    assert ("漢字" in written(table)) is (encoding == "utf-8")
    written(table).encode(encoding)


def test_wide_characters_count_twice(make: Make) -> None:
    paper = Paper(60, 24, colour=False)
    table = make(paper)
    table.update("a", "running", 0.0, "漢" * 80)
    (line,) = table.lines(paper)[2:]
    assert line.width <= 59
    assert line.text.count("漢") <= line.width // 2


def test_the_output_of_a_node_is_text_and_not_markup(make: Make) -> None:
    table = make(WIDE)
    table.update("a", "bootstrapping", 0.0, "[red]x[/red] [/nonsense]")
    assert drawn(table)[2].endswith("[red]x[/red] [/nonsense]")


def test_without_colours_no_style_is_written(make: Make) -> None:
    for colour in (True, False):
        paper = Paper(80, 24, colour=colour)
        table = make(paper)
        table.update("a", "failed", 0.0, "", "why")
        table.update("b", "done", 0.0, "")
        text = "".join(line.text for line in table.lines(paper))
        table.close()
        assert bool(re.search(r"\x1b\[\d+m", text + written(table))) is colour


@pytest.mark.parametrize("stage", ["done", "destroyed", "stopped"])
def test_a_node_that_ended_well_is_green_and_a_failed_one_red(make: Make, stage: str) -> None:
    paper = Paper(80, 24)
    table = make(paper)
    for name, reached in (("a", stage), ("b", "failed"), ("c", "running")):
        table.update(name, reached, 0.0, "")
    failed, good, running = [line.text for line in table.lines(paper)[2:]]
    assert ("\x1b[31mfailed" in failed, f"\x1b[32m{stage}" in good, "\x1b" in running) == (True, True, False)


def test_a_drawing_covers_the_last_one_even_on_a_terminal_that_became_narrower(clock: Clock) -> None:
    size = [Paper(80, 24, colour=False)]
    table = LiveTable(io.StringIO(), lambda: size[0], clock)
    table._refreshing.stop()
    table.update("a", "running", 0.0, "x" * 200)
    table.draw()
    assert f"\x1b[{3}A" not in written(table)
    before = len(written(table))
    size[0] = Paper(40, 24, colour=False)
    table.draw()
    # The row and the head of the columns were wider than 40 cells, so each of them occupies two lines now.
    assert written(table)[before:].startswith("\r\x1b[5A")
    table.close()


def test_at_the_end_there_are_counts_the_time_and_failed_nodes_with_their_reasons(make: Make, clock: Clock) -> None:
    table = make(Paper(80, 24, colour=False))
    names = [f"n{number}" for number in range(1000)]
    table.expect(Expected(names, "ready"))
    for number, name in enumerate(names[:990]):
        table.update(name, "failed" if number < 2 else "done", 0.0, "hart: something", "no quota" if number < 2 else "")
    clock.now += 75
    table.close()
    last = written(table).split("\x1b[J")[-2]
    lines = [line.removesuffix("\x1b[K") for line in last.removeprefix("\r").splitlines()]
    assert lines == ["ready 988  failed 2  waiting 10  in 1 min 15 s", "  n0, n1: no quota"]


def test_the_summary_of_success_is_one_line_and_of_many_failures_not_endless(make: Make) -> None:
    good = make(Paper(80, 24, colour=False))
    good.expect(Expected(["a"], "destroyed"))
    good.update("a", "destroyed", 0.0, "")
    good.close()
    assert written(good) == "\rdestroyed 1  in 0.0 s\x1b[K\n\x1b[J"
    bad = make(Paper(80, 24, colour=False))
    for number in range(500):
        bad.update(f"n{number}", "failed", 0.0, "", "no quota" if number < 400 else f"reason {number}")
    bad.close()
    lines = [line.removesuffix("\x1b[K") for line in written(bad).removeprefix("\r").splitlines()]
    assert lines[1] == "  n0, n1, n2, n3, n4 and 395 more: no quota"
    assert lines[2] == "  n400: reason 400"
    assert lines[-2] == f"  {100 - REASONS + 1} more failed, for other reasons"
    assert len(lines) == REASONS + 3


def test_without_a_node_nothing_is_drawn(make: Make) -> None:
    table = make(WIDE)
    table.expect(Expected(["a"], "ready"))
    table.close()
    assert written(table) == ""


def test_the_time_left_comes_from_former_calls_and_from_this_one(make: Make, clock: Clock, tmp_path: Path) -> None:
    def begun() -> LiveTable:
        table = make(WIDE)
        table.expect(Expected(["a", "b"], "ready", FormerTimes(str(tmp_path), "create do app")))
        table.update("a", "launching", 0.0, "")
        return table

    first = begun()
    assert "left" not in words(first)[0]
    clock.now += 40
    first.update("a", "done", 40.0, "")
    first.update("b", "launching", 0.0, "")
    clock.now += 8
    assert words(first)[0] == "ready 1 failed 0 waiting 1 about 35 s left"
    first.update("b", "done", 40.0, "")
    assert words(first)[0] == "ready 2 failed 0 waiting 0"
    first.close()
    assert words(begun())[0] == "ready 0 failed 0 waiting 2 about 25 s left"
    narrow = words(begun(), Paper(40, 24, colour=False))
    assert narrow[:2] == ["ready 0 failed 0 waiting 2", "about 25 s left"]
    assert narrow[-1] == "1 more waiting"


@pytest.mark.parametrize(("no_color", "colour"), [(None, True), ("", True), ("1", False)])
def test_size_colour_and_encoding_are_those_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, no_color: str | None, colour: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "12")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    master, slave = os.openpty()
    with os.fdopen(slave, "w", encoding="latin-1") as stream:
        assert paper_of(stream) == Paper(40, 12, "latin-1", colour), "it reports no size, so the environment counts"
        os.set_blocking(master, False)
        import fcntl
        import struct
        import termios

        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
        assert paper_of(stream) == Paper(132, 50, "latin-1", colour)
    os.close(master)
