"""
DigitalOcean's API through python-digitalocean's ``Manager``.

hart uses only its ``get_data``, and replaces the one method that makes all its requests. By default the library has no
timeouts, treats a failed second page as the end of a list, drops status codes and headers, and fails on real answers
of the API. Each of these has a test.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urljoin, urlsplit

import digitalocean
import requests

from hart_salt.base import errors
from hart_salt.drivers import rest
from hart_salt.drivers.do.rights import RIGHTS

VENDOR = "DigitalOcean"

#: texts of refusals, which share one id, whatever the status; as users report them: OpenRouterLabs/spawn#3059,
#: trailofbits/algo#677, kelda/kelda#1359, inlets/inlets-operator#111, digitalocean/api-v2#36
_BY_TEXT: tuple[tuple[re.Pattern[str], type[errors.DriverError]], ...] = (
    (re.compile(r"\b(?:droplet|volume|snapshot|image|reserved ip|account) limit|will exceed your|currently restricted"),
     errors.QuotaExceeded),
    (re.compile(r"(?:region|size) is (?:currently |temporarily )?(?:not available|unavailable|sold out|disabled)"),
     errors.NoCapacity),
)  # fmt: skip
#: statuses whose meaning is certain
_CERTAIN = (401, 404)


PER_PAGE = 200  #: (description)
PAGES_AT_ONCE = 8  #: pages of one list that are requested at the same time; the limit is 250 calls a minute
MOST_PAGES = 100_000


class Api(rest.Api):
    """DigitalOcean's API. Lists contain all pages; if a later page fails, the whole list is retried."""

    vendor = VENDOR
    rights = RIGHTS
    default_endpoint = "https://api.digitalocean.com/v2"

    def listed(self, path: str, field: str, **query: Any) -> Any:
        """Return a list like ``get``, from all pages. After the first page, several are requested at a time."""
        return self._repeated(lambda: self._pages(path, field, query))

    def _pages(self, path: str, field: str, query: Mapping[str, Any]) -> list[Any]:
        def page(number: int) -> Mapping[str, Any]:
            # With a page in the query, the library does not follow the links itself.
            answer = self._ask("GET", path, {**query, "per_page": PER_PAGE, "page": number})
            rest.field_of(answer, field, VENDOR)
            return answer  # type: ignore[no-any-return]  # the library has no type information

        answers = [page(1)]
        last = _last_page(answers[0])
        if last > 1:
            with ThreadPoolExecutor(min(PAGES_AT_ONCE, last - 1), thread_name_prefix="hart-pages") as pool:
                others = [pool.submit(page, number) for number in range(2, last + 1)]
                try:
                    answers += [other.result() for other in others]
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
        while _last_page(answers[-1]) > len(answers):  # the list has grown meanwhile
            answers.append(page(len(answers) + 1))
        return [thing for answer in answers for thing in answer[field]]

    def total(self, path: str) -> int:
        """Return the length of a list with one call, however long it is. Retry like ``get``."""
        meta = self._repeated(lambda: rest.field_of(self._ask("GET", path, {"per_page": 1, "page": 1}), "meta", VENDOR))
        return int(rest.field_of(meta, "total", VENDOR))

    def add(self, path: str, body: Mapping[str, Any]) -> None:
        """Add something to a set, which is idempotent. Retry like ``get``."""
        self._repeated(lambda: self._ask("POST", path, body))

    def take(self, path: str, body: Mapping[str, Any]) -> None:
        """Remove something from a set; an absent member or set is a success. Retry like ``get``."""
        with contextlib.suppress(errors.NotFound):
            self._repeated(lambda: self._ask("DELETE", path, body))

    def _ask(self, method: str, path: str, parameters: Mapping[str, Any]) -> Any:
        try:
            return self._senders.get().get_data(path, type=method, params=parameters)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # The library raises these for invalid links to other pages.
            raise rest.unreadable(VENDOR) from error

    def _make_sender(self) -> _Manager:
        # Without the slash at the end, the library would drop the last part of the address.
        manager = _Manager(token=self._token, end_point=f"{self._endpoint}/")
        manager.answer_timeout = self._timeout
        return manager


class _Manager(digitalocean.Manager):  # type: ignore[misc]  # the library has no type information
    """python-digitalocean's client with a request method that raises our errors."""

    answer_timeout: float

    def _BaseAPI__perform_request(self, url: str, type: str = "GET", params: Any = None) -> requests.Response:  # noqa: N802 - the name under which the library calls it
        address = urljoin(self.end_point, url)
        if urlsplit(address)[:2] != urlsplit(self.end_point)[:2]:
            # The address of the next page comes from the answer, but the token must go to the endpoint only.
            raise errors.InvalidRequest("DigitalOcean's API named a next page on another server")
        payload = {"params": params} if type == "GET" else {"json": params or None}
        response = rest.send(self._session, VENDOR, type, address, self.token, self.answer_timeout, **payload)
        # A long list is parsed once: here and in the library, several places need the body.
        response.json = functools.cache(response.json)  # type: ignore[method-assign, assignment]
        _raise_for(response, self.end_point)
        if type == "GET" and "page" in params and not any(isinstance(it, list) for it in response.json().values()):
            raise rest.unreadable(VENDOR)  # the library would treat it as the end of the list
        return response


def _last_page(answer: Mapping[str, Any]) -> int:
    """
    Return the number of the last page that an answer names, or 1 if no page follows it.

    Raises ``unreadable`` if a page follows and the answer does not say how many.
    """
    pages = (answer.get("links") or {}).get("pages") or {}
    if not pages.get("next"):
        return 1
    found = re.search(r"[?&]page=([0-9]{1,9})(?:&|$)", str(pages.get("last") or pages["next"]))
    if found is None or not 1 < int(found[1]) <= MOST_PAGES:
        raise rest.unreadable(VENDOR)
    return int(found[1])


# failures


def _raise_for(response: requests.Response, endpoint: str) -> None:
    status = response.status_code
    if status == 204:
        return
    text = _text_of(response)
    if status == 429:
        raise rest.rate_limited(response, text)
    if status >= 500:
        raise errors.TemporaryFailure(text, uncertain=True)
    if status >= 300:
        kind = rest.BY_STATUS.get(status, errors.InvalidRequest)
        if status not in _CERTAIN:
            kind = next((kind for part, kind in _BY_TEXT if part.search(text.lower())), kind)
        if kind is errors.AuthError and status == 403:
            text = f"{text}{RIGHTS.hint(rest.asked(response, endpoint))}"
        raise kind(text)
    if not isinstance(rest.json_of(response), dict):
        raise rest.unreadable(VENDOR)


def _text_of(response: requests.Response) -> str:
    """
    Return the text of an error. Bodies have ``message`` or ``messages``, or are a proxy's HTML.

    The number of the request is in some bodies, otherwise in a header (digitalocean/godo#451).
    """
    body = rest.json_of(response)
    facts = body if isinstance(body, dict) else {}
    messages = facts.get("messages")
    if not isinstance(messages, list) or not messages:
        messages = list(filter(None, [facts.get("message") or facts.get("error")]))
    request = facts.get("request_id") or response.headers.get("x-request-id")
    return rest.text_of(VENDOR, response, "; ".join(map(str, messages)), facts.get("id"), request)
