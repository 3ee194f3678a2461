"""Which directory the nodes' logs go to."""

from __future__ import annotations

from pathlib import Path

import pytest

from hart_salt.base import logs


@pytest.fixture
def cachedir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_they_are_beside_the_masters_own_and_nothing_is_made(tmp_path: Path, cachedir: Path) -> None:
    assert logs.choose(str(tmp_path / "new/log/master"), str(cachedir)) == logs.LogDirectory(
        str(tmp_path / "new/log/hart")
    )
    assert list(tmp_path.iterdir()) == []


def test_without_a_file_of_the_master_they_are_below_the_cachedir(cachedir: Path) -> None:
    assert logs.choose("file:///dev/log", str(cachedir)) == logs.LogDirectory(
        str(cachedir / "hart/log"), "the master does not log to a file"
    )


def test_what_is_no_directory_sends_them_below_the_cachedir(tmp_path: Path, cachedir: Path) -> None:
    (tmp_path / "log").touch()
    chosen = logs.choose(str(tmp_path / "log/master"), str(cachedir))
    assert chosen.path == str(cachedir / "hart/log")
    assert chosen.note.startswith(f"because {tmp_path / 'log'} is not a directory")


def test_a_link_that_leads_nowhere_does_too(tmp_path: Path, cachedir: Path) -> None:
    (tmp_path / "hart").symlink_to(tmp_path / "missing")
    assert logs.choose(str(tmp_path / "master"), str(cachedir)).path == str(cachedir / "hart/log")


def test_old_logs_that_cannot_be_looked_at_keep_nobody_from_anything(tmp_path: Path) -> None:
    (tmp_path / "folder.log").mkdir()
    (tmp_path / "lost.log").symlink_to(tmp_path / "missing")
    (tmp_path / "old.log").write_text("x == done at 2.00 s\n")
    logs.remove_old_logs(str(tmp_path), 1, 1e12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.log", "lost.log"]
    logs.remove_old_logs(str(tmp_path / "old"), 1, 1e12)
