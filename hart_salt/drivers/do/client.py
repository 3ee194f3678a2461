"""
DigitalOcean's API through python-digitalocean's ``Manager``.

hart uses only its ``get_data``, and replaces the one method that makes all its requests. By default the library has no
timeouts, treats a failed second page as the end of a list, drops status codes and headers, and fails on real answers
of the API. Each of these has a test.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
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
    (re.compile(r"\b(?:droplet|volume|reserved ip|account) limit|will exceed your|currently restricted"),
     errors.QuotaExceeded),
    (re.compile(r"(?:region|size) is (?:currently |temporarily )?(?:not available|unavailable|sold out|disabled)"),
     errors.NoCapacity),
)  # fmt: skip
#: statuses whose meaning is certain
_CERTAIN = (401, 404)


class Api(rest.Api):
    """DigitalOcean's API. Lists contain all pages; if a later page fails, the whole list is retried."""

    vendor = VENDOR
    rights = RIGHTS
    default_endpoint = "https://api.digitalocean.com/v2"

    def listed(self, path: str, field: str, **query: Any) -> Any:
        """Return a list like ``get``: the library gets all pages."""
        return self.get(path, field, **query)

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
        _raise_for(response, self.end_point)
        if type == "GET" and "page" in params and not any(isinstance(it, list) for it in response.json().values()):
            raise rest.unreadable(VENDOR)  # the library would treat it as the end of the list
        return response


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
