"""The process of a look: nothing of it is left, however it ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from hart_salt.fleets import child


def ask(program: str, **more: Any) -> dict[str, Any]:
    command = (sys.executable, "-c", program)
    return child.ask({"interval": 60}, more.pop("lives", lambda: True), command, **more)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "CHECK", 0.05)


def test_it_gets_the_request_and_its_parent_and_answers() -> None:
    answer = ask("import json, sys; print(json.dumps({'error': '', 'got': json.load(sys.stdin)}))")
    assert answer == {"error": "", "got": {"interval": 60, "parent": os.getpid()}}


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9"),
        ("raise MemoryError('password')", "MemoryError"),
        ("print('no JSON')", "exit code 0"),
        ("print('[1]')", "exit code 0"),
    ],
)
def test_one_that_ends_without_an_answer_is_a_failure_whose_text_quotes_nothing(program: str, why: str) -> None:
    assert ask(program) == {"error": f"the process of the look ended without an answer ({why})"}


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


#: starts a process of its own that hangs, names it, and hangs
HANGS = """
import pathlib, subprocess, sys, time
inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path({path!r}).write_text(str(inner.pid))
time.sleep(600)
"""


@pytest.mark.parametrize("dies", [False, True])
def test_one_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, dies: bool) -> None:
    path = tmp_path / "pid"
    lives = (lambda: not path.exists() or not path.read_text()) if dies else (lambda: True)
    limit = 600.0 if dies else 2.0
    answer = ask(HANGS.format(path=str(path)), lives=lives, limit=limit)
    assert answer["error"] == "the master has ended" if dies else "the look took longer than 2 s and was ended"
    inner = int(path.read_text())
    until = time.monotonic() + 300
    while is_alive(inner) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_alive(inner)


def test_many_of_them_leave_no_descriptor_and_no_process() -> None:
    me = psutil.Process()
    ask("print('{}')")
    before = me.num_fds(), len(me.children())
    for _ in range(50):
        ask("print('{}')")
    assert (me.num_fds(), len(me.children())) == before
