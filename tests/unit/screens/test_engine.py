"""The screen of the engine."""

from __future__ import annotations

import pytest

from hart_salt.screens.draw import draw
from hart_salt.screens.paper import Paper
from tests.unit.screens.documents import ENGINE, doc


@pytest.mark.parametrize("width", [40, 80, 160])
def test_it_shows_the_leader_the_next_look_and_each_fleet(width: int) -> None:
    text = draw(doc("engine", engine=ENGINE), Paper(width))
    for part in ("working", "m1 (one), this master", "12:00:30 UTC", "web", "changing", "the token is wrong"):
        assert part in text
    joined = " ".join(text.split())
    assert "2 jobs without success: no capacity" in joined
    assert "2 fleets, 0 of them steady." in joined


def test_an_engine_that_fails_shows_why() -> None:
    failing = {"status": "failing", "failures": 3, "error": "hart:fleets: a\nhart:roles: b", "fleets": {}}
    text = draw(doc("engine", engine=failing), Paper(80))
    assert "last failure  hart:fleets: a; hart:roles: b" in text


def test_without_an_engine_there_is_one_line() -> None:
    assert draw(doc("engine", engine={"status": "not configured", "fleets": {}}), Paper(80)) == "status  not configured"
