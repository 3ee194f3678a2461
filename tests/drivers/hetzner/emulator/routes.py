"""Which function answers which call of the emulated Hetzner Cloud."""

from __future__ import annotations

from typing import Any

from tests.drivers.hetzner.emulator.answers import Refusal, invalid
from tests.emulation.http import Request
from tests.emulation.routing import Router

ROUTER = Router("/v1", Refusal)
ROUTES, route, dispatch = ROUTER.routes, ROUTER.route, ROUTER.dispatch


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request."""
    try:
        data = request.json()
    except ValueError as error:
        raise Refusal(400, "invalid JSON", "json_error") from error
    if not isinstance(data, dict):
        raise Refusal(400, "invalid JSON", "json_error")
    return data


def text(data: dict[str, Any], name: str) -> str:
    """A required text of a body."""
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise invalid(name)
    return value
