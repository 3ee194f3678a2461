"""Imports point one way: from package to package downwards in ``LAYERS``, and never in a circle."""

from __future__ import annotations

import ast
import functools
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hart_salt
from hart_salt.drivers import base, contract

PACKAGE = Path(hart_salt.__file__).resolve().parent

#: every package and every module outside of packages, from the top down; each may import only what is below it
LAYERS = [
    "runners", "engines", "modules", "states", "output", "screens", "look", "answer", "arguments", "service",
    "use_cases", "unconfigured",
    "fleets", "migration", "images", "operations", "reports", "node", "planning", "inventory",
    "drivers", "coordination", "master", "model", "config", "result", "base",
]  # fmt: skip
#: modules outside of packages
FLAT = {"answer", "arguments", "look", "service", "unconfigured", "model", "result"}
PACKAGES = 32  #: at most, including the top package
CLOUDS = tuple(sorted(path.parent.name for path in PACKAGE.glob("drivers/*/driver.py")))
#: what drivers may import from the rest of the package
BELOW_DRIVERS = {
    "model", "config.schema", "config.settings", "base.deadline", "base.endpoints", "base.errors", "base.machine",
    "base.streams", "base.text",
}  # fmt: skip
#: Salt's loader types: it loads every module in a package with such a name
LOADER_TYPES = {
    "auth", "beacons", "cache", "clouds", "engines", "executors", "fileserver", "grains", "log_handlers", "matchers",
    "metaproxy", "modules", "netapi", "output", "pillar", "pkgdb", "pkgfiles", "proxy", "queues", "renderers",
    "resources", "returners", "roster", "runners", "sdb", "serializers", "states", "thorium", "tokens", "tops", "utils",
    "wheel", "wrapper",
}  # fmt: skip
#: what the runner and the states may import at module level: every salt-run of any function pays for it
RUNNER_MODULE_LEVEL = {
    "__future__", "contextlib", "functools", "importlib.util", "inspect", "logging", "os", "shutil", "sys", "typing",
}  # fmt: skip
#: what the execution module may import: it runs on minions, which have Salt but not hart
MODULE_MODULE_LEVEL = {
    "__future__", "contextlib", "datetime", "http.client", "importlib.util", "json", "os", "pathlib", "re", "shutil",
    "stat", "subprocess", "sys", "time", "typing",
}  # fmt: skip


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").strip(".")


SOURCES = {name_of(path): path for path in PACKAGE.rglob("*.py") if name_of(path)}


@functools.cache
def imports_of(path: Path) -> tuple[str, ...]:
    """Return the full names of what a file imports, wherever in the file the import is."""
    return tuple(_imports_of(path))


def _imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(name: str) -> set[str]:
    """Return the modules of this package that one file imports; a name within a module counts as the module."""
    found = set()
    for full in imports_of(SOURCES[name]):
        inner = full.removeprefix("hart_salt.") if full.startswith("hart_salt.") else ""
        while inner and inner not in SOURCES:
            inner = inner.rpartition(".")[0]
        found.add(inner)
    return found - {"", name}


def layer_of(name: str) -> str:
    return name.partition(".")[0]


def test_every_module_belongs_to_a_layer() -> None:
    assert {layer_of(name) for name in SOURCES} == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_downwards(layer: str) -> None:
    here_and_below = LAYERS[LAYERS.index(layer) :]
    modules = [name for name in SOURCES if layer_of(name) == layer]
    upwards = {(name, other) for name in modules for other in ours(name) if layer_of(other) not in here_and_below}
    assert upwards == set()


def package_of(name: str) -> str:
    """Return the package that a module is in, or the module itself if it is in none."""
    return ".".join(SOURCES[name].parent.relative_to(PACKAGE).parts) or name


def test_only_a_few_shared_modules_are_outside_of_packages() -> None:
    assert {name for name in SOURCES if SOURCES[name].parent == PACKAGE} == FLAT
    assert len({package_of(name) for name in SOURCES} - FLAT) < PACKAGES


def test_packages_do_not_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for name in SOURCES:
        here = package_of(name)
        graph.setdefault(here, set()).update({package_of(other) for other in ours(name)} - {here})
    list(graphlib.TopologicalSorter(graph).static_order())


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    list(graphlib.TopologicalSorter({name: ours(name) for name in SOURCES}).static_order())


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_driver_imports_no_other_cloud_and_otherwise_only_data(cloud: str) -> None:
    own = f"drivers.{cloud}"
    known = {other for name in SOURCES if name.startswith(f"{own}.") for other in ours(name)} - {own}
    others = {other for other in known if not other.startswith(f"{own}.")}
    clouds = {other for other in others if other.startswith("drivers.") and other.split(".")[1] in CLOUDS}
    assert clouds == set()
    assert {other for other in others if not other.startswith("drivers.")} <= BELOW_DRIVERS


def test_shared_driver_code_imports_no_cloud() -> None:
    shared = [name for name in SOURCES if name.startswith("drivers.") and name.split(".")[1] not in CLOUDS]
    assert {other for name in shared for other in ours(name) if other.split(".")[1:2] in [[c] for c in CLOUDS]} == set()


def test_drivers_in_other_packages_find_the_contract_at_its_old_place() -> None:
    public = {name for name, value in vars(contract).items() if getattr(value, "__module__", "") == contract.__name__}
    assert public == {"Driver"}
    for name in (*public, "BEGINNING", "READING"):
        assert getattr(base, name) is getattr(contract, name)


def test_salt_loads_only_packages_that_are_made_for_it() -> None:
    named = {path.name for path in PACKAGE.iterdir() if path.is_dir()} & LOADER_TYPES
    assert named == {"runners", "engines", "modules", "output", "states"}


def test_only_master_imports_salt() -> None:
    importers = {name for name in SOURCES if any(full.split(".")[0] == "salt" for full in imports_of(SOURCES[name]))}
    assert {layer_of(name) for name in importers} == {"master", "output"}


def test_only_the_registry_imports_drivers_and_only_use_cases_use_the_registry() -> None:
    elsewhere = [name for name in SOURCES if layer_of(name) != "drivers"]
    assert {name for name in elsewhere if "drivers" in ours(name)} == {"answer", "service", "unconfigured"}
    concrete = {other for name in elsewhere for other in ours(name) if other.startswith("drivers.")}
    assert concrete <= {"drivers.contract"}


@pytest.mark.parametrize("name", ["runners.hart", "modules.hart", "output.hart", "states.hart"])
def test_modules_that_salt_loads_import_nothing_heavy_at_module_level(name: str) -> None:
    tree = ast.parse(SOURCES[name].read_text())
    top = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    top |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert top <= (MODULE_MODULE_LEVEL if name == "modules.hart" else RUNNER_MODULE_LEVEL)


def test_loading_the_runner_loads_only_the_root_of_the_package() -> None:
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


def test_the_map_of_the_package_names_every_layer() -> None:
    text = hart_salt.__doc__ or ""
    entries = [f"{layer}/" if (PACKAGE / layer).is_dir() else f"{layer}.py" for layer in LAYERS]
    assert [entry for entry in entries if f"``{entry}``" not in text] == []


@pytest.mark.parametrize("kind", ["runners", "modules"])
def test_salt_loads_the_files_of_the_top_level(kind: str) -> None:
    """A copy in place of the link would become outdated with the next change."""
    loaded = PACKAGE / kind / "hart.py"
    assert loaded.is_symlink()
    assert loaded.resolve() == PACKAGE.parent / f"_{kind}" / "hart.py"
