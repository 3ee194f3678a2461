"""The screens of the everyday verbs: what changes of a node is in its lines."""

from __future__ import annotations

from hart_salt.screens.draw import draw
from hart_salt.screens.paper import Paper
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
