"""The security page names an existing test for each protection that it claims."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
#: the rows of the tables that end with a column ``shown by``
ROWS = [
    line
    for table in re.findall(r"^\|[^\n]*\| shown by \|\n\| --- [^\n]*\n((?:\|[^\n]*\n)+)", PAGE, re.MULTILINE)
    for line in table.splitlines()
]
NAMED = re.findall(r"`((?:unit|functional|drivers|end_to_end)/(?:\w+/)*test_\w+\.py)(?:::(\w+))?`", PAGE)


def shown_by(row: str) -> str:
    return row.strip("| ").rsplit(" | ", 1)[-1]


def test_there_are_rows_and_tests_to_check() -> None:
    assert len(ROWS) > 40
    assert len(NAMED) > 60


@pytest.mark.parametrize("row", ROWS)
def test_each_row_names_a_test(row: str) -> None:
    assert re.search(r"`(unit|functional|drivers|end_to_end)/(\w+/)*test_\w+\.py", shown_by(row))


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED)))
def test_each_named_test_exists(file: str, test: str) -> None:
    text = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert re.search(rf"^(async )?def {test}\(" if test else r"^(async )?def test_", text, re.MULTILINE)


@pytest.mark.parametrize("path", re.findall(r"`((?:hart_salt|tools)/[\w./]+)`", PAGE))
def test_named_files_exist(path: str) -> None:
    assert (ROOT / path).exists()


def test_asyncssh_has_the_fixes_that_the_page_names() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (floor,) = re.findall(r'^    "asyncssh>=([\d.]+)"', project, re.MULTILINE)
    assert tuple(int(part) for part in floor.split(".")) >= (2, 14, 2)
