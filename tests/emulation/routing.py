"""The routes of an emulated API: the function for each call."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.emulation.http import Answer, Request

Handler = Callable[..., Answer]
#: finds the resource for a segment of the path, or raises a refusal
Find = Callable[[Any, str], Any]
#: returns a resource as the API shows it
Show = Callable[[Any, Any], Any]
Check = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Route:
    """A route. ``{}`` in its path stands for one segment, which the handler gets."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    #: checks the form of the body with the vendor's messages, before the description of the API does
    check: Check | None


class Router:
    """
    The routes of one API under ``prefix``.

    ``refuse`` makes the error of a refusal; ``page`` answers with a page of a list.
    """

    def __init__(
        self, prefix: str, refuse: Callable[[int, str], Exception], page: Callable[..., Answer] | None = None
    ) -> None:
        self.routes: list[Route] = []
        self._prefix = prefix
        self._refuse = refuse
        self._page = page

    def route(self, method: str, path: str, *, check: Check | None = None) -> Callable[[Handler], Handler]:
        """Return a decorator that registers a handler, which gets the world, the request and the segments."""

        def register(handler: Handler) -> Handler:
            pattern = re.compile(re.escape(self._prefix + path).replace(r"\{\}", "([^/]+)"))
            self.routes.append(Route(method, pattern, handler, check))
            return handler

        return register

    def lists(self, path: str, things: str, show: Show, name: str = "", by: str = "") -> None:
        """
        Route a GET of all ``things`` of the state, in pages; the answer calls them ``name``.

        The query parameter ``by`` filters by the field of that name.
        """

        def listed(world: Any, request: Request) -> Answer:
            assert self._page is not None
            wanted = request.first(by) if by else None
            found = [it for it in getattr(world.state, things).values() if wanted is None or getattr(it, by) == wanted]
            return self._page(world, request, name or things, found, lambda it: show(world, it))

        self.route("GET", path)(listed)

    def shows(self, path: str, name: str, find: Find, show: Show) -> None:
        """Route a GET of one resource; the answer calls it ``name``."""

        def shown(world: Any, request: Request, segment: str) -> Answer:
            return Answer(200, {name: show(world, find(world, segment))})

        self.route("GET", f"{path}/{{}}")(shown)

    def deletes(self, path: str, things: str, find: Find) -> None:
        """Route a DELETE of one resource, which is 204 even if it is in use."""

        def deleted(world: Any, request: Request, segment: str) -> Answer:
            del getattr(world.state, things)[find(world, segment).id]
            return Answer(204)

        self.route("DELETE", f"{path}/{{}}")(deleted)

    def dispatch(self, world: Any, request: Request) -> Answer:
        """Call the handler."""
        entry, segments = self.find(request)
        return entry.handler(world, request, *segments)

    def find(self, request: Request) -> tuple[Route, tuple[str, ...]]:
        """Return the route of a request. A literal path takes precedence over one with segments."""
        matches = [(entry, match) for entry in self.routes if (match := entry.pattern.fullmatch(request.path))]
        if not matches:
            raise self._refuse(404, "")
        for entry, match in sorted(matches, key=lambda pair: len(pair[1].groups())):
            if entry.method == request.method:
                return entry, match.groups()
        raise self._refuse(405, "The method is not allowed for this resource.")


def json_object(request: Request, no_json: Exception, no_object: Exception | None = None) -> dict[str, Any]:
    """
    Return the JSON object of a request.

    Raises ``no_json`` or ``no_object`` if it has none.
    """
    try:
        data = request.json()
    except ValueError:
        raise no_json from None
    if not isinstance(data, dict):
        raise no_object or no_json
    return data


def required_text(data: dict[str, Any], name: str, missing: Exception) -> str:
    """
    Return a text field of a body.

    Raises ``missing`` if it has none.
    """
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise missing
    return value
