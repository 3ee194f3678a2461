"""
What drivers for HTTP APIs share: the meaning of a missing answer, and the rules for retries.

A driver's API module imports this, not the driver itself: see ``docs/contributing/adding_a_driver.md``, step 3.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable
from typing import TypeVar

import requests
import tenacity
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from hart_salt import __version__
from hart_salt.base.errors import DriverError, InvalidRequest, RateLimited, TemporaryFailure
from hart_salt.drivers import outage
from hart_salt.drivers.outage import Peer, Unreachable
from hart_salt.drivers.retry import Busy

T = TypeVar("T")

RETRY_FOR = 120.0  #: seconds for which a call is retried, if it may be
LONGEST_WAIT = 60.0  #: seconds; hart does not wait for a longer Retry-After
#: random numbers from 0 to below 1 for the jitter of waits: calls that failed together must not return together
CHANCE: Callable[[], float] = random.random
USER_AGENT = f"hart-salt/{__version__}"  #: the client that vendors see


def failure(error: requests.RequestException, api: str) -> DriverError:
    """Return the error for a request without an answer. ``api`` names the server and begins the sentence."""
    if isinstance(error, ValueError):
        return InvalidRequest(f"{api} cannot be called: the address is not valid")
    if not isinstance(error, requests.ConnectionError):
        broke = "did not answer in time" if isinstance(error, requests.Timeout) else "broke off its answer"
        return TemporaryFailure(f"{api} {broke}", uncertain=True)
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    cause = getattr(cause, "original_error", cause)  # behind a proxy
    if isinstance(cause, NewConnectionError | ConnectTimeoutError):
        return Unreachable(f"{api} could not be reached")
    if any(isinstance(part, ssl.SSLCertVerificationError) for part in getattr(cause, "args", ())):
        return InvalidRequest(f"{api} has a certificate that this master does not accept")
    return TemporaryFailure(f"the connection to {api} broke", uncertain=True)


def is_repeatable(error: BaseException) -> bool:
    """
    Return whether to retry a read-only or idempotent call after this error.

    False for ``Busy`` and ``StillThere``: their callers wait in their own way.
    """
    if isinstance(error, RateLimited):
        return (error.retry_after or 0) <= LONGEST_WAIT
    return isinstance(error, TemporaryFailure) and not isinstance(error, Busy)


def is_certainly_undone(error: BaseException) -> bool:
    """Return whether the call certainly had no effect, and can be retried: it was throttled, or never sent."""
    return is_repeatable(error) and not getattr(error, "uncertain", False)


def repeated(
    call: Callable[[], T],
    sleep: Callable[[float], None],
    may: Callable[[BaseException], bool] = is_repeatable,
    peer: Peer | None = None,
    chance: Callable[[], float] | None = None,
) -> T:
    """
    Call ``call`` until it succeeds, and return its result.

    Errors for which ``may`` is false are raised at once, the others after ``RETRY_FOR`` seconds. The wait between two
    attempts is 0.5 s, doubled each time, 8 s at most; jitter shortens it to as little as a half. If the vendor asks for
    a wait, that is the minimum, and jitter adds up to the same growing wait.

    may
        whether an error is worth a retry (default: ``is_repeatable``)
    peer
        the server: if it cannot be reached, ``outage.py`` says how long to wait, and waits are reported (default: wait
        as for any other failure, and report nothing)
    chance
        returns the jitter, from 0 to below 1, for each failed attempt (default: ``CHANCE``)

    The error has ``uncertain`` set if an earlier attempt may have had an effect.
    """
    uncertain, drawn = False, 0.0

    def attempt() -> T:
        nonlocal uncertain, drawn
        # Once per attempt: the check of the time left, the report and the wait itself must use the same number.
        drawn = (chance or CHANCE)()
        try:
            return _asked(call, sleep, peer)
        except TemporaryFailure as error:
            uncertain = error.uncertain = error.uncertain or uncertain
            raise

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(may),
        wait=lambda state: _wait(state, drawn),
        stop=lambda state: _left(state, peer) < _wait(state, drawn),
        before_sleep=lambda state: _report(state, peer, drawn),
        sleep=sleep,
        reraise=True,
    )
    return retrying(attempt)


def _asked(call: Callable[[], T], sleep: Callable[[float], None], peer: Peer | None) -> T:
    """Make one attempt, and note whether the server could be reached."""
    if peer is None:
        return call()
    peer.reach(sleep)
    try:
        result = call()
    except Unreachable:
        peer.lost()
        raise
    except DriverError:
        peer.found()
        raise
    peer.found()
    return result


def _error_of(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _wait(state: tenacity.RetryCallState, drawn: float) -> float:
    """Return the seconds to wait, never less than the vendor asks for. ``drawn`` is the jitter, from 0 to below 1."""
    error = _error_of(state)
    longest = outage.LONGEST_WAIT if isinstance(error, Unreachable) else 8.0
    growing = float(min(longest, 0.5 * 2 ** (state.attempt_number - 1)))
    if isinstance(error, RateLimited) and error.retry_after:
        return error.retry_after + growing * drawn
    return growing * (1 - drawn / 2)


def _left(state: tenacity.RetryCallState, peer: Peer | None) -> float:
    """Return the seconds left for further attempts, by the waits so far or by the clock; below 0: none."""
    left, error = RETRY_FOR - max(state.idle_for, state.seconds_since_start or 0.0), _error_of(state)
    if not isinstance(error, Unreachable):
        return left
    limited = peer.left() if peer is not None else None
    return -1.0 if error.given_up else left if limited is None else min(left, limited)


def _report(state: tenacity.RetryCallState, peer: Peer | None, drawn: float) -> None:
    """Report the wait for the server; if the server answers with errors, only once that takes long."""
    if peer is None:
        return
    error, waits = _error_of(state), (state.seconds_since_start or 0.0) + _wait(state, drawn)
    if isinstance(error, Unreachable):
        peer.report(_left(state, peer))
    elif waits >= outage.REPORT_EVERY:
        peer.report(_left(state, peer), "asks to wait" if isinstance(error, RateLimited) else "fails")
