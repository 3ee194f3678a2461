"""The journal: bounded, append-only, one line of JSON for each entry, and never a reason for a failure."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.gate import Gate
from hart_salt.inventory import journal
from hart_salt.inventory.journal import FILE, FORMER, Entry, Journal, entry
from tests.unit.inventory.test_records import RECORD

NOON = 1_700_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a journal in a directory that does not exist yet."""
    return tmp_path / "log" / FILE


def journal_at(path: Path | None, **more: Any) -> Journal:
    """Return a journal of a call by alice at noon."""
    return Journal(path, Gate(), by="alice", function="hart.create", **{"clock": lambda: NOON, **more})


def created(minion_id: str = "web1", **more: Any) -> Entry:
    """Return an entry about a node that was created."""
    return Entry("create", minion_id, True, **more)


def test_an_entry_is_read_as_it_was_written(path: Path) -> None:
    """All fields survive; the time and who called come from the call."""
    one = entry(
        "create", RECORD, seconds=12.5, stages={"launching": 1.5}, monthly_price=4.0, currency="EUR",
        details={"ip": "192.0.2.1"}, error="a sentence",
    )  # fmt: skip
    journal_at(path).write(one)
    assert journal_at(path).read() == [dataclasses.replace(one, time=NOON, by="alice", function="hart.create")]


def test_a_line_has_iso_times_and_only_what_is_known(path: Path) -> None:
    """A person reads the file with ``grep`` and ``jq``."""
    journal_at(path).write(created(created=NOON - 60))
    assert json.loads(path.read_text()) == {
        "v": 1, "time": "2023-11-14T22:13:20.000+00:00", "action": "create", "minion_id": "web1", "result": True,
        "kind": "minion", "function": "hart.create", "by": "alice", "created": "2023-11-14T22:12:20.000+00:00",
    }  # fmt: skip


def test_other_users_cannot_read_it(path: Path) -> None:
    """The mode does not depend on the umask."""
    before = os.umask(0)
    try:
        journal_at(path).write(created())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_mode_that_the_operator_chose_stays(path: Path) -> None:
    """Only a new file gets its mode from hart."""
    journal_at(path).write(created())
    path.chmod(0o600)
    journal_at(path).write(created())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_secret_and_no_control_character_is_written(path: Path) -> None:
    """Every text passes the gate, keys included."""
    gate = Gate()
    gate.secrets.add("hunter2hunter2")
    one_call = Journal(path, gate, by="bob\x1b[2J\nhunter2hunter2")
    one_call.write(created(error="it said hunter2hunter2", details={"hunter2hunter2": "hunter2hunter2"}))
    assert "hunter2" not in path.read_text()
    assert "\x1b" not in path.read_text()
    assert len(path.read_text().splitlines()) == 1
    (one,) = one_call.read()
    assert one.details == {"***": "***"}


def test_texts_are_bounded(path: Path) -> None:
    """An event can contain anything."""
    details = {f"{n} {'k' * 1000}": "d" * 10_000 for n in range(1000)}
    journal_at(path).write(created("w" * 10_000, by="b" * 10_000, error="e" * 10_000, details=details))
    (one,) = journal_at(path).read()
    assert (len(one.by), len(one.error), len(one.details)) == (journal.TEXT, journal.ERROR, journal.ITEMS)
    assert path.stat().st_size < 32 * 1024


def test_selects_entries(path: Path) -> None:
    """By time, id and role; ``limit`` keeps the last ones."""
    for number in range(4):
        journal_at(path).write(created(f"web{number}", time=NOON + number, role="app" if number % 2 else None))

    def names(**how: Any) -> list[str]:
        return [one.minion_id for one in journal_at(path).read(**how)]

    assert names(since=NOON + 1, until=NOON + 3) == ["web1", "web2"]
    assert names(minion_id="web2") == ["web2"]
    assert names(role="app") == ["web1", "web3"]
    assert names(limit=1) == ["web3"]
    assert names(limit=0) == []


def test_entries_are_in_the_order_of_their_times(path: Path, tmp_path: Path) -> None:
    """Entries of calls that could not write next to the master's log are below the cachedir."""
    other = tmp_path / "cache" / FILE
    journal_at(other).write(created("second", time=NOON + 1))
    journal_at(path).write(created("third", time=NOON + 2))
    journal_at(path).write(created("first", time=NOON))
    assert [one.minion_id for one in journal_at(path, others=[other]).read()] == ["first", "second", "third"]


def test_there_are_two_files_at_most(path: Path) -> None:
    """A full file takes the place of the former one; no entry of the last file is lost."""
    for number in range(100):
        journal_at(path, limit=2000).write(created(f"web{number:03}"))
    assert sorted(file.name for file in path.parent.iterdir()) == [FILE, FORMER]
    assert all(file.stat().st_size <= 2000 for file in path.parent.iterdir())
    names = [one.minion_id for one in journal_at(path).read()]
    assert names == [f"web{number:03}" for number in range(100 - len(names), 100)]
    assert len(names) > 10


def test_a_process_that_was_stopped_during_a_rotation_stops_nobody(path: Path) -> None:
    """The lock is only tried; the entry is appended to the full file."""
    journal_at(path).write(created("web1"))
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        journal_at(path, limit=10).write(created("web2"))
    assert [one.minion_id for one in journal_at(path).read()] == ["web1", "web2"]
    assert not path.with_name(FORMER).exists()


def test_a_file_that_another_process_has_just_rotated_is_not_rotated_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the new file, with one entry, would take the place of the full one."""
    journal_at(path).write(created("old"))
    flock = fcntl.flock

    def rotated_by_another(descriptor: int, how: int) -> None:
        flock(descriptor, how)
        if not path.with_name(FORMER).exists():
            path.rename(path.with_name(FORMER))
            path.write_text("")

    monkeypatch.setattr(fcntl, "flock", rotated_by_another)
    journal_at(path, limit=200).write(created("new"))
    assert [one.minion_id for one in journal_at(path).read()] == ["old", "new"]
    assert "old" in path.with_name(FORMER).read_text()


def _write_many(path: Path, name: str) -> None:
    one_call = journal_at(path)
    for number in range(200):
        one_call.write(created(f"{name}-{number}", details={"filler": "x" * 150}))


def test_processes_write_side_by_side(path: Path) -> None:
    """Each entry is one write at the end of the file."""
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=_write_many, args=(path, name)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    one_call = journal_at(path)
    assert len({one.minion_id for one in one_call.read()}) == 800
    assert one_call.notes == []


def test_an_entry_after_a_torn_line_is_whole(path: Path) -> None:
    """A full disk can cut a line off; the next entry begins on a line of its own."""
    journal_at(path).write(created("web1"))
    with path.open("ab") as file:
        file.write(b'{"v": 1, "action": "cre')
    one_call = journal_at(path)
    one_call.write(created("web2"))
    assert [one.minion_id for one in one_call.read()] == ["web1", "web2"]
    assert one_call.notes == [f"damaged or foreign lines of the journal that were skipped: 1 ({path})"]


GOOD: dict[str, Any] = {
    "v": 1, "time": "2023-11-14T22:13:20+00:00", "action": "create", "minion_id": "web1", "result": True,
}  # fmt: skip


def line(**changed: Any) -> bytes:
    """Return a line with changed fields; one with ``...`` is left out."""
    return json.dumps({name: value for name, value in {**GOOD, **changed}.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    "foreign",
    [
        b"\xff\xfe", b"[]", b"1", b"[" * 100_000, line(v=2), line(v=...), line(time=...), line(time=5),
        line(time="noon"), line(time="2023-11-14T22:13:20"), line(result="yes"), line(result=1), line(minion_id=None),
        line(by=["x"]), line(seconds="5"), line(seconds=float("inf")), line(stages={"a": "b"}), line(details={"a": 1}),
        line(details=[]), line(action={}),
    ],
)  # fmt: skip
def test_a_foreign_line_is_skipped_and_counted(path: Path, foreign: bytes) -> None:
    """Anybody who may write the file may have written it; a newer hart may have, too."""
    journal_at(path).write(created("web1"))
    with path.open("ab") as file:
        file.write(foreign + b"\n")
    journal_at(path).write(created("web2"))
    one_call = journal_at(path)
    assert [one.minion_id for one in one_call.read()] == ["web1", "web2"]
    assert one_call.notes == [f"damaged or foreign lines of the journal that were skipped: 1 ({path})"]


def test_a_field_of_a_newer_hart_is_ignored() -> None:
    """The format number says whether a line can be read."""
    assert journal.parse(line(colour="blue")) == Entry("create", "web1", True, time=NOON)


@pytest.mark.parametrize("action", [os.open, os.write, os.mkdir])
def test_a_disk_that_takes_nothing_is_a_note(path: Path, monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    """A call must not fail because of its journal; one note says so, however many entries are missing."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, action.__name__, full)
    one_call = journal_at(path)
    one_call.write(created("web1"))
    one_call.write(created("web2"))
    (note,) = one_call.notes
    assert note.startswith("hart.history lacks entries of this call, because the journal cannot be written: ")
    assert str(path) in note


def test_a_line_that_found_only_half_its_room_is_a_note(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel reports a short write, and no error."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
    one_call = journal_at(path)
    one_call.write(created("web1"))
    assert len(one_call.notes) == 1


def test_a_pipe_in_its_place_stops_nothing(path: Path) -> None:
    """Nobody reads the pipe: opening it for writing would wait forever."""
    path.parent.mkdir()
    os.mkfifo(path)
    one_call = journal_at(path)
    one_call.write(created())
    assert "is not a file" in one_call.notes[0]


def test_a_link_in_its_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    """Who may write in the directory must not choose another file to be changed."""
    path.parent.mkdir()
    (tmp_path / "other").write_text("")
    path.symlink_to(tmp_path / "other")
    one_call = journal_at(path)
    one_call.write(created())
    assert len(one_call.notes) == 1
    assert (tmp_path / "other").read_text() == ""


def test_what_cannot_be_written_as_json_is_a_note(path: Path) -> None:
    """Whatever a caller passes, its own work goes on."""
    one_call = journal_at(path)
    one_call.write(created(seconds=float("nan")))
    one_call.write(created(created=1e300))
    assert len(one_call.notes) >= 1
    assert one_call.read() == []


def test_a_file_that_cannot_be_read_is_a_note(path: Path) -> None:
    """The other files are read all the same."""
    journal_at(path).write(created())
    path.with_name(FORMER).mkdir()
    one_call = journal_at(path)
    assert len(one_call.read()) == 1
    assert one_call.notes[0].startswith("entries of the journal are missing: ")


def test_no_journal_is_empty() -> None:
    """Without a path nothing is written, and nothing is missing."""
    one_call = journal_at(None)
    one_call.write(created())
    assert (one_call.read(), one_call.notes) == ([], [])
