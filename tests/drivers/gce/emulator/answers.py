"""The form of Compute Engine's answers: refusals, times, links, pages, aggregated lists."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tests.drivers.gce.emulator import catalog as catalogue
from tests.emulation.http import Answer, Request
from tests.emulation.tables import tables_of

if TYPE_CHECKING:
    from tests.drivers.gce.emulator.state import Operation, World

LONGEST_PAGE = 500
#: by status: the reason and message of a refusal that states no others
REASONS = tables_of(__file__)
LIMITS = ("quotaExceeded", "rateLimitExceeded")


class Refusal(Exception):
    """A refusal by the API."""

    def __init__(self, status: int, message: str = "", reason: str = "") -> None:
        self.status = status
        self.body = error(status, message, reason)
        super().__init__(message)


def error(status: int, message: str = "", reason: str = "") -> dict[str, Any]:
    """Return the body of a refusal."""
    usual = REASONS.get(status, ("backendError", "Backend error."))
    message, reason = message or usual[1], reason or usual[0]
    domain = "usageLimits" if reason in LIMITS else "global"
    first = {"message": message, "domain": domain, "reason": reason}
    return {"error": {"code": status, "message": message, "errors": [first]}}


def missing(path: str) -> Refusal:
    """Return a 404, in the vendor's words."""
    return Refusal(404, f"The resource '{path}' was not found", "notFound")


def invalid(field: str, value: Any, why: str) -> Refusal:
    """Return a 400, in the vendor's words."""
    return Refusal(400, f"Invalid value for field '{field}': '{value}'. {why}", "invalid")


def when(seconds: float) -> str:
    """Return a time as the vendor writes it, with the offset of its own coast."""
    zone = datetime.timezone(datetime.timedelta(hours=-8))
    return datetime.datetime.fromtimestamp(seconds, zone).isoformat(timespec="milliseconds")


def link(path: str) -> str:
    """Return Google's own address of ``path``, such as ``projects/p/zones/z/instances/i``, whatever host is in use."""
    return f"https://www.googleapis.com/compute/v1/{path}"


def last(path: str) -> str:
    """Return the name at the end of a link."""
    return path.rpartition("/")[2]


def page(
    world: World, request: Request, kind: str, items: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], dict[str, Any]]:
    """Return one page of a list, and the other fields of its answer. Raises ``Refusal`` for an invalid page."""
    longest = request.first("maxResults") or str(LONGEST_PAGE)
    if not longest.isdecimal() or int(longest) > LONGEST_PAGE:
        raise invalid("maxResults", longest, "Must be between 0 and 500, inclusive")
    start = _start(request.first("pageToken"))
    length = min(int(longest) or LONGEST_PAGE, world.settings.page_cap or LONGEST_PAGE)
    fields = {
        "kind": f"compute#{kind}",
        "id": f"{request.path.removeprefix('/compute/v1/')}",
        "selfLink": link(request.path.removeprefix("/compute/v1/")),
    }
    if start + length < len(items):
        fields["nextPageToken"] = f"page-{start + length}"
    return list(items[start : start + length]), fields


def _start(token: str | None) -> int:
    if token is None or token == "":
        return 0
    if not token.startswith("page-") or not token.removeprefix("page-").isdecimal():
        raise invalid("pageToken", token, "Invalid page token")
    return int(token.removeprefix("page-"))


def listing(world: World, request: Request, kind: str, items: Sequence[Mapping[str, Any]]) -> Answer:
    """Return the answer with a list; an empty list has no ``items``."""
    shown, fields = page(world, request, kind, items)
    return Answer(200, {**fields, **({"items": shown} if shown else {})})


def aggregated(
    world: World, request: Request, kind: str, field: str, items: Sequence[tuple[str, Mapping[str, Any]]]
) -> Answer:
    """
    Return the answer with a list over all zones: each page has a scope for every zone, and most are empty.

    ``items`` are pairs of a scope, such as ``zones/us-east1-b``, and the resource in it.
    """
    unreachable = {f"zones/{zone}" for zone in world.settings.unreachable_zones}
    there = [(scope, thing) for scope, thing in items if scope not in unreachable]
    shown, fields = page(world, request, kind, [{"scope": scope, "thing": thing} for scope, thing in there])
    scopes: dict[str, Any] = {}
    for name in (f"zones/{zone}" for zone in catalogue.all_zones()):
        found = [entry["thing"] for entry in shown if entry["scope"] == name]
        scopes[name] = {field: found} if found else {"warning": _nothing(name)}
    answer = {**fields, "items": scopes}
    if unreachable:
        answer["unreachables"] = sorted(f"projects/{world.project}/{scope}" for scope in unreachable)
    return Answer(200, answer)


def _nothing(scope: str) -> dict[str, Any]:
    data = [{"key": "scope", "value": scope}]
    return {"code": "NO_RESULTS_ON_PAGE", "message": f"There are no results for scope '{scope}' on this page.",
            "data": data}  # fmt: skip


def _failure(code: str, message: str) -> dict[str, Any]:
    """Return an error of an operation; details name the zones that have room."""
    info = {"domain": "compute.googleapis.com", "metadatas": {"zonesAvailable": "us-central1-f"}, "reason": "stockout"}
    details = {"errorDetails": [{"errorInfo": info}]} if code.endswith("_WITH_DETAILS") else {}
    return {"code": code, "message": message, **details}


def operation(world: World, it: Operation, *, fresh: bool = False) -> dict[str, Any]:
    """Return an operation. The first answer, to the call that began it, never reports it as ended."""
    done = not fresh and it.done_at <= world.clock()
    path = f"projects/{world.project}/{it.scope}"
    shown: dict[str, Any] = {
        "kind": "compute#operation",
        "id": str(it.id),
        "name": it.name,
        "operationType": it.type,
        "targetLink": link(f"projects/{world.project}/{it.target}"),
        "targetId": str(it.target_id),
        "status": "DONE" if done else "RUNNING",
        "user": world.user,
        "progress": 100 if done else 0,
        "insertTime": when(it.started),
        "startTime": when(it.started),
        "selfLink": link(f"{path}/operations/{it.name}"),
    }
    if it.scope.startswith("zones/"):
        shown["zone"] = link(path)
    if it.request_id:
        shown["clientOperationId"] = it.request_id
    if done:
        shown["endTime"] = when(it.done_at)
    if done and it.errors:
        shown["error"] = {"errors": [_failure(code, message) for code, message in it.errors]}
        if it.http_status:
            shown["httpErrorStatusCode"] = it.http_status
            shown["httpErrorMessage"] = "SERVICE UNAVAILABLE" if it.http_status == 503 else "FORBIDDEN"
    return shown
