"""SIGINT, SIGTERM and SIGHUP during a call."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from hart_salt.base import signals
from hart_salt.base.errors import Interrupted
from hart_salt.base.signals import SIGNALS

each_signal = pytest.mark.parametrize("signum", SIGNALS, ids=lambda signum: signum.name)


def send(signum: int) -> None:
    """Send a signal to this process, whose main thread receives it at once."""
    os.kill(os.getpid(), signum)


@each_signal
def test_before_any_work_has_begun_a_signal_ends_the_call_at_once(signum: signal.Signals) -> None:
    with pytest.raises(SystemExit) as stopped, signals.heard():
        send(signum)
    assert stopped.value.code == 128 + signum


@each_signal
def test_any_number_of_signals_cancels_the_work_once_and_the_first_counts(signum: signal.Signals) -> None:
    cancelled: list[bool] = []
    with signals.heard() as hearing:
        with hearing.work(lambda: cancelled.append(True)):
            for each in (signum, *SIGNALS):
                send(each)
        with pytest.raises(Interrupted) as error:
            hearing.check()
    assert (cancelled, error.value.signum) == ([True], signum)


@each_signal
def test_between_two_pieces_of_work_a_signal_is_kept_for_the_next(signum: signal.Signals) -> None:
    with signals.heard() as hearing:
        with hearing.work(lambda: None):
            pass
        send(signum)
        with pytest.raises(Interrupted), hearing.work(lambda: None):
            raise AssertionError("nothing is begun any more")


@each_signal
def test_a_signal_that_is_ignored_from_the_start_stays_ignored(signum: signal.Signals) -> None:
    before = signal.signal(signum, signal.SIG_IGN)
    try:
        with signals.heard() as hearing:
            send(signum)
            signals.exit_with(1)
            send(signum)
        assert hearing.heard == []
        assert signal.getsignal(signum) == signal.SIG_IGN
    finally:
        _reset()
        signal.signal(signum, before)


@each_signal
def test_after_the_work_a_signal_ends_the_process_with_the_exit_code_of_the_work(signum: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in SIGNALS}
    try:
        signals.exit_with(1)
        with pytest.raises(SystemExit) as stopped:
            send(signum)
        assert stopped.value.code == 1
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _reset() -> None:
    for signum in SIGNALS:
        signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)


def test_a_nested_block_shares_the_signals_of_the_outer_one() -> None:
    with signals.heard() as outer, signals.heard() as inner:
        assert inner is outer


def test_a_thread_receives_no_signals() -> None:
    heard: list[bool] = []

    def work() -> None:
        with signals.heard() as hearing, hearing.work(lambda: None):
            heard.append(signal.getsignal(signal.SIGTERM) == before)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [True]
