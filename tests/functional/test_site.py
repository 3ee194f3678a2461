"""The documentation as a site: it builds without a warning, and its pages load nothing from other sites."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts]
#: what a browser loads on its own: links are followed by people only
LOADED = re.compile(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="([^"]+)"|<link\b[^>]*\bhref="([^"]+)"')
REMOTE = re.compile(r"(?:https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    # As tools/docs.sh does it.
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-n",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "-d",
        str(place / "cache"),
    ]
    done = subprocess.run([*command, ROOT / "docs", place / "html"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return place / "html"


def html_of(site: Path, page: Path) -> str:
    return (site / page.relative_to(ROOT / "docs").with_suffix(".html")).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_page_has_one_title_and_loads_nothing_from_other_sites(site: Path, page: Path) -> None:
    html = html_of(site, page)
    assert len(re.findall(r"<h1\b", html)) == 1
    loaded = [name for names in LOADED.findall(html) for name in names if name]
    assert loaded
    assert [name for name in loaded if REMOTE.match(name)] == []


def test_no_stylesheet_loads_anything_from_other_sites(site: Path) -> None:
    styles = list(site.rglob("*.css"))
    assert styles
    found = [
        url for path in styles for url in re.findall(r"url\(\s*['\"]?([^'\")]+)", path.read_text(encoding="utf-8"))
    ]
    assert [url for url in found if REMOTE.match(url)] == []


@pytest.mark.parametrize(
    ("tag", "remote"),
    [('<link rel="stylesheet" href="https://example.com/a.css">', True), ('<a href="https://example.com/">', False),
     ('<script src="//example.com/a.js"></script>', True), ('<img src="_images/table.svg">', False)],
)  # fmt: skip
def test_links_are_not_taken_for_what_is_loaded(tag: str, remote: bool) -> None:
    assert any(REMOTE.match(name) for names in LOADED.findall(tag) for name in names if name) is remote
