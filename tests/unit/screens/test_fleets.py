"""The screens of declared fleets."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.screens.draw import draw
from hart_salt.screens.paper import Paper
from tests.unit.screens.documents import BAKE, BLOCKED, READY, STEADY, WEB, doc


def lines(text: str, start: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.startswith(start)]


def test_a_plan_has_the_actions_in_their_order_with_reasons_and_prices() -> None:
    drawn = draw(doc("plan", fleets={"web": WEB}), Paper(160))
    now, after = drawn.index("web, now:"), drawn.index("web, after that:")
    assert (
        now
        < drawn.index("app-2.example.com")
        < drawn.index("(2 new)")
        < after
        < drawn.index("web, later, because the next window opens at")
    )
    assert "~  app-1.example.com  nyc3    $6.00 -> $12.00  it differs from the configuration: size" in drawn
    assert "the next window opens at 2026-12-05 02:00 UTC" in drawn
    assert "4 changes for now, 1 for later. Nothing was changed." in drawn
    assert "Price per month, before tax: $24.00 now, $36.00 afterwards." in drawn
    assert "app-9.example.com stays although its ttl has ended: it is protected" in drawn


def test_what_many_nodes_wait_for_stands_once() -> None:
    waiting = [{**WEB["later"][0], "minion_id": f"app-{number}"} for number in range(5)]
    drawn = draw(doc("plan", fleets={"web": {**STEADY, "later": waiting}}), Paper(80))
    assert drawn.count("the next window opens") == 1
    held = {**STEADY, "state": "held", "why": waiting[0]["why"], "later": waiting}
    drawn = draw(doc("plan", fleets={"web": held}), Paper(80))
    assert drawn.count("the next window opens") == 1
    assert "web, later:" in drawn


def test_what_an_apply_left_is_not_called_now() -> None:
    drawn = draw(doc("apply", fleets={"web": WEB}, nodes={}), Paper(80))
    assert "web, left to do:" in drawn
    assert "web, now:" not in drawn


def test_a_bake_stands_in_a_plan_as_an_image_and_not_as_a_node() -> None:
    drawn = draw(doc("plan", fleets={"web": {**STEADY, "actions": [BAKE]}}), Paper(160))
    row = " ".join(next(line for line in drawn.splitlines() if "(new image)" in line).split())
    assert row == "* (new image) nyc3 the newest image, hart-app-1, is 8d old, and bake_after is 7d"
    assert "1 change for now. Nothing was changed." in drawn


@pytest.mark.parametrize(
    ("entry", "line"),
    [({"result": True, "image": "i-1", "name": "app-2"}, "The role app was baked: its newest image is app-2."),
     ({"result": True, "image": "i-1"}, "The role app was baked: its newest image is i-1."),
     ({"result": False, "error": "no capacity"}, "The role app was not baked.")],
)  # fmt: skip
def test_what_was_baked_is_shown_after_what_was_done_with_nodes(entry: dict[str, Any], line: str) -> None:
    drawn = draw(doc("apply", fleets={"web": STEADY}, nodes={"app-3": READY}, bakes={"app": entry}), Paper(120))
    assert drawn.index("app-3") < drawn.index(line) < drawn.index("web")


def test_reasons_are_whole_on_a_narrow_terminal() -> None:
    drawn = draw(doc("plan", fleets={"web": WEB}), Paper(40))
    assert "it differs from the configuration: size" in " ".join(drawn.split())
    assert max(map(len, drawn.splitlines())) <= 40


def test_a_steady_fleet_needs_nothing() -> None:
    assert draw(doc("plan", fleets={"web": STEADY}), Paper(80)).endswith("Nothing to do.")


def test_a_plan_of_a_blocked_fleet_does_not_say_that_there_is_nothing_to_do() -> None:
    drawn = draw(doc("plan", fleets={"ci": BLOCKED, "web": STEADY}), Paper(80))
    assert drawn.endswith("Nothing can be done now: ci is blocked.")


def test_a_fleet_that_is_not_ready_says_why() -> None:
    drawn = draw(doc("fleets", fleets={"web": WEB, "ci": BLOCKED}), Paper(160))
    assert lines(drawn, "web") == [["web", "changing", "3", "4", "app", "do", "nyc3,", "fra1", "$24.00"]]
    assert "1 silent" in drawn
    assert "do: the API does not answer" in drawn


def test_nodes_outside_of_fleets_that_end_are_in_the_plan() -> None:
    outside = {"x-1": {"action": "destroy", "reason": "its ttl has ended"}}
    drawn = draw(doc("plan", fleets={}, outside=outside), Paper(80))
    assert "Outside of fleets:" in drawn
    assert "-  x-1   its ttl has ended" in drawn
