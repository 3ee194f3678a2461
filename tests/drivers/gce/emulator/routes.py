"""The handler of each call, and the message types of its body and of its answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.drivers.gce.emulator import answers as gce_answers
from tests.drivers.gce.emulator import schema
from tests.drivers.gce.emulator.answers import Refusal
from tests.drivers.gce.emulator.state import Operation, World
from tests.emulation.http import Answer, Request

PREFIX = "/compute/v1/projects/"
Handler = Callable[..., Answer]


@dataclass(frozen=True)
class Route:
    """A call; ``{}`` in its path is one segment, which the handler gets as an argument. The first is the project."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    #: message types
    answer: str
    body: str = ""


ROUTES: list[Route] = []


def route(method: str, path: str, answer: str = "Operation", body: str = "") -> Callable[[Handler], Handler]:
    """Register a handler, which gets the world, the request, and the segments of the path."""

    def register(handler: Handler) -> Handler:
        pattern = re.compile(re.escape(f"{PREFIX}{{}}{path}").replace(r"\{\}", "([^/]+)"))
        ROUTES.append(Route(method, pattern, handler, answer, body))
        return handler

    return register


def find(request: Request) -> tuple[Route, tuple[str, ...]]:
    """Return the route of a call and its segments. A literal path has priority over one with a ``{}``."""
    matches = [(it, found) for it in ROUTES if (found := it.pattern.fullmatch(request.path))]
    for it, found in sorted(matches, key=lambda pair: len(pair[1].groups())):
        if it.method == request.method:
            return it, found.groups()
    raise Refusal(404, f"The requested URL {request.path} was not found on this server.", "notFound")


def called(method: str, path: str) -> str:
    """Return the API's name of a call's method, such as ``zoneOperations.get``."""
    parts = path.removeprefix(PREFIX).split("/")[1:]
    if path.endswith(":testIamPermissions"):
        return "projects.testIamPermissions"
    if not parts:
        return "projects.get"
    scope = parts[0]
    if scope in ("zones", "regions", "global", "aggregated") and len(parts) > 1:
        parts = parts[1:] if scope in ("global", "aggregated") else parts[2:] or [scope, parts[1]]
    kind = {"zones": "zoneOperations", "global": "globalOperations"}.get(scope, "") if parts[0] == "operations" else ""
    name = kind or parts[0]
    if len(parts) > 2:
        return f"{name}.{'getFromFamily' if parts[1] == 'family' else parts[2]}"
    if scope == "aggregated":
        return f"{name}.aggregatedList"
    alone = {"GET": "list", "POST": "insert"}
    return f"{name}.{({'GET': 'get', 'DELETE': 'delete'} if len(parts) == 2 else alone).get(method, method)}"


def body_of(request: Request, kind: str) -> dict[str, Any]:
    """Return the body of a call, with the API's own names. Raises ``Refusal`` if it does not match its message type."""
    try:
        data = request.json()
    except ValueError as error:
        raise Refusal(400, "Parse Error", "parseError") from error
    if problems := schema.problems(kind, data):
        raise Refusal(400, f"Invalid JSON payload received. {problems[0]}", "badRequest")
    return schema.canonical(kind, data)


def repeatable(handler: Callable[..., Operation]) -> Handler:
    """
    Return a handler that recognises a repeated call by its request id and answers with the same operation.

    ``handler`` returns an ``Operation``; the handler returned here returns its answer.
    """

    def work(world: World, request: Request, *segments: str) -> Answer:
        number = request.first("requestId") or ""
        key = (request.method, request.path, number)
        known = world.state.requests.get(key) if number and world.settings.remembers_requests else None
        if number and not UUID.fullmatch(number):
            raise gce_answers.invalid("requestId", number, "Must be a valid UUID")
        if known is None:
            operation = handler(world, request, *segments)
            operation.request_id = number
            world.state.requests[key] = operation.name
        else:
            operation = world.state.operations[known]
        return Answer(200, gce_answers.operation(world, operation, fresh=True))

    work.__doc__ = handler.__doc__
    return work


UUID = re.compile(r"(?!0{8}-)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
