"""Salt imports every runner on every salt-run, whatever was asked for: ours must cost next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

HEAVY = ("asyncio", "asyncssh", "boto3", "cryptography", "jinja2", "psutil", "pydantic", "rich", "salt", "tenacity")
RUNS = 7

#: what Salt does with the installed package: load the entry point, then the runner by its path, then ask it
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
    """The same import in several fresh interpreters."""
    commands = [[sys.executable, "-c", IMPORT]] * RUNS
    return [
        # elsewhere, so that the installed package is imported and not the directory of the checkout
        json.loads(subprocess.run(command, cwd="/", capture_output=True, text=True, check=True, timeout=60).stdout)
        for command in commands
    ]


def test_the_runner_module_imports_nothing_that_it_does_not_need_yet(imports: list[dict[str, Any]]) -> None:
    for run in imports:
        assert [name for name in run["new"] if name.split(".")[0] in HEAVY] == []
        assert [name for name in run["new"] if name.startswith("hart_salt")] == ["hart_salt"]


def test_what_an_unrelated_salt_run_pays_is_printed(
    imports: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    package, runner = (min(run[part] for run in imports) * 1000 for part in ("package", "runner"))
    with capsys.disabled():
        print(f"\nimport, best of {RUNS}: hart_salt {package:.2f} ms, its runner {runner:.2f} ms (allowed: 20 ms)")
    assert imports
