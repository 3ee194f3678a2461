"""
The outcome of a call: one type, from the use case to the runner, and the document that the runner returns.

The document has the same shape for every function; see ``document``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: of the shape of the documents; hart-salt 1.0 had no version and put the ids of nodes at the top level
VERSION = 2
#: the key under which a function's data stands, if not ``nodes``; None: the data's own keys stand at the top level
PARTS: Mapping[str, str | None] = {
    "apply": "fleets",
    "bake": "bakes",
    "check": "checks",
    "completion": None,
    "engine": "engine",
    "explain": "entries",
    "cost": "cost",
    "plan": "fleets",
    "report": "fleet",
    "from_salt_cloud": None,
    "fleets": "fleets",
    "history": None,
    "hold": "fleets",
    "list_images": "images",
    "list_regions": "regions",
    "list_roles": "roles",
    "list_sizes": "sizes",
    "show_role": "settings",
    "remove_image": "images",
    "simulate": "simulation",
    "sweep": None,
    "sync_keys": "masters",
    "unhold": "fleets",
    "version": "versions",
}

NEW = ("price",)  #: further keys that hart-salt 1.0 did not have
FLEETS = ("scale", "replace")  #: the functions that change the nodes of a role


@dataclass(frozen=True)
class Result:
    """The outcome of a call. If ``ok`` is False, something failed, and ``data`` says what, node by node."""

    #: the outcome of each node by minion id, or what ``PARTS`` says
    data: dict[str, Any]
    ok: bool = True
    #: the number of the signal that ended the work early, if any
    signal: int | None = None
    #: the exit code after a failure without a signal
    code: int = 1
    #: sentences about what failed and concerns no single node
    problems: Sequence[str] = ()
    #: sentences that the user needs to know
    notes: Sequence[str] = ()
    #: further keys of the document
    more: Mapping[str, Any] = field(default_factory=dict)
    #: why nothing was done; empty if something was
    error: str = ""
    #: the version of the document: ``VERSION``, or 1 for the shape of hart-salt 1.0
    version: int = VERSION

    @property
    def exit_code(self) -> int:
        """The exit code of the command if ``ok`` is False; after a signal it is that of a shell."""
        return 128 + self.signal if self.signal else self.code


def refusal(error: str, code: int, signal: int | None = None) -> Result:
    """Return the result of a call that did nothing."""
    return Result({}, False, signal, code, error=error)


def document(result: Result, function: str) -> dict[str, Any]:
    """
    Return what the runner returns for a call of ``function``, such as ``create``.

    ``version`` and ``function`` say how to read the rest. ``nodes`` holds the outcome of each node by minion id; for a
    function that is not about nodes, ``PARTS`` has the key. ``problems`` lists sentences about what failed and concerns
    no single node, ``notes`` sentences that the user needs to know; both can be empty. If nothing was done, ``error``
    says why. If something failed, ``retcode`` is the exit code.
    """
    if result.version == 1:
        return former(result, function)
    part = PARTS.get(function, "nodes")
    problems = [result.error] if result.error else []
    return {
        "version": VERSION,
        "function": function,
        **result.more,
        **({part: result.data} if part else result.data),
        "problems": [*problems, *result.problems],
        "notes": list(result.notes),
        **_failure(result),
    }


def former(result: Result, function: str) -> dict[str, Any]:
    """Return the document of hart-salt 1.0: ids or names stand at the top level, beside ``errors`` and the like."""
    more = {key: value for key, value in result.more.items() if key not in NEW}
    data = {**_former_data(result.data, function), **more}
    if result.problems and function in FLEETS:
        data["error"] = "; ".join(result.problems)
    elif result.problems:
        data["errors"] = list(result.problems)
    if result.notes:
        data["note"] = "; ".join(result.notes)
    return {**data, **_failure(result)}


def _failure(result: Result) -> dict[str, Any]:
    error = {"error": result.error} if result.error else {}
    return error if result.ok else {**error, "retcode": result.exit_code}


def _former_data(data: Mapping[str, Any], function: str) -> dict[str, Any]:
    if function in FLEETS:
        return _by_action(data)
    if function in ("show", "node") and data:
        (only,) = data.values()
        return dict(only)
    return dict(data)


def _by_action(nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nodes of a fleet by what was done with them."""
    names = {"create": "created", "destroy": "destroyed", "keep": "kept"}
    found: dict[str, Any] = {"created": {}, "destroyed": {}} if nodes else {}
    for minion_id, entry in nodes.items():
        name = names[entry["action"]]
        found.setdefault(name, {})[minion_id] = entry["error"] if name == "kept" else entry
    return found
