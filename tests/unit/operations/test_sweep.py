"""Which minions count as living for a sweep, and what it logs."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from hart_salt.operations.sweep import QUESTIONS, _log_dead, answering


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


def orphan(kind: str, name: str, **more: str) -> dict[str, str]:
    return {"kind": kind, "name": name, "provider": "do", "region": "r", "why": "its create died", **more}


def test_what_a_dead_call_left_is_one_line_of_the_log_with_its_names(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    removed = [orphan("node", "k1"), orphan("node", "k2"), orphan("firewall", "f")]
    failed = [orphan("node", "k3", error="the API refused it")]
    many = [orphan("node", f"n{number}") for number in range(12)]
    _log_dead({"removed": removed, "sealed": many, "failed": failed}, logging.getLogger("hart"))
    loud = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert loud == [
        "hart: removed k1, k2 and firewall f, which a call that died left behind",
        "hart: sealed n0, n1, n2, n3, n4, n5, n6, n7, n8, n9 and 2 more, which a call that died left behind",
        "hart: k3, which a call that died left behind, could not be removed: the API refused it",
    ]
    assert len(caplog.records) - len(loud) == 16, "the details are information"
