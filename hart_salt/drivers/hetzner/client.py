"""
Hetzner Cloud's API with plain requests: its own library retries create calls that may have had an effect.

Sources: *docs* is docs.hetzner.cloud; *hcloud-go* and *hcloud-python* are the vendor's clients
(hetznercloud/hcloud-go, hcloud/error.go; hetznercloud/hcloud-python, _client.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests

from hart_salt.base import errors
from hart_salt.drivers import rest
from hart_salt.drivers.hetzner.rights import RIGHTS
from hart_salt.drivers.retry import ActionFailed, Busy, StillThere
from hart_salt.drivers.sdk_driver import kind_of

VENDOR = "Hetzner"

#: the error classes by code (docs, hcloud-go); for other codes the status decides
_BY_CODE: Mapping[str, type[errors.DriverError]] = {
    "unauthorized": errors.AuthError,
    "forbidden": errors.AuthError,
    "token_readonly": errors.AuthError,
    "not_found": errors.NotFound,
    "invalid_input": errors.InvalidRequest,
    "json_error": errors.InvalidRequest,
    "uniqueness_error": errors.InvalidRequest,
    "protected": errors.Protected,
    "invalid_server_type": errors.InvalidRequest,
    "server_not_stopped": errors.TemporaryFailure,
    "resource_locked": errors.InvalidRequest,  # permanent, by Hetzner; "locked" is temporary
    "resource_limit_exceeded": errors.QuotaExceeded,
    "resource_unavailable": errors.NoCapacity,
    "placement_error": errors.NoCapacity,
    "no_space_left_in_location": errors.NoCapacity,
    "no_subnet_available": errors.NoCapacity,
}
#: another action is in progress, or something changed: the call had no effect, and this is temporary
_BUSY = ("locked", "conflict")
#: no effect either; other server failures may have had one
_UNDONE = (*_BUSY, "maintenance")
_HINTS: Mapping[str, str] = {
    "protected": "; salt-run hart.unprotect removes the protection of a node's server",
    "token_readonly": "; create a token that can read and write in Hetzner's console under Security, API tokens",
}
_IMAGE_HINT = "; turn off the protection of the image in Hetzner's console"


class Api(rest.JsonApi):
    """
    Hetzner's API. During another action on the server, a delete raises ``StillThere``, and an action ``Busy``.

    After a 429, hart waits as Retry-After says, or else as for any temporary failure. It ignores ``RateLimit-Reset``,
    the time when all 3600 calls of an hour are available again, because one more call is allowed each second (docs).
    """

    vendor = VENDOR
    rights = RIGHTS
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

    def failure_of(self, action: Mapping[str, Any]) -> errors.DriverError:
        """Return the error of an action that failed; its codes are those of refusals (docs)."""
        said = action.get("error")
        facts = said if isinstance(said, dict) else {}
        code = str(facts.get("code") or "")
        text = f"{VENDOR}: the action {action.get('command')} failed: {facts.get('message') or 'no message'} ({code})"
        kind = _BY_CODE.get(code, errors.TemporaryFailure)
        return ActionFailed(text, uncertain=True) if kind is errors.TemporaryFailure else kind(text)

    def _error(self, response: requests.Response, body: Any) -> errors.DriverError:
        """Return the error. Bodies are ``{"error": {"code", "message", "details"}}`` (docs), or a proxy's HTML."""
        said = body.get("error") if isinstance(body, dict) else None
        facts = said if isinstance(said, dict) else {}
        code, status = str(facts.get("code") or ""), response.status_code
        text = _text(response, facts, code)
        if status == 429 or code == "rate_limit_exceeded":
            return rest.rate_limited(response, text)
        if code in _BUSY and response.request.method == "DELETE":
            return StillThere(text)
        if code in _BUSY and "/actions/" in str(response.request.url):
            return Busy(text)
        if code in _UNDONE:
            return errors.TemporaryFailure(text)
        kind = kind_of(code, status, _BY_CODE, rest.BY_STATUS)
        if kind is errors.AuthError and status == 403:
            text = f"{text}{self._lacking(response)}"
        return errors.TemporaryFailure(text, uncertain=True) if kind is errors.TemporaryFailure else kind(text)


def _text(response: requests.Response, facts: Mapping[str, Any], code: str) -> str:
    """Return the vendor's message and its fields, with the request's number from a header (hcloud-python)."""
    details = facts.get("details")
    fields = details.get("fields") if isinstance(details, dict) else None
    listed = fields if isinstance(fields, list) else []
    names = [str(one["name"]) for one in listed if isinstance(one, dict) and one.get("name")]
    message = ": ".join(filter(None, [str(facts.get("message") or response.reason or "no message"), ", ".join(names)]))
    request = response.headers.get("X-Correlation-Id")
    hint = _IMAGE_HINT if code == "protected" and "/images/" in str(response.request.url) else _HINTS.get(code, "")
    return f"{rest.text_of(VENDOR, response, message, code, request)}{hint}"
