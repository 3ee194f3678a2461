"""Blocking calls, the event loop and signals."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest

from hart_salt.base import concurrency
from hart_salt.base.concurrency import Calls, uninterrupted
from hart_salt.base.errors import Interrupted
from hart_salt.base.signals import SIGNALS
from hart_salt.base.stopping import COUNTS_AS, Stop
from tests.parts import begun

#: works until it is cancelled, then runs an undo that takes a while
WORKER = """
import asyncio, sys
from hart_salt.base import concurrency
from hart_salt.base.errors import Interrupted

async def main():
    try:
        print("begun", flush=True)
        await asyncio.Event().wait()
    finally:
        print("undoing", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        print("undone", flush=True)

try:
    concurrency.run(main)
except Interrupted as error:
    print(error.signum, error, flush=True)
"""


def worker() -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    """Start a process that runs ``WORKER``. Its undo ends when it gets a line."""
    return begun(WORKER, says="begun")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_undoes_the_work_and_is_named(signum: signal.Signals) -> None:
    with worker() as process:
        process.send_signal(signum)
        out, err = process.communicate("\n")
    assert out.splitlines() == ["undoing", "undone", f"{signum.value} interrupted by {signum.name}"]
    assert err == f"hart: {signum.name}: rolling back unfinished work\n"


def test_further_signals_do_not_end_the_undo() -> None:
    with worker() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "undoing\n"
        assert "rolling back" in process.stderr.readline()
        for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            process.send_signal(signum)
            assert process.stderr.readline() == f"hart: {signum.name}: still rolling back unfinished work\n"
        out, _ = process.communicate("\n")
    assert out.splitlines()[0] == "undone"
    assert process.returncode == 0


def test_a_signal_is_named_also_if_the_work_ends_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start = concurrency._Work.start

    def starting(work: concurrency._Work) -> None:
        start(work)
        signal.raise_signal(signal.SIGTERM)
        work.join()

    monkeypatch.setattr(concurrency._Work, "start", starting)
    with pytest.raises(Interrupted):
        concurrency.run(asyncio.Event().wait)  # type: ignore[arg-type]
    assert capsys.readouterr().err == "hart: SIGTERM: rolling back unfinished work\n"


def test_signal_handlers_are_restored() -> None:
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    during = {}

    async def main() -> None:
        during.update({signum: signal.getsignal(signum) for signum in SIGNALS})

    concurrency.run(main)
    assert all(during[signum] != before[signum] for signum in before)
    assert {signum: signal.getsignal(signum) for signum in SIGNALS} == before


def test_in_a_thread_of_a_reactor_the_work_runs_without_signal_handlers() -> None:
    done = []

    async def main() -> None:
        done.append(threading.current_thread().name)

    thread = threading.Thread(target=concurrency.run, args=(main,))
    thread.start()
    thread.join()
    assert done == ["hart-loop"]


def test_the_error_of_the_work_is_raised_to_the_caller() -> None:
    async def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        concurrency.run(main)


def test_uninterrupted_work_is_finished_before_the_interruption_is_raised() -> None:
    finished = []

    async def main() -> None:
        go = asyncio.Event()

        async def work() -> None:
            await go.wait()
            finished.append(True)

        task = asyncio.create_task(uninterrupted(work()))
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert finished == [True]


def test_the_failure_of_uninterrupted_work_is_the_cause_of_the_interruption() -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def work() -> None:
            await go.wait()
            raise ZeroDivisionError

        async def interrupted() -> None:
            with pytest.raises(asyncio.CancelledError) as caught:
                await uninterrupted(work())
            causes.append(caught.value.__cause__)

        task = asyncio.create_task(interrupted())
        await asyncio.sleep(0)
        task.cancel()
        go.set()
        await task

    causes: list[object] = []
    asyncio.run(main())
    assert isinstance(causes[0], ZeroDivisionError)


def test_work_without_an_interruption_returns_its_result_or_raises_its_error() -> None:
    async def seven() -> int:
        return 7

    async def fail() -> int:
        raise ZeroDivisionError

    assert asyncio.run(uninterrupted(seven())) == 7
    with pytest.raises(ZeroDivisionError):
        asyncio.run(uninterrupted(fail()))


# blocking context managers


def test_a_blocking_context_manager_is_entered_and_left_in_threads() -> None:
    threads: list[str] = []

    @contextlib.contextmanager
    def held() -> Iterator[str]:
        threads.append(threading.current_thread().name)
        yield "held"
        threads.append(threading.current_thread().name)

    async def main() -> None:
        with Calls() as calls:
            async with concurrency.entered(calls.salt, held()) as found:
                assert found == "held"

    asyncio.run(main())
    assert [name.partition("_")[0] for name in threads] == ["hart-salt", "hart-salt"]


def test_a_blocking_context_manager_is_left_although_its_entry_was_cancelled() -> None:
    go, left = threading.Event(), threading.Event()

    @contextlib.contextmanager
    def held() -> Iterator[None]:
        assert go.wait(300)
        yield
        left.set()

    async def main() -> None:
        with Calls() as calls:

            async def work() -> None:
                async with concurrency.entered(calls.salt, held()):
                    pytest.fail("it was cancelled before")

            task = asyncio.ensure_future(work())
            for _ in range(3):
                await asyncio.sleep(0)
            task.cancel()
            go.set()
            await asyncio.wait([task])
            assert (task.cancelled(), left.is_set()) == (True, True)

    asyncio.run(main())


def test_a_blocking_context_manager_that_cannot_be_entered_is_not_left() -> None:
    @contextlib.contextmanager
    def held() -> Iterator[None]:
        raise ZeroDivisionError
        yield

    async def main() -> None:
        with Calls() as calls:
            async with concurrency.entered(calls.salt, held()):
                pytest.fail("it was not entered")

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())


# time limits


def test_work_within_its_time_returns_its_result_or_raises_its_error() -> None:
    async def main() -> None:
        assert await concurrency.within(asyncio.sleep(0, "done"), 60) == "done"
        with pytest.raises(ValueError, match="no such"):
            await concurrency.within(_failing(), 60)

    asyncio.run(main())


async def _failing() -> None:
    await asyncio.sleep(0)
    raise ValueError("no such thing")


def test_work_that_takes_too_long_is_cancelled_and_has_ended() -> None:
    ends: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ends.append("ended")

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await concurrency.within(work(), 0)

    asyncio.run(main())
    assert ends == ["ended"]


def test_work_that_another_task_cancelled_did_not_time_out() -> None:
    async def main() -> None:
        work = asyncio.get_running_loop().create_future()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await concurrency.within(work, 60)

    asyncio.run(main())


def test_a_cancellation_that_arrives_as_the_work_ends_is_not_lost() -> None:
    async def main() -> None:
        found = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(concurrency.within(found, 60))
        await asyncio.sleep(0)
        found.set_result("it is there")
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())


def test_asyncio_does_not_complain_about_a_failure_hidden_by_a_cancellation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("no such thing")

    async def main() -> None:
        task = asyncio.ensure_future(concurrency.within(work(), 60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())
    gc.collect()
    assert [one for one in caplog.records if one.name == "asyncio" and one.levelno >= logging.WARNING] == []


def test_a_task_that_loses_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "AGAIN", 0)
    undone: list[str] = []

    async def careless() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            for _ in range(1000):  # limited, so that a failure does not hang
                await asyncio.sleep(0)
        finally:
            undone.append("careless")

    async def main() -> None:
        tasks = [asyncio.ensure_future(careless()), asyncio.ensure_future(asyncio.sleep(3600))]
        await asyncio.sleep(0)
        await concurrency.ended(tasks)
        assert [task.cancelled() for task in tasks] == [True, True]

    asyncio.run(main())
    assert undone == ["careless"]


def test_cancelled_tasks_are_awaited_even_if_the_wait_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(concurrency, "AGAIN", 0)
    undone: list[str] = []

    async def undo() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        undone.append("undone")

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await uninterrupted(undo())

    async def main() -> None:
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        ending = asyncio.ensure_future(concurrency.ended([task]))
        await asyncio.sleep(0)
        ending.cancel()
        await asyncio.wait([ending])
        assert (ending.cancelled(), task.cancelled(), undone) == (True, True, ["undone"])

    asyncio.run(main())


# the end of a call by another thread


def test_another_thread_ends_the_work_as_a_signal_does_also_in_a_reactor() -> None:
    stop, undone, errors = Stop(), [], []

    async def main() -> None:
        try:
            threading.Thread(target=stop.stop, args=("the lease was lost",)).start()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            undone.append(True)

    def call() -> None:
        try:
            concurrency.run(main, stop)
        except Interrupted as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(60)
    assert (undone, [(error.signum, str(error)) for error in errors]) == ([True], [(COUNTS_AS, "the lease was lost")])


def test_nothing_begins_after_the_call_was_stopped() -> None:
    stop = Stop()
    stop.stop("the lease was lost")
    stop.stop("a second reason")
    with pytest.raises(Interrupted, match="^the lease was lost$"):
        concurrency.run(lambda: pytest.fail("begun"), stop)


def test_work_that_ends_by_itself_when_the_call_is_stopped_is_done() -> None:
    stop = Stop()

    async def main() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            stop.stop("too late")
            await asyncio.sleep(60)

    concurrency.run(main, stop)
    with pytest.raises(Interrupted):
        stop.check()
