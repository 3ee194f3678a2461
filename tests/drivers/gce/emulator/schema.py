"""
Checks of bodies against the message types of google-cloud-compute, which Google generates from its own description.

They know names and types of fields. Further rules, above all of names and labels, are in ``create.py``.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format


def problems(kind: str, body: Any) -> list[str]:
    """Return what is wrong with a body of a message type, such as ``Instance``."""
    try:
        _parsed(kind, body)
    except json_format.ParseError as error:
        return [f"{kind}: {error}"]
    return []


def canonical(kind: str, body: Any) -> dict[str, Any]:
    """Return a body with the API's own names: clients may also write ``machine_type``, and numbers for words."""
    message = _parsed(kind, body)
    fields: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=False)
    return fields


def _parsed(kind: str, body: Any) -> Any:
    from google.cloud import compute_v1  # takes a second, which the collection of tests need not wait for

    if not isinstance(body, dict):
        raise json_format.ParseError("no JSON object")
    return json_format.ParseDict(body, getattr(compute_v1, kind).pb()())
