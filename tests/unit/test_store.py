"""Records in Salt's cache, and locks that a dead process cannot keep."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import salt.cache
import salt.config

from hart_salt.errors import Refused
from hart_salt.store import BANK, SUFFIX, Cache, Record, Store

RECORD = Record(
    minion_id="a", provider="local", driver="local", region="r", size="s", stage="ready", owner="o", batch="b",
    created=1.5, ssh_host_keys=["ssh-ed25519 AAAA"], seconds={"launching": 0.25},
)  # fmt: skip


class MemoryCache:
    """``salt.cache.Cache`` without a disk: what is missing is ``{}`` or ``[]``, and nothing is shared."""

    def __init__(self) -> None:
        self.banks: dict[str, dict[str, Any]] = {}

    def store(self, bank: str, key: str, data: Any) -> None:
        self.banks.setdefault(bank, {})[key] = copy.deepcopy(data)

    def fetch(self, bank: str, key: str) -> Any:
        return copy.deepcopy(self.banks.get(bank, {}).get(key, {}))

    def flush(self, bank: str, key: str) -> None:
        self.banks.get(bank, {}).pop(key, None)

    def list(self, bank: str) -> list[str]:
        return list(self.banks.get(bank, {}))


@pytest.fixture(params=["memory", "localfs"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    """The stand-in, and the real one beside it, which says whether the stand-in is right."""
    if request.param == "memory":
        return MemoryCache()
    real: Cache = salt.cache.Cache({**salt.config.DEFAULT_MASTER_OPTS, "cachedir": str(tmp_path / "cache")})
    return real


@pytest.fixture
def store(cache: Cache, tmp_path: Path) -> Store:
    return Store(cache, str(tmp_path))


def lock_files(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "hart/locks").glob("*")]


def test_a_record_comes_back_as_it_was_put(store: Store) -> None:
    store.put(RECORD)
    assert store.get("a") == RECORD


def test_a_later_record_takes_the_place_of_the_earlier(store: Store) -> None:
    store.put(RECORD)
    store.put(replace(RECORD, stage="failed"))
    assert [record.stage for record in store.all()] == ["failed"]


def test_all_records_come_in_the_order_of_their_ids(store: Store) -> None:
    for minion_id in ("b.x", "a", "c_1"):
        store.put(replace(RECORD, minion_id=minion_id))
    assert [record.minion_id for record in store.all()] == ["a", "b.x", "c_1"]


def test_an_empty_store_has_no_records(store: Store) -> None:
    assert (store.get("a"), store.all()) == (None, [])


def test_removing_can_be_repeated(store: Store) -> None:
    store.put(RECORD)
    store.remove("a")
    store.remove("a")
    assert store.all() == []


def test_fields_of_a_newer_hart_are_passed_over(cache: Cache, store: Store) -> None:
    cache.store(BANK, f"a{SUFFIX}", {**asdict(RECORD), "invented_later": {"x": [1]}})
    assert store.get("a") == RECORD


HOLDER = """
import sys
from hart_salt.store import Store
with Store(None, sys.argv[1]).claim("a"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the lock of ``a`` until its standard input ends, or until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def locks(tmp_path: Path) -> Store:
    return Store(MemoryCache(), str(tmp_path))


def test_a_node_that_another_process_works_on_is_refused_until_that_ends(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path) as process:
        assert locks(tmp_path).busy("a")
        with pytest.raises(Refused, match="a is being worked on"), locks(tmp_path).claim("a"):
            pytest.fail("claimed twice")
        process.communicate("")
    with locks(tmp_path).claim("a"):
        pass


def test_a_holder_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not locks(tmp_path).busy("a")
        with locks(tmp_path).claim("a"):
            assert locks(tmp_path).busy("a")
    assert lock_files(tmp_path) == []


def test_no_lock_file_is_left_whether_the_work_succeeds_or_fails(tmp_path: Path) -> None:
    with locks(tmp_path).claim("a"):
        assert lock_files(tmp_path) == ["a.lock"]
    with pytest.raises(ZeroDivisionError), locks(tmp_path).claim("a"):
        raise ZeroDivisionError
    assert lock_files(tmp_path) == []
    assert not locks(tmp_path).busy("a")


def test_a_lock_is_of_one_node_only(tmp_path: Path) -> None:
    with locks(tmp_path).claim("a"), locks(tmp_path).claim("b"):
        assert sorted(lock_files(tmp_path)) == ["a.lock", "b.lock"]


def side_by_side(*works: Callable[[], None]) -> None:
    """Run all in threads to their end; the first error of any is raised."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_there_are_never_two_holders_however_claims_and_removals_cross(tmp_path: Path) -> None:
    inside: list[int] = []
    held = []

    def hammer() -> None:
        for _ in range(300):
            try:
                with locks(tmp_path).claim("a"):
                    inside.append(1)
                    assert inside == [1]
                    inside.pop()
                    held.append(1)
            except Refused:
                pass

    side_by_side(*[hammer] * 6)
    assert held
    assert lock_files(tmp_path) == []


def test_a_lock_file_that_was_removed_meanwhile_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = os.open

    def opened(path: Path, *arguments: Any) -> int:
        monkeypatch.setattr(os, "open", real_open)
        descriptor = real_open(path, *arguments)
        path.unlink()  # by the holder before, which ends at this moment
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    with locks(tmp_path).claim("a"):
        assert lock_files(tmp_path) == ["a.lock"]
        with pytest.raises(Refused), locks(tmp_path).claim("a"):
            pytest.fail("claimed twice")


def test_looking_whether_a_node_is_busy_disturbs_no_claim(tmp_path: Path) -> None:
    done = threading.Event()

    def claim() -> None:
        try:
            for _ in range(500):
                with locks(tmp_path).claim("a"):
                    pass
        finally:
            done.set()

    def look() -> None:
        while not done.is_set():
            locks(tmp_path).busy("a")

    side_by_side(claim, look, look)
