"""What the benchmark of baked images reports; its measurements need machines, see ``test_bench.py``."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools/bench"


@pytest.fixture
def baked(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TOOL))
    return importlib.import_module("baked")


def node(baked: Any, seconds: float, end: float = 0.0) -> dict[str, float]:
    return {**dict.fromkeys(baked.WAY, 0.1), "to ready": seconds, "to the end": end or seconds, "whole": seconds + 2}


def test_the_ratios_are_those_of_the_best_and_of_the_medians(baked: Any) -> None:
    floors = [{"boot to sshd": boot, "start to ping": 1.0} for boot in (1.0, 2.0, 4.0)]
    nodes = {
        "app": [node(baked, seconds) for seconds in (3.0, 4.5, 9.0)],
        "plain": [node(baked, 10.0)] * 3,
        "worked": [node(baked, 10.0, 30.0)] * 3,
    }
    text = baked.report(floors, nodes, 20.0)
    ratios = re.findall(r"^(baked by .*?) +(\d+\.\d\d) +(\d+\.\d\d)$", text, re.MULTILINE)
    assert [(name.split(" (")[0], float(best), float(median)) for name, best, median in ratios] == [
        ("baked by the floor", 1.5, 1.5), ("baked by unbaked", 0.3, 0.45),
        ("baked by unbaked with 20 s of work", 0.1, 0.15),
    ]  # fmt: skip


def test_the_way_to_ready_begins_with_the_create_call_and_ends_before_the_sealing(baked: Any) -> None:
    assert baked.WAY == ("launching", "running", "bootstrapping", "enrolling", "enrolled")
