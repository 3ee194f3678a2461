"""
DigitalOcean's API, by way of python-digitalocean's ``Manager``.

Only ``get_data`` of it is used, with the one method replaced through which all its requests go: by itself
it has no timeouts, takes a failed second page for the end of a list, drops status codes and headers, and
breaks on answers that the API does give. Each of these has a test.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import digitalocean
import requests
import tenacity
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from hart_salt.errors import (
    AuthError,
    DriverError,
    InvalidRequest,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    RateLimited,
    TemporaryFailure,
)

T = TypeVar("T")

DEFAULT_ENDPOINT = "https://api.digitalocean.com/v2/"
CONNECT_TIMEOUT = 10.0  #: seconds
RETRY_FOR = 120.0  #: seconds for which a call that may be repeated is repeated
LONGEST_WAIT = 60.0  #: seconds; a Retry-After above it is not waited for

#: what the caller does next, by status; 422 needs the text as well, since all of them share one id
_BY_STATUS: Mapping[int, type[DriverError]] = {
    400: InvalidRequest,
    401: AuthError,
    403: AuthError,
    404: NotFound,
    409: InvalidRequest,
    422: InvalidRequest,
}
#: texts of 422 answers, from the issues of public projects (providers.md names them)
_BY_TEXT: tuple[tuple[str, type[DriverError]], ...] = (
    ("droplet limit", QuotaExceeded),
    ("region is not available", NoCapacity),
    ("size is not available", NoCapacity),
    ("size is currently unavailable", NoCapacity),
    ("size is unavailable", NoCapacity),
)


class Api:
    """
    Requests with a token, as plain data; every failure is a ``DriverError``.

    Used from several threads: each has a session of its own, since those of requests are not made to be
    shared. Proxies and CA bundles are taken from the environment, and certificates are checked; redirects
    are not followed.
    """

    def __init__(
        self, token: str, endpoint: str | None, timeout: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """
        Remember how to ask.

        timeout
            seconds between two bytes of an answer
        sleep
            how to wait between two tries
        """
        self._token = token.strip()
        if not (self._token.isascii() and self._token.isprintable()):
            raise AuthError("DigitalOcean: the token holds characters that no token has")
        self._endpoint = f"{(endpoint or DEFAULT_ENDPOINT).rstrip('/')}/"
        self._timeout = timeout
        self._sleep = sleep
        self._threads = threading.local()

    def get(self, path: str, field: str, **query: Any) -> Any:
        """
        Return a field of an answer, a list with all its pages.

        Repeated on throttling and temporary failures; the whole list, if a later page failed.
        """
        # A new mapping each time: the library writes the page into it, and would begin there next time.
        return _repeated(lambda: _field(self._call(path, "GET", dict(query)), field), _may_repeat, self._sleep)

    def post(self, path: str, body: Mapping[str, Any], field: str) -> Any:
        """
        Create something. Repeated only where the request certainly did nothing: throttled, or never sent.

        ``TemporaryFailure`` with ``uncertain`` set: it may have been created; look before you try again.
        """
        return _repeated(lambda: _field(self._call(path, "POST", body), field), _certainly_undone, self._sleep)

    def add(self, path: str, body: Mapping[str, Any]) -> None:
        """Put something into a set, where twice is the same as once. Repeated like ``get``."""
        _repeated(lambda: self._call(path, "POST", body), _may_repeat, self._sleep)

    def delete(self, path: str) -> None:
        """Delete something; what is gone is success. Repeated like ``get``."""
        try:
            _repeated(lambda: self._call(path, "DELETE", {}), _may_repeat, self._sleep)
        except NotFound:
            return

    def _call(self, path: str, method: str, parameters: Mapping[str, Any]) -> Any:
        try:
            return self._manager.get_data(path, type=method, params=parameters)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # What the library raises for links to other pages that are none.
            raise _unreadable() from error

    @property
    def _manager(self) -> _Manager:
        manager: _Manager | None = getattr(self._threads, "manager", None)
        if manager is None:
            manager = self._threads.manager = _Manager(token=self._token, end_point=self._endpoint)
            manager.answer_timeout = self._timeout
        return manager


class _Manager(digitalocean.Manager):  # type: ignore[misc]  # the library has no type information
    """python-digitalocean's client with a request method that tells what happened."""

    answer_timeout: float

    def _BaseAPI__perform_request(self, url: str, type: str = "GET", params: Any = None) -> requests.Response:  # noqa: A002, N802 - the name under which the library calls it
        address = urljoin(self.end_point, url)
        if urlsplit(address)[:2] != urlsplit(self.end_point)[:2]:
            # The address of the next page comes from the answer. The token goes to the endpoint only.
            raise InvalidRequest("DigitalOcean's API named a next page on another server")
        payload = {"params": params} if type == "GET" else {"json": params or None}
        try:
            # An auth object, and not a header: requests would let ~/.netrc replace that.
            response: requests.Response = self._session.request(
                type, address, auth=_Bearer(self.token), allow_redirects=False,
                timeout=(CONNECT_TIMEOUT, self.answer_timeout), **payload
            )  # fmt: skip
        except requests.RequestException as error:
            raise _failure(error, f"DigitalOcean's API at {urlsplit(address).hostname}") from error
        _raise_for(response)
        if type == "GET" and "page" in params and not any(isinstance(it, list) for it in response.json().values()):
            raise _unreadable()  # the library would take it for the end of the list
        return response


class _Bearer(requests.auth.AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


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


def _unreadable() -> TemporaryFailure:
    """A success that cannot be read: whatever was asked for may have happened."""
    return TemporaryFailure("DigitalOcean gave an answer that cannot be read", uncertain=True)


def _field(answer: Any, name: str) -> Any:
    if not isinstance(answer, dict) or answer.get(name) is None:
        raise _unreadable()
    return answer[name]


def _raise_for(response: requests.Response) -> None:
    status = response.status_code
    if status == 204:
        return
    text = _text_of(response)
    if status == 429:
        raise _rate_limited(text, _retry_after(response))
    if status >= 500:
        raise TemporaryFailure(text, uncertain=True)
    if status >= 300:
        kind = _BY_STATUS.get(status, InvalidRequest)
        if status == 422:
            kind = next((kind for part, kind in _BY_TEXT if part in text.lower()), kind)
        raise kind(text)
    if not isinstance(_json_of(response), dict):
        raise _unreadable()


def _rate_limited(text: str, seconds: float | None) -> RateLimited:
    too_long = seconds is not None and seconds > LONGEST_WAIT
    return RateLimited(f"{text}; it asks to wait {seconds:g} s" if too_long else text, seconds)


def _json_of(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _text_of(response: requests.Response) -> str:
    """The vendor's message, status and id. Bodies have ``message``, or ``messages``, or are a proxy's HTML."""
    body = _json_of(response)
    facts = body if isinstance(body, dict) else {}
    messages = facts.get("messages")
    if not isinstance(messages, list) or not messages:
        messages = [facts.get("message") or facts.get("error") or response.reason or "no message"]
    code = " ".join(map(str, [response.status_code, *([facts["id"]] if facts.get("id") else [])]))
    return f"DigitalOcean: {'; '.join(map(str, messages))} ({code})"


def _retry_after(response: requests.Response) -> float | None:
    """Seconds; the header comes with the burst limit only."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None


# repeating


def _repeated(call: Callable[[], T], may: Callable[[BaseException], bool], sleep: Callable[[float], None]) -> T:
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(may), wait=_wait, stop=_is_over, sleep=sleep, reraise=True
    )
    return retrying(call)


def _may_repeat(error: BaseException) -> bool:
    if isinstance(error, RateLimited):
        return (error.retry_after or 0) <= LONGEST_WAIT
    return isinstance(error, TemporaryFailure)


def _certainly_undone(error: BaseException) -> bool:
    return _may_repeat(error) and not getattr(error, "uncertain", False)


def _wait(state: tenacity.RetryCallState) -> float:
    """What the vendor asks for, otherwise half a second, doubled each time, 8 s at the most."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RateLimited) and error.retry_after:
        return error.retry_after
    return float(min(8.0, 0.5 * 2 ** (state.attempt_number - 1)))


def _is_over(state: tenacity.RetryCallState) -> bool:
    """Whether the next wait would lead beyond ``RETRY_FOR``, by the waits so far or by the clock."""
    spent = max(state.idle_for, state.seconds_since_start or 0.0)
    return spent + _wait(state) > RETRY_FOR
