"""The benchmark of the way to a trusted minion runs and prints its results."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end import light_cloud

BENCH = Path(__file__).resolve().parents[2] / "tools/bench/first_light.py"


def test_the_benchmark_prints_hart_s_time_that_of_a_bare_minion_and_their_ratio(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [sys.executable, str(BENCH), "--runs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    with capsys.disabled():
        print(f"\n{done.stdout}")
    for what in (
        "bare salt-minion: start to start event", "bare salt-minion: start to first answered ping",
        "hart, one node: bootstrap finished to ready", "ratio of that to the start event",
        "count=1: the whole call", "count=3: the whole call",
    ):  # fmt: skip
        found = re.search(rf"^.*{re.escape(what)}.*? (\d+\.\d\d)( s)? +(\d+\.\d\d)", done.stdout, re.MULTILINE)
        assert found, what
        assert float(found[1]) > 0
    assert re.search(r"^before: load \d", done.stdout, re.MULTILINE)


@pytest.mark.skipif(bool(light_cloud.missing()), reason=light_cloud.missing())
def test_the_benchmark_of_a_fleet_prints_the_time_for_many_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, str(BENCH.with_name("fleet.py")), "--nodes", "2,5", "--delay", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    with capsys.disabled():
        print(f"\n{done.stdout}")
    for what in ("beyond the delay", "destroyed, the whole call", "memory of the runner", "threads of the runner"):
        assert len(re.findall(rf"^  {what}.*? +(\d+[.\d]*)", done.stdout, re.MULTILINE)) == 2, what
    calls = re.findall(r"API calls, and for each node +(\d+)", done.stdout)
    assert int(calls[1]) - int(calls[0]) <= 3 + 2, "one create call a node, and a look or two more"
