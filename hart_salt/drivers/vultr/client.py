"""
Vultr's API v2, by plain requests: there is no SDK of the vendor's for Python.

Passwords and console addresses are dropped while an answer is read: nothing that comes out of this module has
them. Sources are named as in the drivers' docstrings: *description* is Vultr's own, of 2023
(vultr/vultr-python-client); *govultr* is Vultr's client for Go (vultr/govultr); *tent* are measurements by
ingvarch/tent (docs/platform-notes.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import requests

from hart_salt.base import errors
from hart_salt.drivers import rest
from hart_salt.drivers.retry import StillThere

VENDOR = "Vultr"
#: statuses that say no more than no
_SPEAKING = (400, 402, 422)
#: there are no codes: texts of such answers, from the issues of public projects (tent, providers.md)
_BY_TEXT: tuple[tuple[re.Pattern[str], type[errors.DriverError]], ...] = (
    (re.compile(r"plan is not available"), errors.NoCapacity),
    (re.compile(r"reached the maximum|(?<!rate[ -])\blimits?\b"), errors.QuotaExceeded),
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


class Api(rest.JsonApi):
    """Vultr's. A server that is locked is reported as ``StillThere``; one that is about to go is as good as gone."""

    vendor = VENDOR
    default_endpoint = "https://api.vultr.com/v2"
    per_page = 500  # (description)
    #: root's first password is in the answer to a create; the address of a console needs no login
    secret_fields = ("default_password", "kvm")

    def _next(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            cursor = answer["meta"]["links"]["next"]
        except (KeyError, TypeError) as error:
            raise rest.unreadable(VENDOR) from error
        if not isinstance(cursor, str):
            raise rest.unreadable(VENDOR)
        return {"cursor": cursor} if cursor else {}

    def _error(self, response: requests.Response, body: Any) -> errors.DriverError:
        return _error(response, body)


def _error(response: requests.Response, body: Any) -> errors.DriverError:
    """
    Bodies are ``{"error": text, "status": number}`` (tent), or a proxy's HTML.

    A number of the request is in none of them, and no header of one is known (description, govultr).
    """
    status = response.status_code
    said = body.get("error") if isinstance(body, dict) else None
    said = said.strip() if isinstance(said, str) else ""
    text, lower = rest.text_of(VENDOR, response, said), said.lower()
    if status == 429:
        return rest.rate_limited(response, text)
    if _GOING in lower:
        return errors.NotFound(text)
    if _LOCKED in lower:
        return StillThere(text)
    if status >= 500:
        return errors.TemporaryFailure(text, uncertain=True)
    if _NOT_LISTED in lower:
        return errors.AuthError(f"{text}{_LIST_IT}")
    if status in _SPEAKING:
        return next((kind for part, kind in _BY_TEXT if part.search(lower)), errors.InvalidRequest)(text)
    return rest.BY_STATUS.get(status, errors.InvalidRequest)(text)
