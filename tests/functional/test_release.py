"""A whole release, as ``tools/release.sh`` makes it, in a git repository that has what the source distribution has."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.builds import ROOT, backend, build
from tests.git import commit_everything, git

VERSION = "1.99.0"
FILES = [f"hart_salt-{VERSION}-py3-none-any.whl", f"hart_salt-{VERSION}.tar.gz"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return backend(tmp_path_factory.mktemp("backend"))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    with tarfile.open(build("sdist", ROOT, tmp_path_factory.mktemp("sdist"), environment)) as archive:
        place = tmp_path_factory.mktemp("source")
        archive.extractall(place, filter="data")
    (root,) = place.iterdir()
    (root / "PKG-INFO").unlink()  # with it, this would be no checkout, and the version there the one to build
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    text = changelog.replace("\n## ", "\n## [Unreleased]\n\n### Added\n\n- A thing.\n\n## ", 1)
    (root / "CHANGELOG.md").write_text(text, encoding="utf-8")
    commit_everything(root)
    return root


def release(root: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, "-B", root / "tools/release.py", *arguments]
    kept = {name: value for name, value in environment.items() if not name.startswith("PYTEST_")}
    return subprocess.run(command, env=kept, capture_output=True, text=True, check=False)


def test_a_dry_run_does_all_of_it_and_changes_nothing(checkout: Path, environment: dict[str, str]) -> None:
    before = git(checkout, "show-ref", "--head")
    done = release(checkout, environment, "--dry-run", VERSION)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'+__version__ = "{VERSION}"' in done.stdout
    assert done.stdout.count("PASSED") == 2
    assert "\x1b" not in done.stdout
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE)
    assert f"{VERSION} would be tagged v{VERSION} on main" in done.stdout
    assert "nothing was changed" in done.stdout
    assert (git(checkout, "show-ref", "--head"), git(checkout, "status", "--porcelain", "--ignored")) == (before, "")


def test_a_release_is_a_commit_a_tag_and_two_files_that_were_checked(
    checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    before = git(checkout, "rev-parse", "HEAD")
    done = release(checkout, {**environment, "TMPDIR": str(tmp_path)}, VERSION)
    assert done.returncode == 0, done.stdout + done.stderr
    assert git(checkout, "rev-parse", "HEAD^", f"v{VERSION}^{{commit}}") == before + git(checkout, "rev-parse", "HEAD")
    assert git(checkout, "cat-file", "-t", f"v{VERSION}") == "tag\n"
    assert git(checkout, "log", "-1", "--format=%an %s") == f"somebody Release {VERSION}\n"
    changed = git(checkout, "show", "--format=", "--unified=0", "HEAD")
    lines = [line for line in changed.splitlines() if re.match(r"[+-](?![+-])", line)]
    assert [re.sub(r"\d{4}-\d\d-\d\d", "TODAY", line) for line in lines if line.startswith("+")] == [
        f"+## [{VERSION}] - TODAY",
        f'+__version__ = "{VERSION}"',
    ]
    assert len(lines) == 4
    assert git(checkout, "status", "--porcelain", "--ignored") == "!! dist/\n"
    assert sorted(path.name for path in (checkout / "dist").iterdir()) == FILES
    assert f"    twine upload dist/{FILES[0]} dist/{FILES[1]}\n" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_release_whose_files_fail_a_check_changes_nothing(checkout: Path, environment: dict[str, str]) -> None:
    pyproject = checkout / "pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")
    pyproject.write_text(text.replace('    "Programming Language :: Python :: 3.12",\n', ""), encoding="utf-8")
    git(checkout, "commit", "--quiet", "--all", "--message", "A classifier too few")
    (checkout / "CHANGELOG.md").write_text("# Changelog\n\n## [2.0.0]\n\n- A thing.\n")
    git(checkout, "commit", "--quiet", "--all", "--message", "A section")
    before, files = git(checkout, "show-ref", "--head"), list((checkout / "dist").glob("*"))
    done = release(checkout, environment, "2.0.0")
    assert done.returncode == 1
    assert "test_every_python_that_it_supports_is_a_classifier" in done.stderr
    assert (git(checkout, "show-ref", "--head"), git(checkout, "status", "--porcelain")) == (before, "")
    assert list((checkout / "dist").glob("*")) == files
