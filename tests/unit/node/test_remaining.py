"""How long the nodes of a call still take is estimated, from former calls and from the nodes that have ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from hart_salt.node.remaining import ENOUGH, KEPT, FormerTimes, Remaining, in_words


def test_without_experience_there_is_no_estimate() -> None:
    remaining = Remaining()
    remaining.enter("a", "launching", 0.0)
    assert remaining.seconds(10.0, 5) is None


def test_the_node_that_needs_longest_counts_by_the_stage_that_it_is_in() -> None:
    remaining = Remaining({"launching": 60.0, "bootstrapping": 30.0})
    remaining.enter("a", "launching", 0.0)
    assert remaining.seconds(10.0, 0) == 50
    remaining.enter("a", "bootstrapping", 35.0)
    assert remaining.seconds(40.0, 0) == 25
    remaining.enter("b", "launching", 40.0)
    assert remaining.seconds(40.0, 0) == 60


def test_this_call_counts_more_than_former_ones() -> None:
    remaining = Remaining({"launching": 60.0})
    for name in ("a", "b"):
        remaining.enter(name, "launching", 0.0)
    remaining.end("a", 20.0, good=True)
    assert remaining.seconds(15.0, 0) == 5


def test_a_failed_node_says_nothing_about_the_time() -> None:
    remaining = Remaining()
    for name in ("a", "b"):
        remaining.enter(name, "launching", 0.0)
    remaining.end("a", 1.0, good=False)
    assert remaining.seconds(2.0, 0) is None
    assert remaining.times() == {}


def test_nodes_that_have_not_begun_take_a_whole_life() -> None:
    remaining = Remaining({"launching": 60.0})
    remaining.enter("a", "launching", 0.0)
    assert remaining.seconds(50.0, 1) == 60


def test_of_many_nodes_the_rate_counts() -> None:
    remaining = Remaining()
    for number in range(ENOUGH):
        remaining.enter(str(number), "launching", float(number))
        remaining.end(str(number), number + 10.0, good=True)
    assert remaining.seconds(20.0, 90) == 90


def test_nodes_that_take_longer_than_usual_are_reported_as_such() -> None:
    remaining = Remaining({"launching": 60.0})
    remaining.enter("a", "launching", 0.0)
    assert remaining.seconds(75.0, 0) == 1, "not much longer"
    assert remaining.seconds(76.0, 0) == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""), (0.0, "longer than usual"), (3.2, "about 4 s left"), (31.0, "about 35 s left"),
        (90.0, "about 90 s left"), (91.0, "about 2 min left"), (3000.0, "about 50 min left"),
        (7200.0, "about 2 h left"),
    ],
)  # fmt: skip
def test_an_estimate_is_in_round_words(seconds: float | None, words: str) -> None:
    assert in_words(seconds) == words


def test_what_a_call_learned_is_mixed_with_what_was_known(tmp_path: Path) -> None:
    times = FormerTimes(str(tmp_path), "create do app")
    times.learn({"launching": 60.0})
    times.learn({"launching": 40.0, "running": 10.0})
    assert times.read() == {"launching": 50.0, "running": 10.0}
    assert FormerTimes(str(tmp_path), "create do db").read() == {}


def test_a_call_without_a_good_end_changes_nothing(tmp_path: Path) -> None:
    FormerTimes(str(tmp_path), "create do app").learn({})
    assert list(tmp_path.iterdir()) == []


def test_the_number_of_remembered_kinds_is_limited(tmp_path: Path) -> None:
    for number in range(KEPT + 1):
        FormerTimes(str(tmp_path), f"kind {number}").learn({"launching": 1.0})
    known = [bool(FormerTimes(str(tmp_path), f"kind {number}").read()) for number in range(KEPT + 1)]
    assert known == [False, *[True] * KEPT]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"kind": 7}', '{"kind": {"launching": "soon"}}', '{"kind": {"launching": NaN}}',
             '{"kind": {"launching": -1}}', '{"kind": {"launching": true}}'],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_no_experience(tmp_path: Path, text: str) -> None:
    (tmp_path / "hart").mkdir()
    (tmp_path / "hart/times.json").write_text(text)
    assert FormerTimes(str(tmp_path), "kind").read() == {}
