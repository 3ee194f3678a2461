"""A new cloud needs what ``docs/contributing/adding_a_driver.md`` says, and every driver of ours has it."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import hart_salt
from hart_salt import drivers
from hart_salt.drivers.contract import Driver

toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/contributing/adding_a_driver.md").read_text(encoding="utf-8")
CLOUDS = [name for name in drivers.OWN if name != "local"]
#: added when the others were there: what names it besides its own folders is what a new cloud has to change
NEWEST = "hetzner"
#: the shared tests that name each cloud; ``tests/drivers/<name>/environment.py`` joins them
TESTS = ("tests/drivers/*.py", "tests/unit/**/*.py", "tests/functional/**/*.py")


def project() -> dict[str, Any]:
    found: dict[str, Any] = toml.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def named_in(path: Path) -> set[str]:
    """Texts and modules that code names; what people read, in docstrings and messages, is not among them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    modules = {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return texts | {part for module in modules for part in module.split(".")}


def naming(name: str, *patterns: str) -> set[str]:
    """Return the files that name a cloud, except those in its own folders and this one."""
    files = {path for pattern in patterns for path in ROOT.glob(pattern) if path != Path(__file__).resolve()}
    found = {path.relative_to(ROOT) for path in files if name not in path.relative_to(ROOT).parts[:-1]}
    return {str(path) for path in found if name in named_in(ROOT / path)}


def test_every_folder_with_a_driver_is_in_the_registry_and_no_other_name() -> None:
    folders = {path.parent.name for path in Path(hart_salt.__file__).parent.glob("drivers/*/driver.py")}
    assert folders == set(drivers.OWN) == {name for name in drivers.schemas() if name in drivers.OWN}


@pytest.mark.parametrize("name", drivers.OWN)
def test_a_driver_has_the_files_and_names_that_are_the_same_in_each_folder(name: str) -> None:
    folder = ROOT / "hart_salt/drivers" / name
    assert {"__init__.py", "driver.py", "settings.py"} <= {path.name for path in folder.iterdir()}
    cls = drivers.driver_class(name)
    assert issubclass(cls, Driver)
    assert cls.schema is drivers.schemas()[name]
    assert cls.schema.driver == name
    assert drivers.OWN[name]


@pytest.mark.parametrize("name", CLOUDS)
def test_a_cloud_has_an_extra_and_all_has_it_as_well(name: str) -> None:
    extras = project()["optional-dependencies"]
    assert extras[name]
    (everything,) = extras["all"]
    assert name in re.findall(r"\w+", everything.partition("[")[2])


@pytest.mark.parametrize("name", CLOUDS)
def test_a_cloud_has_an_emulator_and_what_its_tests_share(name: str) -> None:
    folder = ROOT / "tests/drivers" / name
    assert list(folder.glob("emulator/*.py"))
    shared = importlib.import_module(f"tests.drivers.{name}.driver")
    assert [made for made in ("open_cloud", "driver_of", "node") if not callable(getattr(shared, made, None))] == []


def test_no_other_code_names_the_cloud_that_came_last() -> None:
    assert naming(NEWEST, "hart_salt/**/*.py", "_runners/*.py", "_modules/*.py") == {"hart_salt/drivers/__init__.py"}
    # What differs by cloud and has no place in a cloud's own folder: answers, rights, checks and protection.
    of_all = (
        "test_checks.py",
        "test_ends.py",
        "test_json_apis.py",
        "test_protection.py",
        "test_rights.py",
        "whole_run.py",
    )
    assert naming(NEWEST, *TESTS) <= {f"tests/drivers/{name}" for name in of_all}


def test_the_page_names_these_files() -> None:
    table = PAGE.partition("## Every file of a new cloud")[2].partition("\n## ")[0]
    files = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert files == [
        "hart_salt/drivers/<name>/", "hart_salt/drivers/__init__.py", "pyproject.toml",
        "tests/drivers/<name>/driver.py", "tests/drivers/<name>/emulator/", "tests/drivers/<name>/environment.py",
        "tests/drivers/<name>/in_tables.py", "tests/drivers/recorded/<name>/", "tools/mutants/lists/<name>.toml",
        "hart_salt/REFERENCE.md",
    ]  # fmt: skip
    assert [file for file in files if not (ROOT / file.replace("<name>", NEWEST)).exists()] == []
