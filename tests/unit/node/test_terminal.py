"""The view of the progress: a live table on a terminal, plain lines everywhere else."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import threading

import pytest

from hart_salt.node.live_table import LiveTable
from hart_salt.node.progress import Expected, View
from hart_salt.node.terminal import Lines, Silenced, view_for


def test_lines_go_to_the_given_stream() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.update("a", "launching", 0.0, "")
    lines.update("a", "bootstrapping", 12.34, "unpacking")
    lines.close()
    assert stream.getvalue().splitlines() == ["a    0.0s [launching]", "a   12.3s unpacking"]


def test_a_pipe_gets_lines_and_a_terminal_the_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(_shown_by(view_for(io.StringIO())), Lines)
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave, "w") as terminal:
            view = view_for(terminal)
            view.update("a", "launching", 0.0, "")
            assert isinstance(_shown_by(view), LiveTable)
            view.close()
        seen = b""
        while b"waiting 1" not in seen:  # it arrives in pieces, and reading a closed terminal ends with an error
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

    def expect(self, expected: Expected) -> None:
        self.calls += 1
        raise self._error

    def update(self, minion_id: str, stage: str, seconds: float, line: str, reason: str = "") -> None:
        self.calls += 1
        raise self._error

    def close(self) -> None:
        self.calls += 1
        raise self._error


FAILURES = [BrokenPipeError(), OSError(5, "hung up"), ValueError("closed"), UnicodeEncodeError("ascii", "ü", 0, 1, ""),
            RuntimeError("reentrant call"), SystemExit(1)]  # fmt: skip


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_a_view_that_failed_once_is_silent_and_not_called_again(error: BaseException) -> None:
    for first in ("expect", "update", "close"):
        broken = Broken(error)
        view = Silenced(lambda: broken)  # noqa: B023 - called at once
        if first == "expect":
            view.expect(Expected())
        if first != "close":
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


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_terminal_without_a_cursor_gets_lines(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    monkeypatch.setenv("TERM", term)
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        view = view_for(stream)
        assert isinstance(_shown_by(view), Lines)
        view.update("a", "launching", 0.0, "")
        assert os.read(master, 65536) == b"a    0.0s [launching]\r\n"
    os.close(master)


def test_a_terminal_that_hangs_up_ends_only_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
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
    refreshing = [thread for thread in threading.enumerate() if "Refreshing" in type(thread).__name__]
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
