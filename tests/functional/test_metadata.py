"""
What PyPI gets: the fields and the files of the wheel and the source distribution.

``tools/release.py`` runs this file with ``HART_DIST``, the directory of the two files that it has built; otherwise they
are built here.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.builds import ROOT, backend, build

toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
PROJECT = toml.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: the folders whose files are in the source distribution without exception
FOLDERS = (".ci", "_modules", "_runners", "hart_salt", "tests", "tools")
#: a link or a picture; its address, without what comes after it
LINK = re.compile(r"\]\(\s*([^)\s]+)")
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The source distribution and the wheel."""
    if given := os.environ.get("HART_DIST"):
        return [*Path(given).glob("*.tar.gz"), *Path(given).glob("*.whl")]
    environment = backend(tmp_path_factory.mktemp("backend"))
    return [build(kind, ROOT, tmp_path_factory.mktemp(kind), environment) for kind in ("sdist", "wheel")]


@pytest.fixture(scope="module")
def sdist(dist: list[Path]) -> dict[str, tarfile.TarInfo]:
    """The files of the source distribution by their paths in it."""
    with tarfile.open(dist[0]) as archive:
        return {entry.name.partition("/")[2]: entry for entry in archive.getmembers() if not entry.isdir()}


@pytest.fixture(scope="module")
def wheel(dist: list[Path]) -> set[str]:
    """The paths of the wheel's files."""
    with zipfile.ZipFile(dist[1]) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def texts(dist: list[Path]) -> tuple[str, str]:
    """The metadata of the source distribution and of the wheel."""
    with tarfile.open(dist[0]) as archive:
        (name,) = (name for name in archive.getnames() if name.count("/") == 1 and name.endswith("/PKG-INFO"))
        file = archive.extractfile(name)
        assert file is not None
        of_sdist = file.read().decode()
    with zipfile.ZipFile(dist[1]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return of_sdist, wheel.read(name).decode()


@pytest.fixture(scope="module")
def fields(texts: tuple[str, str]) -> Message:
    return Parser().parsestr(texts[1])


@pytest.fixture(scope="module")
def description(fields: Message) -> str:
    """What PyPI shows as the project's page."""
    return str(fields.get_payload())


def test_there_is_one_of_each_with_the_version_of_the_package(dist: list[Path]) -> None:
    source = (ROOT / "hart_salt/__init__.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    assert [path.name for path in dist] == [f"hart_salt-{version}.tar.gz", f"hart_salt-{version}-py3-none-any.whl"]


def test_twine_finds_no_fault_in_them(dist: list[Path]) -> None:
    command: list[str | Path] = [sys.executable, "-m", "twine", "check", "--strict", *dist]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


def test_both_say_the_same(texts: tuple[str, str]) -> None:
    assert texts[0] == texts[1]


def test_licence_authors_and_keywords_are_fields_that_pypi_shows(fields: Message) -> None:
    assert fields["Name"] == "hart-salt"
    assert fields["License-Expression"] == "Hippocratic-2.1"
    assert fields.get_all("License-File") == ["LICENSE.md"]
    assert fields["License"] is None
    assert fields["Author"] == "the hart-salt contributors"
    assert fields["Author"] in (ROOT / "LICENSE.md").read_text(encoding="utf-8").partition("\n")[0]
    assert "salt-extension" in fields["Keywords"].split(",")
    assert fields["Summary"] == PROJECT["description"]
    # PyPI refuses a licence's classifier beside an expression.
    assert [name for name in fields.get_all("Classifier", ()) if name.startswith("License")] == []


def test_every_python_that_it_supports_is_a_classifier_and_no_other(fields: Message) -> None:
    supported = SpecifierSet(fields["Requires-Python"])
    expected = {f"3.{minor}" for minor in range(30) if supported.contains(f"3.{minor}.1")}
    prefix = "Programming Language :: Python :: "
    found = {name.removeprefix(prefix) for name in fields.get_all("Classifier", ()) if name.startswith(prefix)}
    assert found == expected | {"3 :: Only"}
    assert len(expected) >= 5


def test_every_project_url_is_a_label_and_an_address(fields: Message) -> None:
    urls = dict(line.split(", ") for line in fields.get_all("Project-URL", ()))
    assert urls == PROJECT["urls"]
    assert [address for address in urls.values() if not address.startswith("https://")] == []


def test_the_description_is_the_readme_without_links_that_lead_nowhere(description: str) -> None:
    assert headings(README) == headings(description)
    assert BLOCK.findall(description) == BLOCK.findall(README)
    assert "live_table.svg" not in description
    assert [address for address in LINK.findall(description) if not address.startswith("https://")] == []


def headings(page: str) -> list[str]:
    """The headings of a page."""
    return re.findall(r"^#+ .+$", BLOCK.sub("", page), re.MULTILINE)


def test_of_a_link_to_a_file_its_text_and_the_path_remain(description: str) -> None:
    links = re.findall(r"(?<!!)\[([^]]+)\]\((?!https?://|#)([^)#]+)[^)]*\)", README)
    assert links
    assert [link for link in links if f"{link[0]} (`{link[1]}`)" not in description] == []


def test_the_source_distribution_can_be_tested(sdist: dict[str, tarfile.TarInfo]) -> None:
    here = (path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file())
    expected = {str(path) for path in here if "__pycache__" not in path.parts}
    assert {name for name in sdist if name.split("/")[0] in FOLDERS} == expected
    assert {"test", "pyproject.toml", "README.md", "LICENSE.md", "CHANGELOG.md"} <= set(sdist)
    assert [name for name in ("test", "tools/env.sh", "tools/release.sh") if not sdist[name].mode & 0o100] == []
    pages = (path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md"))
    assert {str(path) for path in pages if "_build" not in path.parts} <= set(sdist)


def test_the_wheel_has_what_operators_read_and_nothing_that_developers_run(wheel: set[str]) -> None:
    assert {"hart_salt/REFERENCE.md", "hart_salt/examples/master.d/hart.conf", "hart_salt/py.typed"} <= wheel
    assert {name.split("/")[0].partition("-")[0] for name in wheel} == {"hart_salt"}
    assert [name for name in wheel if re.search(r"(^|/)(tests?|tools|docs|conftest\.py)(/|$)", name)] == []
