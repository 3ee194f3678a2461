"""Which minions count as living for a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from hart_salt.operations.sweep import QUESTIONS, answering


class Minions:
    """Minions that each answer from a certain question on."""

    def __init__(self, **first: int) -> None:
        self._first = first
        self.asked: list[list[str]] = []

    def ask(self, minion_ids: Sequence[str]) -> frozenset[str]:
        self.asked.append(list(minion_ids))
        return frozenset(one for one in minion_ids if self._first.get(one, QUESTIONS + 1) <= len(self.asked))


def test_a_busy_minion_that_would_be_removed_is_asked_again_and_lives() -> None:
    minions = Minions(quick=1, busy=QUESTIONS)
    assert answering(minions.ask, ["busy", "quick"], {"busy", "quick"}) == {"busy", "quick"}
    assert minions.asked == [["busy", "quick"], *[["busy"]] * (QUESTIONS - 1)]


def test_a_minion_that_never_answers_is_not_asked_for_ever() -> None:
    minions = Minions()
    assert answering(minions.ask, ["gone"], {"gone"}) == frozenset()
    assert len(minions.asked) == QUESTIONS


def test_a_minion_that_stays_in_any_case_is_asked_once() -> None:
    minions = Minions(busy=2)
    assert answering(minions.ask, ["busy"], set()) == frozenset()
    assert len(minions.asked) == 1
