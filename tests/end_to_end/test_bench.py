"""The benchmark of the way to a trusted minion runs and prints its results."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import scope
from tests.end_to_end import light_cloud
from tests.machines import requirements
from tests.servers import Redis

BENCH = Path(__file__).resolve().parents[2] / "tools/bench/first_light.py"
_no_masters = light_cloud.missing() or Redis.missing()
_no_machines = requirements.missing()
LIMIT, ENDING = 1800, 300  #: seconds for a benchmark, and for the end of one that is interrupted


def results_of(bench: Path, *arguments: str) -> str:
    """Return what a benchmark prints. It is interrupted if the test ends first, so that it stops its minions."""
    command = [sys.executable, str(bench), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            printed, errors = run.communicate(timeout=LIMIT)
        except BaseException:
            run.send_signal(signal.SIGINT)
            run.communicate(timeout=ENDING)
            raise
    assert run.returncode == 0, errors
    return printed


def test_the_benchmark_prints_hart_s_time_that_of_a_bare_minion_and_their_ratio(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = results_of(BENCH, "--runs", "1")
    with capsys.disabled():
        print(f"\n{printed}")
    for what in (
        "bare salt-minion: start to start event", "bare salt-minion: start to first answered ping",
        "hart, one node: bootstrap finished to ready", "ratio of that to the start event",
        "count=1: the whole call", "count=3: the whole call",
    ):  # fmt: skip
        found = re.search(rf"^.*{re.escape(what)}.*? (\d+\.\d\d)( s)? +(\d+\.\d\d)", printed, re.MULTILINE)
        assert found, what
        assert float(found[1]) > 0
    assert re.search(r"^before: load \d", printed, re.MULTILINE)


@pytest.mark.skipif(bool(light_cloud.missing()), reason=light_cloud.missing())
def test_the_benchmark_of_a_fleet_prints_the_time_for_many_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    printed = results_of(BENCH.with_name("fleet.py"), "--nodes", "2,5", "--delay", "1")
    with capsys.disabled():
        print(f"\n{printed}")
    for what in ("beyond the delay", "destroyed, the whole call", "memory of the runner", "threads of the runner"):
        assert len(re.findall(rf"^  {what}.*? +(\d+[.\d]*)", printed, re.MULTILINE)) == 2, what
    calls = re.findall(r"API calls, and for each node +(\d+)", printed)
    assert int(calls[1]) - int(calls[0]) <= 3 + 2, "one create call a node, and a look or two more"


@pytest.mark.skipif(bool(_no_masters), reason=_no_masters)
def test_the_benchmark_of_two_masters_compares_them_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    printed = results_of(BENCH.with_name("fleet.py"), "--masters", "2", "--nodes", "2", "--delay", "1")
    with capsys.disabled():
        print(f"\n{printed}")
    for what in ("created, the longest call", "destroyed, the longest call", "memory of the largest runner"):
        found = re.search(rf"^  {what}.*? +(\d+\.\d+) +(\d+\.\d+)$", printed, re.MULTILINE)
        assert found, what
        assert min(map(float, found.groups())) > 0


def test_the_benchmark_of_plans_prints_the_cpu_seconds_of_each_scene(capsys: pytest.CaptureFixture[str]) -> None:
    printed = results_of(BENCH.with_name("plans.py"), "--nodes", "200", "--fleets", "2")
    with capsys.disabled():
        print(f"\n{printed}")
    assert printed.startswith("200 nodes in 2 fleets")
    found = re.findall(r"^  (\w[\w ]+?) +(\d+\.\d+) s +(\d+\.\d+)$", printed, re.MULTILINE)
    assert [name for name, *_ in found][:2] == ["steady", "every node differs"]
    assert len(found) == 8


@pytest.mark.skipif(bool(_no_machines), reason=f"no machines can be booted here: {'; '.join(_no_machines)}")
@pytest.mark.skipif(not scope.whole, reason="./test --all bakes an image for the benchmark")
def test_the_benchmark_of_baked_images_prints_the_ratios_to_the_floor_and_to_unbaked_nodes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = results_of(BENCH.with_name("droplets.py"), "--baked", "--runs", "1", "--work", "2")
    with capsys.disabled():
        print(f"\n{printed}")
    ratios = [float(ratio) for ratio in re.findall(r"^baked by .*? (\d+\.\d\d) +\d+\.\d\d$", printed, re.MULTILINE)]
    assert len(ratios) == 3
    assert ratios[1] < 1, "a node from a baked image is ready sooner than another one"
