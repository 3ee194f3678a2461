"""The pages are correct about the project: the files, packages and names of the code in them exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.test_imports import LAYERS, SOURCES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    path
    for pattern in ("README.md", "docs/**/*.md", "hart_salt/**/*.md")
    for path in sorted(ROOT.glob(pattern))
    if "_build" not in path.parts
]
#: where a path on a page can begin: the top, the package, its packages drivers and node, or the tests
PLACES = ("", "hart_salt", "hart_salt/drivers", "hart_salt/node", "tests")
TREES = ("hart_salt", "_runners", "_modules", "tests", "tools", "docs")
TOPS = {*TREES, *LAYERS}
#: a name without a folder can be in any of them
FILES = {path.name for tree in TREES for path in (ROOT / tree).rglob("*")}
CODE = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES.values())


def words(path: Path) -> list[str]:
    """Return the words in backticks on a page."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return sorted(set(re.findall(r"`([^`\s]+)`", text)))


def is_path(word: str) -> bool:
    """Return whether a word is the path of a file or folder of this checkout; ``<name>`` in it stands for any name."""
    if not re.fullmatch(r"[\w.*/<>-]+", word) or "_build" in word.split("/"):  # a checkout has no build results
        return False
    return bool(re.search(r"\.(py|sh|j2)$", word)) or ("/" in word and word.split("/")[0] in TOPS)


def found(word: str) -> bool:
    pattern = re.sub(r"<\w+>", "*", word.strip("/"))
    return word in FILES or any(list(ROOT.glob(f"{place}/{pattern}".strip("/"))) for place in PLACES)


def named(pages: list[Path]) -> list[tuple[str, str]]:
    return [(str(page.relative_to(ROOT)), word) for page in pages for word in words(page)]


PATHS = [(page, word) for page, word in named(PAGES) if is_path(word)]
NAMES = [(page, word) for page, word in named(PAGES) if re.fullmatch(r"_(?!_)\w+|[A-Z][a-z]\w*\.\w+", word)]


def test_there_are_paths_and_names_to_test() -> None:
    assert len(PATHS) > 60
    assert len(NAMES) > 5
    assert found("operations/create.py")
    assert not found("operations/survey.py")


@pytest.mark.parametrize(("page", "path"), PATHS)
def test_files_and_folders_exist(page: str, path: str) -> None:
    assert found(path)


@pytest.mark.parametrize(("page", "name"), NAMES)
def test_names_of_the_code_exist(page: str, name: str) -> None:
    of, _, last = name.rpartition(".")
    assert re.search(rf"^ *((async )?def|class) {last}\b|^{last}\b.* = ", CODE, re.MULTILINE)
    assert not of or re.search(rf"^class {of}\b", CODE, re.MULTILINE)


def test_the_architecture_lists_every_top_level_package_and_module() -> None:
    page = (ROOT / "docs/contributing/architecture.md").read_text(encoding="utf-8")
    rows = re.split(r"\n## ", page.partition("## The files\n")[2])[0]
    listed = rows.replace("_runners/", "runners/").replace("_modules/", "modules/")
    assert [layer for layer in LAYERS if not re.search(rf"\b{layer}(/|\.py)", listed)] == []
