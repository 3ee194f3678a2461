"""``hart.plan`` of a fleet that scales by load: from the answers of minions to the actions and their reasons."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hart_salt.fleets.samples import recorded
from hart_salt.master.minions import Call, Minions, Returned
from hart_salt.runners import hart as runner
from hart_salt.screens.draw import draw
from hart_salt.screens.paper import Paper
from tests.functional import test_use_cases
from tests.functional.test_use_cases import CLOUD, Place

place = test_use_cases.place  # the fixture

AUTOSCALE: dict[str, Any] = {"metric": {"function": "status.loadavg", "key": "1-min", "per": "cpu"}, "target": 0.5}


class Answers(dict[str, Any]):
    """What each minion answers to the metric; a minion without an answer is silent."""

    def call_all(
        self, minions: Minions, ids: Sequence[str], calls: Sequence[Call], timeout: float
    ) -> dict[str, list[Returned]]:  # fmt: skip
        assert [call.function for call in calls] == ["grains.item", "status.loadavg"]
        return {
            one: [Returned({"num_cpus": 2}, True), Returned({"1-min": self[one]}, True)] for one in ids if one in self
        }


@pytest.fixture
def answers(place: Place, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Declare a fleet at its target of three nodes, and return what they answer."""
    fleet = {"role": "app", "provider": CLOUD, "min": 1, "max": 9, "autoscale": AUTOSCALE}
    place.opts["hart"] = {**place.opts["hart"], "fleets": {"web": fleet}}
    found = Answers({f"web-{number}": 1.0 for number in range(3)})
    for name in found:
        place.start(name)
    monkeypatch.setattr(Minions, "call_all", lambda self, *asked: found.call_all(self, *asked))
    return found


def plan() -> dict[str, Any]:
    document: dict[str, Any] = runner.plan("web")
    assert document["problems"] == []
    fleet: dict[str, Any] = document["fleets"]["web"]
    return fleet


def test_at_the_target_there_is_nothing_to_do(answers: Answers) -> None:
    found = plan()
    assert (found["state"], found["wanted"], found["actions"], found["notes"]) == ("steady", 3, [], [])
    assert found["load"] == "the average is 0.5, the target 0.5: no change"
    document = runner.fleets()
    assert draw(document, Paper(120)).endswith("$15.00  the average is 0.5, the target 0.5: no change")


def test_under_load_nodes_are_created_and_the_reason_says_why(answers: Answers) -> None:
    answers.update(dict.fromkeys(answers, 2.0))
    found = plan()
    assert (found["wanted"], [one["action"] for one in found["actions"]]) == (6, ["create"] * 3)
    assert "the average is 1, the target 0.5: it takes 6 nodes" in found["actions"][0]["reason"]


def test_one_lying_minion_changes_nothing(answers: Answers) -> None:
    answers["web-1"] = 1e6
    found = plan()
    assert (found["state"], found["wanted"]) == ("steady", 3)
    assert found["notes"] == ["web-1 reports 5e+05, far above the others; it counts as 0.5"]


def test_a_node_that_does_not_answer_counts_against_the_change(place: Place, answers: Answers) -> None:
    """It does not answer the question, or not even a ping."""
    for name in ("web-0", "web-2"):
        answers[name] = 2.6
    del answers["web-1"]
    assert plan()["notes"] == ["web-1 did not answer status.loadavg within 15s"]
    assert plan()["wanted"] == 6
    place.present.discard("web-1")
    assert plan()["wanted"] == 6


def test_a_node_that_just_started_is_not_measured(place: Place, answers: Answers) -> None:
    """Its load is that of its own start; until it is warm, it counts as idle."""
    place.start("web-3", created=time.time())
    answers["web-3"] = 9.0
    assert (plan()["state"], plan()["wanted"]) == ("steady", 4)
    answers.update(dict.fromkeys(["web-0", "web-1", "web-2"], 2.0))
    assert plan()["wanted"] == 6


def test_a_plan_records_nothing_and_the_engines_look_does(place: Place, answers: Answers) -> None:
    place.start("web-3")
    place.present.discard("web-3")
    plan()
    assert list(Path(place.info.log_dir).glob("hart-fleet-*")) == []
    runner.apply("web")
    (path,) = Path(place.info.log_dir).glob("hart-fleet-web-*.jsonl")
    assert recorded([path])[0][-1].values == (0.5, 0.5, 0.5, None)
