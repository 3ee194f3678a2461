"""The errors for exceptions of google-cloud-compute, and for failed operations."""

from __future__ import annotations

import re
from typing import Any

import google.api_core.exceptions
import google.auth.exceptions
import requests

from hart_salt.base.errors import AuthError, DriverError, TemporaryFailure
from hart_salt.drivers import http
from hart_salt.drivers.gce import refusals
from hart_salt.drivers.outage import Unreachable


def of(error: Exception, api: str, call: str) -> DriverError:
    """
    Return the error for an exception of the library; ``api`` names the server, ``call`` the API's method.

    Sockets fail with exceptions of ``requests`` and credentials with those of google-auth; the library itself raises
    only refusals. Anything else is an answer that the library cannot parse.
    """
    if isinstance(error, google.api_core.exceptions.GoogleAPICallError):
        return _refusal(error, call)
    if isinstance(error, google.auth.exceptions.GoogleAuthError):
        return _of_credentials(error)
    if isinstance(error, requests.RequestException):
        return http.failure(error, api)
    return unreadable()


def unreadable() -> DriverError:
    """Return the error for a successful answer that cannot be parsed: the request may have had its effect."""
    return TemporaryFailure("Compute Engine gave an answer that cannot be read", uncertain=True)


def of_operation(operation: Any) -> DriverError | None:
    """
    Return the error of an operation, or None if it has none.

    Only ``error`` counts: without a status beside it, the library treats the operation as a success.
    """
    if not operation.error.errors:
        return None
    first = operation.error.errors[0]
    call = f"{operation.target_link.split('/')[-2:][0]}.{operation.operation_type}"
    text = "; ".join(" ".join(part for part in (it.message, f"({it.code})") if part) for it in operation.error.errors)
    if zones := _zones_with_room(operation.error.errors):
        text = f"{text}; these zones have room now: {zones}"
    status = int(operation.http_error_status_code or 0)
    return refusals.made(first.code, status, f"Compute Engine: {text}{refusals.hint(first.code, status, call, text)}")


def _zones_with_room(found: Any) -> str:
    """Return the zones that a stockout names in its details, which older versions of the library do not have."""
    details = [detail for one in found for detail in getattr(one, "error_details", ())]
    named = [dict(detail.error_info.metadatas).get("zonesAvailable", "") for detail in details]
    return ", ".join(zone.strip() for text in named for zone in text.split(",") if zone.strip())


def _refusal(error: Any, call: str) -> DriverError:
    status = int(error.code or 0)
    details = error.errors[0] if error.errors and isinstance(error.errors[0], dict) else {}
    reason = str(details.get("reason") or error.reason or "")
    message = details.get("message") or _message_of(error.response)
    code = " ".join(part for part in (str(status), reason) if part)
    text, wait = f"Compute Engine: {message} ({code})", _retry_after(error.response)
    if wait is not None and wait > http.LONGEST_WAIT:
        text = f"{text}; it asks to wait {wait:g} s"
    return refusals.made(reason, status, f"{text}{refusals.hint(reason, status, call, str(message))}", wait)


def _message_of(response: Any) -> str:
    """Return the message of a body in the newer form, without a list of errors; ignore a proxy's HTML."""
    try:
        message = response.json()["error"]["message"]
    except (AttributeError, KeyError, TypeError, ValueError):
        message = None
    return str(message or getattr(response, "reason", None) or "no message")


def _retry_after(response: Any) -> float | None:
    value = getattr(response, "headers", {}).get("Retry-After", "")
    return float(value) if value.isdecimal() else None


def _of_credentials(error: Any) -> DriverError:
    """Return the error of failed credentials. Report only its kind: the text may contain a token server's answer."""
    below = _of_requests(error)
    if below is not None:
        failure = http.failure(below, "Compute Engine: the token server")
        if isinstance(failure, Unreachable):
            return failure
    if isinstance(error, google.auth.exceptions.TransportError):
        return TemporaryFailure("Compute Engine: the token server could not be reached")
    if isinstance(error, google.auth.exceptions.RefreshError) and error.retryable:
        return TemporaryFailure("Compute Engine: the token server failed")
    known = re.search(r"invalid_grant|invalid_client|account_deleted|invalid_scope", str(error))
    return AuthError(f"Compute Engine: the credentials do not work ({known[0] if known else type(error).__name__})")


def _of_requests(error: BaseException | None) -> requests.RequestException | None:
    """Return the socket failure that google-auth wrapped in one or more of its own exceptions, or None."""
    while error is not None and not isinstance(error, requests.RequestException):
        error = error.__cause__
    return error
