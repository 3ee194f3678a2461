"""
What the drivers that speak HTTP share: what it means that there was no answer, and which calls are repeated.

Imported by a driver's API module, and not by the driver: see ``drivers/README.md``, step 3.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TypeVar

import requests
import tenacity
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from hart_salt.drivers.patience import StillThere
from hart_salt.errors import DriverError, InvalidRequest, RateLimited, TemporaryFailure

T = TypeVar("T")

RETRY_FOR = 120.0  #: seconds for which a call that may be repeated is repeated
LONGEST_WAIT = 60.0  #: seconds; a Retry-After above it is not waited for


def failure(error: requests.RequestException, api: str) -> DriverError:
    """Return what it means that there was no answer; ``api`` says whose, at the start of the sentence."""
    if isinstance(error, ValueError):
        return InvalidRequest(f"{api} cannot be asked: the address is not valid")
    if not isinstance(error, requests.ConnectionError):
        broke = "did not answer in time" if isinstance(error, requests.Timeout) else "broke off its answer"
        return TemporaryFailure(f"{api} {broke}", uncertain=True)
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    cause = getattr(cause, "original_error", cause)  # that of a proxy
    if isinstance(cause, NewConnectionError | ConnectTimeoutError):
        return TemporaryFailure(f"{api} could not be reached", uncertain=False)
    if any(isinstance(part, ssl.SSLCertVerificationError) for part in getattr(cause, "args", ())):
        return InvalidRequest(f"{api} has a certificate that is not valid for it here")
    return TemporaryFailure(f"the connection to {api} broke", uncertain=True)


def is_repeatable(error: BaseException) -> bool:
    """
    Whether a call that changes nothing, or the same however often, is worth another try.

    Not for what an API says that it is to be waited for: whoever asked waits in a way of their own.
    """
    if isinstance(error, RateLimited):
        return (error.retry_after or 0) <= LONGEST_WAIT
    return isinstance(error, TemporaryFailure) and not isinstance(error, StillThere)


def is_certainly_undone(error: BaseException) -> bool:
    """Whether the call may be repeated because it did nothing: it was throttled, or never sent."""
    return is_repeatable(error) and not getattr(error, "uncertain", False)


def repeated(
    call: Callable[[], T], sleep: Callable[[float], None], may: Callable[[BaseException], bool] = is_repeatable
) -> T:
    """
    Return what the call returns; an error of it that ``may`` not be repeated is raised, any other after ``RETRY_FOR``.

    Between two tries it waits for as long as the vendor asks for, otherwise half a second, doubled each time,
    8 s at the most.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(may), wait=_wait, stop=_is_over, sleep=sleep, reraise=True
    )
    return retrying(call)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RateLimited) and error.retry_after:
        return error.retry_after
    return float(min(8.0, 0.5 * 2 ** (state.attempt_number - 1)))


def _is_over(state: tenacity.RetryCallState) -> bool:
    """Whether the next wait would lead beyond ``RETRY_FOR``, by the waits so far or by the clock."""
    spent = max(state.idle_for, state.seconds_since_start or 0.0)
    return spent + _wait(state) > RETRY_FOR
