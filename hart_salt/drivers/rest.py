"""
What drivers share that ask a JSON API with requests: sessions, the token, answers.

A driver imports this with its own API module only, in the first verb that needs it: requests may be missing.
"""

from __future__ import annotations

import abc
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import urlsplit

import requests

from hart_salt.base.endpoints import objection
from hart_salt.base.errors import AuthError, DriverError, InvalidRequest, NotFound, RateLimited, TemporaryFailure
from hart_salt.drivers.http import LONGEST_WAIT, USER_AGENT, failure, is_certainly_undone, is_repeatable, repeated
from hart_salt.drivers.outage import Outage, Peer

T = TypeVar("T")

CONNECT_TIMEOUT = 10.0  #: seconds


class Api(abc.ABC):
    """
    An API that is asked with a token, as plain data; every failure is a ``DriverError``.

    Used from several threads. What ``send`` says of connections holds.
    """

    #: as messages name it
    vendor: ClassVar[str]
    default_endpoint: ClassVar[str]

    def __init__(
        self,
        token: str,
        endpoint: str | None,
        timeout: float,
        sleep: Callable[[float], None] = time.sleep,
        outage: Outage | None = None,
    ) -> None:
        """
        Remember how to ask.

        timeout
            seconds between two bytes of an answer
        endpoint
            another address of the API (default: the vendor's own)
        sleep
            how to wait between two tries
        outage
            how long an API that cannot be reached is waited for (default: like one that fails)

        Raises ``AuthError`` for a token that is none, ``InvalidRequest`` for an endpoint that it must not go to.
        """
        self._token = checked_token(token, self.vendor)
        endpoint = (endpoint or self.default_endpoint).rstrip("/")
        if said := objection(endpoint):
            raise InvalidRequest(f"{self.vendor}: endpoint {said}")
        self._endpoint = endpoint
        self._timeout = timeout
        self._sleep = sleep
        self._outage = outage
        self._senders = PerThread(self._make_sender)

    @abc.abstractmethod
    def _make_sender(self) -> Any:
        """What one thread asks with: sessions of requests are not made to be shared."""

    def _repeated(self, call: Callable[[], T], may: Callable[[BaseException], bool] = is_repeatable) -> T:
        return repeated(call, self._sleep, may, self._peer)

    @property
    def _peer(self) -> Peer | None:
        if self._outage is None:
            return None
        return self._outage.peer(_name(self.vendor, self._endpoint), self._endpoint)

    @abc.abstractmethod
    def _ask(self, method: str, path: str, parameters: Mapping[str, Any]) -> Any:
        """Make one request; ``parameters`` are the query of a GET, and the body of anything else."""

    def get(self, path: str, field: str, **query: Any) -> Any:
        """Return a field of an answer. Repeated on throttling and temporary failures."""
        return self._repeated(lambda: self._field("GET", path, query, field))

    def post(self, path: str, body: Mapping[str, Any], field: str) -> Any:
        """
        Create something. Repeated only where the request certainly did nothing: throttled, or never sent.

        ``TemporaryFailure`` with ``uncertain`` set: it may have been created; look before you try again.
        """
        return self._repeated(lambda: self._field("POST", path, body, field), is_certainly_undone)

    def delete(self, path: str) -> None:
        """Delete something; what is gone is success. Repeated like ``get``."""
        try:
            self._repeated(lambda: self._ask("DELETE", path, {}))
        except NotFound:
            return

    def _field(self, method: str, path: str, parameters: Mapping[str, Any], field: str) -> Any:
        # A mapping of its own each time: what asks may write into it, and would go on there the next time.
        return field_of(self._ask(method, path, dict(parameters)), field, self.vendor)


class JsonApi(Api):
    """
    An API whose bodies are JSON and whose lists come in pages, asked with requests: a vendor's says the rest.

    An answer below 300 has to be an object, or nothing at all with status 204.
    """

    #: the most things that a page may have
    per_page: ClassVar[int]
    #: how fields of something are set
    change_method: ClassVar[str] = "PATCH"
    #: fields that are dropped while an answer is read: nothing that comes out has them
    secret_fields: ClassVar[Sequence[str]] = ()

    def _make_sender(self) -> requests.Session:
        return requests.Session()

    @abc.abstractmethod
    def _next(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """The query of the page after this one; empty after the last. Raises ``unreadable`` where that is not said."""

    @abc.abstractmethod
    def _error(self, response: requests.Response, body: Any) -> DriverError:
        """What an answer of 300 and above is."""

    def listed(self, path: str, field: str, **query: str) -> list[dict[str, Any]]:
        """
        Return a list with all its pages. Repeated like ``get``; the whole list, if a later page failed.

        A page that does not say what comes after it is a failure: the rest would be missing.
        """
        if "" in query.values():  # an empty filter may let everything through
            raise InvalidRequest(f"{self.vendor}: a list is not asked for with an empty filter")
        return self._repeated(lambda: self._pages(path, field, query))

    def tell(self, path: str, body: Mapping[str, Any]) -> None:
        """Have something done that has no answer. Repeated like ``post``."""
        self._repeated(lambda: self._ask("POST", path, body), is_certainly_undone)

    def change(self, path: str, body: Mapping[str, Any]) -> None:
        """Set fields of something, where twice is the same as once. Repeated like ``get``."""
        self._repeated(lambda: self._ask(self.change_method, path, dict(body)))

    def _pages(self, path: str, field: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        asked: list[Mapping[str, Any]] = [{}]
        while True:
            answer = self._ask("GET", path, {**query, "per_page": self.per_page, **asked[-1]})
            page, following = field_of(answer, field, self.vendor), self._next(answer)
            if not isinstance(page, list) or not all(isinstance(one, dict) for one in page):
                raise unreadable(self.vendor)
            found += page
            if not following:
                return found
            if following in asked:
                raise unreadable(self.vendor)  # it would go round for ever
            asked.append(following)

    def _ask(self, method: str, path: str, parameters: Mapping[str, Any]) -> Any:
        payload = {"params": parameters} if method == "GET" else {"json": parameters or None}
        session, address = self._senders.get(), f"{self._endpoint}/{path}"
        return self._answer(send(session, self.vendor, method, address, self._token, self._timeout, **payload))

    def _answer(self, response: requests.Response) -> Any:
        """What was answered, without secrets. Raises the error that it is."""
        if response.status_code == 204:
            return None
        body = json_of(response, object_pairs_hook=self._without_secrets)
        if response.status_code >= 300:
            raise self._error(response, body)
        if not isinstance(body, dict):
            raise unreadable(self.vendor)
        return body

    def _without_secrets(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in pairs if name not in self.secret_fields}


class PerThread(Generic[T]):
    """One thing for each thread that asks."""

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
    Make one request as ``USER_AGENT``, and return its answer whatever its status is.

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
            method,
            address,
            headers={"User-Agent": USER_AGENT},
            auth=Bearer(token),
            allow_redirects=False,
            timeout=(CONNECT_TIMEOUT, timeout),
            **payload,
        )
    except requests.RequestException as error:
        raise failure(error, _name(vendor, address)) from error


def _name(vendor: str, address: str) -> str:
    return f"{vendor}'s API at {urlsplit(address).hostname}"


# answers

#: what the caller does next where the vendor's code or text says no more; of any other refusal: ``InvalidRequest``
BY_STATUS: Mapping[int, type[DriverError]] = {401: AuthError, 403: AuthError, 404: NotFound}


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


def text_of(vendor: str, response: requests.Response, message: object, code: object = "", request: object = "") -> str:
    """
    What an error says.

    message
        the vendor's, or nothing: then the status has to do
    code
        the vendor's, if there is one
    request
        the number that the vendor has given to the request, and that its support asks for; empty: it gives none
    """
    marks = " ".join(map(str, filter(None, [response.status_code, code])))
    number = f", request {request}" if request else ""
    return f"{vendor}: {message or response.reason or 'no message'} ({marks}{number})"


def rate_limited(response: requests.Response, text: str) -> RateLimited:
    """The error of a 429, with what its Retry-After asks for."""
    seconds = retry_after(response)
    too_long = seconds is not None and seconds > LONGEST_WAIT
    return RateLimited(f"{text}; it asks to wait {seconds:g} s" if too_long else text, seconds)


def retry_after(response: requests.Response) -> float | None:
    """Seconds; vendors send the header with some of their limits only, and none of ours sends a date."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None
