"""``./test``: which tests it runs, how it runs them, and what it reports about their coverage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import pytest_configure
from tests.machines.machines import MachineHost
from tools import coverage

ROOT = Path(__file__).resolve().parents[2]
#: a fake Python: it records its arguments, and fails for the run that ``FAILS`` names
PYTHON = """#!/bin/sh
[ "$1" != -c ] || exit 0
echo "$*${HART_LANES:+, lane}${COVERAGE_FILE:+, measured}" >>"$SAID"
case $* in *"${FAILS:-nothing}"*) exit 3 ;; esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout of ``./test`` with a fake environment and a fake number of CPUs."""
    programs = {
        "tools/env.sh": f"#!/bin/sh\necho '{tmp_path}'\n",
        "bin/python": PYTHON,
        "path/nproc": "#!/bin/sh\necho $CPUS\n",
    }
    for name, text in programs.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    shutil.copy2(ROOT / "test", tmp_path)
    return tmp_path


def run(checkout: Path, *arguments: str, cpus: int = 1, **variables: str) -> tuple[int, list[str]]:
    """Run ``./test``; return its exit code and the sorted arguments of each call of Python."""
    said = checkout / "said"
    path = f"{checkout / 'path'}:{os.environ['PATH']}"
    # This run may itself be measured, or be one of several.
    own = {name: value for name, value in os.environ.items() if name not in ("COVERAGE_FILE", "HART_LANES")}
    environment = {**own, "PATH": path, "CPUS": str(cpus), "SAID": str(said), **variables}
    done = subprocess.run([checkout / "test", *arguments], env=environment, capture_output=True, timeout=300)
    calls = said.read_text().replace(str(checkout), "") if said.exists() else ""
    return done.returncode, sorted(calls.splitlines())


@pytest.mark.parametrize(
    ("arguments", "called"),
    [
        ([], "-m pytest"),
        (["--all"], "-m pytest --all"),
        (["--fast"], "-m pytest --fast"),
        (["--slow"], "-m pytest --slow"),
        (["--all", "--slow"], "-m pytest --all --slow"),
        (["--fast", "-k", "a or b"], "-m pytest --fast -k a or b"),
        (["--nonsense"], "-m pytest --nonsense"),
        (["tests/unit", "-x"], "-m pytest tests/unit -x"),
    ],
)
def test_arguments_go_to_pytest(checkout: Path, arguments: list[str], called: str) -> None:
    assert run(checkout, *arguments) == (0, [called])


@pytest.mark.parametrize("option", ["--fast", "--slow", "--all"])
def test_three_runs_share_two_cpus(checkout: Path, option: str) -> None:
    code, calls = run(checkout, option, cpus=2)
    assert (code, len(calls), len(set(calls))) == (0, 3, 1)
    assert calls[0].endswith(", lane")


@pytest.mark.parametrize("arguments", [["-k", "roles"], ["--fast", "-x"], ["tests/unit"]])
def test_a_selection_of_tests_makes_one_run(checkout: Path, arguments: list[str]) -> None:
    code, calls = run(checkout, *arguments, cpus=2)
    assert (code, len(calls)) == (0, 1)
    assert "lane" not in calls[0]


def test_coverage_measures_the_fast_tests_and_is_reported_after_them(checkout: Path) -> None:
    code, calls = run(checkout, "--coverage", cpus=2)
    *runs, report = calls
    first = runs[0]
    assert (code, runs) == (0, [first] * 3)
    assert first == "-m coverage run -m pytest --fast, lane, measured"
    assert report.startswith("-m tools.coverage /")


@pytest.mark.parametrize("fails", ["pytest", "tools.coverage"])
@pytest.mark.parametrize(("cpus", "runs"), [(1, 1), (2, 3)])
def test_the_script_fails_if_tests_or_coverage_fail(checkout: Path, cpus: int, runs: int, fails: str) -> None:
    code, calls = run(checkout, "--coverage", cpus=cpus, FAILS=fails)
    assert (code, len(calls)) == (3, runs + 1)


def test_the_usage_names_every_option() -> None:
    shown = subprocess.run([ROOT / "test", "-h"], capture_output=True, text=True, timeout=300, check=True).stdout
    assert shown.startswith("Set up the environment of the tests and run them:\n")
    for option in ("--all", "--fast", "--slow", "--coverage", "-h"):
        assert f"./test {option} " in shown
    assert "set -eu" not in shown
    assert subprocess.run([ROOT / "test", "--help"], capture_output=True, text=True, timeout=300).stdout == shown


def collected(*options: str) -> set[str]:
    """Return the ids of the tests in a few files that pytest collects with these options."""
    files = ["tests/unit/test_lanes.py", "tests/drivers/gce/test_metadata.py", "tests/machines/test_by_hand.py"]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *options, *files]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True).stdout
    return {line for line in shown.splitlines() if "::" in line}


def test_tests_that_boot_machines_are_slow_and_others_are_fast() -> None:
    fast, slow = collected("--fast"), collected("--slow")
    assert (fast & slow, fast | slow) == (set(), collected())
    files = {name.partition("::")[0] for name in fast}
    assert files == {"tests/unit/test_lanes.py", "tests/drivers/gce/test_metadata.py"}
    assert any("google_s_agent" in name for name in slow)


def test_fast_and_slow_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.conftest.scope", SimpleNamespace())
    config: Any = SimpleNamespace(option=SimpleNamespace(all=False, fast=True, slow=True))
    with pytest.raises(pytest.UsageError, match="exclude each other"):
        pytest_configure(config)


def test_a_fast_run_that_boots_a_machine_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.scope.fast", True)
    with pytest.raises(AssertionError, match="host"), MachineHost():
        pass


def report(total: float, **modules: float) -> dict[str, object]:
    return {
        "totals": {"percent_covered": total},
        "files": {name: {"summary": {"percent_covered": percent}} for name, percent in modules.items()},
    }


def test_sufficient_coverage_is_not_reported() -> None:
    assert coverage.too_low(report(95.0, one=80.0, two=100.0), 95.0) == []


def test_insufficient_coverage_is_reported_by_module() -> None:
    found = coverage.too_low(report(94.9, one=79.9, two=80.1), 95.0)
    assert found == [
        "one: the fast tests cover 79.9 %; every module needs 80 %",
        "the fast tests cover 94.9 %; 95 % are required",
    ]
