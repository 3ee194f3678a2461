"""
Hetzner Cloud's API, by plain requests: its own library repeats creates that may have taken effect.

Sources: *docs* is docs.hetzner.cloud; *hcloud-go* and *hcloud-python* are the vendor's clients
(hetznercloud/hcloud-go, hcloud/error.go; hetznercloud/hcloud-python, _client.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests

from hart_salt.base import errors
from hart_salt.drivers import rest
from hart_salt.drivers.retry import StillThere
from hart_salt.drivers.sdk_driver import kind_of

VENDOR = "Hetzner"

#: what the caller does next, by code (docs, hcloud-go); what is not here goes by its status
_BY_CODE: Mapping[str, type[errors.DriverError]] = {
    "unauthorized": errors.AuthError,
    "forbidden": errors.AuthError,
    "token_readonly": errors.AuthError,
    "not_found": errors.NotFound,
    "invalid_input": errors.InvalidRequest,
    "json_error": errors.InvalidRequest,
    "uniqueness_error": errors.InvalidRequest,
    "protected": errors.InvalidRequest,
    "resource_locked": errors.InvalidRequest,  # for good, by Hetzner; locked is what passes
    "resource_limit_exceeded": errors.QuotaExceeded,
    "resource_unavailable": errors.NoCapacity,
    "placement_error": errors.NoCapacity,
    "no_space_left_in_location": errors.NoCapacity,
    "no_subnet_available": errors.NoCapacity,
}
#: another action is under way, or something changed meanwhile: nothing was done, and it passes
_BUSY = ("locked", "conflict")
#: nothing was done either; other failures of the server may have had an effect
_UNDONE = (*_BUSY, "maintenance")
_HINTS: Mapping[str, str] = {
    "protected": "; hart does not touch what is protected: take the protection off in Hetzner's console",
    "token_readonly": "; make a token that may read and write, in Hetzner's console under Security, API tokens",
}


class Api(rest.JsonApi):
    """
    Hetzner's. A server that is to be deleted while something else is done with it is reported as ``StillThere``.

    A 429 is waited for as its Retry-After says, and otherwise like any failure that passes: what ``RateLimit-Reset``
    names is when all 3600 calls of an hour are there again, while one more is allowed each second (docs).
    """

    vendor = VENDOR
    default_endpoint = "https://api.hetzner.cloud/v1"
    per_page = 50  # (docs)
    change_method = "PUT"
    secret_fields = ("root_password",)

    def _next(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            page = answer["meta"]["pagination"]["next_page"]
        except (KeyError, TypeError) as error:
            raise rest.unreadable(VENDOR) from error
        if page is not None and (not isinstance(page, int) or page < 2):
            raise rest.unreadable(VENDOR)
        return {} if page is None else {"page": page}

    def _error(self, response: requests.Response, body: Any) -> errors.DriverError:
        """Bodies are ``{"error": {"code", "message", "details"}}`` (docs), or a proxy's HTML."""
        said = body.get("error") if isinstance(body, dict) else None
        facts = said if isinstance(said, dict) else {}
        code, status = str(facts.get("code") or ""), response.status_code
        text = _text(response, facts, code)
        if status == 429 or code == "rate_limit_exceeded":
            return rest.rate_limited(response, text)
        if code in _BUSY and response.request.method == "DELETE":
            return StillThere(text)
        if code in _UNDONE:
            return errors.TemporaryFailure(text)
        kind = kind_of(code, status, _BY_CODE, rest.BY_STATUS)
        return errors.TemporaryFailure(text, uncertain=True) if kind is errors.TemporaryFailure else kind(text)


def _text(response: requests.Response, facts: Mapping[str, Any], code: str) -> str:
    """The vendor's message with the fields that it is about. The request's number is in a header (hcloud-python)."""
    details = facts.get("details")
    fields = details.get("fields") if isinstance(details, dict) else None
    listed = fields if isinstance(fields, list) else []
    names = [str(one["name"]) for one in listed if isinstance(one, dict) and one.get("name")]
    message = ": ".join(filter(None, [str(facts.get("message") or response.reason or "no message"), ", ".join(names)]))
    request = response.headers.get("X-Correlation-Id")
    return f"{rest.text_of(VENDOR, response, message, code, request)}{_HINTS.get(code, '')}"
