"""Which function answers which call of the emulated DigitalOcean."""

from __future__ import annotations

from typing import Any

from tests.drivers.do.emulator.answers import Refusal
from tests.emulation.http import Request
from tests.emulation.routing import Router

ROUTER = Router("/v2", Refusal)
ROUTES, route, dispatch = ROUTER.routes, ROUTER.route, ROUTER.dispatch


def check(request: Request) -> None:
    """Raises ``Refusal`` for a body that is wrong in a way that the vendor has words for."""
    entry, _ = ROUTER.find(request)
    if request.method in ("POST", "PUT"):
        data = body_of(request)
        if entry.check is not None:
            entry.check(data)


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
