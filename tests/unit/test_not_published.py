"""
Until hart-salt is published, no text recommends installing that name from an index.

It would be a foreign package.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: everything that users read: pages, docstrings, and the texts of errors
PLACES = [
    path
    for pattern in ("*.md", "pyproject.toml", "_*/*.py", "hart_salt/**/*", "tools/**/*", "docs/**/*")
    for path in sorted(ROOT.glob(pattern))
    if path.is_file() and path.suffix not in (".pyc", ".png") and "_build" not in path.parts
]
#: an installer and, after it, the bare name; a path (``./``, ``.whl``) or ``name @ address`` states the source
INSTALLED = re.compile(
    r"\b(?:salt-pip|pipx?3?|uv(?: pip)?)\s+install\b[^\n`]*?(?<![\w./@-])hart[-_]salt\b(?!\S*\.whl)(?!\S*\s*@)"
)
#: a requirement with a version, which only an index can provide
PINNED = re.compile(r"\bhart[-_]salt(?:\[[\w,]+\])?\s*(?:==|>=|~=)")


def recommended(text: str) -> list[str]:
    return [line for line in text.splitlines() if INSTALLED.search(line) or PINNED.search(line)]


@pytest.mark.parametrize("path", PLACES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_recommends_installing_the_name_from_an_index(path: Path) -> None:
    assert recommended(path.read_text(encoding="utf-8", errors="replace")) == []


@pytest.mark.parametrize(
    "line",
    ["salt-pip install hart-salt", "pip install 'hart-salt[do]'", "pip3 install -U hart_salt", "hart-salt[all]==1.0.0",
     "needs requests: salt-pip install 'hart-salt[vultr]'"],
)  # fmt: skip
def test_the_search_finds_a_recommendation(line: str) -> None:
    assert recommended(line)


@pytest.mark.parametrize(
    "line",
    ["salt-pip install '.[all]'", "salt-pip install dist/hart_salt-1.0.0-py3-none-any.whl", "salt-pip install boto3",
     "pip install 'hart-salt[do] @ https://example.com/hart_salt-1.0.0-py3-none-any.whl'"],
)  # fmt: skip
def test_the_search_finds_nothing_else(line: str) -> None:
    assert recommended(line) == []
