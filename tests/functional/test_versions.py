"""The command that runs tests with several series of Salt reports which failed; with programs that pretend."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SALT = importlib.metadata.version("salt")
HERE = f"| {SALT.split('.')[0]} | {SALT} | {platform.python_version()} |"

#: 3007 fails, 3009 ends without a report
PRETENDED_TEST = """#!/bin/sh
echo "ran $HART_SALT_SERIES ${HART_VENV-with its own environment}: $*"
report=${1#--junitxml=}
case $HART_SALT_SERIES in
    3007) counts='tests="10" failures="1" errors="2" skipped="3"' code=1 ;;
    3009) exit 3 ;;
    *) counts='tests="10" failures="0" errors="0" skipped="1"' code=0 ;;
esac
echo "<testsuites><testsuite $counts time=\\"7.6\\"/></testsuites>" >"$report"
exit $code
"""


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """Return a copy of the command, among programs that pretend to create environments and to test."""
    programs = {
        "test": PRETENDED_TEST,
        "tools/env.sh": f"#!/bin/sh\necho {tmp_path}/venv\n",
        "venv/bin/python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
    }
    for name, text in programs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return Path(shutil.copy(ROOT / "tools/versions.sh", tmp_path / "tools/versions.sh"))


def run(command: Path, *arguments: str) -> tuple[int, list[str]]:
    environment = {"PATH": "/usr/bin:/bin", "HART_VENV": "one for all"}
    done = subprocess.run([command, *arguments], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def test_without_arguments_all_series_run_the_fast_tests_and_one_failure_fails(command: Path) -> None:
    code, lines = run(command)
    assert code == 1
    asked = [line.split(" ") for line in lines if line.startswith("ran ")]
    assert [words[1] for words in asked] == ["3006", "3007", "3008"]
    assert {" ".join(words[2:6]) for words in asked} == {"with its own environment:"}
    assert {" ".join(words[7:]) for words in asked} == {"tests/unit tests/functional tests/drivers"}
    assert lines[-3:] == [f"{HERE} 9 | 0 | 1 | 8 |", f"{HERE} 4 | 3 | 3 | 8 |", f"{HERE} 9 | 0 | 1 | 8 |"]


def test_series_and_tests_can_be_named(command: Path) -> None:
    code, lines = run(command, "3006", "3008", "--", "tests/end_to_end/test_smoke.py", "-x")
    assert code == 0
    assert [line.split()[1] for line in lines if line.endswith(" tests/end_to_end/test_smoke.py -x")] == [
        "3006", "3008", "with:",
    ]  # fmt: skip
    assert len([line for line in lines if line.startswith(HERE)]) == 2


def test_the_lowest_versions_are_a_separate_run(command: Path) -> None:
    code, lines = run(command, "--floors")
    assert code == 0
    assert [line for line in lines if line.startswith("ran ")] == [
        f"ran floors with its own environment: {report(lines)} tests/unit tests/functional tests/drivers"
    ]
    assert lines[-1] == HERE.replace(f"| {SALT.split('.')[0]} |", "| floors |", 1) + " 9 | 0 | 1 | 8 |"


def report(lines: list[str]) -> str:
    """Return the option that names the report of the run in these lines."""
    return next(word for line in lines for word in line.split() if word.startswith("--junitxml="))


def test_the_lowest_versions_and_a_series(command: Path) -> None:
    code, lines = run(command, "3008", "--floors", "--", "-x")
    assert code == 0
    assert [line.split()[1] for line in lines if line.startswith("ran ")] == ["3008", "floors"]


def test_a_run_without_a_report_is_in_the_table_and_fails(command: Path) -> None:
    code, lines = run(command, "3009", "3008")
    assert code == 1
    assert lines[-2].startswith("| 3009 | - | - | no result |")
    assert lines[-1].startswith(HERE)


@pytest.mark.parametrize("argument", ["tests/unit", "floors", "--floor", "--floors=3006"])
def test_an_invalid_series_is_refused_before_anything_runs(command: Path, argument: str) -> None:
    code, lines = run(command, "3006", argument)
    assert (code, lines) == (2, [])
