"""The recorded readings of a fleet."""

from __future__ import annotations

import json
import os
import stat
from datetime import datetime, timezone
from pathlib import Path

import pytest

from hart_salt.fleets.recording import DAYS, last, record

NOON = datetime(2026, 11, 30, 12, tzinfo=timezone.utc).timestamp()
DAY = 86400.0


def test_each_look_is_a_line_of_the_file_of_its_day(tmp_path: Path) -> None:
    assert record(tmp_path, "web", NOON, {"web-2": None, "web-1": 0.123456789}) == ""
    assert record(tmp_path, "web", NOON + 60, {"web-1": 12345678.0, "web-3": float("nan")}) == ""
    (path,) = last(tmp_path, "web")
    assert path.name == "hart-fleet-web-2026-11-30.jsonl"
    assert path.read_text().splitlines() == [
        '{"time":"2026-11-30T12:00:00.000+00:00","values":[0.1235,null]}',
        '{"time":"2026-11-30T12:01:00.000+00:00","values":[12350000.0,null]}',
    ]


def test_only_the_user_of_the_master_can_read_it(tmp_path: Path) -> None:
    record(tmp_path / "new", "web", NOON, {})
    assert stat.S_IMODE(last(tmp_path / "new", "web")[0].stat().st_mode) == 0o600


def test_the_last_day_counts_and_each_fleet_has_its_own_files(tmp_path: Path) -> None:
    for days in (0, 2, 1):
        record(tmp_path, "web", NOON + days * DAY, {"a": days})
    record(tmp_path, "web-2026-12-09", NOON + 9 * DAY, {"a": 9})
    record(tmp_path, "w", NOON + 9 * DAY, {"a": 9})
    assert [path.name for path in last(tmp_path, "web")] == ["hart-fleet-web-2026-12-02.jsonl"]
    assert last(tmp_path, "db") == last(tmp_path / "nowhere", "web") == []


def test_only_the_last_days_are_kept(tmp_path: Path) -> None:
    (tmp_path / "hart-fleet-web-notes.txt").touch()
    record(tmp_path, "db", NOON, {})
    for days in range(12):
        record(tmp_path, "web", NOON + days * DAY, {})
    names = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("hart-fleet-web-2"))
    assert (len(names), names[-1]) == (DAYS, "hart-fleet-web-2026-12-11.jsonl")
    assert len(list(tmp_path.iterdir())) == DAYS + 2


def test_a_full_file_becomes_the_former_one(tmp_path: Path) -> None:
    for minute in range(10):
        record(tmp_path, "web", NOON + 60 * minute, {"a": 1.0}, limit=180)
    files = last(tmp_path, "web")
    assert [path.name for path in files] == ["hart-fleet-web-2026-11-30.jsonl.1", "hart-fleet-web-2026-11-30.jsonl"]
    assert all(path.stat().st_size <= 180 for path in files)
    times = [json.loads(line)["time"] for path in files for line in path.read_text().splitlines()]
    assert times == sorted(times)
    assert times[-1] == "2026-11-30T12:09:00.000+00:00"


def test_a_line_that_was_cut_off_does_not_damage_the_next_one(tmp_path: Path) -> None:
    record(tmp_path, "web", NOON, {})
    (path,) = last(tmp_path, "web")
    path.write_text('{"time":"2026')
    record(tmp_path, "web", NOON, {"a": 1})
    assert json.loads(path.read_text().splitlines()[-1])["values"] == [1.0]


@pytest.mark.parametrize("what", ["link", "fifo", "directory", "parent"])
def test_a_place_where_no_file_can_be_is_a_note(tmp_path: Path, what: str) -> None:
    path = tmp_path / "hart-fleet-web-2026-11-30.jsonl"
    directory = tmp_path
    if what == "link":
        path.symlink_to(tmp_path / "other")
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    else:
        path.touch()
        directory = path
    note = record(directory, "web", NOON, {"a": 1})
    assert note.startswith("the readings of the fleet web cannot be recorded for hart.simulate: ")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("now", [float("nan"), 1e20])
def test_a_time_that_does_not_exist_is_a_note(tmp_path: Path, now: float) -> None:
    assert record(tmp_path, "web", now, {}).startswith("the readings of the fleet web cannot be recorded")
