"""Which function answers which call of an emulated API."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.emulation.http import Answer, Request

Handler = Callable[..., Answer]
#: of the world and a segment of the path: what is meant, or a refusal
Find = Callable[[Any, str], Any]
#: of the world and a thing: how the API shows it
Show = Callable[[Any, Any], Any]
Check = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Route:
    """``{}`` in a path stands for one segment, which is handed to the handler."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    #: looks at the form of the body, in the vendor's words, before the description of the API does
    check: Check | None


class Router:
    """
    The routes of one API, below ``prefix``.

    ``refuse`` makes the error by which it says no; ``page`` answers with a page of a list.
    """

    def __init__(
        self, prefix: str, refuse: Callable[[int, str], Exception], page: Callable[..., Answer] | None = None
    ) -> None:
        self.routes: list[Route] = []
        self._prefix = prefix
        self._refuse = refuse
        self._page = page

    def route(self, method: str, path: str, *, check: Check | None = None) -> Callable[[Handler], Handler]:
        """Register a handler; it is called with the world, the request, and the segments."""

        def register(handler: Handler) -> Handler:
            pattern = re.compile(re.escape(self._prefix + path).replace(r"\{\}", "([^/]+)"))
            self.routes.append(Route(method, pattern, handler, check))
            return handler

        return register

    def lists(self, path: str, things: str, show: Show, name: str = "", by: str = "") -> None:
        """
        GET of all ``things`` of the state, in pages; the answer calls them ``name``.

        With a query parameter ``by``, only those whose field of that name has its value.
        """

        def listed(world: Any, request: Request) -> Answer:
            assert self._page is not None
            wanted = request.first(by) if by else None
            found = [it for it in getattr(world.state, things).values() if wanted is None or getattr(it, by) == wanted]
            return self._page(world, request, name or things, found, lambda it: show(world, it))

        self.route("GET", path)(listed)

    def shows(self, path: str, name: str, find: Find, show: Show) -> None:
        """GET of one; the answer calls it ``name``."""

        def shown(world: Any, request: Request, segment: str) -> Answer:
            return Answer(200, {name: show(world, find(world, segment))})

        self.route("GET", f"{path}/{{}}")(shown)

    def deletes(self, path: str, things: str, find: Find) -> None:
        """DELETE of one, which is 204 whoever has a use for it."""

        def deleted(world: Any, request: Request, segment: str) -> Answer:
            del getattr(world.state, things)[find(world, segment).id]
            return Answer(204)

        self.route("DELETE", f"{path}/{{}}")(deleted)

    def dispatch(self, world: Any, request: Request) -> Answer:
        """Call the handler."""
        entry, segments = self.find(request)
        return entry.handler(world, request, *segments)

    def find(self, request: Request) -> tuple[Route, tuple[str, ...]]:
        """A path written out goes before one with a segment to be filled."""
        matches = [(entry, match) for entry in self.routes if (match := entry.pattern.fullmatch(request.path))]
        if not matches:
            raise self._refuse(404, "")
        for entry, match in sorted(matches, key=lambda pair: len(pair[1].groups())):
            if entry.method == request.method:
                return entry, match.groups()
        raise self._refuse(405, "The method is not allowed for this resource.")


def json_object(request: Request, no_json: Exception, no_object: Exception | None = None) -> dict[str, Any]:
    """The JSON object of a request; otherwise one of the errors."""
    try:
        data = request.json()
    except ValueError:
        raise no_json from None
    if not isinstance(data, dict):
        raise no_object or no_json
    return data


def required_text(data: dict[str, Any], name: str, missing: Exception) -> str:
    """A text of a body; otherwise the error."""
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise missing
    return value
