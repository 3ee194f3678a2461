"""
DigitalOcean's API, by way of python-digitalocean's ``Manager``.

Only ``get_data`` of it is used, with the one method replaced through which all its requests go: by itself
it has no timeouts, takes a failed second page for the end of a list, drops status codes and headers, and
breaks on answers that the API does give. Each of these has a test.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import digitalocean
import requests

from hart_salt.drivers import calls
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

DEFAULT_ENDPOINT = "https://api.digitalocean.com/v2/"
CONNECT_TIMEOUT = 10.0  #: seconds

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
        return calls.repeated(lambda: _field(self._call(path, "GET", dict(query)), field), self._sleep)

    def post(self, path: str, body: Mapping[str, Any], field: str) -> Any:
        """
        Create something. Repeated only where the request certainly did nothing: throttled, or never sent.

        ``TemporaryFailure`` with ``uncertain`` set: it may have been created; look before you try again.
        """
        return calls.repeated(
            lambda: _field(self._call(path, "POST", body), field), self._sleep, calls.is_certainly_undone
        )

    def add(self, path: str, body: Mapping[str, Any]) -> None:
        """Put something into a set, where twice is the same as once. Repeated like ``get``."""
        calls.repeated(lambda: self._call(path, "POST", body), self._sleep)

    def delete(self, path: str) -> None:
        """Delete something; what is gone is success. Repeated like ``get``."""
        try:
            calls.repeated(lambda: self._call(path, "DELETE", {}), self._sleep)
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
            raise calls.failure(error, f"DigitalOcean's API at {urlsplit(address).hostname}") from error
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
    too_long = seconds is not None and seconds > calls.LONGEST_WAIT
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
