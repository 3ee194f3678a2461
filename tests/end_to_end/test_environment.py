"""
Faults of the master's machine: each is one message with the path, the user and what to do, and nothing is half done.

The master has the users, owners and modes of Salt's own packages, see ``packaged_master.py``.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import salt.payload

from hart_salt.inventory.records import BANK, SUFFIX
from tests.end_to_end import tools
from tests.end_to_end.conftest import Ran
from tests.end_to_end.packaged_master import PackagedMaster, packaged
from tests.end_to_end.private_mounts import SALT, SALT_ID

__all__ = ["packaged"]

LIMIT = 256  #: files that a call may have open
THERE = 148  #: files that are open when it starts


@pytest.fixture
def place(packaged: PackagedMaster) -> Iterator[PackagedMaster]:
    """Return the master; its configuration is restored after each test."""
    yield packaged
    packaged.forget()


def failed(ran: Ran, code: int = 2) -> str:
    """Return the one message of a call that was refused."""
    assert ran.code == code, ran
    error: str = ran.data["error"]
    assert "\n" not in error
    assert "defect" not in error
    return error


def put_record(place: PackagedMaster, minion_id: str, data: bytes) -> Path:
    """Write a file in the place of a record, with the owner of a real one."""
    path = place.master.record(minion_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    for one in (path, path.parent, path.parent.parent):
        os.chown(one, SALT_ID, SALT_ID)
    return path


# Salt's own packages


def test_with_salt_s_packages_a_new_user_creates_lists_and_destroys_without_further_steps(
    place: PackagedMaster,
) -> None:
    logs = place.master.cachedir / "hart/log"
    checked = place.master.run("hart.check")
    assert checked.code == 0, checked
    log_file_directory = place.root / "var/log/salt"
    assert checked.data["log directory"] == (
        f"ok: {logs}, because {log_file_directory} cannot be written by the user {SALT}"
    )

    created = place.master.run("hart.create", "a.example", "role=app")
    assert created.code == 0, created
    assert created.data["a.example"]["log"] == str(logs / "a.example.log")
    assert "== done at" in (logs / "a.example.log").read_text()
    assert list(log_file_directory.glob("hart*")) == []

    listed = place.as_salt.run("hart.list_minions")
    assert {name: (one["status"], one["log"]) for name, one in listed.data.items()} == {
        "a.example": ("ready", str(logs / "a.example.log"))
    }

    # Records that can be read and not removed, during a destroy.
    bank = place.master.cachedir / BANK
    os.chown(bank, 0, 0)
    half = place.as_salt.run("hart.destroy", "a.example")
    assert half.code == 1, half
    assert f"could not be removed: the record store cannot be written: {bank}" in half.data["a.example"]["error"]
    os.chown(bank, SALT_ID, SALT_ID)
    assert place.as_salt.run("hart.destroy", "a.example").code == 0
    assert place.master.run("hart.list_minions").data == {}
    assert not any((place.root / "etc/salt/pki/master").glob("minions*/*"))


def test_a_script_that_salt_master_s_user_cannot_read_is_refused_with_path_user_and_remedy(
    place: PackagedMaster,
) -> None:
    closed = place.root / "closed"
    closed.mkdir(0o700)
    (closed / "first.sh").write_text("true\n")
    key = place.root / "key.asc"
    key.touch(0o600)
    error = place.master.run("hart.create", "s", "role=app", f"script={closed}/first.sh", f"salt_repo_key={key}")
    assert error.code == 2, error
    script, repository = error.data["error"].splitlines()
    assert script.startswith(f"script: {closed}/first.sh cannot be read by the user {SALT}")
    assert f"{closed} cannot be entered by that user" in script
    assert repository.startswith(f"salt_repo_key: {key} cannot be read by the user {SALT}")
    assert f"chown -R {SALT} {key}" in repository


# the record store

CALLS = {
    "create": ("hart.create", "n", "role=app"),
    "scale": ("hart.scale", "app", "count=1"),
    "destroy": ("hart.destroy", "n"),
    "sweep": ("hart.sweep",),
}


@contextlib.contextmanager
def closed_store(place: PackagedMaster) -> Iterator[str]:
    """Make the directory of the records root's, as after a call of another user."""
    bank = place.master.cachedir / BANK
    bank.mkdir(parents=True, exist_ok=True)
    os.chown(bank.parent, SALT_ID, SALT_ID)  # only the records are closed: the locks beside them can be written
    os.chown(bank, 0, 0)
    bank.chmod(0o700)
    yield str(bank)
    os.chown(bank, SALT_ID, SALT_ID)


@contextlib.contextmanager
def other_store(place: PackagedMaster, **settings: Any) -> Iterator[None]:
    """Use another store for Salt's cache; salt-run reads that at each call."""
    before = dict(place.master.config)
    place.master.config.update(settings)
    place.master.write()
    yield
    place.master.config.clear()
    place.master.config.update(before)


@pytest.mark.parametrize("call", CALLS)
def test_a_record_store_without_access_stops_every_call_before_anything_is_changed(
    place: PackagedMaster, call: str
) -> None:
    with closed_store(place) as bank:
        error = failed(place.master.run(*CALLS[call]))
        assert error.startswith(f"the record store cannot be read: {bank}: Permission denied")
        assert f"hart runs as the user {SALT}: give {bank} to that user, with chown -R {SALT} {bank}" in error
    assert place.master.run("hart.list_minions").data == {}


@pytest.mark.parametrize("call", ["create", "sweep"])
def test_a_record_store_whose_module_is_missing_is_named_with_what_to_do(place: PackagedMaster, call: str) -> None:
    with other_store(place, **{"cache": "consul", "consul.host": "192.0.2.1"}):
        # Whether the settings fit together is decided first, without a question to the store.
        assert "set hart: coordination to a server" in failed(place.master.run(*CALLS[call]))
        place.master.hart["single_master"] = True
        place.master.write()
        error = failed(place.master.run(*CALLS[call]))
        assert error.startswith("the record store cannot be read: consul at 192.0.2.1: Salt has no such cache driver")
        assert "the setting cache in the master config" in error
        checked = place.master.run("hart.check")
        assert checked.code == 1
        assert checked.data["record store"].startswith("problem: the record store cannot be written: consul")
        assert checked.data["local"].startswith("ok: ")


BROKEN = {
    "list.example": salt.payload.dumps(["no", "mapping"]),
    "missing.example": salt.payload.dumps({"minion_id": "missing.example"}),
    "newer.example": salt.payload.dumps({"format": 2}),
    "truncated.example": salt.payload.dumps({"minion_id": "truncated.example", "provider": "local"})[:-9],
    "empty.example": b"",
}


def test_broken_records_are_shown_and_skipped_and_stop_nothing(place: PackagedMaster) -> None:
    files = [put_record(place, name, data) for name, data in BROKEN.items()]
    folder = place.master.record("folder.example")
    folder.mkdir()
    ids = sorted([*BROKEN, "folder.example"])

    listed = place.master.run("hart.list_minions")
    assert listed.code == 1
    nodes = {name: one for name, one in listed.data.items() if isinstance(one, dict)}
    problems = listed.data["errors"]
    assert {name: one["status"] for name, one in nodes.items()} == dict.fromkeys(ids, "broken record")
    assert [problem.split(" is broken: ")[0] for problem in problems] == [
        f"the record {BANK}/{name}{SUFFIX}" for name in ids
    ]
    checked = place.master.run("hart.check")
    assert checked.code == 1
    assert checked.data["broken records"].startswith("6: the record hart/nodes/empty.example.node is broken: ")

    refused = failed(place.master.run("hart.create", "truncated.example", "role=app"))
    assert f"rm -r {place.master.record('truncated.example')} removes only the record" in refused

    scaled = place.master.run("hart.scale", "app", "count=1")
    assert scaled.code == 0, scaled
    (made,) = scaled.data["created"]
    swept = place.master.run("hart.sweep", "grace=0")
    assert swept.code == 0, swept
    assert swept.data["removed"] == []
    assert sorted(one.stem for one in files if one.exists()) == [f"{name}.node" for name in sorted(BROKEN)]

    # A node with a broken record is found by its tags, and destroyed by its id; so is one with only a record.
    assert put_record(place, made, b"\x81").exists()
    assert place.master.run("hart.show", made).data["status"] == "broken record"
    assert place.master.run("hart.sweep", "grace=0").data["removed"] == []
    gone = place.master.run("hart.destroy", ",".join([made, *ids]))
    assert gone.code == 0, gone
    assert place.master.run("hart.list_minions").data == {}
    assert list((place.master.cachedir / BANK).iterdir()) == []


# open files


def test_more_nodes_than_the_limit_of_open_files_come_up_and_go_in_turns(place: PackagedMaster) -> None:
    # So many files are open already that only one node has room; what hart starts does not inherit them.
    there = f'ulimit -n {LIMIT}; for number in $(seq 50 {49 + THERE}); do eval "exec $number</dev/null"; done'
    limited = replace(place.master, bin=place.mounts.programs("limited", before=there))
    ran = limited.run("hart.create", "f1,f2", "role=app", timeout=300)
    assert ran.code == 0, ran
    assert f"at most 1 nodes are processed at the same time, because no more than {LIMIT} files" in ran.stderr
    stages = re.findall(r"^(f\d) .*\[(launching|done)\]$", ran.stderr, re.MULTILINE)
    assert stages == [("f1", "launching"), ("f1", "done"), ("f2", "launching"), ("f2", "done")]
    assert limited.run("hart.destroy", "f1,f2").code == 0
    assert left(place) == []


# a full disk


@pytest.fixture
def small_disk(place: PackagedMaster) -> Iterator[Path]:
    """Put hart's directory of the cachedir on a separate small disk."""
    directory = place.master.cachedir / "hart"
    directory.mkdir(exist_ok=True)
    place.mounts.disk(directory, f"size=8m,mode=0755,uid={SALT_ID},gid={SALT_ID}")
    yield directory
    place.mounts.run("umount", "--lazy", directory)


def fill(place: PackagedMaster, directory: Path) -> None:
    """Fill the disk."""
    place.mounts.run("sh", "-c", f"cat /dev/zero >{directory}/filling 2>/dev/null; true")


def test_with_a_full_disk_nothing_is_started(place: PackagedMaster, small_disk: Path) -> None:
    fill(place, small_disk)
    error = failed(place.master.run("hart.create", "n.example", "role=app"))
    assert "No space left on device" in error
    assert f"hart runs as the user {SALT}: free space on the file system of {small_disk}" in error
    checked = place.master.run("hart.check")
    assert checked.code == 1
    assert "No space left on device" in checked.data["record store"]
    place.mounts.run("rm", small_disk / "filling")
    assert left(place) == []


@pytest.mark.parametrize("point", ["launch", "script"])
def test_a_disk_that_fills_during_a_call_undoes_the_node_and_reports_it(
    place: PackagedMaster, small_disk: Path, point: str
) -> None:
    with tried(place) as trial:
        if point == "launch":
            trial.hold("launch", "n")
        else:
            trial.hold_script("n", "script", tools.BEFORE_KEY)
        with tools.running(place.master, "hart.create", "n", "role=app") as run:
            trial.wait(point, "n")
            fill(place, small_disk)
            trial.go(point, "n")
            done = tools.ended(run)
    assert done.code == 1, done
    error = done.data["n"]["error"]
    # A local node's own files are on that disk too: its script may end before the master writes anything.
    assert "No space left on device" in error or (point == "script" and error.startswith("the bootstrap")), error
    assert "defect" not in error
    place.mounts.run("rm", small_disk / "filling")
    assert left(place) == []


# the master


def test_a_master_that_stops_during_a_call_fails_the_node_and_undoes_it(place: PackagedMaster) -> None:
    with tried(place) as trial:
        trial.hold_script("n", "script", tools.BEFORE_KEY)
        with tools.running(place.master, "hart.create", "n", "role=app", "ready_timeout=3") as run:
            trial.wait("script", "n")
            place.stop()
            trial.go("script", "n")
            done = tools.ended(run)
    assert done.code == 1, done
    assert f"no salt-master is running on the sockets in {place.socket.parent}" in done.data["n"]["error"]
    assert left(place) == []
    place.forget()
    assert failed(place.master.run("hart.create", "m", "role=app")).startswith("no salt-master is running")
    place.start()


def left(place: PackagedMaster) -> list[str]:
    """Return what nodes have left in the cachedir and the key store, as seen in the namespace."""
    places = [place.master.cachedir / "hart" / part for part in ("nodes", "local/local", "locks")]
    keys = place.root / "etc/salt/pki/master"
    script = f"find {shlex.join(map(str, places))} {keys}/minions* -mindepth 1 -maxdepth 1 2>/dev/null; true"
    return place.mounts.run("sh", "-c", script).split()


@contextlib.contextmanager
def tried(place: PackagedMaster) -> Iterator[tools.Trial]:
    """Install the driver ``trial``, whose files the master's user can read and write."""
    with tools.tried(place.master) as trial:
        for path in (trial.path, *trial.path.rglob("*")):
            path.chmod(0o777)
        yield trial
