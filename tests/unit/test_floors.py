"""Each dependency has a lowest version, and ``tools/floors.sh`` makes pip use it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
PROJECT = toml.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def other(lines: list[str]) -> list[Requirement]:
    """Return these requirements without the package itself, whose extras name one another."""
    return [one for one in map(Requirement, lines) if one.name != PROJECT["name"]]


#: extras for people who develop the package: they install the newest versions
DEVELOPERS = {"dev", "docs"}
#: what users of the package install
USERS = [line for name in EXTRAS if name not in DEVELOPERS for line in EXTRAS[name]]
DEPENDENCIES = other([*PROJECT["dependencies"], *USERS])


@pytest.mark.parametrize("dependency", DEPENDENCIES, ids=lambda one: one.name)
def test_each_dependency_has_a_lowest_version_and_no_other_bound(dependency: Requirement) -> None:
    assert [one.operator for one in dependency.specifier] == [">="]


def test_each_lowest_version_is_a_constraint() -> None:
    printed = subprocess.run([ROOT / "tools/floors.sh"], capture_output=True, text=True, check=True).stdout
    held = {one.name: (str(one.specifier), str(one.marker)) for one in map(Requirement, printed.splitlines())}
    wanted = {
        one.name: (str(one.specifier).replace(">=", "=="), str(one.marker))
        for one in [*DEPENDENCIES, *other([line for name in DEVELOPERS for line in EXTRAS[name]])]
        if one.specifier
    }
    salt, series = held.pop("salt")[0], wanted.pop("salt")[0]
    assert salt.startswith(f"{series}.")  # a later release of the series: the first one cannot be installed
    assert held == wanted
