"""The files of the engine's jobs: whether a job runs is what the kernel says, and how it ended is what it wrote."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hart_salt.inventory.job_files import OLD, JobFiles, Outcome, new_token, outcome_of
from tests.parts import begun

HOLDS = """
import sys
from hart_salt.inventory.job_files import JobFiles
with JobFiles(sys.argv[1]).held(sys.argv[2]):
    print("holds", flush=True)
    sys.stdin.read()
"""


def test_a_job_runs_until_it_ends_and_leaves_its_outcome(tmp_path: Path) -> None:
    jobs, token = JobFiles(str(tmp_path)), new_token()
    assert not jobs.has_begun(token)
    with jobs.held(token) as outcome:
        assert jobs.has_begun(token)
        assert jobs.is_running(token)
        outcome.update(outcome_of({"nodes": {}}))
    assert not jobs.is_running(token)
    assert jobs.outcome(token) == Outcome(ok=True)
    jobs.forget(token)
    assert not jobs.has_begun(token)


def test_a_job_that_was_killed_does_not_run_and_has_failed(tmp_path: Path) -> None:
    jobs, token = JobFiles(str(tmp_path)), new_token()
    with begun(HOLDS, str(tmp_path), token, says="holds") as process:
        assert jobs.is_running(token)
        process.kill()
        process.wait()
        assert not jobs.is_running(token)
    assert jobs.has_begun(token)
    assert jobs.outcome(token) == Outcome(ok=False, error="the job was killed before it ended")


@pytest.mark.parametrize("token", ["", "../../x", None, 3, "A" * 32, f"{'a' * 32}\n"])
def test_a_text_that_is_no_token_makes_no_file(tmp_path: Path, token: object) -> None:
    with JobFiles(str(tmp_path)).held(token):
        assert list(tmp_path.rglob("*")) == []


def test_the_outcome_has_the_first_reason() -> None:
    assert outcome_of({"retcode": 2, "error": "refused", "problems": ["refused"]}) == {"ok": False, "error": "refused"}
    assert outcome_of({"retcode": 1, "problems": ["no"]}) == {"ok": False, "error": "no"}
    nodes = {"web-1": {"result": True}, "web-2": {"result": False, "error": "no capacity"}}
    assert outcome_of({"retcode": 1, "problems": [], "nodes": nodes}) == {"ok": False, "error": "web-2: no capacity"}
    assert outcome_of({"retcode": 130}) == {"ok": False, "error": "exit code 130"}


def test_files_that_nobody_asked_for_do_not_stay_forever(tmp_path: Path) -> None:
    jobs, old, new = JobFiles(str(tmp_path)), new_token(), new_token()
    for token in (old, new):
        with jobs.held(token):
            pass
    before = time.time() - OLD - 1
    os.utime(tmp_path / "hart/engine/jobs" / old, (before, before))
    jobs.forget(new_token())
    assert (jobs.has_begun(old), jobs.has_begun(new)) == (False, True)
