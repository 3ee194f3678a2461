"""Bars, ticks and seconds as they are drawn and written."""

from __future__ import annotations

import math

import pytest

from hart_salt.reports import charts
from hart_salt.reports.measures import measures, percentile


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0.00 s"), (0.994, "0.99 s"), (0.996, "1.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (119.4, "119 s"),
     (119.6, "2 min 0 s"),
     (185, "3 min 5 s"), (3600, "1 h 0 min"), (7384, "2 h 3 min")],
)  # fmt: skip
def test_seconds_are_written_with_the_precision_that_matters(value: float, words: str) -> None:
    assert charts.seconds(value) == words


@pytest.mark.parametrize(
    ("whole", "texts"),
    [(9.86, ["0", "2", "4", "6", "8 s"]), (0.16, ["0", "0.05", "0.1", "0.15 s"]),
     (100, ["0", "20", "40", "60", "80", "100 s"]),
     (0, ["0 s"]), (math.inf, ["0 s"]), (31, ["0", "10", "20", "30 s"])],
)  # fmt: skip
def test_ticks_are_at_round_numbers(whole: float, texts: list[str]) -> None:
    assert [tick.text for tick in charts.ticks(whole, " s")] == texts


@pytest.mark.parametrize("whole", [0.0004, 0.3, 7.7, 99.0, 1e5, 1e9])
def test_ticks_are_few_and_within_the_picture(whole: float) -> None:
    found = charts.ticks(whole)
    assert 2 <= len(found) <= charts.TICKS + 1
    assert [tick.at for tick in found] == sorted({tick.at for tick in found})
    assert found[0].anchor == "start"
    assert found[-1].at <= 100


def test_a_part_is_within_the_picture_and_has_text_only_if_there_is_room() -> None:
    assert charts.part(50, 25, 100, "a", "title", "25 s") == charts.Part(50.0, 25.0, "a", "title", "25 s")
    assert charts.part(0, 1, 100, "a", "title", "1 s").text == ""
    assert charts.part(-5, 500, 100, "a", "title").width == 100
    assert charts.part(0, 1, 0, "a", "title").width == 0
    assert charts.part(math.nan, 1, 1, "a", "title").begin == 0


def test_a_long_label_keeps_its_beginning_and_its_end() -> None:
    text = f"begin{'x' * 200}end"
    assert len(charts.label(text)) == charts.LABEL
    assert charts.label(text).startswith("begin")
    assert charts.label(text).endswith("end")
    assert charts.label("x" * charts.LABEL) == "x" * charts.LABEL


def test_counts_are_bars_as_wide_as_their_share_of_the_largest() -> None:
    bars = charts.counts([("ready", 8), ("failed", 2)])
    assert [(bar.label, bar.value, bar.parts[0].width) for bar in bars] == [("ready", "8", 100), ("failed", "2", 25)]
    assert charts.counts([]) == []


def test_measures_are_of_the_nodes_that_have_the_stage() -> None:
    one, two = measures({"a": {"ready": 1.0}, "b": {"launching": 5.0, "ready": 3.0}, "c": {"ready": 2.0}})
    assert (one.name, one.count, one.median, one.node) == ("launching", 1, 5.0, "b")
    assert (two.name, two.count, two.median, two.p90, two.slowest, two.node) == ("ready", 3, 2.0, 3.0, 3.0, "b")


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (10, 1), (50, 5), (90, 9), (91, 10), (100, 10)])
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(percent: float, value: float) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == value
