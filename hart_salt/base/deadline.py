"""A deadline for blocking work that has none of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """
    Run ``work`` with a timeout in seconds, and return its result.

    It runs in a daemon thread, which is abandoned at the timeout: a lookup of a name, for example, cannot be cancelled.

    Raises ``TimeoutError``, or what ``work`` raises.
    """
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((work(), None))
        except BaseException as error:
            results.put((None, error))

    threading.Thread(target=run, name="hart-within", daemon=True).start()
    try:
        result, error = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"it was not done within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # without an error there is a result
