"""The contents of the wheel and of the source distribution, and that one makes the other."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import hart_salt
from hart_salt import drivers
from hart_salt.operations import own_wheel as carried
from tests import builds
from tests.builds import ROOT, build


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return builds.backend(tmp_path_factory.mktemp("backend"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory, backend: dict[str, str]) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"), backend)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, backend: dict[str, str]) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"), backend)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def own(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name.startswith("hart_salt/")}


def test_runner_and_module_are_real_files_in_the_wheel(wheel: Path) -> None:
    files = contents(wheel)
    for name in ("runners", "modules"):
        assert files[f"hart_salt/{name}/hart.py"] == (ROOT / f"_{name}/hart.py").read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        kinds = {stat.S_IFMT(entry.external_attr >> 16) for entry in archive.infolist()}
    assert kinds <= {0, stat.S_IFREG}


def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    paths = (path.relative_to(ROOT) for path in (ROOT / "hart_salt").rglob("*") if path.is_file())
    expected = {str(path) for path in paths if "__pycache__" not in path.parts}
    files = contents(wheel)
    assert set(own(files)) == expected
    assert {name.split("/")[0].split("-")[0] for name in files} == {"hart_salt"}
    assert {"hart_salt/py.typed", "hart_salt/node/bootstrap/templates/bootstrap.sh.j2"} <= expected


def test_the_wheel_has_salts_entry_point_and_the_licence(wheel: Path) -> None:
    files = {name.partition("/")[2]: data for name, data in contents(wheel).items() if ".dist-info/" in name}
    assert files["entry_points.txt"].decode().split() == ["[salt.loader]", "hart", "=", "hart_salt"]
    assert files["licenses/LICENSE.md"] == (ROOT / "LICENSE.md").read_bytes()
    assert f"\nVersion: {hart_salt.__version__}\n" in files["METADATA"].decode()


def test_a_wheel_from_the_source_distribution_is_the_same(
    sdist: Path, wheel: Path, backend: dict[str, str], tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    (tmp_path / "again").mkdir()
    assert own(contents(build("wheel", source, tmp_path / "again", backend))) == own(contents(wheel))


def test_the_source_distribution_has_no_caches_or_editor_files(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        paths = [name.split("/")[1:] for name in archive.getnames()]
    folders = {".ci", "_modules", "_runners", "docs", "hart_salt", "tests", "tools"}
    tops = {name for name, *_ in paths if not name.endswith(".md")}
    assert tops - folders <= {"test", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert [path for path in paths if any(name.startswith(".") or name == "__pycache__" for name in path[1:])] == []


def test_the_wheel_for_a_new_master_has_the_contents_of_the_built_one(wheel: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(carried.build())) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
        kinds = {stat.S_IFMT(entry.external_attr >> 16) for entry in archive.infolist()}
    built = contents(wheel)
    assert own(files) == own(built)
    assert set(files) == set(built)
    assert (carried.file_name(), kinds <= {0, stat.S_IFREG}) == (wheel.name, True)
    for name in ("entry_points.txt", "licenses/LICENSE.md"):
        assert [data for path, data in files.items() if path.endswith(f".dist-info/{name}")] == [
            data for path, data in built.items() if path.endswith(f".dist-info/{name}")
        ]
    assert set(drivers.OWN) - {"local"} <= carried.extras()


def test_pip_installs_that_wheel(tmp_path: Path) -> None:
    file = tmp_path / carried.file_name()
    file.write_bytes(carried.build())
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", tmp_path / "site", file], check=True)
    code = "import hart_salt, importlib.metadata as m; print(hart_salt.__file__, m.version('hart-salt'))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}, capture_output=True,
        text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(tmp_path / "site/hart_salt/__init__.py"), hart_salt.__version__]
