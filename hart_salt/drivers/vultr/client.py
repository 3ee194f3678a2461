"""
Vultr's API v2 with plain requests: the vendor has no SDK for Python.

Passwords and console addresses are dropped while an answer is parsed, so they never leave this module. Sources:
*description* is Vultr's own description of 2023 (vultr/vultr-python-client); *govultr* is Vultr's client for Go
(vultr/govultr); *tent* stands for measurements by ingvarch/tent (docs/platform-notes.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import requests

from hart_salt.base import errors
from hart_salt.drivers import rest
from hart_salt.drivers.retry import StillThere
from hart_salt.drivers.vultr.rights import RIGHTS

VENDOR = "Vultr"
#: statuses whose meaning is certain; any other can come with a refusal for stock or quota, also 412, 500 and 503
_CERTAIN = (401, 404)
#: the former API said this with status 503
_THROTTLED = re.compile(r"rate[ -]limit")
#: Vultr has no error codes: texts of such answers, of which ingvarch/tent (docs/platform-notes.md) measured some
_BY_TEXT: tuple[tuple[re.Pattern[str], type[errors.DriverError]], ...] = (
    (re.compile(r"plan is (?:currently |temporarily )?(?:not available|unavailable)|sold[ -]out|out of stock"
                r"|\b(?:more|no|not enough|insufficient) capacity"), errors.NoCapacity),
    (re.compile(r"reached the maximum|(?<!rate[ -])\b(?:limits?|quota)\b"), errors.QuotaExceeded),
)  # fmt: skip
#: texts of answers to a delete: of a new instance, with status 500 (vultr/ansible-collection-vultr#113), and of one
#: that is being deleted already (squat/terraform-provider-vultr#50), which counts as gone
_LOCKED, _GOING = "is currently locked", "already pending destruction"
#: (vultr/vultr-csi#97, vultr/terraform-provider-vultr#375)
_NOT_LISTED = "unauthorized ip"
#: texts of a 401 that are about the key or the address, and not about a permission
_KEY = re.compile(rf"{_NOT_LISTED}|\b(?:token|key)\b")
_LIST_IT = (
    "; the account accepts API calls from certain addresses only: add this master's address in Vultr's console under "
    "Account, API, Access Control"
)


class Api(rest.JsonApi):
    """Vultr's API. A locked server raises ``StillThere``; one that is being deleted counts as gone."""

    vendor = VENDOR
    rights = RIGHTS
    default_endpoint = "https://api.vultr.com/v2"
    per_page = 500  # (description)
    #: root's first password, in the answer to a create call, and the address of a console without login
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
        error = _error(response, body)
        if isinstance(error, errors.AuthError) and not _KEY.search(str(error).lower()):
            return errors.AuthError(f"{error}{self._lacking(response)}")
        return error


def _error(response: requests.Response, body: Any) -> errors.DriverError:
    """
    Return the error for an answer. Bodies are ``{"error": text, "status": number}`` (tent), or a proxy's HTML.

    They contain no number of the request, and no header with one is known (description, govultr).
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
    if status == 503 and _THROTTLED.search(lower):
        return rest.rate_limited(response, text)
    if _NOT_LISTED in lower:
        return errors.AuthError(f"{text}{_LIST_IT}")
    known = next((kind for part, kind in _BY_TEXT if part.search(lower)), None) if status not in _CERTAIN else None
    if known is None and status >= 500:
        return errors.TemporaryFailure(text, uncertain=True)
    return (known or rest.BY_STATUS.get(status, errors.InvalidRequest))(text)
