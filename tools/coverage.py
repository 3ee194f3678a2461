"""
Print how much of hart_salt the fast tests cover, and fail where that is too low.

``python -m tools.coverage DIRECTORY``: the directory holds what ``coverage run`` wrote, see ``./test --coverage``. The
unit tests, the functional tests and those of the drivers count together. All of them run in this process or start
short ones; none needs a booted machine or a salt-master. Branches count as well as statements.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coverage import Coverage
from coverage.exceptions import NoDataError

#: percent of each module, so that no module depends on the end-to-end tests alone. Of all modules together,
#: pyproject.toml names the percentage
LEAST_OF_A_MODULE = 80.0
ROOT = Path(__file__).resolve().parents[1]


def main(directory: Path) -> int:
    """Print the table and what is too low. Return the exit code."""
    coverage = Coverage(data_file=str(directory / "coverage"), config_file=str(ROOT / "pyproject.toml"))
    try:
        coverage.combine([str(directory)])
    except NoDataError:
        print("coverage: no test was measured")
        return 1
    coverage.report()
    coverage.json_report(outfile=str(directory / "coverage.json"))
    found = json.loads((directory / "coverage.json").read_text())
    faults = too_low(found, float(str(coverage.get_option("report:fail_under"))))
    for fault in faults:
        print(f"coverage: {fault}")
    return 1 if faults else 0


def too_low(found: Mapping[str, Any], least: float) -> list[str]:
    """What the report ``found`` shows to be covered too little, one sentence each; ``least`` is for all together."""
    total = found["totals"]["percent_covered"]
    covered = {name: file["summary"]["percent_covered"] for name, file in found["files"].items()}
    return [
        *(
            f"{name}: the fast tests cover {percent:.1f} %; every module needs {LEAST_OF_A_MODULE:.0f} %"
            for name, percent in covered.items()
            if percent < LEAST_OF_A_MODULE
        ),
        *([f"the fast tests cover {total:.1f} %; {least:.0f} % are required"] if total < least else []),
    ]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
