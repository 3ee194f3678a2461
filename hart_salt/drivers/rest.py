"""
What drivers share that ask a JSON API with requests: sessions, the token, failures, and what is repeated.

A driver imports this with its own API module only, in the first verb that needs it: requests may be missing.
"""

from __future__ import annotations

import abc
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import urlsplit

import requests
import tenacity
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from hart_salt.drivers.patience import StillThere
from hart_salt.errors import AuthError, DriverError, InvalidRequest, NotFound, RateLimited, TemporaryFailure

T = TypeVar("T")

CONNECT_TIMEOUT = 10.0  #: seconds
RETRY_FOR = 120.0  #: seconds for which a call that may be repeated is repeated
LONGEST_WAIT = 60.0  #: seconds; a Retry-After above it is not waited for


class Api(abc.ABC):
    """
    An API that is asked with a token, as plain data; every failure is a ``DriverError``.

    Used from several threads. What ``send`` says of connections holds.
    """

    #: as messages name it
    vendor: ClassVar[str]

    def __init__(
        self, token: str, endpoint: str, timeout: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """
        Remember how to ask.

        timeout
            seconds between two bytes of an answer
        sleep
            how to wait between two tries

        Raises ``AuthError`` for a token that is none.
        """
        self._token = checked_token(token, self.vendor)
        self._endpoint = endpoint
        self._timeout = timeout
        self._sleep = sleep

    @abc.abstractmethod
    def _ask(self, method: str, path: str, parameters: Mapping[str, Any]) -> Any:
        """Make one request; ``parameters`` are the query of a GET, and the body of anything else."""

    def get(self, path: str, field: str, **query: Any) -> Any:
        """Return a field of an answer. Repeated on throttling and temporary failures."""
        return self._repeated(lambda: self._field("GET", path, query, field), may_repeat)

    def post(self, path: str, body: Mapping[str, Any], field: str) -> Any:
        """
        Create something. Repeated only where the request certainly did nothing: throttled, or never sent.

        ``TemporaryFailure`` with ``uncertain`` set: it may have been created; look before you try again.
        """
        return self._repeated(lambda: self._field("POST", path, body, field), certainly_undone)

    def delete(self, path: str) -> None:
        """Delete something; what is gone is success. Repeated like ``get``."""
        try:
            self._repeated(lambda: self._ask("DELETE", path, {}), may_repeat)
        except NotFound:
            return

    def _field(self, method: str, path: str, parameters: Mapping[str, Any], field: str) -> Any:
        # A mapping of its own each time: what asks may write into it, and would go on there the next time.
        return field_of(self._ask(method, path, dict(parameters)), field, self.vendor)

    def _repeated(self, call: Callable[[], T], may: Callable[[BaseException], bool]) -> T:
        return repeated(call, may, self._sleep)


class PerThread(Generic[T]):
    """One thing for each thread that asks: sessions of requests are not made to be shared."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._kept = threading.local()

    def get(self) -> T:
        """Return this thread's own, which is made when it first asks."""
        if not hasattr(self._kept, "one"):
            self._kept.one = self._make()
        one: T = self._kept.one
        return one


class Bearer(requests.auth.AuthBase):
    """The token as an auth object and not as a header, which requests would let ~/.netrc replace."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def checked_token(token: str, vendor: str) -> str:
    """Return the token without the line end that files give it. Raises ``AuthError`` for what is none."""
    token = token.strip()
    if not (token.isascii() and token.isprintable()):
        raise AuthError(f"{vendor}: the token holds characters that no token has")
    return token


def send(
    session: requests.Session, vendor: str, method: str, address: str, token: str, timeout: float, **payload: Any
) -> requests.Response:
    """
    Make one request, and return its answer whatever its status is.

    Proxies and CA bundles are taken from the environment, and certificates are checked; redirects are not
    followed, or the token would travel.

    timeout
        seconds between two bytes of the answer
    payload
        ``params`` or ``json``, as requests knows them

    Raises ``TemporaryFailure`` or ``InvalidRequest`` if there is none.
    """
    try:
        return session.request(
            method, address, auth=Bearer(token), allow_redirects=False, timeout=(CONNECT_TIMEOUT, timeout), **payload
        )
    except requests.RequestException as error:
        raise _failure(error, f"{vendor}'s API at {urlsplit(address).hostname}") from error


# failures


def _failure(error: requests.RequestException, api: str) -> DriverError:
    """What it means that there was no answer."""
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


def unreadable(vendor: str) -> TemporaryFailure:
    """A success that cannot be read: whatever was asked for may have happened."""
    return TemporaryFailure(f"{vendor} gave an answer that cannot be read", uncertain=True)


def field_of(answer: Any, name: str, vendor: str) -> Any:
    """A field that the answer must have."""
    if not isinstance(answer, dict) or answer.get(name) is None:
        raise unreadable(vendor)
    return answer[name]


def json_of(response: requests.Response, **how: Any) -> Any:
    """The body as JSON; None for one that is none. ``how`` is for ``json.loads``."""
    try:
        return response.json(**how)
    except ValueError:
        return None


def rate_limited(response: requests.Response, text: str) -> RateLimited:
    """The error of a 429, with what its Retry-After asks for."""
    seconds = retry_after(response)
    too_long = seconds is not None and seconds > LONGEST_WAIT
    return RateLimited(f"{text}; it asks to wait {seconds:g} s" if too_long else text, seconds)


def retry_after(response: requests.Response) -> float | None:
    """Seconds; vendors send the header with some of their limits only, and none of ours sends a date."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None


# repeating


def repeated(call: Callable[[], T], may: Callable[[BaseException], bool], sleep: Callable[[float], None]) -> T:
    """
    Return what the call returns, which is repeated on errors that ``may`` allows, for up to ``RETRY_FOR`` seconds.

    Between two tries it waits as long as the vendor asks for, otherwise half a second, doubled each time, up to
    8 s.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(may), wait=_wait, stop=_is_over, sleep=sleep, reraise=True
    )
    return retrying(call)


def may_repeat(error: BaseException) -> bool:
    """
    Throttled, unless for very long, or a failure that may pass: for calls of which two are the same as one.

    Not for what an API says that it is to be waited for: whoever asked waits in a way of their own.
    """
    if isinstance(error, RateLimited):
        return (error.retry_after or 0) <= LONGEST_WAIT
    return isinstance(error, TemporaryFailure) and not isinstance(error, StillThere)


def certainly_undone(error: BaseException) -> bool:
    """The same, if the call certainly did nothing: for calls that make something."""
    return may_repeat(error) and not getattr(error, "uncertain", False)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RateLimited) and error.retry_after:
        return error.retry_after
    return float(min(8.0, 0.5 * 2 ** (state.attempt_number - 1)))


def _is_over(state: tenacity.RetryCallState) -> bool:
    """Whether the next wait would lead beyond ``RETRY_FOR``, by the waits so far or by the clock."""
    spent = max(state.idle_for, state.seconds_since_start or 0.0)
    return spent + _wait(state) > RETRY_FOR
