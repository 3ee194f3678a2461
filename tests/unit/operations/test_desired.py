"""What states of Salt do with nodes: they change only what differs from what they declare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hart_salt.operations import desired
from hart_salt.operations.listing import FACTS
from hart_salt.operations.presence import Seen
from hart_salt.result import Result, document, refusal

READY = {
    **dict.fromkeys(FACTS), "status": "ready", "role": "app", "provider": "do", "region": "fra1", "zone": None,
    "size": "small", "instance_id": "7",
}  # fmt: skip


class Runner:
    """The runner, which returns what a test sets; it keeps the calls."""

    def __init__(self, **returns: Any) -> None:
        self.returns = returns
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, function: str, given: Mapping[str, Any]) -> Any:
        self.calls.append((function, dict(given)))
        return self.returns[function]


def node(status: str = "ready", **facts: Any) -> dict[str, Any]:
    return {**READY, "status": status, **facts}


def made(*ids: str) -> dict[str, Any]:
    return {
        one: {"result": True, "role": "app", "instance_id": one, "ssh_host_keys": ["k"], "notes": []} for one in ids
    }


def present(seen: Seen, *ids: str, runner: Runner, test: bool = False, **given: Any) -> desired.Outcome:
    return desired.present(seen, ids, given, runner, test=test)


def absent(seen: Seen, *ids: str, runner: Runner, test: bool = False) -> desired.Outcome:
    return desired.absent(seen, ids, None, runner, test=test)


def test_nodes_that_are_ready_stay_unchanged() -> None:
    runner = Runner()
    outcome = present(Seen({"a": node(), "b": node()}), "a", "b", runner=runner, role="app", zone="distributed")
    assert (outcome.result, outcome.changes, runner.calls) == (True, {}, [])
    assert outcome.comment == "a, b are ready"


def test_only_missing_nodes_are_created_all_of_them_in_one_call() -> None:
    runner = Runner(create=made("b", "c"))
    outcome = present(Seen({"a": node()}), "a", "b", "c", runner=runner, role="app", provider=None, size="small")
    assert runner.calls == [("create", {"role": "app", "size": "small", "minion_id": ["b", "c"]})]
    assert outcome.result is True
    assert outcome.changes == {"created": {one: {"role": "app", "instance_id": one} for one in ("b", "c")}}
    assert outcome.comment == "created: b, c"


def test_the_nodes_that_came_up_are_changes_of_a_failed_state() -> None:
    returned = {**made("a"), "b": {"result": False, "error": "no room"}, "retcode": 1}
    outcome = present(Seen({}), "a", "b", runner=Runner(create=returned))
    assert outcome.result is False
    assert list(outcome.changes["created"]) == ["a"]
    assert outcome.comment == "b: no room\ncreated: a"


@pytest.mark.parametrize(
    ("seen", "removed"),
    [
        (Seen({"a": node("no instance")}, frozenset("a")), True),
        (Seen({"a": node("no instance")}), False),  # a call died before it had an instance
        (Seen({"a": node("left at bootstrapping")}), False),
    ],
)
def test_what_is_left_of_a_node_does_not_stop_its_creation(seen: Seen, removed: bool) -> None:
    """hart.create removes what dead calls left; a record of a node that was ready must be removed before."""
    runner = Runner(create=made("a"), destroy={"a": {"result": True}})
    assert present(seen, "a", runner=runner).changes["created"]
    assert [function for function, _ in runner.calls] == (["destroy", "create"] if removed else ["create"])


def test_a_failed_removal_of_what_is_left_ends_the_state() -> None:
    runner = Runner(destroy={"error": "the store is down", "retcode": 2})
    outcome = present(Seen({"a": node("no instance")}, frozenset("a")), "a", runner=runner)
    assert (outcome.result, outcome.comment, outcome.changes) == (False, "the store is down", {})


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("in progress", "another call"), ("unreachable", "does not answer"), ("unsealed", "hart.sweep"),
        ("no record", "hart.sweep"), ("no key", "hart.sync_keys"), ("failed", "hart.destroy a"),
        ("stopped", "hart.start a"),
        ("not ours", "hart.import_minion a"), ("unknown", "did not answer"), ("pending", "pending"),
    ],
)  # fmt: skip
def test_a_node_that_is_not_ready_is_a_failure_that_says_what_to_do(status: str, advice: str) -> None:
    runner = Runner()
    outcome = present(Seen({"a": node(status)}), "a", "b", runner=runner)
    assert (outcome.result, runner.calls) == (False, [])
    assert outcome.comment.startswith(f"a exists and is not ready, but {status}")
    assert advice in outcome.comment


@pytest.mark.parametrize("name", desired.COMPARED)
def test_a_node_that_is_another_one_than_declared_is_a_failure(name: str) -> None:
    runner = Runner()
    outcome = desired.present(Seen({"a": node()}), ["a"], {name: "other"}, runner, test=False)
    assert (outcome.result, runner.calls) == (False, [])
    assert f"{name} {READY[name]}, not other" in outcome.comment
    assert ("hart.resize a" in outcome.comment) is (name == "size")


def test_a_test_returns_the_plan() -> None:
    plan = {"b": {"result": None, "action": "create", "size": "small", "monthly_price": 5.0, "currency": "USD"}}
    runner = Runner(create=plan)
    seen = Seen({"a": node("left at running")})
    outcome = present(seen, "a", "b", runner=runner, role="app", test=True)
    assert runner.calls == [("create", {"role": "app", "minion_id": ["b"], "test": True})]
    assert outcome.result is None
    assert outcome.changes["created"]["b"] == {
        "action": "create", "size": "small", "monthly_price": 5.0, "currency": "USD",
    }  # fmt: skip
    assert outcome.changes["created"]["a"] == {"action": "create", "role": "app"}
    assert outcome.comment == "b, a would be created"


def test_a_test_that_the_runner_refuses_fails() -> None:
    outcome = present(Seen({}), "a", runner=Runner(create={"error": "no size nope", "retcode": 2}), test=True)
    assert (outcome.result, outcome.comment) == (False, "no size nope")


@pytest.mark.parametrize("test", [False, True])
def test_absent_nodes_stay_absent(test: bool) -> None:
    outcome = absent(Seen({}), "a", "b", runner=Runner(), test=test)
    assert (outcome.result, outcome.comment, outcome.changes) == (True, "a, b are absent", {})


def test_only_the_nodes_that_exist_are_destroyed() -> None:
    runner = Runner(destroy={"b": {"result": True, "notes": ["volume 9 stays"]}})
    outcome = absent(Seen({"b": node("failed")}), "a", "b", runner=runner)
    assert runner.calls == [("destroy", {"minion_id": ["b"]})]
    assert outcome.result is True
    assert outcome.changes["destroyed"]["b"]["instance_id"] == "7"
    assert list(outcome.warnings) == ["b: volume 9 stays"]


def test_a_node_that_could_not_be_destroyed_is_no_change() -> None:
    outcome = absent(
        Seen({"a": node()}), "a", runner=Runner(destroy={"a": {"result": False, "error": "no"}, "retcode": 1})
    )
    assert (outcome.result, outcome.comment, outcome.changes) == (False, "a: no", {})


def test_a_test_of_absent_returns_the_plan() -> None:
    runner = Runner(destroy={"a": {"result": None, "action": "destroy", "role": "app"}})
    outcome = absent(Seen({"a": node()}), "a", runner=runner, test=True)
    assert runner.calls == [("destroy", {"minion_id": ["a"], "test": True})]
    assert (outcome.result, outcome.changes) == (None, {"destroyed": {"a": {"action": "destroy", "role": "app"}}})


def test_a_node_whose_provider_does_not_answer_is_not_called_absent() -> None:
    outcome = absent(Seen({}, problems=["do: timeout"]), "a", runner=Runner())
    assert outcome.result is False
    assert "do: timeout" in outcome.comment


def test_a_key_that_is_of_no_node_does_not_make_absent_fail() -> None:
    """Any machine can ask for a key with any id."""
    outcome = absent(Seen({"a": node("not ours")}), "a", runner=Runner())
    assert (outcome.result, outcome.changes) == (True, {})
    assert "salt-key -d a" in outcome.warnings[0]


def scaled(returned: Any, *, test: bool = False) -> desired.Outcome:
    return desired.scaled({"role": "app", "count": 2}, Runner(scale=returned), test=test)


def test_a_role_that_has_its_number_stays_unchanged() -> None:
    data = {"role": "app", "before": 2, "after": 2, "changed": False, "created": {}, "destroyed": {}}
    outcome = scaled(data)
    assert (outcome.result, outcome.changes, outcome.comment) == (True, {}, "app has 2 nodes")
    note = {"role": "app", "changed": False, "note": "another call is changing this fleet"}
    assert scaled(note).comment == "another call is changing this fleet"


def test_a_role_that_was_scaled_has_the_numbers_and_the_nodes() -> None:
    data = {"role": "app", "before": 0, "after": 1, "changed": True, "created": made("a"), "destroyed": {}}
    outcome = scaled(data)
    assert outcome.result is True
    assert outcome.changes == {
        "nodes": {"old": 0, "new": 1}, "created": {"a": {"action": "create", "role": "app", "instance_id": "a"}},
    }  # fmt: skip


def test_a_plan_of_a_role_that_would_be_scaled() -> None:
    data = {"role": "app", "before": 2, "after": 1, "destroyed": {"a": {"result": None, "action": "destroy"}}}
    outcome = scaled(data, test=True)
    assert (outcome.result, outcome.changes["nodes"]) == (None, {"old": 2, "new": 1})
    assert outcome.comment == "app would have 1 node instead of 2"


def test_nodes_that_stay_because_they_could_not_be_drained_are_named() -> None:
    data = {
        "role": "app", "before": 2, "after": 2, "changed": False, "created": {}, "destroyed": {},
        "kept": {"a": "drain failed"}, "retcode": 1,
    }  # fmt: skip
    outcome = scaled(data)
    assert (outcome.result, outcome.changes) == (False, {})
    assert "a stays: drain failed" in outcome.comment


def a_fleet(state: str = "steady", why: str = "", **changes: Any) -> dict[str, Any]:
    there: dict[str, Any] = {"actions": [], "following": [], "later": [], "notes": [], "wanted": 2}
    return {"state": state, "why": why, "nodes": {"ready": 2, "silent": 0}, **there, **changes}


def action(kind: str, minion_id: str | None = None) -> dict[str, Any]:
    return {"action": kind, "minion_id": minion_id, "region": "fra1", "reason": "because"}


def applied(fleets: dict[str, Any], *, test: bool = False, version: int = 2, **changes: Any) -> desired.Outcome:
    returned = document(Result(fleets, version=version, **{"more": {"nodes": {}}, **changes}), "apply")
    return desired.fleets(["web"], {"force": None}, Runner(apply=returned), test=test)


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize("version", [1, 2])
def test_a_fleet_that_is_as_declared_stays_unchanged(test: bool, version: int) -> None:
    outcome = applied({"web": a_fleet()}, test=test, version=version)
    assert (outcome.result, outcome.changes, outcome.comment) == (True, {}, "web is steady, 2 of 2 nodes ready")


@pytest.mark.parametrize("test", [False, True])
def test_what_waits_for_a_window_is_no_change_of_a_fleet(test: bool) -> None:
    waits = a_fleet(why="1 change waits: the next window opens at 9", later=[action("replace", "a")])
    outcome = applied({"web": waits}, test=test)
    assert (outcome.result, outcome.changes) == (True, {})
    assert outcome.comment == "web is steady, 2 of 2 nodes ready: 1 change waits: the next window opens at 9"


@pytest.mark.parametrize("version", [1, 2])
def test_the_nodes_that_a_fleet_got_and_lost_are_its_changes(version: int) -> None:
    nodes = {
        "b": {"action": "create", "result": True, "size": "small"}, "a": {"action": "destroy", "result": True},
    }  # fmt: skip
    outcome = applied({"web": a_fleet(notes=["c stays"])}, more={"nodes": nodes}, version=version)
    assert outcome.result is True
    assert outcome.changes == {
        "created": {"b": {"action": "create", "size": "small"}},
        "destroyed": {"a": {"action": "destroy"}},
    }
    assert outcome.comment.splitlines() == ["web is steady, 2 of 2 nodes ready", "created: b", "destroyed: a"]
    assert list(outcome.warnings) == ["c stays"]


@pytest.mark.parametrize("version", [1, 2])
def test_a_fleet_that_failed_has_the_reasons_and_what_was_done(version: int) -> None:
    nodes = {"b": {"action": "create", "result": True}, "c": {"action": "create", "result": False, "error": "no room"}}
    outcome = applied(
        {"web": a_fleet("changing")}, ok=False, problems=["web is blocked: no"], more={"nodes": nodes}, version=version
    )
    assert (outcome.result, list(outcome.changes["created"])) == (False, ["b"])
    assert outcome.comment.splitlines() == ["web is blocked: no", "c: no room", "created: b"]


@pytest.mark.parametrize("version", [1, 2])
def test_the_image_that_a_fleet_made_is_a_change(version: int) -> None:
    bakes = {"app": {"result": True, "image": "i-1"}, "db": {"result": False, "error": "no room"}}
    outcome = applied({"web": a_fleet()}, more={"nodes": {}, "bakes": bakes}, version=version)
    assert (outcome.result, outcome.changes) == (True, {"baked": {"app": "i-1"}})
    assert outcome.comment.splitlines() == ["web is steady, 2 of 2 nodes ready", "baked: app"]


def test_a_planned_bake_is_no_node() -> None:
    outcome = applied({"web": a_fleet("changing", actions=[action("bake")])}, test=True)
    assert outcome.comment == "web would change: an image to bake"


def test_a_test_of_a_fleet_returns_its_plan() -> None:
    plan = a_fleet("changing", actions=[action("create"), action("create")], following=[action("replace", "a")])
    outcome = applied({"web": plan}, test=True)
    assert (outcome.result, outcome.comment) == (None, "web would change: 2 nodes to create, 1 node to replace")
    assert outcome.changes == {"planned": {"web": [action("create"), action("create"), action("replace", "a")]}}


@pytest.mark.parametrize("state", ["blocked", "held"])
def test_a_test_of_a_fleet_that_is_not_changed_fails_as_its_change_would(state: str) -> None:
    outcome = applied({"web": a_fleet(state, "for a reason", later=[action("create")])}, test=True)
    assert (outcome.result, outcome.changes) == (False, {})
    assert outcome.comment == f"web is {state}, 2 of 2 nodes ready: for a reason"


def test_a_fleet_that_another_call_changes_is_not_as_declared_yet() -> None:
    outcome = applied({}, notes=["web: another call is changing this fleet"])
    assert (outcome.result, outcome.changes) == (False, {})
    assert outcome.comment.splitlines() == ["web was not changed", "web: another call is changing this fleet"]


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize("returned", [None, "'hart.apply' is not available.", {"error": "no", "retcode": 2}])
def test_a_fleet_without_an_answer_fails(returned: Any, test: bool) -> None:
    assert desired.fleets(["web"], {}, Runner(apply=returned), test=test).result is False


@pytest.mark.parametrize(
    ("function", "result"),
    [
        ("create", Result({"a": {"result": True, "notes": ["x"]}, "b": {"result": False, "error": "no"}}, False)),
        ("destroy", refusal("the store is down", 2)),
        (
            "scale",
            Result(
                {
                    "a": {"result": True, "action": "create"},
                    "b": {"result": True, "action": "destroy"},
                    "c": {"result": False, "action": "keep", "error": "drain failed"},
                },
                False, notes=["n"], more={"role": "app", "before": 1, "after": 1, "changed": True},
            ),
        ),
    ],
)  # fmt: skip
def test_both_shapes_of_results_are_understood(function: str, result: Result) -> None:
    answers = [desired.read(document(replace(result, version=version), function)) for version in (1, 2)]
    assert answers[0].by_action("create") == answers[1].by_action("create")
    assert answers[0].by_action("destroy") == answers[1].by_action("destroy")
    assert answers[0].failed is answers[1].failed is True
    assert answers[0].notes == answers[1].notes
    assert len(answers[0].errors) == len(answers[1].errors) == 1


@pytest.mark.parametrize("returned", [None, "'hart.create' is not available.", ["x"]])
def test_an_answer_that_is_none_fails(returned: Any) -> None:
    outcome = present(Seen({}), "a", runner=Runner(create=returned))
    assert outcome.result is False
    assert "returned no result" in outcome.comment
    assert scaled(returned).result is False
