"""
Standard output and standard error that do not depend on a reader. With real pipes and terminals, in own processes.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base import streams

#: writes a lot to both, inside and after the block, as Salt does; at its end it writes to the file
PROGRAM = """
import logging, sys
logging.basicConfig(stream=sys.stderr)
from hart_salt.base import streams
with streams.guarded(float(sys.argv[3])):
    for number in range(5000):
        streams.print_stderr(f"line {number} " + "x" * 60)
        logging.warning("warning %s", number)
streams.print_stderr("after")
logging.warning("after")
print("the result", "y" * int(sys.argv[2]), flush=True)
print("and what is flushed at the end")
open(sys.argv[1], "w").write("whole")
"""


def run(end: Path, size: int = 10, stall: int = 60, **how: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, str(end), str(size), str(stall)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, **how)


def gone() -> int:
    """Return the end of a pipe without a reader."""
    ours, theirs = os.pipe()
    os.close(ours)
    return theirs


def hung_up() -> int:
    """Return a terminal that is gone."""
    master, slave = pty.openpty()
    os.close(master)
    return slave


def full() -> int:
    """Return a full disk."""
    return os.open("/dev/full", os.O_WRONLY)


def stuck() -> int:
    """Return a full pipe that nobody reads; its other end stays open in this process."""
    ours, theirs = os.pipe()
    STUCK.append(ours)
    os.set_blocking(theirs, False)
    try:
        while True:
            os.write(theirs, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(theirs, True)
    return theirs


STUCK: list[int] = []


@pytest.mark.parametrize("kind", [gone, hung_up, full, stuck], ids=lambda kind: kind.__name__)
def test_the_program_succeeds_whatever_happens_to_standard_error(kind: object, tmp_path: Path) -> None:
    assert callable(kind)
    theirs = kind()
    with run(tmp_path / "end", stall=0 if kind is stuck else 60, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        out, _ = process.communicate()
    assert out.startswith(b"the result yyy")
    assert (process.returncode, (tmp_path / "end").read_text()) == (0, "whole")
    while STUCK:
        os.close(STUCK.pop())


@pytest.mark.parametrize("kind", [gone, hung_up, full], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_the_exit_code_is_that_of_the_work_whatever_happens_to_standard_output(
    kind: object, size: int, tmp_path: Path
) -> None:
    assert callable(kind)
    theirs = kind()
    process = run(tmp_path / "end", size, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    assert process.wait() == 0
    assert (tmp_path / "end").read_text() == "whole"


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_a_stream_that_is_closed_from_the_start_is_none(closed: str, tmp_path: Path) -> None:
    command = ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", PROGRAM, str(tmp_path / "end"), "10", "60"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (done.returncode, (tmp_path / "end").read_text()) == (0, "whole")
    assert b"line" not in done.stdout


def test_a_reader_gets_everything(tmp_path: Path) -> None:
    with run(tmp_path / "end", 200_000, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        out, _ = process.communicate()
    lines = out.decode().splitlines()
    assert lines[-4:-2] == ["after", "WARNING:root:after"]
    assert lines[-2:] == ["the result " + "y" * 200_000, "and what is flushed at the end"]
    numbers = [int(line.split()[1]) for line in lines if line.startswith("line ")]
    assert numbers == sorted(numbers)
    assert numbers[0] == 0, "what a reader is too slow for is dropped, and it is the middle"
    assert process.returncode == 0


def test_a_pipe_made_non_blocking_by_another_process_gets_the_whole_result(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    process = run(tmp_path / "end", 300_000, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        out = pipe.read()
    assert (process.wait(), len(out) > 300_000) == (0, True)


def test_foreign_streams_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with streams.guarded():
        streams.print_stderr("a line")
        assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("", "a line\n")


def test_nothing_is_printed_without_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    streams.print_stderr("a line")
    assert capsys.readouterr().out == ""
