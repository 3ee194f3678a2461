"""Deadlines for blocking work that has none of its own, and that a signal must not wait for."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")

#: seconds between two looks for an interruption; also lets Python run the handlers of signals during a wait
SLICE = 0.1


def within(
    seconds: float, work: Callable[[], T], interrupted: Callable[[], bool] = lambda: False, grace: float = 0.0
) -> T:
    """
    Run ``work`` with a timeout in seconds, and return its result.

    It runs in a daemon thread, which is abandoned at the timeout: a lookup of a name, for example, cannot be cancelled.
    Once ``interrupted`` returns True, the wait lasts for ``grace`` seconds more at most.

    Raises ``TimeoutError``, or what ``work`` raises.
    """
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((work(), None))
        except BaseException as error:
            results.put((None, error))

    threading.Thread(target=run, name="hart-within", daemon=True).start()
    deadline, shortened = time.monotonic() + seconds, False
    while True:
        if not shortened and interrupted():
            deadline, shortened = min(deadline, time.monotonic() + grace), True
        try:
            result, error = results.get(timeout=max(0.0, min(SLICE, deadline - time.monotonic())))
            break
        except queue.Empty:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"it was not done within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # without an error there is a result


def at_once(works: Mapping[str, Callable[[], T]], most: int) -> dict[str, T]:
    """
    Do several works at the same time, at most ``most`` of them, and return the result of each by its name.

    They run in daemon threads, so a signal that ends the caller does not wait for them. Raises what one of them raises.
    """
    left: queue.SimpleQueue[str] = queue.SimpleQueue()
    results: queue.SimpleQueue[tuple[str, T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        while True:
            try:
                name = left.get_nowait()
            except queue.Empty:
                return
            try:
                results.put((name, works[name](), None))
            except BaseException as error:
                results.put((name, None, error))

    for name in works:
        left.put(name)
    for _ in range(min(most, len(works))):
        threading.Thread(target=run, name="hart-at-once", daemon=True).start()
    found: dict[str, T] = {}
    while len(found) < len(works):
        try:
            name, result, error = results.get(timeout=SLICE)
        except queue.Empty:
            continue
        if error is not None:
            raise error
        found[name] = result  # type: ignore[assignment]  # without an error there is a result
    return {name: found[name] for name in works}
