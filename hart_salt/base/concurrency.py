"""
Blocking calls and the event loop.

The loop runs in its own thread, because Salt has its own loops in the thread that calls a runner. The calling thread
waits, and turns SIGINT, SIGTERM and SIGHUP into a cancellation of the work, which rolls back whatever is unfinished;
see ``signals.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from hart_salt.base import signals
from hart_salt.base.stopping import Stop
from hart_salt.base.streams import print_stderr

T = TypeVar("T")

DRIVER_THREADS = 16
#: the calls of hart that change something at the same time on one machine, unless ``max_calls`` says otherwise
MAX_CALLS = 8
COLLECT_AFTER = 5000  #: new objects after which Python looks for garbage among them
AGAIN = 1.0  #: seconds after which a cancelled task that has not ended is cancelled again


class Calls:
    """
    A context manager for calling blocking functions from the event loop.

    ``salt`` calls functions one after another, in order and in one thread, because Salt's loaders are not thread-safe.

    ``driver`` calls functions in parallel, in a few threads.

    ``aside`` calls a function in a daemon thread: for waits that are abandoned when their deadline has passed.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.sleep = sleep
        self._salt = ThreadPoolExecutor(1, thread_name_prefix="hart-salt")
        self._driver = ThreadPoolExecutor(DRIVER_THREADS, thread_name_prefix="hart-driver")

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        self._salt.shutdown()
        self._driver.shutdown()

    def salt(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Call a function of ``Master`` or ``Store``."""
        return asyncio.get_running_loop().run_in_executor(self._salt, function, *arguments)

    def driver(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Call a function of a driver."""
        return asyncio.get_running_loop().run_in_executor(self._driver, function, *arguments)

    def aside(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Call a function that may never return."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # the result is set if there is no error

        def work() -> None:
            result, error = None, None
            try:
                result = function(*arguments)
            except BaseException as caught:
                error = caught
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(settle, result, error)

        threading.Thread(target=work, name="hart-aside", daemon=True).start()
        return future


async def uninterrupted(work: Awaitable[T]) -> T:
    """
    Wait until ``work`` ends, whatever happens in between.

    A cancellation that arrives during the wait is raised once the work is done: a call to a cloud cannot be taken back,
    and its outcome must be known.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    failure = task.exception()
    if cancelled:
        raise asyncio.CancelledError from failure
    return task.result()


@contextlib.asynccontextmanager
async def entered(call: Callable[..., Awaitable[Any]], manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """
    Enter and leave a context manager that blocks, in threads: ``call`` is a method of ``Calls``.

    It is always left if it was entered, even if the caller is cancelled in between. It does not get the exception of
    the block.
    """
    found: list[T] = []

    async def enter() -> None:
        found.append(await call(manager.__enter__))

    async def leave() -> None:
        await call(manager.__exit__, None, None, None)

    try:
        await uninterrupted(enter())
        yield found[0]
    finally:
        if found:
            await uninterrupted(leave())


async def within(work: Awaitable[T], seconds: float) -> T:
    """
    Wait for ``work`` for at most ``seconds``, and return its result.

    Raises ``asyncio.TimeoutError`` if it took longer; the work has been cancelled and has ended by then. A cancellation
    is always raised, even one that arrives as the work ends: before Python 3.12 ``asyncio.wait_for`` returns the result
    instead, and the cancelled caller would continue.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        await _end(task)
        raise
    if not task.done():
        await _end(task)
        if task.cancelled():
            raise asyncio.TimeoutError
    return task.result()


async def _end(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # asyncio complains about an exception that nobody retrieved


async def ended(tasks: Collection[asyncio.Future[Any]]) -> None:
    """
    Cancel tasks and wait for all of them, whatever happens in between.

    The cancellation is repeated every ``AGAIN`` seconds, because a library can lose one, as ``asyncio.wait_for`` does
    before Python 3.12. Use ``uninterrupted`` for work that must not be cut off, such as an undo.
    """

    async def work() -> None:
        waiting: Collection[asyncio.Future[Any]] = tasks
        while waiting:
            for task in waiting:
                task.cancel()
            _, waiting = await asyncio.wait(waiting, timeout=AGAIN)

    await uninterrupted(work())


def run(main: Callable[[], Coroutine[Any, Any, None]], stop: Stop | None = None) -> None:
    """
    Run ``main`` on an event loop in its own thread.

    ``stop`` can end it from another thread, as a signal does (default: only signals end it).

    Further signals are noted and change nothing: only SIGKILL ends an undo half way.

    Raises ``Interrupted`` if a signal or ``stop`` cancelled ``main``, which has ended by then.
    """
    work = _Work(main)
    stop = stop or Stop()
    with _fewer_collections(), signals.heard() as hearing:
        with hearing.work(work.cancel), stop.work(work.cancel):
            work.start()
            reported, reason, alive = 0, "", True
            while alive:
                # With a timeout: on some versions of Python a join without one does not let signal handlers run.
                work.join(0.2)
                # Asked before the messages: the work can end at once after a signal, which is named all the same.
                alive = work.is_alive()
                reported = _print_new(hearing.heard, reported)
                if stop.reason and not reason:
                    reason = stop.reason
                    print_stderr(f"hart: {reason}; rolling back unfinished work")
        if work.cancelled:
            hearing.check()
            stop.check()
    work.check()


@contextlib.contextmanager
def _fewer_collections() -> Iterator[None]:
    """
    Let Python's garbage collector ignore the objects that exist already, and run less often.

    Most of them are Salt's modules. With a thousand nodes, the collector would take a tenth of the time to look at them
    again and again. In a thread of another program, such as a reactor of the master, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _print_new(heard: list[int], reported: int) -> int:
    """
    Print the signals after the first ``reported`` of them, and return how many are printed by now.

    The work has been cancelled already; this only informs the user.
    """
    while reported < len(heard):  # more may arrive during the loop
        state = "still rolling back unfinished work" if reported else "rolling back unfinished work"
        print_stderr(f"hart: {signals.name(heard[reported])}: {state}")
        reported += 1
    return reported


class _Work(threading.Thread):
    def __init__(self, main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        super().__init__(name="hart-loop")
        self._main = main
        self._task: asyncio.Task[Any] | None = None
        self._loop = asyncio.new_event_loop()
        self._asked = False
        self._error: BaseException | None = None

    def run(self) -> None:
        """Run the event loop; ``start`` calls this in the new thread."""
        try:
            self._task = self._loop.create_task(self._main())
            if self._asked:  # the cancellation arrived before there was a task
                self._task.cancel()
            self._loop.run_until_complete(self._task)
        except BaseException as error:  # handed to the calling thread
            self._error = error
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def cancel(self) -> None:
        """
        Cancel the work, once: a second cancellation could cut off its undo.

        The main thread calls this on a signal, another thread if the call is stopped.
        """
        if self._asked:
            return
        self._asked = True
        with contextlib.suppress(RuntimeError):  # the loop has just ended
            if self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)

    @property
    def cancelled(self) -> bool:
        """Whether the work was cancelled before it was done."""
        return isinstance(self._error, asyncio.CancelledError)

    def check(self) -> None:
        """Raise what ``main`` raised."""
        if self._error is not None:
            raise self._error
