"""Imports point one way: from package to package downwards in ``LAYERS``, and never in a circle."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hart_salt
from hart_salt.drivers import base, contract

PACKAGE = Path(hart_salt.__file__).resolve().parent

#: every package and every module that is in none, from the top down; each may import only what stands below it
LAYERS = [
    "runners", "modules", "answer", "arguments", "service", "migration", "operations", "node", "planning",
    "inventory", "drivers", "master", "model", "config", "result", "base",
]  # fmt: skip
#: modules that are in no package
FLAT = {"answer", "arguments", "service", "model", "result"}
PACKAGES = 20  #: at the most, the top among them
CLOUDS = tuple(sorted(path.parent.name for path in PACKAGE.glob("drivers/*/driver.py")))
#: what drivers may know of the rest of the package
BELOW_DRIVERS = {"model", "config.schema", "config.settings", "base.endpoints", "base.errors", "base.streams"}
#: the loader types of Salt: it loads whatever is in a package of such a name
LOADER_TYPES = {
    "auth", "beacons", "cache", "clouds", "engines", "executors", "fileserver", "grains", "log_handlers", "matchers",
    "metaproxy", "modules", "netapi", "output", "pillar", "pkgdb", "pkgfiles", "proxy", "queues", "renderers",
    "resources", "returners", "roster", "runners", "sdb", "serializers", "states", "thorium", "tokens", "tops", "utils",
    "wheel", "wrapper",
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


def layer_of(name: str) -> str:
    return name.partition(".")[0]


def test_every_module_is_in_a_package_that_has_its_layer() -> None:
    assert {layer_of(name) for name in SOURCES} == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_downwards(layer: str) -> None:
    here_and_below = LAYERS[LAYERS.index(layer) :]
    modules = [name for name in SOURCES if layer_of(name) == layer]
    upwards = {(name, other) for name in modules for other in ours(name) if layer_of(other) not in here_and_below}
    assert upwards == set()


def package_of(name: str) -> str:
    """The package that a module is in, or the module itself if it is in none."""
    return ".".join(SOURCES[name].parent.relative_to(PACKAGE).parts) or name


def test_few_packages_and_nothing_flat_but_what_all_of_them_meet_in() -> None:
    assert {name for name in SOURCES if SOURCES[name].parent == PACKAGE} == FLAT
    assert len({package_of(name) for name in SOURCES} - FLAT) < PACKAGES


def test_there_is_no_circle_of_packages() -> None:
    graph: dict[str, set[str]] = {}
    for name in SOURCES:
        here = package_of(name)
        graph.setdefault(here, set()).update({package_of(other) for other in ours(name)} - {here})
    list(graphlib.TopologicalSorter(graph).static_order())


def test_there_is_no_circle() -> None:
    list(graphlib.TopologicalSorter({name: ours(name) for name in SOURCES}).static_order())


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_driver_knows_no_other_cloud_and_of_the_rest_only_what_is_data(cloud: str) -> None:
    own = f"drivers.{cloud}"
    known = {other for name in SOURCES if name.startswith(f"{own}.") for other in ours(name)} - {own}
    others = {other for other in known if not other.startswith(f"{own}.")}
    clouds = {other for other in others if other.startswith("drivers.") and other.split(".")[1] in CLOUDS}
    assert clouds == set()
    assert {other for other in others if not other.startswith("drivers.")} <= BELOW_DRIVERS


def test_what_drivers_share_knows_no_cloud() -> None:
    shared = [name for name in SOURCES if name.startswith("drivers.") and name.split(".")[1] not in CLOUDS]
    assert {other for name in shared for other in ours(name) if other.split(".")[1:2] in [[c] for c in CLOUDS]} == set()


def test_drivers_of_other_packages_find_the_contract_where_it_was() -> None:
    public = {name for name, value in vars(contract).items() if getattr(value, "__module__", "") == contract.__name__}
    assert public == {"Driver"}
    for name in (*public, "BEGINNING", "READING"):
        assert getattr(base, name) is getattr(contract, name)


def test_salt_loads_no_package_that_is_not_made_for_it() -> None:
    named = {path.name for path in PACKAGE.iterdir() if path.is_dir()} & LOADER_TYPES
    assert named == {"runners", "modules"}


def test_only_master_imports_salt() -> None:
    importers = {name for name in SOURCES if any(full.split(".")[0] == "salt" for full in imports_of(SOURCES[name]))}
    assert {layer_of(name) for name in importers} == {"master"}


def test_only_the_registry_imports_drivers_and_only_service_asks_the_registry() -> None:
    elsewhere = [name for name in SOURCES if layer_of(name) != "drivers"]
    assert {name for name in elsewhere if "drivers" in ours(name)} == {"answer", "service"}
    concrete = {other for name in elsewhere for other in ours(name) if other.startswith("drivers.")}
    assert concrete <= {"drivers.contract"}


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


def test_the_map_of_the_package_names_every_layer() -> None:
    text = hart_salt.__doc__ or ""
    entries = [f"{layer}/" if (PACKAGE / layer).is_dir() else f"{layer}.py" for layer in LAYERS]
    assert [entry for entry in entries if f"``{entry}``" not in text] == []


@pytest.mark.parametrize("kind", ["runners", "modules"])
def test_what_salt_loads_is_the_file_of_the_top_level(kind: str) -> None:
    """A copy in the place of the link would stay behind with the next change."""
    loaded = PACKAGE / kind / "hart.py"
    assert loaded.is_symlink()
    assert loaded.resolve() == PACKAGE.parent / f"_{kind}" / "hart.py"
