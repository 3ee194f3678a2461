"""Salt imports every runner on every salt-run: importing ours must cost almost nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

HEAVY = ("asyncio", "asyncssh", "boto3", "cryptography", "jinja2", "psutil", "pydantic", "rich", "salt", "tenacity")
RUNS = 7

#: what Salt does with the installed package: load the entry point, then the runner by its path, then call it
IMPORT = """
import importlib.util, json, logging, pathlib, sys, time, traceback
before = set(sys.modules)
started = time.perf_counter()
import hart_salt
package = time.perf_counter()
path = pathlib.Path(hart_salt.__file__).parent / "runners/hart.py"
spec = importlib.util.spec_from_file_location("salt.loaded.int.runners.hart", path)
runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runner)
assert runner.__virtual__() == "hart"
ended = time.perf_counter()
new = sorted(set(sys.modules) - before)
print(json.dumps({"package": package - started, "runner": ended - package, "new": new}))
"""


@pytest.fixture(scope="module")
def imports() -> list[dict[str, Any]]:
    """Return the times of the same import in several new interpreters."""
    commands = [[sys.executable, "-c", IMPORT]] * RUNS
    return [
        # elsewhere, because the installed package must be imported and not the directory of the checkout
        json.loads(subprocess.run(command, cwd="/", capture_output=True, text=True, check=True, timeout=60).stdout)
        for command in commands
    ]


def test_the_runner_module_imports_only_what_it_needs_at_once(imports: list[dict[str, Any]]) -> None:
    for run in imports:
        assert [name for name in run["new"] if name.split(".")[0] in HEAVY] == []
        assert [name for name in run["new"] if name.startswith("hart_salt")] == ["hart_salt"]


def test_the_cost_for_an_unrelated_salt_run_is_printed(
    imports: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    package, runner = (min(run[part] for run in imports) * 1000 for part in ("package", "runner"))
    with capsys.disabled():
        print(f"\nimport, best of {RUNS}: hart_salt {package:.2f} ms, its runner {runner:.2f} ms (allowed: 20 ms)")
    assert imports
