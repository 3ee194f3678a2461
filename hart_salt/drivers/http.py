"""
What the drivers that speak HTTP share: what it means that there was no answer, and which calls are repeated.

Imported by a driver's API module, and not by the driver: see ``docs/contributing/adding_a_driver.md``, step 3.
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
from hart_salt.drivers.retry import StillThere

T = TypeVar("T")

RETRY_FOR = 120.0  #: seconds for which a call that may be repeated is repeated
LONGEST_WAIT = 60.0  #: seconds; a Retry-After above it is not waited for
#: numbers from 0 to below 1, by which waits differ: calls that failed together do not come back together
CHANCE: Callable[[], float] = random.random
USER_AGENT = f"hart-salt/{__version__}"  #: what vendors see who asks


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
        return Unreachable(f"{api} could not be reached")
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
    call: Callable[[], T],
    sleep: Callable[[float], None],
    may: Callable[[BaseException], bool] = is_repeatable,
    peer: Peer | None = None,
    chance: Callable[[], float] | None = None,
) -> T:
    """
    Return what the call returns; an error of it that ``may`` not be repeated is raised, any other after ``RETRY_FOR``.

    Between two tries it waits for half a second, doubled each time, 8 s at the most, or by chance for down to half of
    that. Where the vendor asks for a wait, it waits for that, and by chance for up to that much more.

    peer
        the server that is asked: one that cannot be reached is waited for as ``outage.py`` says, and what is waited
        for is reported (default: it is waited for like any other failure, and nothing is reported)
    chance
        a number from 0 to below 1 for each try that failed (default: ``CHANCE``)

    Where an earlier try may have taken effect, the error that is raised says so with ``uncertain``.
    """
    uncertain, drawn = False, 0.0

    def attempt() -> T:
        nonlocal uncertain, drawn
        # Once for each try: whether there is time for the wait, what is said of it and the wait itself go by the same.
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
        before_sleep=lambda state: _tell(state, peer, drawn),
        sleep=sleep,
        reraise=True,
    )
    return retrying(attempt)


def _asked(call: Callable[[], T], sleep: Callable[[float], None], peer: Peer | None) -> T:
    """One try, and what it says of the server."""
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
    """Seconds. ``drawn`` by chance, from 0 to below 1; never less than the vendor asks for."""
    error = _error_of(state)
    longest = outage.LONGEST_WAIT if isinstance(error, Unreachable) else 8.0
    growing = float(min(longest, 0.5 * 2 ** (state.attempt_number - 1)))
    if isinstance(error, RateLimited) and error.retry_after:
        return error.retry_after + growing * drawn
    return growing * (1 - drawn / 2)


def _left(state: tenacity.RetryCallState, peer: Peer | None) -> float:
    """Seconds for further tries, by the waits so far or by the clock; below 0: there are none."""
    left, error = RETRY_FOR - max(state.idle_for, state.seconds_since_start or 0.0), _error_of(state)
    if not isinstance(error, Unreachable):
        return left
    limited = peer.left() if peer is not None else None
    return -1.0 if error.given_up else left if limited is None else min(left, limited)


def _tell(state: tenacity.RetryCallState, peer: Peer | None, drawn: float) -> None:
    """Say what is waited for; of a server that answers badly only what takes long."""
    if peer is None:
        return
    error, waits = _error_of(state), (state.seconds_since_start or 0.0) + _wait(state, drawn)
    if isinstance(error, Unreachable):
        peer.tell(_left(state, peer))
    elif waits >= outage.TELL_EVERY:
        peer.tell(_left(state, peer), "asks to wait" if isinstance(error, RateLimited) else "fails")
