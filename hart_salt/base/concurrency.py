"""
Blocking calls and the event loop.

The loop runs in a thread of its own: Salt has loops of its own in the thread that calls a runner. The
calling thread waits, and turns SIGINT, SIGTERM and SIGHUP into a cancellation of the work, which undoes
what was under way; see ``signals.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from hart_salt.base import signals
from hart_salt.base.streams import tell

T = TypeVar("T")

DRIVER_THREADS = 16
AGAIN = 1.0  #: seconds after which a task that was cancelled and has not ended is cancelled once more


class Calls:
    """
    How blocking functions are called from the event loop; a context manager.

    ``salt``
        one after another, in one thread: Salt's loaders are not made for more. The order is kept.
    ``driver``
        side by side, in a few threads
    ``aside``
        in a daemon thread: for waits that may be abandoned when their deadline has passed
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
        """Call a function that may never come back."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # there is a result where there is no error

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
    Wait for ``work`` to its end, whatever happens meanwhile.

    A cancellation that comes in between is raised once the work is done: a call to a cloud cannot be taken
    back, and what it did has to be known.
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


async def within(work: Awaitable[T], seconds: float) -> T:
    """
    Wait for ``work`` for ``seconds`` at the most, and return its result.

    Raises ``asyncio.TimeoutError`` when it took longer; by then it was cancelled and has ended. A cancellation is
    raised, also one that comes as the work is done: ``asyncio.wait_for`` returns the result in its place before
    Python 3.12, and what was to be ended would go on.
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
        task.exception()  # asyncio complains of one that nobody looked at


async def ended(tasks: Collection[asyncio.Future[Any]]) -> None:
    """
    Cancel tasks and wait for all of them, whatever happens meanwhile.

    Again every ``AGAIN`` seconds: a library may lose a cancellation, as ``asyncio.wait_for`` does before
    Python 3.12. What must not be broken off, such as an undo, is ``uninterrupted``.
    """

    async def work() -> None:
        waiting: Collection[asyncio.Future[Any]] = tasks
        while waiting:
            for task in waiting:
                task.cancel()
            _, waiting = await asyncio.wait(waiting, timeout=AGAIN)

    await uninterrupted(work())


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """
    Run ``main`` on an event loop in a thread of its own.

    Raises ``Interrupted`` if a signal cancelled it; by then it has ended. Further signals are heard and
    change nothing: ending the undo half way is what SIGKILL is for.
    """
    work = _Work(main)
    with signals.heard() as hearing:
        with hearing.work(work.cancel):
            work.start()
            reported = 0
            # With a timeout: a join without one does not let signal handlers run on every version of Python.
            while work.is_alive():
                work.join(0.2)
                reported = _tell(hearing.heard, reported)
        if work.cancelled:
            hearing.check()
    work.check()


def _tell(heard: list[int], reported: int) -> int:
    """Tell of the signals after the first ``reported`` of them. The work is cancelled by now; this is only for eyes."""
    while reported < len(heard):  # more may come meanwhile
        undoing = "still undoing what was under way" if reported else "undoing what is under way"
        tell(f"hart: {signals.name(heard[reported])}: {undoing}")
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
        """Called by ``start``."""
        try:
            self._task = self._loop.create_task(self._main())
            if self._asked:  # it came before there was a task to cancel
                self._task.cancel()
            self._loop.run_until_complete(self._task)
        except BaseException as error:  # handed to the calling thread
            self._error = error
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def cancel(self) -> None:
        """Called in the main thread, by a signal."""
        self._asked = True
        with contextlib.suppress(RuntimeError):  # the loop has just ended
            if self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)

    @property
    def cancelled(self) -> bool:
        """Whether it was ended before it was done."""
        return isinstance(self._error, asyncio.CancelledError)

    def check(self) -> None:
        """Raise what ``main`` raised."""
        if self._error is not None:
            raise self._error
