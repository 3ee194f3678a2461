"""The document that every function of the runner returns."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.result import PARTS, Result, document, former, refusal
from tests.former import former_of

NODES: dict[str, Any] = {"web-1": {"result": True}, "web-2": {"result": False, "error": "no"}}
FLEET: dict[str, Any] = {
    "new": {"action": "create", "result": True},
    "old": {"action": "destroy", "result": True},
    "busy": {"action": "keep", "result": False, "error": "drain failed"},
}


def test_nodes_stand_apart_from_words() -> None:
    result = Result(NODES, False, problems=["the key stays"], notes=["a note"])
    assert document(result, "create") == {
        "version": 2, "function": "create", "nodes": NODES, "problems": ["the key stays"], "notes": ["a note"],
        "retcode": 1,
    }  # fmt: skip


def test_a_success_has_the_same_keys_but_no_exit_code() -> None:
    assert document(Result({}), "create") == {
        "version": 2, "function": "create", "nodes": {}, "problems": [], "notes": [],
    }  # fmt: skip


def test_a_refusal_says_why_nothing_was_done() -> None:
    assert document(refusal("no role", 2), "scale") == {
        "version": 2, "function": "scale", "nodes": {}, "problems": ["no role"], "notes": [], "error": "no role",
        "retcode": 2,
    }  # fmt: skip
    assert document(refusal("interrupted", 130, 2), "scale")["retcode"] == 130


@pytest.mark.parametrize(("function", "part"), sorted(PARTS.items()))
def test_other_data_has_another_key(function: str, part: str | None) -> None:
    found = document(Result({"a": {"b": 1}}), function)
    assert (found[part] if part else {"a": found["a"]}) == {"a": {"b": 1}}
    assert "nodes" not in found


def test_further_keys_never_replace_those_of_the_shape() -> None:
    found = document(Result(NODES, more={"before": 1, "problems": "x", "nodes": "y"}), "scale")
    assert (found["before"], found["problems"], found["nodes"]) == (1, [], NODES)


@pytest.mark.parametrize(
    ("function", "result", "expected"),
    [
        ("create", Result(NODES, False, problems=["p"]), {**NODES, "errors": ["p"], "retcode": 1}),
        ("create", refusal("no role", 2), {"error": "no role", "retcode": 2}),
        ("show", Result({"web-1": {"status": "ready"}}), {"status": "ready"}),
        ("list_sizes", Result({"small": {"cpus": 1}}), {"small": {"cpus": 1}}),
        ("sweep", Result({"removed": []}, notes=["another sweep is running"]),
         {"removed": [], "note": "another sweep is running"}),
        ("scale", Result(FLEET, False, more={"before": 2}),
         {"created": {"new": FLEET["new"]}, "destroyed": {"old": FLEET["old"]}, "kept": {"busy": "drain failed"},
          "before": 2, "retcode": 1}),
        ("scale", Result({}, False, problems=["interrupted"]), {"error": "interrupted", "retcode": 1}),
        ("scale", Result({}, more={"changed": False}, notes=["cooldown"]), {"changed": False, "note": "cooldown"}),
    ],
)  # fmt: skip
def test_version_1_is_the_shape_of_hart_salt_1_0(function: str, result: Result, expected: dict[str, Any]) -> None:
    assert former(result, function) == expected
    assert former_of(document(result, function)) == expected
