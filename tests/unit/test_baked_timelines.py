"""The picture of nodes of a plain and of a baked image."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from tools import baked_timelines


def test_the_picture_in_the_docs_is_what_the_tool_draws() -> None:
    """Run ``python -m tools.baked_timelines`` if it is not."""
    assert baked_timelines.PICTURE.read_text(encoding="utf-8") == baked_timelines.svg(baked_timelines.read())


def test_the_picture_says_what_it_shows_and_fetches_nothing() -> None:
    drawn = baked_timelines.PICTURE.read_text(encoding="utf-8")
    words = " ".join(" ".join(ElementTree.fromstring(drawn).itertext()).split())  # noqa: S314 - trusted input
    for what in (*baked_timelines.ROLES.values(), "boot", "install", "start", "apply", "the test cloud"):
        assert what in words
    assert re.findall(r"@font-face|@import|url\(|\bhref\b|\bsrc\b", drawn) == []


def test_the_bars_are_as_long_as_their_seconds_and_stay_in_the_picture() -> None:
    stages = {"launching": 10.0, "enrolled": 30.0}
    figures = {"work": 0, "runs": 1, "seconds": {"app": {"launching": 10.0}, "plain": stages, "worked": stages}}
    drawn = ElementTree.fromstring(baked_timelines.svg(figures))  # noqa: S314 - trusted input
    bars = [one for one in drawn.iter("{http://www.w3.org/2000/svg}rect") if one.find("*") is not None]
    assert [float(bar.attrib["width"]) for bar in bars] == [170.0, 170.0, 510.0, 170.0, 510.0]
    assert {float(bar.attrib["x"]) for bar in bars} == {210.0, 380.0}
