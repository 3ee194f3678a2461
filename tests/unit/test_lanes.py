"""Two parallel runs of pytest run every test once, each file in one of them, as one run would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = """
import os
from pathlib import Path

import pytest

from tests.lanes import Lane

def say(what):
    with open(os.environ["SAID"], "a") as file:
        file.write(what + "\\n")

def pytest_configure(config):
    config.pluginmanager.register(Lane(Path(os.environ["CLAIMS"])))

@pytest.fixture(scope="session")
def session():
    say("session begins")
    yield
    say("session ends")

@pytest.fixture(scope="module")
def module(request, session):
    say(f"{request.path.stem} begins")
    yield
    say(f"{request.path.stem} ends")

@pytest.fixture
def said(module, request):
    say(f"{request.path.stem} {request.node.name}")
"""
FILE = """
def test_one(said):
    pass

def test_two(said):
    assert {good}
"""
PLACES = (
    "unit/test_a", "unit/base/test_b", "functional/test_d", "end_to_end/test_c", "end_to_end/test_e",
    "end_to_end/test_kill_table",
)  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "claims").mkdir()
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for place in PLACES:
        path = (tmp_path / place).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FILE.format(good=place != "end_to_end/test_e"))
    return tmp_path


def lane(tree: Path, number: int, *arguments: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "SAID": str(tree / f"said{number}"), "CLAIMS": str(tree / "claims"),
    }  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments, str(tree)]
    return subprocess.Popen(command, cwd=tree, env=environment, stdout=subprocess.PIPE, text=True)


def ended(run: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = run.communicate(timeout=60)
    return run.returncode, output


def blocks(tree: Path, number: int) -> list[list[str]]:
    """Return what a lane did, file by file; each file starts and ends once, within the session."""
    path = tree / f"said{number}"
    lines = path.read_text().splitlines() if path.exists() else []
    if not lines:
        return []
    assert (lines[0], lines[-1]) == ("session begins", "session ends")
    inner = lines[1:-1]
    return [inner[start : start + 4] for start in range(0, len(inner), 4)]


def test_one_lane_runs_everything_and_long_tests_first(tree: Path) -> None:
    code, output = ended(lane(tree, 1))
    assert (code, "1 failed, 11 passed" in output) == (1, True), output
    names = ("test_kill_table", "test_c", "test_e", "test_d", "test_b", "test_a")
    assert blocks(tree, 1) == [
        [f"{name} begins", f"{name} test_one", f"{name} test_two", f"{name} ends"] for name in names
    ]


def test_two_lanes_run_each_file_once(tree: Path) -> None:
    codes = {ended(run)[0] for run in [lane(tree, 1), lane(tree, 2)]}
    assert 1 in codes
    done = [*blocks(tree, 1), *blocks(tree, 2)]
    assert sorted(block[0] for block in done) == sorted(f"{Path(place).name} begins" for place in PLACES)
    assert all(block[3] == block[0].replace("begins", "ends") for block in done)


def test_a_file_that_another_lane_started_is_skipped(tree: Path) -> None:
    (tree / "claims/end_to_end.test_e.py").touch()
    code, output = ended(lane(tree, 1))
    assert (code, "10 passed" in output) == (0, True), output
    assert "test_e begins" not in (tree / "said1").read_text()


def test_a_lane_stops_at_the_first_failure_if_requested(tree: Path) -> None:
    code, output = ended(lane(tree, 1, "-x"))
    assert (code, "1 failed, 5 passed" in output) == (1, True), output
