"""
DigitalOcean's API, by way of python-digitalocean's ``Manager``.

Only ``get_data`` of it is used, with the one method replaced through which all its requests go: by itself
it has no timeouts, takes a failed second page for the end of a list, drops status codes and headers, and
breaks on answers that the API does give. Each of these has a test.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import digitalocean
import requests

from hart_salt.base import errors
from hart_salt.drivers import rest

VENDOR = "DigitalOcean"

#: texts of 422 answers, which share one id; from the issues of public projects (providers.md names them)
_BY_TEXT: tuple[tuple[str, type[errors.DriverError]], ...] = (
    ("droplet limit", errors.QuotaExceeded),
    ("region is not available", errors.NoCapacity),
    ("size is not available", errors.NoCapacity),
    ("size is currently unavailable", errors.NoCapacity),
    ("size is unavailable", errors.NoCapacity),
)


class Api(rest.Api):
    """DigitalOcean's. A list comes with all its pages: the whole list is asked for again, if a later page failed."""

    vendor = VENDOR
    default_endpoint = "https://api.digitalocean.com/v2"

    def listed(self, path: str, field: str, **query: Any) -> Any:
        """``get``: the library pages by itself."""
        return self.get(path, field, **query)

    def add(self, path: str, body: Mapping[str, Any]) -> None:
        """Put something into a set, where twice is the same as once. Repeated like ``get``."""
        self._repeated(lambda: self._ask("POST", path, body))

    def take(self, path: str, body: Mapping[str, Any]) -> None:
        """Take something out of a set; not in it is success, and so is no such set. Repeated like ``get``."""
        with contextlib.suppress(errors.NotFound):
            self._repeated(lambda: self._ask("DELETE", path, body))

    def _ask(self, method: str, path: str, parameters: Mapping[str, Any]) -> Any:
        try:
            return self._senders.get().get_data(path, type=method, params=parameters)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # What the library raises for links to other pages that are none.
            raise rest.unreadable(VENDOR) from error

    def _make_sender(self) -> _Manager:
        # Without the last slash the library would leave out the end of the address.
        manager = _Manager(token=self._token, end_point=f"{self._endpoint}/")
        manager.answer_timeout = self._timeout
        return manager


class _Manager(digitalocean.Manager):  # type: ignore[misc]  # the library has no type information
    """python-digitalocean's client with a request method that tells what happened."""

    answer_timeout: float

    def _BaseAPI__perform_request(self, url: str, type: str = "GET", params: Any = None) -> requests.Response:  # noqa: N802 - the name under which the library calls it
        address = urljoin(self.end_point, url)
        if urlsplit(address)[:2] != urlsplit(self.end_point)[:2]:
            # The address of the next page comes from the answer. The token goes to the endpoint only.
            raise errors.InvalidRequest("DigitalOcean's API named a next page on another server")
        payload = {"params": params} if type == "GET" else {"json": params or None}
        response = rest.send(self._session, VENDOR, type, address, self.token, self.answer_timeout, **payload)
        _raise_for(response)
        if type == "GET" and "page" in params and not any(isinstance(it, list) for it in response.json().values()):
            raise rest.unreadable(VENDOR)  # the library would take it for the end of the list
        return response


# failures


def _raise_for(response: requests.Response) -> None:
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
        if status == 422:
            kind = next((kind for part, kind in _BY_TEXT if part in text.lower()), kind)
        raise kind(text)
    if not isinstance(rest.json_of(response), dict):
        raise rest.unreadable(VENDOR)


def _text_of(response: requests.Response) -> str:
    """
    Bodies have ``message``, or ``messages``, or are a proxy's HTML.

    The request's number is in some of them, and otherwise in a header (digitalocean/godo#451).
    """
    body = rest.json_of(response)
    facts = body if isinstance(body, dict) else {}
    messages = facts.get("messages")
    if not isinstance(messages, list) or not messages:
        messages = list(filter(None, [facts.get("message") or facts.get("error")]))
    request = facts.get("request_id") or response.headers.get("x-request-id")
    return rest.text_of(VENDOR, response, "; ".join(map(str, messages)), facts.get("id"), request)
