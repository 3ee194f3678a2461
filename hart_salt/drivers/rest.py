"""
What drivers for JSON APIs with requests share: sessions, the token, answers.

Only a driver's API module imports this, in the first verb that needs it: requests may be missing.
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
from hart_salt.drivers.rights import Rights

T = TypeVar("T")

CONNECT_TIMEOUT = 10.0  #: seconds


class Api(abc.ABC):
    """
    An API with a token: plain data in and out, and every failure is a ``DriverError``.

    Safe for several threads. ``send`` describes the connections.
    """

    #: its name in messages
    vendor: ClassVar[str]
    #: the rights of its calls
    rights: ClassVar[Rights]
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
        Store the arguments; make no call.

        timeout
            seconds between two bytes of an answer
        endpoint
            address of the API (default: the vendor's own)
        sleep
            waits between two attempts
        outage
            how long to wait for an API that cannot be reached (default: as for one that fails)

        Raises ``AuthError`` if the token cannot be valid, ``InvalidRequest`` if it must not be sent to the endpoint.
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
        """Make the sender of one thread: threads must not share a session of requests."""

    def _repeated(self, call: Callable[[], T], may: Callable[[BaseException], bool] = is_repeatable) -> T:
        return repeated(call, self._sleep, may, self._peer)

    @property
    def _peer(self) -> Peer | None:
        if self._outage is None:
            return None
        return self._outage.peer(_name(self.vendor, self._endpoint), self._endpoint)

    @abc.abstractmethod
    def _ask(self, method: str, path: str, parameters: Mapping[str, Any]) -> Any:
        """Make one request. ``parameters`` are the query of a GET and the body of any other method."""

    def get(self, path: str, field: str, **query: Any) -> Any:
        """Return a field of an answer. Retry after throttling and temporary failures."""
        return self._repeated(lambda: self._field("GET", path, query, field))

    def post(self, path: str, body: Mapping[str, Any], field: str) -> Any:
        """
        Create something. Retry only if the request certainly had no effect: it was throttled, or never sent.

        ``TemporaryFailure`` with ``uncertain`` set means that it may exist: look for it before you retry.
        """
        return self._repeated(lambda: self._field("POST", path, body, field), is_certainly_undone)

    def delete(self, path: str) -> None:
        """Delete something; an absent resource is a success. Retry like ``get``."""
        try:
            self._repeated(lambda: self._ask("DELETE", path, {}))
        except NotFound:
            return

    def probe(self, path: str) -> None:
        """Read one page of a list, whatever it contains, to see whether the token may. Retry like ``get``."""
        self._repeated(lambda: self._ask("GET", path, {}))

    def _lacking(self, response: requests.Response) -> str:
        """Return which rights a refused request needs, as the end of a message."""
        return self.rights.hint(asked(response, self._endpoint))

    def _field(self, method: str, path: str, parameters: Mapping[str, Any], field: str) -> Any:
        # A copy for each attempt: the callee may write into it, and must not see that on the next attempt.
        return field_of(self._ask(method, path, dict(parameters)), field, self.vendor)


class JsonApi(Api):
    """
    An API over requests with JSON bodies and lists in pages; a vendor's class adds the rest.

    An answer below 300 must be an object, or empty with status 204.
    """

    #: the maximum number of items on a page
    per_page: ClassVar[int]
    #: the method that sets fields
    change_method: ClassVar[str] = "PATCH"
    #: fields that are dropped while an answer is parsed, so that no caller ever sees them
    secret_fields: ClassVar[Sequence[str]] = ()

    def _make_sender(self) -> requests.Session:
        return requests.Session()

    @abc.abstractmethod
    def _next(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """
        Return the query of the next page; empty after the last page.

        Raises ``unreadable`` if the answer does not say it.
        """

    @abc.abstractmethod
    def _error(self, response: requests.Response, body: Any) -> DriverError:
        """Return the error for an answer of 300 and above."""

    def listed(self, path: str, field: str, **query: str) -> list[dict[str, Any]]:
        """
        Return all pages of a list. Retry like ``get``, and the whole list if a later page fails.

        A page that does not say what follows is a failure: the rest would be missing.
        """
        if "" in query.values():  # an API may ignore an empty filter and list everything
            raise InvalidRequest(f"{self.vendor}: a list must not have an empty filter")
        return self._repeated(lambda: self._pages(path, field, query))

    def act(self, path: str, body: Mapping[str, Any]) -> None:
        """Start an action whose answer has no body. Retry like ``post``."""
        self._repeated(lambda: self._ask("POST", path, body), is_certainly_undone)

    def change(self, path: str, body: Mapping[str, Any]) -> None:
        """Set fields, which is idempotent. Retry like ``get``."""
        self._repeated(lambda: self._ask(self.change_method, path, dict(body)))

    def replace(self, path: str, body: Mapping[str, Any]) -> None:
        """Set all fields that a resource can change, with PUT. Retry like ``get``."""
        self._repeated(lambda: self._ask("PUT", path, dict(body)))

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
                raise unreadable(self.vendor)  # it would loop forever
            asked.append(following)

    def _ask(self, method: str, path: str, parameters: Mapping[str, Any]) -> Any:
        payload = {"params": parameters} if method == "GET" else {"json": parameters or None}
        session, address = self._senders.get(), f"{self._endpoint}/{path}"
        return self._answer(send(session, self.vendor, method, address, self._token, self._timeout, **payload))

    def _answer(self, response: requests.Response) -> Any:
        """
        Return the body without its secrets.

        Raises the error of an unsuccessful answer.
        """
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
    """One object per thread, made on demand."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._kept = threading.local()

    def get(self) -> T:
        """Return this thread's object, and make it on the first call."""
        if not hasattr(self._kept, "one"):
            self._kept.one = self._make()
        one: T = self._kept.one
        return one


class Bearer(requests.auth.AuthBase):
    """The token as an auth object; requests would replace a header with credentials from ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def checked_token(token: str, vendor: str) -> str:
    """
    Return the token without the line end of a file.

    Raises ``AuthError`` if it cannot be a token.
    """
    token = token.strip()
    if not (token.isascii() and token.isprintable()):
        raise AuthError(f"{vendor}: the token contains characters that no token has")
    return token


def send(
    session: requests.Session, vendor: str, method: str, address: str, token: str, timeout: float, **payload: Any
) -> requests.Response:
    """
    Make one request as ``USER_AGENT``, and return its answer with any status.

    Proxies and CA bundles come from the environment at the session's first request to the server, and certificates are
    verified. Redirects are not followed, because the token would go to another server.

    timeout
        seconds between two bytes of the answer
    payload
        ``params`` or ``json``, as for requests

    Raises ``TemporaryFailure`` or ``InvalidRequest`` if there is no answer.
    """
    try:
        return session.request(
            method,
            address,
            headers={"User-Agent": USER_AGENT},
            auth=Bearer(token),
            allow_redirects=False,
            timeout=(CONNECT_TIMEOUT, timeout),
            **_environment(session, address),
            **payload,
        )
    except requests.RequestException as error:
        raise failure(error, _name(vendor, address)) from error


def _environment(session: requests.Session, address: str) -> Mapping[str, Any]:
    """
    Return the proxies and certificates for a server from the environment.

    Requests would read the environment again for each request, which takes a third of its time.
    """
    kept: dict[Any, Mapping[str, Any]] = vars(session).setdefault("hart_environment", {})
    server = urlsplit(address)[:2]
    if server not in kept:
        session.trust_env = True
        found = session.merge_environment_settings(address, {}, None, None, None)
        kept[server] = {name: found[name] for name in ("proxies", "verify", "cert")}
        session.trust_env = False
    return kept[server]


def _name(vendor: str, address: str) -> str:
    return f"{vendor}'s API at {urlsplit(address).hostname}"


def asked(response: requests.Response, endpoint: str) -> str:
    """Return the request of an answer as the vendor's documentation writes it, such as ``POST /droplets``."""
    path = urlsplit(str(response.request.url)).path.removeprefix(urlsplit(endpoint).path.rstrip("/"))
    return f"{response.request.method} /{path.strip('/')}"


# answers

#: the errors of statuses, if the vendor's code or text says no more; any other refusal is an ``InvalidRequest``
BY_STATUS: Mapping[int, type[DriverError]] = {401: AuthError, 403: AuthError, 404: NotFound}


def unreadable(vendor: str) -> TemporaryFailure:
    """Return the error for a successful answer that cannot be parsed: the request may have had its effect."""
    return TemporaryFailure(f"{vendor} gave an answer that cannot be read", uncertain=True)


def field_of(answer: Any, name: str, vendor: str) -> Any:
    """
    Return a field that the answer must have.

    Raises ``unreadable`` if it is missing.
    """
    if not isinstance(answer, dict) or answer.get(name) is None:
        raise unreadable(vendor)
    return answer[name]


def json_of(response: requests.Response, **how: Any) -> Any:
    """Return the body as JSON, or None if it is not JSON. ``how`` goes to ``json.loads``."""
    try:
        return response.json(**how)
    except ValueError:
        return None


def text_of(vendor: str, response: requests.Response, message: object, code: object = "", request: object = "") -> str:
    """
    Return the text of an error.

    message
        the vendor's message; if empty, the reason of the status is used
    code
        the vendor's code, if any
    request
        the vendor's number of the request, which its support asks for; empty if the vendor has none
    """
    marks = " ".join(map(str, filter(None, [response.status_code, code])))
    number = f", request {request}" if request else ""
    return f"{vendor}: {message or response.reason or 'no message'} ({marks}{number})"


def rate_limited(response: requests.Response, text: str) -> RateLimited:
    """Return the error of a 429, with the wait of its Retry-After."""
    seconds = retry_after(response)
    too_long = seconds is not None and seconds > LONGEST_WAIT
    return RateLimited(f"{text}; it asks to wait {seconds:g} s" if too_long else text, seconds)


def retry_after(response: requests.Response) -> float | None:
    """Return the seconds of Retry-After, or None: vendors send it for some limits only. None of ours sends a date."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None
