"""What ``tools/release.sh`` refuses, and what it writes into the changelog; tests/functional makes a whole release."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.git import commit_everything, git
from tools import release

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools/release.sh"
CHANGELOG = "# Changelog\n\n## [1.2.0]\n\n### Added\n\n- A thing.\n\n## [1.1.0] - 2026-01-02\n\n- An older one.\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a git repository with only the files that the script reads before it builds anything."""
    root = tmp_path / "checkout"
    (root / "hart_salt").mkdir(parents=True)
    (root / "hart_salt/__init__.py").write_text('"""A package."""\n\n__version__ = "1.2.0"\n')
    (root / "CHANGELOG.md").write_text(CHANGELOG)
    (root / "tools").mkdir()
    shutil.copy2(ROOT / "tools/release.py", root / "tools")
    commit_everything(root)
    return root


def state(root: Path) -> tuple[str, ...]:
    """Return everything that a release changes."""
    references = git(root, "show-ref", "--head")
    files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if ".git" not in path.parts)
    return references, git(root, "status", "--porcelain"), (root / "CHANGELOG.md").read_text(), *files


def refusal(root: Path, *arguments: str) -> str:
    """Return the only sentence of a refusal, after a check that nothing has changed."""
    before = state(root)
    command: list[str | Path] = [sys.executable, "-B", root / "tools/release.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert state(root) == before
    (line,) = done.stderr.splitlines()
    assert line.startswith("release: ")
    return str(line).removeprefix("release: ")


@pytest.mark.parametrize("version", ["1.0", "1.2.0.1", "1.2.x", "v1.2.0", "1.2.0-1", "1.2.0+local"])
def test_an_invalid_version_is_refused(checkout: Path, version: str) -> None:
    expected = f"'{version}' is not a version; write three numbers, such as 1.0.1, or 1.0.1rc1 for a candidate"
    assert refusal(checkout, version) == expected


@pytest.mark.parametrize("arguments", [("--force",), ("1.2.0", "1.3.0")])
def test_unknown_arguments_are_refused(checkout: Path, arguments: tuple[str, ...]) -> None:
    assert refusal(checkout, *arguments).endswith("; usage: tools/release.sh [--dry-run] [VERSION]")


def test_the_script_refuses_arguments_before_it_makes_an_environment(tmp_path: Path) -> None:
    for argument in ("--force", "v1.2.0", ""):
        done = subprocess.run(
            [SCRIPT, argument], env={**os.environ, "HART_VENV": str(tmp_path / "venv")}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        sentence = f"release: '{argument}' is neither --dry-run nor a version such as 1.0.1\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)
    assert list(tmp_path.iterdir()) == []


def test_uncommitted_changes_are_refused(checkout: Path) -> None:
    (checkout / "notes.txt").touch()
    assert refusal(checkout) == "the checkout has 1 change(s) that are not committed; git status lists them"


def test_another_branch_is_refused(checkout: Path) -> None:
    git(checkout, "switch", "--quiet", "--create", "feature")
    assert refusal(checkout) == "the checkout is on the branch feature; switch to main"
    git(checkout, "switch", "--quiet", "--detach")
    assert refusal(checkout) == "the checkout is on no branch; switch to main"


def test_a_version_that_has_a_tag_is_refused(checkout: Path) -> None:
    git(checkout, "tag", "v1.2.0")
    assert refusal(checkout) == "the tag v1.2.0 exists; choose another version"


@pytest.mark.parametrize("tag", ["v1.10.0", "v1.2.1rc1"])
def test_a_version_below_the_newest_is_refused(checkout: Path, tag: str) -> None:
    git(checkout, "tag", "v1.1.0")
    git(checkout, "tag", tag)
    expected = f"1.2.0 is lower than the newest release, {tag[1:]}; choose a higher version"
    assert refusal(checkout) == expected


def test_a_version_without_a_section_in_the_changelog_is_refused(checkout: Path) -> None:
    expected = "CHANGELOG.md begins with '1.2.0'; write '## [1.3.0]' or '## [Unreleased]' above it"
    assert refusal(checkout, "--dry-run", "1.3.0") == expected


def test_a_package_without_a_version_is_refused(checkout: Path) -> None:
    (checkout / "hart_salt/__init__.py").write_text('"""A package."""\n')
    assert refusal(checkout) == 'hart_salt/__init__.py has no line __version__ = "…"'


def test_a_directory_that_is_no_git_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(release.Refused, match="is no git checkout"):
        release.check_checkout(tmp_path, "1.2.0")


def test_a_candidate_comes_before_its_release() -> None:
    shuffled = ["1.10.0", "1.2.0rc10", "1.2.1rc1", "1.2.0", "1.2.0rc2", "1.2.0rc1"]
    expected = ["1.2.0rc1", "1.2.0rc2", "1.2.0rc10", "1.2.0", "1.2.1rc1", "1.10.0"]
    assert sorted(shuffled, key=release.order) == expected


@pytest.mark.parametrize("heading", ["[1.2.0]", "[Unreleased]", "1.2.0", "[1.2.0] - 2026-02-03"])
def test_the_first_section_gets_version_and_date_and_nothing_else_changes(heading: str) -> None:
    changelog = CHANGELOG.replace("## [1.2.0]", f"## {heading}")
    expected = CHANGELOG.replace("## [1.2.0]", "## [1.2.0] - 2026-11-29")
    assert release.dated(changelog, "1.2.0", "2026-11-29") == expected


@pytest.mark.parametrize(
    ("changelog", "sentence"),
    [
        ("# Changelog\n\nAll of it.\n", "has no section"),
        ("# Changelog\n\n## [1.2.0]\n\n## [1.1.0]\n\n- An older one.\n", "section '1.2.0' is empty"),
        ("# Changelog\n\n## [Unreleased]\n\n### Added\n", "section 'Unreleased' is empty"),
        ("# Changelog\n\n## [1.2.0rc1]\n\n- A thing.\n", "begins with '1.2.0rc1'"),
    ],
)
def test_a_changelog_without_an_entry_for_the_version_is_refused(changelog: str, sentence: str) -> None:
    with pytest.raises(release.Refused, match=sentence):
        release.dated(changelog, "1.2.0", "2026-11-29")
