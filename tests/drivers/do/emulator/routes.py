"""The routes of the emulated DigitalOcean: which function answers which call."""

from __future__ import annotations

from typing import Any

from tests.drivers.do.emulator.answers import Refusal, page
from tests.emulation.http import Request
from tests.emulation.routing import Router, json_object, required_text

ROUTER = Router("/v2", Refusal, page)
ROUTES, route, dispatch = ROUTER.routes, ROUTER.route, ROUTER.dispatch


def check(request: Request) -> None:
    """Raise ``Refusal`` for a body that is wrong in a way for which the vendor has a message."""
    entry, _ = ROUTER.find(request)
    if request.method in ("POST", "PUT"):
        data = body_of(request)
        if entry.check is not None:
            entry.check(data)


def body_of(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request."""
    no_json = Refusal(400, "Unable to parse the JSON body of the request.")
    return json_object(request, no_json, Refusal(422, "The body must be a JSON object."))


def text(data: dict[str, Any], name: str) -> str:
    """Return a required text field of a body."""
    return required_text(data, name, Refusal(422, f"{name.replace('_', ' ').capitalize()} can't be blank"))
