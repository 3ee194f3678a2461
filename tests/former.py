"""The shape of hart-salt 1.0 from a document, for tests that look for ids and names at the top level."""

from __future__ import annotations

from typing import Any

from hart_salt.result import PARTS, Result, former

WORDS = ("version", "function", "problems", "notes", "error", "retcode")


def former_of(document: Any) -> Any:
    """Return the same document in that shape; anything else is returned as it is."""
    if not isinstance(document, dict) or "function" not in document or "version" not in document:
        return document
    function, part = document["function"], PARTS.get(document["function"], "nodes")
    more = {key: value for key, value in document.items() if key not in (*WORDS, part)}
    code, error = document.get("retcode"), document.get("error", "")
    result = Result(
        document.get(part, {}) if part else {}, code is None, code=code or 1, error=error, more=more,
        problems=[problem for problem in document["problems"] if problem != error], notes=document["notes"],
    )  # fmt: skip
    return former(result, function)
