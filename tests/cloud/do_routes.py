"""Which function answers which call."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.cloud.do_answers import Refusal
from tests.cloud.do_state import World
from tests.cloud.http import Answer, Request

Handler = Callable[..., Answer]


@dataclass(frozen=True)
class Route:
    """``{}`` in a path stands for one segment, which is handed to the handler."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    #: looks at the form of the body, in the vendor's words, before the description of the API does
    check: Callable[[dict[str, Any]], None] | None


ROUTES: list[Route] = []


def route(
    method: str, path: str, *, check: Callable[[dict[str, Any]], None] | None = None
) -> Callable[[Handler], Handler]:
    """Register a handler; it is called with the world, the request, and the segments."""

    def register(handler: Handler) -> Handler:
        pattern = re.compile(re.escape("/v2" + path).replace(r"\{\}", "([^/]+)"))
        ROUTES.append(Route(method, pattern, handler, check))
        return handler

    return register


def check(request: Request) -> None:
    """Raises ``Refusal`` for a body that is wrong in a way that the vendor has words for."""
    entry, _ = _find(request)
    if request.method in ("POST", "PUT"):
        data = body_of(request)
        if entry.check is not None:
            entry.check(data)


def dispatch(world: World, request: Request) -> Answer:
    """Call the handler."""
    entry, segments = _find(request)
    return entry.handler(world, request, *segments)


def _find(request: Request) -> tuple[Route, tuple[str, ...]]:
    """A path written out goes before one with a segment to be filled."""
    matches = [(entry, match) for entry in ROUTES if (match := entry.pattern.fullmatch(request.path))]
    if not matches:
        raise Refusal(404)
    for entry, match in sorted(matches, key=lambda pair: len(pair[1].groups())):
        if entry.method == request.method:
            return entry, match.groups()
    raise Refusal(405, "The method is not allowed for this resource.")


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request."""
    try:
        data = request.json()
    except ValueError as error:
        raise Refusal(400, "Unable to parse the JSON body of the request.") from error
    if not isinstance(data, dict):
        raise Refusal(422, "The body must be a JSON object.")
    return data


def text(data: dict[str, Any], name: str) -> str:
    """A required text of a body."""
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise Refusal(422, f"{name.replace('_', ' ').capitalize()} can't be blank")
    return value
