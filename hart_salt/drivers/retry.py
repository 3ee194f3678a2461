"""Waits for APIs that are eventually consistent: new resources appear late, and deleted ones disappear late."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tenacity
from tenacity.wait import wait_base

from hart_salt.base.errors import DriverError, TemporaryFailure

T = TypeVar("T")

LOOKS = 2  #: lookups of a resource whose create call got no answer
LOOK_INTERVAL = 2.0  #: seconds between two lookups: a list may show new resources late
#: attempts to terminate an instance, about three minutes in all, with two calls each
TERMINATE_ATTEMPTS = 22
TERMINATE_WAIT = tenacity.wait_exponential(multiplier=1, max=10)
NO_WAIT = tenacity.wait_none()


class Busy(TemporaryFailure):
    """Another action on the instance is in progress: the call had no effect. Its callers wait in their own way."""


class ActionFailed(TemporaryFailure):
    """An action that the vendor had accepted ended with an error: waiting for its effect is pointless."""


class StillThere(Busy):
    """The instance was asked to terminate and still exists."""


def look(find: Callable[[], T | None], sleep: Callable[[float], None], looks: int = LOOKS) -> T | None:
    """
    Call ``find`` up to ``looks`` times, and return the first result that is not None.

    Return None also if ``find`` fails: the failure that led to the lookup is the one to report.
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
    Call ``call`` until it no longer raises ``kind``, and return its result.

    attempts
        the maximum number of calls; the last error is raised
    wait
        the wait between two calls, as a tenacity object (default: none)
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
    """
    Call ``end`` until it no longer raises ``StillThere``.

    Raises ``StillThere`` after ``TERMINATE_ATTEMPTS`` calls.
    """
    again(end, StillThere, sleep, TERMINATE_ATTEMPTS, TERMINATE_WAIT)
