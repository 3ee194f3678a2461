"""The slots of calls: how many run at the same time, in which order, and what happens if one dies."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hart_salt.base import signals
from hart_salt.base.concurrency import MAX_CALLS
from hart_salt.base.errors import Interrupted
from hart_salt.inventory import slots
from hart_salt.inventory.slots import Slots, Ticket
from tests.parts import begun

HOLDER = """
import sys
from hart_salt.inventory.slots import Slots
with Slots(sys.argv[1]).call() as slot:
    slot.take(1)
    print("taken", flush=True)
    sys.stdin.read()
"""


def taken_elsewhere(tmp_path: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start a process that runs as the only call until its input ends or it is killed."""
    return begun(HOLDER, str(tmp_path), says="taken")


class Machine:
    """Calls on one machine; ``meanwhile`` happens at the next pauses of a call that waits, one thing at each."""

    def __init__(self, tmp_path: Path) -> None:
        self.said: list[str] = []
        self.pauses: list[float] = []
        self.meanwhile: list[Callable[[], object]] = []
        self.slots = Slots(str(tmp_path), self._sleep, self.said.append)

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        assert self.meanwhile, "it waits for ever"
        self.meanwhile.pop(0)()

    def running(self, number: int, limit: int) -> list[Ticket]:
        """Return that many calls, each with a slot."""
        tickets = [self.slots.ticket() for _ in range(number)]
        assert [ticket.take(limit) for ticket in tickets] == [False] * number
        return tickets

    def waits(self, ticket: Ticket, limit: int) -> bool:
        """Return whether a call would have to wait; if so, it keeps its place."""
        ticket._queue()
        return not ticket._run(limit)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def nothing() -> None: ...


def test_a_call_beyond_the_limit_waits_for_the_end_of_another_and_says_so_once(machine: Machine) -> None:
    first, _second = machine.running(2, limit=2)
    machine.meanwhile = [nothing, nothing, first.release]
    assert machine.slots.ticket().take(2) is True
    assert machine.said == ["hart: waiting: 2 calls are running (max_calls)"]
    assert machine.meanwhile == []
    assert machine.slots.seen() == (2, 0)


def test_calls_run_in_the_order_in_which_they_began(machine: Machine) -> None:
    (running,) = machine.running(1, limit=1)
    early, late = machine.slots.ticket(), machine.slots.ticket()
    assert machine.waits(early, 1)
    assert machine.waits(late, 1)
    running.release()
    assert not late._run(1)
    assert early._run(1)
    early.release()
    assert late._run(1)


def test_a_call_far_behind_looks_less_often(machine: Machine) -> None:
    machine.running(1, limit=1)
    waiting = [machine.slots.ticket() for _ in range(20)]
    assert all(machine.waits(one, 1) for one in waiting)

    def end() -> None:
        raise Interrupted(signal.SIGINT, "enough")

    for ticket in (waiting[0], waiting[1], waiting[19]):
        machine.meanwhile = [end]
        with pytest.raises(Interrupted):
            ticket._wait(lambda: 1)
    assert machine.pauses == [slots.PAUSE, slots.PAUSE, slots.LONGEST_PAUSE]


def test_a_call_that_is_stopped_while_it_waits_holds_up_no_others(machine: Machine) -> None:
    first, second = machine.running(2, limit=2)
    assert machine.waits(machine.slots.ticket(), 2)  # and is never heard of again
    first.release()
    later = machine.slots.ticket()
    assert machine.waits(later, 2)
    second.release()
    assert later._run(2)


def test_the_kernel_releases_the_slot_of_a_killed_process(tmp_path: Path, machine: Machine) -> None:
    with taken_elsewhere(tmp_path) as process:
        assert machine.slots.seen() == (1, 0)

        def kill() -> None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()

        machine.meanwhile = [kill]
        assert machine.slots.ticket().take(1) is True
    assert machine.slots.seen() == (1, 0)


def test_the_ticket_of_a_dead_call_is_removed(tmp_path: Path, machine: Machine) -> None:
    with taken_elsewhere(tmp_path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    directory = tmp_path / "hart/calls"
    assert len(list(directory.glob("*.runs"))) == 1
    machine.running(1, limit=1)[0].release()
    assert list(directory.glob("*.runs")) == []


def test_a_later_call_has_a_higher_number_even_if_the_clock_was_set_back(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = machine.running(1, limit=2)
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    (second,) = machine.running(1, limit=2)
    assert second._number > first._number


def test_a_call_within_a_call_uses_the_same_slot(machine: Machine) -> None:
    with machine.slots.call() as outer:
        outer.take(1)
        with machine.slots.call() as inner:
            assert inner.take(1) is False
        assert machine.slots.seen() == (1, 0)
        assert slots.own() is outer
    assert machine.slots.seen() == (0, 0)


def test_a_slot_is_free_after_a_call_that_failed(machine: Machine) -> None:
    with pytest.raises(ZeroDivisionError), machine.slots.call() as slot:
        slot.take(1)
        raise ZeroDivisionError
    assert machine.slots.seen() == (0, 0)


def test_calls_in_other_threads_have_slots_of_their_own(machine: Machine) -> None:
    found: list[object] = []
    with machine.slots.call() as slot:
        slot.take(2)
        thread = threading.Thread(target=lambda: found.append(slots.own()))
        thread.start()
        thread.join()
    assert found[0] is not slot


def test_outside_of_a_call_there_is_no_limit(tmp_path: Path) -> None:
    slot = slots.own()
    assert slot.take(1) is False
    slot.take_early()
    slot.release()
    assert not (tmp_path / "hart").exists()


def test_a_call_that_gave_its_slot_back_continues_before_those_that_wait(machine: Machine) -> None:
    (paused,) = machine.running(1, limit=1)
    waiting = machine.slots.ticket()
    assert machine.waits(waiting, 1)
    paused.release()
    assert waiting._run(1)
    late = machine.slots.ticket()
    assert machine.waits(late, 1)
    assert machine.waits(paused, 1)
    waiting.release()
    assert not late._run(1)
    assert paused._run(1)


def test_a_signal_ends_the_wait_and_leaves_no_ticket(machine: Machine) -> None:
    machine.running(1, limit=1)
    machine.meanwhile = [lambda: os.kill(os.getpid(), signal.SIGTERM)]
    with pytest.raises(SystemExit) as ended, signals.heard():
        machine.slots.ticket().take(1)
    assert ended.value.code == 128 + signal.SIGTERM
    assert machine.slots.seen() == (1, 0)


def test_a_signal_ends_the_wait_of_a_call_that_has_done_something(machine: Machine) -> None:
    machine.running(1, limit=1)
    machine.meanwhile = [lambda: os.kill(os.getpid(), signal.SIGINT), nothing]
    with signals.heard() as hearing:
        with hearing.work(nothing):
            pass
        with pytest.raises(Interrupted, match="SIGINT"):
            machine.slots.ticket().take(1)
    assert machine.slots.seen() == (1, 0)


def test_before_the_configuration_is_read_the_limit_is_that_of_the_last_call(machine: Machine) -> None:
    machine.running(3, limit=3)
    early = machine.slots.ticket()
    machine.meanwhile = [lambda: machine.running(1, limit=5)]
    early.take_early()
    assert machine.said == ["hart: waiting: 3 calls are running (max_calls)"]
    assert machine.slots.seen() == (5, 0)


@pytest.mark.parametrize("text", [None, "", "many", "-1", "\udcff"])
def test_without_a_last_limit_it_is_the_default(tmp_path: Path, machine: Machine, text: str | None) -> None:
    if text is not None:
        (tmp_path / "hart/calls").mkdir(parents=True)
        (tmp_path / "hart/calls/limit").write_bytes(text.encode(errors="surrogateescape"))
    assert machine.slots.ticket()._last_limit() == MAX_CALLS


def test_calls_that_took_their_slots_early_do_not_wait_for_each_other_if_the_limit_is_lower(machine: Machine) -> None:
    early = [machine.slots.ticket() for _ in range(3)]
    for ticket in early:
        ticket.take_early()
    for ticket in early:
        ticket._queue()
    assert machine.slots.seen() == (0, 3)
    assert [ticket._run(1) for ticket in early] == [True, False, False]


def test_a_call_whose_early_slot_is_beyond_the_limit_waits(machine: Machine) -> None:
    first, second = machine.slots.ticket(), machine.slots.ticket()
    first.take_early()
    second.take_early()
    machine.meanwhile = [first.release]
    assert second.take(1) is True
    assert machine.slots.seen() == (1, 0)


def test_an_early_slot_is_kept_if_the_limit_is_not_lower(machine: Machine) -> None:
    early = machine.slots.ticket()
    early.take_early()
    assert early.take(MAX_CALLS + 1) is False


def test_without_access_to_the_files_a_call_runs_without_a_slot(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(slots, "_open", full)
    assert machine.slots.ticket().take(1) is False
    assert machine.said == []


def test_no_more_calls_than_the_limit_run_in_many_threads(tmp_path: Path) -> None:
    running, most, lock = 0, 0, threading.Lock()
    ended = threading.Condition()

    def until_one_ends(_: float) -> None:
        with ended:
            ended.wait(1)

    def call() -> None:
        nonlocal running, most
        with Slots(str(tmp_path), until_one_ends, lambda _: None).call() as slot:
            slot.take(3)
            with lock:
                running += 1
                most = max(most, running)
            with lock:
                running -= 1
        with ended:
            ended.notify_all()

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 3
    assert Slots(str(tmp_path)).seen() == (0, 0)
