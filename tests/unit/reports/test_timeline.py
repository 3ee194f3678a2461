"""The timeline as data and as a page."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from hart_salt.base.gate import Gate
from hart_salt.reports import timeline as timelines
from hart_salt.reports.lives import UNFINISHED, Life, Span
from hart_salt.reports.timeline import SHOWN, Timeline, data, page
from tests.unit.reports.samples import BEGAN, HOSTILE, SECONDS, STEPS, failed, life, timeline


def html_of(of: Timeline, gate: Gate | None = None) -> str:
    return page(of, gate or Gate(), BEGAN + 3600)


def tree(html: str) -> ElementTree.Element:
    """Return a page as XML, without what only HTML allows."""
    text = re.sub(r"<(meta\b[^>]*)>", r"<\1/>", html.partition("\n")[2])
    return ElementTree.fromstring(re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL))  # noqa: S314 - our own


def test_the_data_has_each_node_each_stage_and_each_step() -> None:
    found = data(timeline(3))
    assert list(found["nodes"]) == ["web3.example.com", "web2.example.com", "web1.example.com"], "slowest first"
    one = found["nodes"]["web1.example.com"]
    assert (one["end"], one["total"], one["began"], one["steps"]) == ("done", 44.55, 0.0, STEPS)
    assert list(one["seconds"]) == list(SECONDS)
    assert found["stages"]["launching"] == {"median": 24.0, "p90": 26.0, "slowest": 26.0, "node": "web3.example.com"}
    assert found["steps"]["install"]["median"] == 10.5
    assert found["total"] == 54.65


def test_the_stage_in_which_a_node_failed_is_not_measured() -> None:
    """It has the seconds until a timeout, and those of the rollback."""
    found = data(Timeline("x", [failed(1), life(2)]))
    assert found["stages"]["running"]["slowest"] == 1.5
    assert found["stages"]["launching"]["median"] == 20.0
    assert found["nodes"]["web1.example.com"]["seconds"]["running"] == 300.0


def test_a_page_shows_each_node_with_its_numbers() -> None:
    html = html_of(timeline(3))
    for text in (
        "web1.example.com",
        "web3.example.com",
        "45 s",
        "Median of 3 nodes",
        "2026-11-30 00:53 UTC",
        "boot",
        "install",
    ):
        assert text in html
    assert "Most of the time went into “boot”" in html


def test_a_page_of_one_node_has_no_median_of_itself() -> None:
    html = html_of(timeline(1))
    assert "Where the seconds went: web1.example.com" in html
    assert "edian" not in html
    assert "nine of ten" not in html


def test_other_nodes_are_there_to_compare() -> None:
    one = replace(timeline(1), others={"a": {"launching": 10.0}, "b": {"launching": 30.0}}, others_are="role app at do")
    html = html_of(one)
    assert "2 other nodes of role app at do took 20 s (median)" in html
    assert "Median of 2 other nodes" in html


def test_of_many_nodes_the_slowest_are_shown_and_all_are_measured() -> None:
    many = timeline(1000)
    html = html_of(many)
    assert f"show the {SHOWN} slowest of 1000 nodes" in html
    assert "Median of 1000 nodes" in html
    page_tree = tree(html)
    assert len(page_tree.findall(".//svg/g[@class='node']")) == SHOWN
    assert len(page_tree.findall(".//table")[1].findall("tbody/tr")) == SHOWN
    assert len(html) < 200_000
    assert len(data(many)["nodes"]) == 1000


def test_failed_and_unfinished_nodes_are_named() -> None:
    up = life(3, end=UNFINISHED)
    html = html_of(Timeline("x", [failed(1), life(2), up]))
    assert "web1.example.com failed in “connect” after 5 min 20 s" in html
    assert "failed: 5 min 20 s" in html
    assert "unfinished: 40 s" in html


def test_many_failures_are_counted() -> None:
    html = html_of(Timeline("x", [failed(number) for number in range(1, 31)]))
    assert "and 20 more nodes" in html


def test_a_node_without_any_completed_stage_has_a_page() -> None:
    one = Life("a", BEGAN, (Span("launching", 0.0, 0.0),), UNFINISHED)
    assert "unfinished: 0.00 s" in html_of(Timeline("a", [one]))


def test_unknown_stages_are_shown_by_their_name() -> None:
    one = Life("a", BEGAN, (Span("later", 0.0, 2.0),))
    assert "fill-other" in html_of(Timeline("a", [one]))


@pytest.mark.parametrize("count", [1, 2, 40, 41])
def test_every_picture_has_a_name_and_a_text(count: int) -> None:
    for svg in tree(html_of(timeline(count))).findall(".//svg"):
        assert svg.get("role") == "img"
        named = {one.get("id") for one in (svg.find("title"), svg.find("desc")) if one is not None}
        assert set((svg.get("aria-labelledby") or "").split()) == named


def hostile() -> Timeline:
    """Return a timeline in which every text is hostile."""
    one = replace(life(1), minion_id=HOSTILE, steps={HOSTILE: 1.0})
    other = replace(failed(2), minion_id=f"{HOSTILE}2", spans=(Span(HOSTILE, 0.0, 3.0),))
    return Timeline(HOSTILE, [one, other], {HOSTILE: {HOSTILE: 2.0}}, HOSTILE, [HOSTILE])


def test_hostile_text_is_text() -> None:
    html = html_of(hostile())
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html
    tags = {one.tag for one in tree(html).iter()}
    assert not tags & {"script", "img", "iframe", "object", "embed", "link", "form", "a"}
    assert "{{ 7*7 }}" in html
    assert not [
        name
        for one in tree(html).iter()
        for name in one.attrib
        if name.startswith("on") or name in ("style", "href", "src")
    ]


def test_a_page_allows_only_its_own_styles() -> None:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in html_of(timeline())
    assert "http:" not in html_of(timeline())
    assert "url(" not in html_of(timeline())


def test_every_text_of_a_page_passes_the_gate() -> None:
    gate = Gate()
    gate.secrets.add("planted-s3cret&<value>")
    hidden = "web-planted-s3cret&<value>.example.com"
    one = replace(life(1), minion_id=hidden, steps={hidden: 1.0})
    html = html_of(Timeline(hidden, [one, failed(2)], {hidden: {hidden: 1.0}}, hidden, [hidden]), gate)
    assert "planted" not in html
    assert "web-***.example.com" in html


def test_every_stage_has_a_colour_in_both_schemes() -> None:
    html = html_of(timeline())
    for stage in timelines.WORDS:
        assert html.count(f"--{stage}: #") == 2
        assert f".fill-{stage} " in html
