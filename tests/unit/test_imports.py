"""Imports point one way: downwards in ``LAYERS``."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hart_salt

PACKAGE = Path(hart_salt.__file__).resolve().parent

#: every module of the package, from the top down; a module may import only what stands below it
LAYERS = [
    "reference",
    "runners.hart",
    "modules.hart",
    "answer",
    "service",
    "scaling",
    "sweep",
    "checks",
    "health",
    "drain",
    "fleet",
    "addresses",
    "importing",
    "hart_minions",
    "cloud_config",
    "cloud_files",
    "cloud_terms",
    "matches",
    "lookup",
    "destroy",
    "masters",
    "create",
    "listing",
    "strays",
    "rebuild",
    "sealing",
    "misses",
    "survey",
    "identity",
    "home",
    "side_by_side",
    "lifecycle",
    "wheel",
    "presence",
    "watch",
    "ssh",
    "pacing",
    "bootstrap",
    "bootstrap.document",
    "output",
    "drivers",
    "drivers.local.machine",
    "drivers.local",
    "drivers.local.directory",
    "drivers.do",
    "drivers.do_addresses",
    "drivers.do_api",
    "drivers.ec2",
    "drivers.ec2_lookup",
    "drivers.ec2_network",
    "drivers.ec2_images",
    "drivers.ec2_prices",
    "drivers.ec2_api",
    "drivers.ec2_request",
    "drivers.ec2_settings",
    "drivers.gce",
    "drivers.gce_catalogue",
    "drivers.gce_inserts",
    "drivers.gce_api",
    "drivers.gce_credentials",
    "drivers.gce_errors",
    "drivers.gce_instances",
    "drivers.gce_refusals",
    "drivers.gce_settings",
    "drivers.vultr",
    "drivers.vultr_addresses",
    "drivers.vultr_rules",
    "drivers.vultr_api",
    "drivers.giving",
    "drivers.rest",
    "drivers.calls",
    "drivers.patience",
    "drivers.reports",
    "drivers.base",
    "drivers.origin",
    "drivers.outage",
    "master",
    "jobs",
    "events",
    "plan",
    "store",
    "locks",
    "roles",
    "config",
    "sources",
    "catalogue",
    "validation",
    "terminal",
    "progress",
    "logs",
    "threads",
    "signals",
    "streams",
    "outbox",
    "merge",
    "gate",
    "secrets",
    "finder",
    "text",
    "model",
    "settings",
    "endpoints",
    "naming",
    "descriptors",
    "faults",
    "errors",
]
#: what a driver may know of the rest of the package
BELOW_DRIVERS = {
    "drivers.base", "drivers.calls", "drivers.giving", "drivers.origin", "drivers.outage", "drivers.patience",
    "drivers.reports", "drivers.rest", "endpoints", "settings", "streams", "model", "errors",
}  # fmt: skip
#: what the runner may import at module level: every salt-run of anything pays for it
RUNNER_MODULE_LEVEL = {"contextlib", "functools", "importlib.util", "inspect", "logging"}
#: what the execution module may: it runs on minions, which have Salt and nothing of hart
MODULE_MODULE_LEVEL = {"os", "pathlib", "re", "shutil", "stat", "subprocess"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").strip(".")


SOURCES = {name_of(path): path for path in PACKAGE.rglob("*.py") if name_of(path)}


def imports_of(path: Path) -> Iterator[str]:
    """The full names of what a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(name: str) -> set[str]:
    """The modules of this package that one file imports; a name within a module counts as the module."""
    found = set()
    for full in imports_of(SOURCES[name]):
        inner = full.removeprefix("hart_salt.") if full.startswith("hart_salt.") else ""
        while inner and inner not in SOURCES:
            inner = inner.rpartition(".")[0]
        found.add(inner)
    return found - {"", name}


def test_every_module_has_its_layer() -> None:
    assert sorted(SOURCES) == sorted(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_imports_point_downwards(name: str) -> None:
    below = LAYERS[LAYERS.index(name) + 1 :]
    assert [other for other in ours(name) if other not in below] == []


@pytest.mark.parametrize("name", [name for name in LAYERS if name.startswith("drivers.")])
def test_a_driver_knows_settings_model_errors_and_the_contract_only(name: str) -> None:
    own = f"drivers.{name.split('.')[1].partition('_')[0]}"
    # Its own files: a package of that name, or files that begin with it.
    assert {other for other in ours(name) if not other.startswith(own)} <= BELOW_DRIVERS


def test_only_master_imports_salt() -> None:
    importers = {name for name in LAYERS if any(full.split(".")[0] == "salt" for full in imports_of(SOURCES[name]))}
    assert importers == {"master"}


def test_only_the_registry_imports_drivers_and_only_service_asks_the_registry() -> None:
    elsewhere = [name for name in LAYERS if not name.startswith("drivers")]
    assert {name for name in elsewhere if "drivers" in ours(name)} == {"answer", "reference", "service"}
    concrete = {other for name in elsewhere for other in ours(name) if other.startswith("drivers.")}
    assert concrete <= {"drivers.base"}


@pytest.mark.parametrize("name", ["runners.hart", "modules.hart"])
def test_what_salt_loads_imports_nothing_heavy_at_module_level(name: str) -> None:
    tree = ast.parse(SOURCES[name].read_text())
    top = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    top |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert top <= (RUNNER_MODULE_LEVEL if name == "runners.hart" else MODULE_MODULE_LEVEL)


def test_loading_the_runner_loads_nothing_of_the_package_but_its_root() -> None:
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('runner', {str(SOURCES['runners.hart'])!r})\n"
        "runner = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(runner)\n"
        "assert runner.__virtual__() == 'hart', runner.__virtual__()\n"
        "print([name for name in sys.modules if name.split('.')[0] in "
        "('hart_salt', 'salt', 'asyncio', 'asyncssh', 'pydantic', 'rich', 'jinja2')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() in ("[]", "['hart_salt']"), done


def test_the_map_of_the_package_names_every_module() -> None:
    text = hart_salt.__doc__ or ""
    files = {str(path.relative_to(PACKAGE)) for path in SOURCES.values()}
    entries = {f"{Path(file).parent}/" if file.endswith("__init__.py") else file for file in files}
    # A driver's own directory explains itself, in the docstring of its __init__.
    entries = {entry for entry in entries if not entry.startswith("drivers/local/") or entry == "drivers/local/"}
    assert [entry for entry in sorted(entries) if f"``{entry}``" not in text] == []


@pytest.mark.parametrize("kind", ["runners", "modules"])
def test_what_salt_loads_is_the_file_of_the_top_level(kind: str) -> None:
    """A copy in the place of the link would stay behind with the next change."""
    loaded = PACKAGE / kind / "hart.py"
    assert loaded.is_symlink()
    assert loaded.resolve() == PACKAGE.parent / f"_{kind}" / "hart.py"
