"""Where a report may be written, and that it is written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hart_salt.base.errors import EnvironmentFault, HartError, Refused
from hart_salt.reports import html_file

REPORT = f"<!DOCTYPE html>\n{html_file.MARK}\nold"


def target(path: object, *, relative: bool = True, force: bool = False) -> Path:
    return html_file.target(str(path), relative=relative, force=force)


def test_a_new_report_can_be_read_by_its_group_and_by_nobody_else(tmp_path: Path) -> None:
    path = target(tmp_path / "x.html")
    html_file.write(path, "näch")
    assert path.read_text(encoding="utf-8") == "näch"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_an_earlier_report_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    path.write_text(REPORT)
    path.chmod(0o604)
    html_file.write(target(path), "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o604)


def test_an_empty_file_is_replaced(tmp_path: Path) -> None:
    """It is what mktemp makes."""
    (tmp_path / "x.html").touch()
    assert target(tmp_path / "x.html")


def test_any_other_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("notes" + " " * 5000 + html_file.MARK)
    with pytest.raises(Refused, match=r"notes\.txt exists and is not a report of hart; .* force=True"):
        target(path)
    assert target(path, force=True) == path


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path, force: bool) -> None:
    (tmp_path / "report.html").write_text(REPORT)
    (tmp_path / "link.html").symlink_to(tmp_path / "report.html")
    for path in (tmp_path / "link.html", tmp_path, Path("/dev/null")):
        with pytest.raises(Refused, match="is not a regular file"):
            target(path, force=force)


def test_a_relative_path_needs_a_working_directory_that_the_user_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert target("x.html") == tmp_path / "x.html"
    with pytest.raises(Refused, match=r"file=x\.html must be an absolute path"):
        target("x.html", relative=False)
    assert target(tmp_path / "x.html", relative=False) == tmp_path / "x.html"


def test_a_tilde_is_the_directory_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell leaves it as it is in file=~/x.html."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert target("~/x.html") == tmp_path / "x.html"
    with pytest.raises(Refused, match="there is no such user"):
        target("~nobody-has-this-name/x.html")


@pytest.mark.parametrize(
    ("file", "sentence"),
    [("missing/x.html", "the directory .*missing does not exist; create it first"), ("x.html/", "is a directory"),
     ("file.txt/x.html", "Not a directory"), ("x" * 300, "File name too long")],
)  # fmt: skip
def test_what_cannot_be_a_report_is_one_sentence(tmp_path: Path, file: str, sentence: str) -> None:
    (tmp_path / "file.txt").touch()
    with pytest.raises(HartError, match=sentence) as caught:
        target(f"{tmp_path}/{file}")
    assert "\n" not in str(caught.value)


def test_a_directory_without_the_right_to_write_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode, effective_ids: False)
    with pytest.raises(Refused, match=f"cannot write to the directory {tmp_path}"):
        target(tmp_path / "x.html")


def test_a_full_disk_leaves_the_former_report_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.html"
    path.write_text(REPORT)

    def full(self: Path, other: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(EnvironmentFault, match="No space left on device.*free space"):
        html_file.write(path, "new")
    assert (path.read_text(), list(tmp_path.iterdir())) == (REPORT, [path])
