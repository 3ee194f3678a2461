"""The stages of a node: to its log, the event bus and the view."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import EnvironmentFault, NodeFailed
from hart_salt.base.gate import Gate
from hart_salt.base.logs import remove_old_logs
from hart_salt.node.progress import EVENT_STAGES, EXCERPT, LOG_LIMIT, TAIL_LINES, Expected, Progress

PLANTED = "planted-s3cret-value"
DAY = 86400


@dataclass
class World:
    """What receives the progress, and its clock."""

    now: float = 100.0
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    shown: list[tuple[str, str, float, str]] = field(default_factory=list)
    expected: Expected | None = None
    reasons: list[str] = field(default_factory=list)
    closed: bool = False

    def expect(self, expected: Expected) -> None:
        self.expected = expected

    def update(self, minion_id: str, stage: str, seconds: float, line: str, reason: str = "") -> None:
        self.shown.append((minion_id, stage, seconds, line))
        self.reasons.append(reason)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def progress(world: World, tmp_path: Path) -> Iterator[Progress]:
    gate = Gate()
    gate.secrets.add(PLANTED)
    made = Progress(
        str(tmp_path / "hart"), gate, lambda tag, data: world.events.append((tag, data)), world, lambda: world.now
    )
    yield made
    made.close()


def log_of(progress: Progress, minion_id: str = "a") -> str:
    return Path(progress.log_path(minion_id)).read_text()


def test_the_time_in_a_stage_is_kept_when_the_stage_ends(progress: Progress, world: World) -> None:
    for stage, seconds in (("launching", 1.5), ("running", 0.25), ("ready", 9)):
        progress.stage("a", stage, {})
        world.now += seconds
    assert progress.seconds("a") == {"launching": 1.5, "running": 0.25}


def test_a_stage_that_is_entered_twice_counts_both_times(progress: Progress, world: World) -> None:
    for stage, seconds in (("running", 1.0), ("ready", 1.0), ("running", 2.0), ("done", 0.0)):
        progress.stage("a", stage, {})
        world.now += seconds
    assert progress.seconds("a") == {"running": 3.0, "ready": 1.0}


def test_only_the_public_stages_are_events_and_these_have_facts_and_seconds(progress: Progress, world: World) -> None:
    for stage in ("launching", "enrolling", "enrolled", "applying", "done"):
        progress.stage("a", stage, {"role": "app"})
        world.now += 1
    assert [tag for tag, _ in world.events] == ["hart/a/launching", "hart/a/enrolled"]
    seconds = {"launching": 1.0, "enrolling": 1.0}
    assert world.events[1][1] == {"minion_id": "a", "role": "app", "seconds": seconds, "by": None}
    stages = (
        "launching running bootstrapping enrolled ready baked failed destroying destroyed "
        "started stopped rebooted resized"
    )
    assert sorted(EVENT_STAGES) == sorted(stages.split())


def test_a_secret_reaches_neither_log_nor_event_nor_terminal_nor_tail(progress: Progress, world: World) -> None:
    progress.line("a", f"token={PLANTED}")
    progress.stage("a", "failed", {"error": f"refused {PLANTED}", "left": [PLANTED]})
    everything = log_of(progress) + repr(world.events) + repr(world.shown) + repr(progress.tail("a"))
    assert PLANTED not in everything
    assert "token=***" in log_of(progress)
    assert world.events[0][1]["left"] == ["***"]


def test_the_log_has_every_stage_and_line_with_a_timestamp(progress: Progress, world: World) -> None:
    progress.stage("a", "launching", {})
    world.now += 2.5
    progress.line("a", "hello")
    progress.stage("a", "running", {})
    lines = [line.split(" ", 1)[1] for line in log_of(progress).splitlines()]
    assert lines == ["== launching at 0.00 s", "hello", "== running at 2.50 s"]


def test_who_called_is_in_the_log_of_each_node_and_in_each_event_without_secrets(world: World, tmp_path: Path) -> None:
    """Once in a log, before the first stage; the terminal does not show it."""
    gate = Gate()
    gate.secrets.add(PLANTED)
    fire = lambda tag, data: world.events.append((tag, data))  # noqa: E731 - it is short
    progress = Progress(
        str(tmp_path / "hart"), gate, fire, world, lambda: world.now, by=f"bob {PLANTED}", function="hart.create"
    )
    progress.begin("a")
    progress.stage("a", "launching", {})
    progress.stage("b", "failed", {})
    assert log_of(progress).splitlines()[0].split(" ", 1)[1] == "hart: hart.create was called by bob ***"
    assert log_of(progress).count("called by") == 1
    assert [data["by"] for _, data in world.events] == ["bob ***", "bob ***"]


def test_a_note_is_only_in_the_log(progress: Progress, world: World) -> None:
    progress.note("a", f"hart: batch {PLANTED}")
    assert log_of(progress).partition(" ")[2] == "hart: batch ***\n"
    assert (world.shown, progress.tail("a")) == ([], [])


def test_what_a_node_prints_cannot_look_like_a_stage(progress: Progress, world: World) -> None:
    progress.output("a", ["== done at 1.00 s", "x == done at 1.00 s"])
    progress.line("a", "hart: it printed\n== ready at 2.00 s")
    lines = [line.split(" ", 1)[1] for line in log_of(progress).splitlines()]
    assert lines == [" == done at 1.00 s", "x == done at 1.00 s", "hart: it printed", " == ready at 2.00 s"]


def test_each_node_has_its_own_log_that_other_users_cannot_read(progress: Progress) -> None:
    progress.line("a", "one")
    progress.line("b", "two")
    assert "two" not in log_of(progress, "a")
    path = Path(progress.log_path("b"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o007 == 0


def test_the_tail_is_the_end_of_the_output(progress: Progress) -> None:
    for number in range(TAIL_LINES + 5):
        progress.line("a", str(number))
    assert progress.tail("a") == [str(number) for number in range(5, TAIL_LINES + 5)]


def test_an_empty_line_is_kept_in_the_log_and_not_shown(progress: Progress, world: World) -> None:
    progress.line("a", "")
    assert log_of(progress).count("\n") == 1
    assert world.shown == []


def test_the_output_of_a_node_cannot_control_the_operator_s_terminal(progress: Progress, world: World) -> None:
    progress.line("a", "\x1b]0;title\x07\x1b[2Jgone\r100%\tÜber [bold]")
    shown = world.shown[0][3] + "".join(progress.tail("a")) + log_of(progress).rstrip("\n")
    assert "gone" in shown
    assert "\tÜber [bold]" in shown
    assert not [char for char in shown if ord(char) < 32 and char != "\t"]


def test_a_text_with_several_lines_is_several_lines(progress: Progress, world: World) -> None:
    progress.line("a", "hart: one\ntwo")
    assert progress.tail("a") == ["hart: one", "two"]


def test_lines_of_output_are_logged_shown_and_kept_one_by_one(progress: Progress, world: World) -> None:
    progress.output("a", ["one", f"two {PLANTED}", "", "\x1b[2Jthree"])
    assert progress.tail("a") == ["one", "two ***", "", "\ufffd[2Jthree"]
    assert [line for *_, line in world.shown] == ["one", "two ***", "\ufffd[2Jthree"]
    assert [line.partition(" ")[2] for line in log_of(progress).splitlines()] == progress.tail("a")
    progress.output("a", [])
    assert len(progress.tail("a")) == 4


@pytest.mark.parametrize("line", ["y", "", "x" * 8000])
def test_the_log_limit_includes_timestamps_and_hart_s_own_lines_are_still_written(
    progress: Progress, line: str
) -> None:
    with pytest.raises(NodeFailed, match="^the node printed too much: its log is larger than 10 MiB$"):
        while True:
            progress.output("a", [line] * 100)
    progress.line("a", "hart: that was it")
    size = Path(progress.log_path("a")).stat().st_size
    assert LOG_LIMIT < size < LOG_LIMIT + 10**6
    assert log_of(progress).endswith("hart: that was it\n")


def test_the_log_limit_is_separate_for_each_node(progress: Progress) -> None:
    for minion_id in ("a", "b"):
        for _ in range(7):
            progress.output(minion_id, ["x" * 10**6])


def test_an_excerpt_is_shortened_after_redaction(progress: Progress) -> None:
    for shift in range(len(PLANTED) + 1):
        excerpt = progress.excerpt(f"said {PLANTED}" + "x" * (EXCERPT - shift) + f"{PLANTED} end")
        assert len(excerpt) <= EXCERPT
        assert excerpt.startswith("said ***x")
        assert excerpt.endswith("x*** end")
    assert progress.excerpt("\x1b[2Jgone") == "\ufffd[2Jgone"


def test_a_line_after_the_last_stage_is_no_error(progress: Progress) -> None:
    progress.stage("a", "done", {})
    progress.line("a", "late")
    assert "late" not in log_of(progress)


def test_a_log_on_a_full_disk_fails_nothing_even_when_it_is_closed(
    progress: Progress, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "chmod", lambda path, mode: None)  # of /dev/full
    Path(progress.log_path("a")).parent.mkdir()
    Path(progress.log_path("a")).symlink_to("/dev/full")
    progress.begin("a")
    progress.stage("a", "launching", {})
    progress.line("a", "a line")
    progress.stage("a", "done", {})
    progress.line("b", "another node")
    progress.close()
    assert [shown[3] or shown[1] for shown in world.shown] == ["launching", "a line", "done", "another node"]
    assert [tag for tag, _ in world.events] == ["hart/a/launching"]


def test_a_log_that_cannot_be_opened_is_refused_at_first_and_ignored_later(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    progress = Progress(str(tmp_path / "file/hart"), Gate(), lambda *_: None, world, lambda: world.now)
    with pytest.raises(EnvironmentFault, match=r"a\.log: "):
        progress.begin("a")
    progress.stage("b", "destroying", {})
    progress.line("b", "a line")
    progress.stage("b", "destroyed", {})
    progress.close()
    assert [shown[1] for shown in world.shown] == ["destroying", "destroying", "destroyed"]


def test_a_log_that_is_deleted_in_between_is_continued_in_a_new_file(progress: Progress) -> None:
    progress.begin("a")
    progress.line("a", "lost")
    Path(progress.log_path("a")).unlink()
    progress.line("a", "a line")
    progress.stage("a", "done", {})
    assert [line.partition(" ")[2] for line in log_of(progress).splitlines()] == ["a line", "== done at 0.00 s"]
    assert stat.S_IMODE(Path(progress.log_path("a")).stat().st_mode) & 0o137 == 0


def test_no_log_stays_open(progress: Progress) -> None:
    """Otherwise the logs of a thousand nodes would need a thousand open files."""
    for minion_id in "abc":
        progress.begin(minion_id)
        progress.line(minion_id, "a line")
    files = Path("/proc/self/fd")
    opened = {str(path.resolve()) for path in files.iterdir() if path.is_symlink()}
    assert not opened & {progress.log_path(minion_id) for minion_id in "abc"}


def test_closing_ends_the_view(progress: Progress, world: World) -> None:
    progress.close()
    assert world.closed


def old_log(path: Path, last_line: str, days: float) -> None:
    path.write_text(f"2030-01-01T00:00:00 == launching at 0.00 s\n2030-01-01T00:00:05 {last_line}\n")
    os.utime(path, (1000 * DAY - days * DAY,) * 2)


@pytest.mark.parametrize(
    ("last_line", "days", "stays"),
    [
        ("== done at 5.00 s", 31, False),
        ("== done at 5.00 s", 29, True),
        ("== failed at 5.00 s", 31, True),
        ("== bootstrapping at 5.00 s", 31, True),
        ("the machine is done at last", 31, True),
    ],
)
def test_only_old_logs_of_successful_nodes_are_removed(
    last_line: str, days: float, stays: bool, tmp_path: Path
) -> None:
    old_log(tmp_path / "a.log", last_line, days)
    remove_old_logs(str(tmp_path), 30, 1000 * DAY)
    assert (tmp_path / "a.log").exists() is stays


def test_without_a_log_directory_nothing_is_removed(tmp_path: Path) -> None:
    remove_old_logs(str(tmp_path / "none"), 30, 1000 * DAY)
    (tmp_path / "empty.log").touch()
    remove_old_logs(str(tmp_path), 30, 1e12)
    assert (tmp_path / "empty.log").exists()


def test_the_view_gets_the_reason_of_a_failure_without_secrets(progress: Progress, world: World) -> None:
    progress.stage("a", "launching", {})
    progress.stage("a", "failed", {"error": f"no quota for {PLANTED}"})
    assert world.reasons == ["", "no quota for ***"]


def test_the_view_learns_which_nodes_will_come(progress: Progress, world: World) -> None:
    progress.expect(Expected(["a", "b"], "ready"))
    assert world.expected == Expected(["a", "b"], "ready")
