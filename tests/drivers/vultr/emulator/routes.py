"""The routes of the emulated Vultr: which function answers which call."""

from __future__ import annotations

from typing import Any

from tests.drivers.vultr.emulator.answers import Refusal, page
from tests.emulation.http import Request
from tests.emulation.routing import Router, json_object, required_text

ROUTER = Router("/v2", Refusal, page)
ROUTES, route, dispatch = ROUTER.routes, ROUTER.route, ROUTER.dispatch


def body_of(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request."""
    return json_object(request, Refusal(400, "Invalid JSON."))


def text(data: dict[str, Any], name: str) -> str:
    """Return a required text field of a body."""
    return required_text(data, name, Refusal(400, f"Please provide a valid {name}."))
