"""The screens of the everyday verbs: what changes of a node is in its lines."""

from __future__ import annotations

from hart_salt.screens.draw import draw
from hart_salt.screens.paper import Paper
from hart_salt.screens.words import until
from tests.unit.screens.test_draw import doc

NODE = {"result": None, "provider": "do"}


def test_a_plan_says_what_changes_and_which_nodes_stay_as_they_are() -> None:
    planned = doc("start", nodes={"app-1": {**NODE, "action": "start"}, "app-2": {**NODE, "action": "none"}})
    drawn = draw(planned, Paper(80))
    assert "1 to start, 1 unchanged. Nothing was changed." in drawn
    assert [line.split() for line in drawn.splitlines() if "app-" in line] == [["~", "app-1", "do"], ["app-2", "do"]]
    entry = {**NODE, "action": "resize", "size": "l", "before": "s", "restarts": True, "monthly_price": 24.0,
             "currency": "USD"}  # fmt: skip
    drawn = draw(doc("resize", nodes={"app-1": entry}), Paper(120))
    assert "before: s, restarts: True" in drawn
    assert "$24.00" in drawn


def test_the_tags_of_each_node_are_shown() -> None:
    entry = {"result": True, "provider": "do", "changed": True, "tags": {"team": "blue", "urgent": ""}}
    drawn = draw(doc("set_tags", nodes={"app-1": entry}), Paper(120))
    assert "tags: team=blue, urgent" in drawn
    assert "1 tagged" in drawn


def test_the_new_end_of_each_node_is_shown() -> None:
    moved = {
        "result": True,
        "changed": True,
        "ends": "2096-10-02T11:06:40+00:00",
        "before": "2096-10-02T07:06:40+00:00",
    }
    drawn = draw(doc("extend", nodes={"ci-1": moved, "ci-2": {**moved, "ends": None}}), Paper(120))
    assert "ends: 2096-10-02T11:06:40+00:00" in drawn
    assert "ends: never" in drawn
    assert "2 extended" in drawn
    drawn = draw(doc("extend", nodes={"ci-1": {**moved, "result": None, "action": "extend"}}), Paper(120))
    assert "before: 2096-10-02T07:06:40+00:00" in drawn
    assert "1 to extend. Nothing was changed." in drawn


def test_lists_say_what_has_drifted_and_when_nodes_end() -> None:
    facts = {"status": "ready", "created": None}
    nodes = {
        "web-1": {**facts, "drifted": ["size", "image"], "ends": "2000-01-01T00:00:00+00:00"},
        "web-2": {**facts, "drifted": [], "ends": None},
        "web-3": {**facts, "drifted": None, "ends": "2999-01-01T00:00:00+00:00"},
    }
    drawn = draw(doc("list_minions", nodes=nodes), Paper(120))
    assert drawn.count("drifted: size, image") == drawn.count("drifted") == 1
    drawn = draw(doc("list_minions", nodes=nodes, columns=["id", "drifted", "ends"]), Paper(120))
    rows = [line.split() for line in drawn.splitlines() if line.startswith("web-")]
    assert rows[0] == ["web-1", "size,", "image", "passed"]
    assert rows[1] == ["web-2"]
    assert (rows[2][0], rows[2][2]) == ("web-3", "d")


def test_one_node_shows_both_in_sections() -> None:
    entry = {
        "status": "ready",
        "drifted": ["size"],
        "ends": "2000-01-01T00:00:00+00:00",
        "digest": "1-ab",
        "image": "hart-app-1",
        "sources": {},
    }
    drawn = draw(doc("show", nodes={"web-1": entry}), Paper(100))
    assert "drifted" in drawn
    assert "2000-01-01T00:00:00+00:00" in drawn
    assert "1-ab" in drawn
    assert ["image", "hart-app-1"] in [line.split() for line in drawn.splitlines()]
    assert "Other" not in drawn


def test_the_time_until_an_end_is_in_one_unit() -> None:
    assert [until(1000.0, now) for now in (0.0, 700.0, 999.0, 1000.0, 5000.0)] == [
        "16 min",
        "5 min",
        "1 s",
        "passed",
        "passed",
    ]
    assert until(None) == until("soon") == ""
