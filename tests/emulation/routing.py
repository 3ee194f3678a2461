"""Which function answers which call of an emulated API."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.emulation.http import Answer, Request

Handler = Callable[..., Answer]
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
    """The routes of one API, below ``prefix``; ``refuse`` makes the error by which it says no."""

    def __init__(self, prefix: str, refuse: Callable[[int, str], Exception]) -> None:
        self.routes: list[Route] = []
        self._prefix = prefix
        self._refuse = refuse

    def route(self, method: str, path: str, *, check: Check | None = None) -> Callable[[Handler], Handler]:
        """Register a handler; it is called with the world, the request, and the segments."""

        def register(handler: Handler) -> Handler:
            pattern = re.compile(re.escape(self._prefix + path).replace(r"\{\}", "([^/]+)"))
            self.routes.append(Route(method, pattern, handler, check))
            return handler

        return register

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
