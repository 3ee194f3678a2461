"""What minions answer to the metric of a fleet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hart_salt.config.autoscale import Metric
from hart_salt.fleets.measure import measure, number_of, value_at
from hart_salt.master.minions import Call, Returned

LOAD = Metric(function="status.loadavg", key="1-min")
PER_CPU = Metric(function="status.loadavg", key="1-min", per="cpu")


class Minions:
    """Minions that answer at once: ``answers`` has what each returns for all calls; others are silent."""

    def __init__(self, answers: Mapping[str, Sequence[Any]]) -> None:
        self.answers = answers
        self.asked: list[tuple[Sequence[str], Sequence[Call], float]] = []

    def call_all(self, minion_ids: Sequence[str], calls: Sequence[Call], timeout: float) -> dict[str, list[Returned]]:
        self.asked.append((minion_ids, calls, timeout))
        return {
            name: [one if isinstance(one, Returned) else Returned(one, True) for one in returned]
            for name, returned in self.answers.items()
        }


def test_each_node_is_asked_in_one_job() -> None:
    metric = Metric(function="app.load", args=[1], kwargs={"a": 2}, timeout=7.0)
    minions = Minions({"a": [0.5], "b": [2]})
    found = measure(minions, metric, ["a", "b"])
    assert (found.readings, found.notes) == ({"a": 0.5, "b": 2.0}, ())
    assert minions.asked == [(["a", "b"], [Call("app.load", [1], {"a": 2})], 7.0)]


def test_without_nodes_nobody_is_asked() -> None:
    minions = Minions({})
    assert measure(minions, LOAD, []).readings == {}
    assert minions.asked == []


def test_per_cpu_the_number_of_cpus_is_asked_in_the_same_job() -> None:
    minions = Minions({"a": [{"num_cpus": 4}, {"1-min": 2.0, "5-min": 9}]})
    assert measure(minions, PER_CPU, ["a"]).readings == {"a": 0.5}
    (_, calls, _) = minions.asked[0]
    assert calls == [Call("grains.item", ["num_cpus"]), Call("status.loadavg", [])]


def test_the_functions_of_one_job_differ() -> None:
    """Salt returns a job's answers by the name of the function."""
    minions = Minions({"a": [2, {"load": 3}]})
    metric = Metric(function="grains.item", args=["load"], key="load", per="cpu")
    assert measure(minions, metric, ["a"]).readings == {"a": 1.5}
    assert minions.asked[0][1][0] == Call("grains.get", ["num_cpus"])


def test_an_answer_of_another_minion_does_not_count() -> None:
    assert measure(Minions({"a": [1], "evil": [99]}), Metric(function="a.b"), ["a"]).readings == {"a": 1.0}


def test_silent_nodes_are_named_and_many_are_counted() -> None:
    found = measure(Minions({"web-0": [{"1-min": 1}]}), LOAD, ["web-0", "web-1"])
    assert (found.readings, found.notes) == (
        {"web-0": 1.0, "web-1": None}, ("web-1 did not answer status.loadavg within 15s",)
    )  # fmt: skip
    (note,) = measure(Minions({}), LOAD, [f"web-{number}" for number in range(9)]).notes
    assert note == "web-0, web-1, web-2, web-3, web-4 and 4 more did not answer status.loadavg within 15s"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("abc", "answered 'abc' for status.loadavg"),
        ("", "answered an empty text for status.loadavg"),
        ("x" * 10_000, "answered '(a text of 10000 characters)' for status.loadavg"),
        ("a\x1b[2Jb\nc", "answered 'a\ufffd[2Jb c' for status.loadavg"),
        (-1, "answered -1 for status.loadavg"),
        (True, "answered True for status.loadavg"),
        (math.nan, "answered nan for status.loadavg"),
        (10**30, "answered a very large number for status.loadavg"),
        ("nan", "answered 'nan' for status.loadavg"),
        ("1e3", "answered '1e3' for status.loadavg"),
        ("0x10", "answered '0x10' for status.loadavg"),
        ({"1-min": "x"}, "answered a mapping for status.loadavg"),
        ([1], "answered a list for status.loadavg"),
        (None, "answered None for status.loadavg"),
        (Returned("'status.x' is not available.", False), "failed at status.loadavg: 'status.x' is not available."),
        (Returned("Traceback (most\n  File x\nKeyError: 'x'\n\n", False), "failed at status.loadavg: KeyError: 'x'"),
        (Returned("\n", False), "failed at status.loadavg: an empty text"),
        (Returned(1.0, False), "failed at status.loadavg: 1.0"),
    ],
)
def test_an_answer_that_is_no_number_is_named(answer: Any, problem: str) -> None:
    found = measure(Minions({"web-3": [answer]}), Metric(function="status.loadavg"), ["web-3"])
    assert (found.readings, found.notes) == ({"web-3": None}, (f"web-3 {problem}",))


@pytest.mark.parametrize("answer", [{}, {"1-min": None}, {"1-min": "x"}, {"1-min": {}}, [1], None])
def test_an_answer_without_the_key_is_named(answer: Any) -> None:
    found = measure(Minions({"a": [answer]}), LOAD, ["a"])
    assert found.notes == ("a answered no number under 1-min for status.loadavg",)


@pytest.mark.parametrize("cpus", [0, -1, True, None, "4", 1.5, 10**9, {"num_cpus": ""}, {}, []])
def test_without_a_number_of_cpus_there_is_no_reading(cpus: Any) -> None:
    found = measure(Minions({"a": [cpus, {"1-min": 1.0}]}), PER_CPU, ["a"])
    assert found.readings == {"a": None}
    assert found.notes[0].startswith("a has no number of CPUs: its grain num_cpus is ")


def test_many_wrong_answers_are_counted() -> None:
    names = [f"web-{number}" for number in range(8)]
    notes = measure(Minions({name: ["x"] for name in names}), Metric(function="a.b"), names).notes
    assert (len(notes), notes[-1]) == (6, "3 more nodes answered no usable number")


@pytest.mark.parametrize(
    ("answer", "key", "value"),
    [
        (1, None, 1),
        ({"eth0": {"rx": 2}}, "eth0:rx", 2),
        ({"a": [{"b": 3}]}, "a:0:b", 3),
        ({8080: 4}, "8080", 4),
        ({"a": 1}, "a:b", None),
        ([1], "1", None),
        ([1], "x", None),
        ({"a": 1}, "b", None),
        ("abc", "0", None),
    ],
)
def test_a_key_is_a_path_into_the_answer(answer: Any, key: str | None, value: Any) -> None:
    assert value_at(answer, key) == value


@pytest.mark.parametrize(("text", "number"), [("12", 12.0), (" 0.5\n", 0.5), ("+1", 1.0), ("1,5", None), ("١", None)])
def test_a_text_with_digits_is_a_number(text: str, number: float | None) -> None:
    assert number_of(text) == number


ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)


@given(answer=ANYTHING, cpus=ANYTHING, ok=st.booleans())
def test_no_answer_raises(answer: Any, cpus: Any, ok: bool) -> None:
    found = measure(Minions({"a": [Returned(cpus, True), Returned(answer, ok)]}), PER_CPU, ["a"])
    reading = found.readings["a"]
    assert (reading is None) == bool(found.notes)
    assert reading is None or 0 <= reading < math.inf
    assert all(len(note) < 400 for note in found.notes)
