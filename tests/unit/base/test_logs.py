"""The directory of the nodes' logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hart_salt.base import logs


@pytest.fixture
def cachedir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_logs_are_next_to_the_master_s_log_and_nothing_is_created(tmp_path: Path, cachedir: Path) -> None:
    assert logs.choose(str(tmp_path / "new/log/master"), str(cachedir)) == logs.LogDirectory(
        str(tmp_path / "new/log/hart"), other=str(cachedir / "hart/log")
    )
    assert list(tmp_path.iterdir()) == []


def test_without_a_log_file_of_the_master_logs_are_below_the_cachedir(cachedir: Path) -> None:
    assert logs.choose("file:///dev/log", str(cachedir)) == logs.LogDirectory(
        str(cachedir / "hart/log"), "the master does not log to a file"
    )


def test_if_the_place_is_not_a_directory_logs_are_below_the_cachedir(tmp_path: Path, cachedir: Path) -> None:
    (tmp_path / "log").touch()
    chosen = logs.choose(str(tmp_path / "log/master"), str(cachedir))
    assert chosen.path == str(cachedir / "hart/log")
    assert chosen.note.startswith(f"because {tmp_path / 'log'} is not a directory")


def test_if_the_place_is_a_dangling_link_logs_are_below_the_cachedir(tmp_path: Path, cachedir: Path) -> None:
    (tmp_path / "hart").symlink_to(tmp_path / "missing")
    assert logs.choose(str(tmp_path / "master"), str(cachedir)).path == str(cachedir / "hart/log")


def test_unreadable_old_logs_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder.log").mkdir()
    (tmp_path / "lost.log").symlink_to(tmp_path / "missing")
    (tmp_path / "old.log").write_text("x == done at 2.00 s\n")
    logs.remove_old_logs(str(tmp_path), 1, 1e12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.log", "lost.log"]
    logs.remove_old_logs(str(tmp_path / "old"), 1, 1e12)
