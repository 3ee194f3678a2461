"""
The errors for Compute Engine's refusals: one table, by the vendor's reason.

A call is refused at once with ``error.errors[].reason``, or its operation ends later with ``error.errors[].code``. The
status alone is not enough: quota and throttling are both 403.
"""

from __future__ import annotations

from collections.abc import Mapping

from hart_salt.base import errors
from hart_salt.drivers.gce.rights import RIGHTS
from hart_salt.drivers.sdk_driver import kind_of


class AlreadyExists(errors.InvalidRequest):
    """A resource with that name exists."""


class Stale(errors.InvalidRequest):
    """Someone else changed the resource since it was read: read it again."""


class NotReady(errors.TemporaryFailure):
    """Another operation on the resource is in progress."""


#: reasons of refusals and codes of operations, which differ in spelling
_BY_REASON: Mapping[str, type[errors.DriverError]] = {
    **dict.fromkeys(("quotaExceeded", "limitExceeded", "QUOTA_EXCEEDED", "LIMIT_EXCEEDED", "QUOTA_LIMIT"),
                    errors.QuotaExceeded),
    **dict.fromkeys(
        ("rateLimitExceeded", "userRateLimitExceeded", "resourceOperationRateExceeded", "RATE_LIMIT_EXCEEDED",
         "RESOURCE_OPERATION_RATE_EXCEEDED", "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED"), errors.RateLimited,
    ),
    **dict.fromkeys(
        ("ZONE_RESOURCE_POOL_EXHAUSTED", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "RESOURCE_POOL_EXHAUSTED",
         "RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "resourcePoolExhausted", "STOCKOUT", "stockout"), errors.NoCapacity,
    ),
    **dict.fromkeys(("notFound", "RESOURCE_NOT_FOUND"), errors.NotFound),
    **dict.fromkeys(("alreadyExists", "RESOURCE_ALREADY_EXISTS"), AlreadyExists),
    **dict.fromkeys(("conditionNotMet", "CONDITION_NOT_MET"), Stale),
    **dict.fromkeys(("resourceNotReady", "RESOURCE_NOT_READY"), NotReady),
    **dict.fromkeys(
        ("authError", "forbidden", "required", "insufficientPermissions", "accessNotConfigured", "PERMISSIONS_ERROR",
         "FORBIDDEN", "SERVICE_ACCOUNT_ACCESS_DENIED"), errors.AuthError,
    ),
    **dict.fromkeys(
        ("resourceInUseByAnotherResource", "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"), errors.InvalidRequest,
    ),
    **dict.fromkeys(("backendError", "internalError", "BACKEND_ERROR", "INTERNAL_ERROR"), errors.TemporaryFailure),
}  # fmt: skip
#: for reasons that are not in the table
_BY_STATUS: Mapping[int, type[errors.DriverError]] = {
    401: errors.AuthError,
    403: errors.AuthError,
    404: errors.NotFound,
    409: AlreadyExists,
    412: Stale,
    429: errors.RateLimited,
}


#: what to do about some reasons
_HINTS: Mapping[str, str] = {
    "accessNotConfigured": "; enable the Compute Engine API in the project",
    "insufficientPermissions": (
        "; the token of the master's machine is not for this API: set key_file, or add the scope "
        "https://www.googleapis.com/auth/compute to the machine"
    ),
    "resourceInUseByAnotherResource": "; delete the resource that uses it first",
    "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE": "; delete the resource that uses it first",
    "SERVICE_ACCOUNT_ACCESS_DENIED": "; instances.insert needs the permission iam.serviceAccounts.actAs",
}


def hint(reason: str, status: int, call: str, message: str) -> str:
    """Return what a refused call needs, as the end of the vendor's message; empty if it lacks no permission."""
    if reason in _HINTS:
        return _HINTS[reason]
    if is_protected(reason, message):
        return "; the instance has deletion protection: salt-run hart.unprotect removes it"
    lacks = status != 401 and kind_of(reason, status, _BY_REASON, _BY_STATUS) is errors.AuthError
    return RIGHTS.hint(call, message) if lacks else ""


def is_protected(reason: str, message: str) -> bool:
    """Return whether an instance is protected; the reason also has other causes (terraform-provider-google#1211)."""
    return reason in ("invalidResourceUsage", "INVALID_RESOURCE_USAGE") and "protected against deletion" in message


def made(reason: str, status: int, text: str, retry_after: float | None = None) -> errors.DriverError:
    """Return the error for a reason, or for the status if the reason is unknown."""
    if is_protected(reason, text):
        return errors.Protected(text)
    kind = kind_of(reason, status, _BY_REASON, _BY_STATUS)
    if kind is errors.RateLimited:
        return errors.RateLimited(text, retry_after)
    if kind is errors.TemporaryFailure:
        return errors.TemporaryFailure(text, uncertain=True)
    return kind(text)
