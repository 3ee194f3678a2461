"""The locks of nodes, of batches and of roles."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import EnvironmentFault, Refused
from hart_salt.inventory.flocks import FileLocks
from tests.parts import begun


def lock_files(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "hart/locks").iterdir()]


HOLDER = """
import sys
from hart_salt.inventory.flocks import FileLocks
with FileLocks(sys.argv[1]).claim("a"):
    print("held", flush=True)
    sys.stdin.read()
"""


def held_elsewhere(tmp_path: Path, program: str = HOLDER) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start a process that holds the lock of ``a``, or what ``program`` locks, until its input ends or it is killed."""
    return begun(program, str(tmp_path), says="held")


def locks(tmp_path: Path) -> FileLocks:
    return FileLocks(str(tmp_path))


def test_a_node_locked_by_another_process_is_refused_until_that_ends(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path) as process:
        assert locks(tmp_path).busy("a")
        with pytest.raises(Refused, match="a is being worked on"), locks(tmp_path).claim("a"):
            pytest.fail("claimed twice")
        process.communicate("")
    with locks(tmp_path).claim("a"):
        pass


def test_a_killed_holder_releases_its_lock(tmp_path: Path) -> None:
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


def test_a_lock_covers_one_node_only(tmp_path: Path) -> None:
    with locks(tmp_path).claim("a"), locks(tmp_path).claim("b"):
        assert sorted(lock_files(tmp_path)) == ["a.lock", "b.lock"]


def side_by_side(*works: Callable[[], None]) -> None:
    """Run all in threads to their end; raise the first error of any."""
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


def test_there_are_never_two_holders_even_if_claims_and_removals_overlap(tmp_path: Path) -> None:
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


def test_a_lock_file_that_was_removed_in_between_is_not_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = os.open

    def opened(path: Path, *arguments: Any) -> int:
        monkeypatch.setattr(os, "open", real_open)
        descriptor = real_open(path, *arguments)
        path.unlink()  # by the previous holder, which ends at this moment
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    with locks(tmp_path).claim("a"):
        assert lock_files(tmp_path) == ["a.lock"]
        with pytest.raises(Refused), locks(tmp_path).claim("a"):
            pytest.fail("claimed twice")


def test_checking_whether_a_node_is_busy_disturbs_no_claim(tmp_path: Path) -> None:
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


BATCH_HOLDER = """
import sys
from hart_salt.inventory.flocks import FileLocks
with FileLocks(sys.argv[1]).batch("b1", {"provider": "do"}):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_dead_batch_with_the_mark_of_a_former_key_is_not_judged(tmp_path: Path) -> None:
    with FileLocks(str(tmp_path), "former").batch("b1", {"provider": "do", "owner": "former"}) as claim:
        claim.keep = True
    assert FileLocks(str(tmp_path), "now").dead_batches() == {}
    assert list(FileLocks(str(tmp_path), "former").dead_batches()) == ["b1"]


def test_a_batch_lives_as_long_as_its_operation_and_leaves_no_claim(tmp_path: Path) -> None:
    ours = locks(tmp_path)
    with ours.batch("b1", {"provider": "do"}):
        assert (ours.batch_lives("b1"), ours.batch_lives("b2"), ours.dead_batches()) == (True, False, {})
        assert ours.living_batches() == {"b1": {"provider": "do"}}
    assert not ours.batch_lives("b1")
    with pytest.raises(ZeroDivisionError), ours.batch("b1", {}):
        raise ZeroDivisionError
    assert lock_files(tmp_path) == []


def test_the_claim_of_a_killed_operation_stays_with_its_facts(tmp_path: Path) -> None:
    ours = locks(tmp_path)
    with held_elsewhere(tmp_path, BATCH_HOLDER) as process:
        assert (ours.batch_lives("b1"), ours.dead_batches()) == (True, {})
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert (ours.batch_lives("b1"), ours.dead_batches()) == (False, {"b1": {"provider": "do"}})
        assert ours.living_batches() == {}
    ours.forget_batch("b1")
    ours.forget_batch("b1")
    assert ours.dead_batches() == {}


def test_a_batch_with_remains_keeps_its_claim(tmp_path: Path) -> None:
    with locks(tmp_path).batch("b1", {"provider": "do"}) as claim:
        claim.keep = True
    assert locks(tmp_path).dead_batches() == {"b1": {"provider": "do"}}


def test_a_claim_truncated_by_a_full_disk_is_still_a_claim(tmp_path: Path) -> None:
    with locks(tmp_path).batch("b1", {"provider": "do"}) as claim:
        claim.keep = True
    for content in ('{"prov', "[1]", "[" * 100_000):
        (tmp_path / "hart/locks/b1.batch").write_text(content)
        assert locks(tmp_path).dead_batches() == {"b1": {}}


def test_a_role_is_scaled_by_one_at_a_time(tmp_path: Path) -> None:
    ours, done = locks(tmp_path), []

    def later() -> None:
        with ours.role("app", wait=True) as held:
            done.append(("later", held))

    with ours.role("app", wait=False) as held, ours.role("web", wait=False) as other:
        assert held
        assert other
        with ours.role("app", wait=False) as again:
            assert not again
        waiting = threading.Thread(target=later)
        waiting.start()
        done.append(("first", True))
    waiting.join()
    assert done == [("first", True), ("later", True)]
    assert lock_files(tmp_path) == []


def test_clearing_removes_lock_files_of_dead_processes_and_none_that_is_held(tmp_path: Path) -> None:
    ours = locks(tmp_path)
    with ours.claim("held"), ours.batch("b1", {}) as claim:
        claim.keep = True
        for name in ("dead.lock", "dead.role"):
            (tmp_path / "hart/locks" / name).touch()
        ours.clear()
        assert sorted(lock_files(tmp_path)) == ["b1.batch", "held.lock"]


def test_if_locks_cannot_be_created_each_call_says_so(tmp_path: Path) -> None:
    (tmp_path / "hart").mkdir()
    (tmp_path / "hart/locks").touch()
    here = locks(tmp_path)
    expected = f"move away {tmp_path / 'hart/locks'}, which is not a directory"
    for holder in (here.claim("a"), here.role("app", wait=False), here.batch("b", {})):
        with pytest.raises(EnvironmentFault, match=expected), holder:
            pytest.fail("held")
    with pytest.raises(EnvironmentFault, match=expected):
        here.busy("a")


def test_a_claim_that_fails_on_a_full_disk_is_reported_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(EnvironmentFault, match="free space on the file system of"), locks(tmp_path).batch("b", {}):
        pytest.fail("claimed")
    assert lock_files(tmp_path) == []
