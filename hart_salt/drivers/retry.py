"""Waiting for what an API does later than it says: what was made shows up, what was deleted goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tenacity
from tenacity.wait import wait_base

from hart_salt.base.errors import DriverError, TemporaryFailure

T = TypeVar("T")

LOOKS = 2  #: looks for something whose create was not answered
LOOK_INTERVAL = 2.0  #: seconds between them: a list may show new things late
#: times that an instance is asked to go, some three minutes in all; two calls each time
TERMINATE_ATTEMPTS = 22
TERMINATE_WAIT = tenacity.wait_exponential(multiplier=1, max=10)
NO_WAIT = tenacity.wait_none()


class StillThere(TemporaryFailure):
    """Asked to go, and not gone."""


def look(find: Callable[[], T | None], sleep: Callable[[float], None], looks: int = LOOKS) -> T | None:
    """
    Return what ``find`` finds, at one of so many looks.

    None also if it cannot be looked for: the failure that led here says more than that one.
    """
    for number in range(looks):
        if number:
            sleep(LOOK_INTERVAL)
        try:
            found = find()
        except DriverError:
            return None
        if found is not None:
            return found
    return None


def again(
    call: Callable[[], T],
    kind: type[DriverError],
    sleep: Callable[[float], None],
    attempts: int,
    wait: wait_base = NO_WAIT,
) -> T:
    """
    Return what ``call`` returns. It is repeated as long as it raises ``kind``, which is raised after the last time.

    attempts
        times that it is called at the most
    wait
        seconds between two of them, as tenacity has it (default: none)
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(kind),
        wait=wait,
        stop=tenacity.stop_after_attempt(attempts),
        sleep=sleep,
        reraise=True,
    )
    return retrying(call)


def until_gone(end: Callable[[], None], sleep: Callable[[float], None]) -> None:
    """Repeat ``end`` as long as it raises ``StillThere``, up to ``TERMINATE_ATTEMPTS`` times; then raise that."""
    again(end, StillThere, sleep, TERMINATE_ATTEMPTS, TERMINATE_WAIT)
