"""
Vultr's API v2, by plain requests: there is no SDK of the vendor's for Python.

Passwords and console addresses are dropped while an answer is read: nothing that comes out of this module has
them. Sources are named as in the drivers' docstrings: *description* is Vultr's own, of 2023
(vultr/vultr-python-client); *govultr* is Vultr's client for Go (vultr/govultr); *tent* are measurements by
ingvarch/tent (docs/platform-notes.md).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import requests

from hart_salt.base.errors import (
    AuthError,
    DriverError,
    InvalidRequest,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    TemporaryFailure,
)
from hart_salt.drivers import rest
from hart_salt.drivers.http import is_certainly_undone
from hart_salt.drivers.outage import Outage
from hart_salt.drivers.retry import StillThere

VENDOR = "Vultr"
DEFAULT_ENDPOINT = "https://api.vultr.com/v2"
PER_PAGE = 500  #: the most that a page may have (description)
#: root's first password is in the answer to a create; the address of a console needs no login
SECRET_FIELDS = ("default_password", "kvm")

#: what the caller does next, by status
_BY_STATUS: Mapping[int, type[DriverError]] = {
    400: InvalidRequest,
    401: AuthError,
    403: AuthError,
    404: NotFound,
    409: InvalidRequest,
    412: InvalidRequest,
    422: InvalidRequest,
}
#: statuses that say no more than no
_SPEAKING = (400, 402, 422)
#: there are no codes: texts of such answers, from the issues of public projects (tent, providers.md)
_BY_TEXT: tuple[tuple[re.Pattern[str], type[DriverError]], ...] = (
    (re.compile(r"plan is not available"), NoCapacity),
    (re.compile(r"reached the maximum|(?<!rate[ -])\blimits?\b"), QuotaExceeded),
)
#: said of an instance that is to be deleted: at first with status 500 (vultr/ansible-collection-vultr#113), and
#: when it was asked before (squat/terraform-provider-vultr#50), which is as good as gone
_LOCKED, _GOING = "is currently locked", "already pending destruction"
#: (vultr/vultr-csi#97, vultr/terraform-provider-vultr#375)
_NOT_LISTED = "unauthorized ip"
_LIST_IT = (
    "; the account takes API calls from certain addresses only: add this one, in Vultr's console under Account, API, "
    "Access Control"
)


class Api(rest.Api):
    """Vultr's. A server that is locked is told as ``StillThere``; one that is about to go is as good as gone."""

    vendor = VENDOR

    def __init__(
        self,
        token: str,
        endpoint: str | None,
        timeout: float,
        sleep: Callable[[float], None] = time.sleep,
        outage: Outage | None = None,
    ) -> None:
        super().__init__(token, (endpoint or DEFAULT_ENDPOINT).rstrip("/"), timeout, sleep, outage)
        self._sessions = rest.PerThread(requests.Session)

    def listed(self, path: str, field: str, **query: str) -> list[dict[str, Any]]:
        """
        Return a list with all its pages. Repeated like ``get``; the whole list, if a later page failed.

        A page that does not say what comes after it is a failure: the rest would be missing.
        """
        if "" in query.values():  # an empty filter may let everything through
            raise InvalidRequest(f"{VENDOR}: a list is not asked for with an empty filter")
        return self._repeated(lambda: self._pages(path, field, query))

    def tell(self, path: str, body: Mapping[str, Any]) -> None:
        """Have something done that has no answer. Repeated like ``post``."""
        self._repeated(lambda: self._ask("POST", path, body), is_certainly_undone)

    def change(self, path: str, body: Mapping[str, Any]) -> None:
        """Set fields of something, where twice is the same as once. Repeated like ``get``."""
        self._repeated(lambda: self._ask("PATCH", path, dict(body)))

    def _pages(self, path: str, field: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursors = [""]
        while True:
            following = {"cursor": cursors[-1]} if cursors[-1] else {}
            answer = self._ask("GET", path, {**query, "per_page": PER_PAGE, **following})
            page, cursor = rest.field_of(answer, field, VENDOR), _next_cursor(answer)
            if not isinstance(page, list) or not all(isinstance(one, dict) for one in page):
                raise rest.unreadable(VENDOR)
            found += page
            if not cursor:
                return found
            if cursor in cursors:
                raise rest.unreadable(VENDOR)  # it would go round for ever
            cursors.append(cursor)

    def _ask(self, method: str, path: str, parameters: Mapping[str, Any]) -> Any:
        payload = {"params": parameters} if method == "GET" else {"json": parameters or None}
        session, address = self._sessions.get(), f"{self._endpoint}/{path}"
        return _answer(rest.send(session, VENDOR, method, address, self._token, self._timeout, **payload))


def _next_cursor(answer: Mapping[str, Any]) -> str:
    """Where the next page begins; empty after the last one."""
    try:
        cursor = answer["meta"]["links"]["next"]
    except (KeyError, TypeError) as error:
        raise rest.unreadable(VENDOR) from error
    if not isinstance(cursor, str):
        raise rest.unreadable(VENDOR)
    return cursor


# answers


def _answer(response: requests.Response) -> Any:
    """What was answered, without secrets. Raises the error that it is."""
    status = response.status_code
    if status == 204:
        return None
    body = rest.json_of(response, object_pairs_hook=_without_secrets)
    if status >= 300:
        raise _error(response, body)
    if not isinstance(body, dict):
        raise rest.unreadable(VENDOR)
    return body


def _without_secrets(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs if name not in SECRET_FIELDS}


def _error(response: requests.Response, body: Any) -> DriverError:
    """Bodies are ``{"error": text, "status": number}`` (tent), or a proxy's HTML."""
    status = response.status_code
    said = body.get("error") if isinstance(body, dict) else None
    said = said.strip() if isinstance(said, str) else ""
    text, lower = f"{VENDOR}: {said or response.reason or 'no message'} ({status})", said.lower()
    if status == 429:
        return rest.rate_limited(response, text)
    if _GOING in lower:
        return NotFound(text)
    if _LOCKED in lower:
        return StillThere(text)
    if status >= 500:
        return TemporaryFailure(text, uncertain=True)
    if _NOT_LISTED in lower:
        return AuthError(f"{text}{_LIST_IT}")
    if status in _SPEAKING:
        return next((kind for part, kind in _BY_TEXT if part.search(lower)), InvalidRequest)(text)
    return _BY_STATUS.get(status, InvalidRequest)(text)
