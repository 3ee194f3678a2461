"""The README's picture of the live table: what ``tools/picture.sh`` makes of a recording, and the picture itself."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from hart_salt.node.drawing import Paper
from hart_salt.node.live_table import LiveTable
from hart_salt.node.progress import Expected
from tools import picture

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs/images/live_table.svg"
COLUMNS = 80
MOMENTS = (
    {"a": "launching", "b": "launching", "c": "running"},
    {"a": "bootstrapping", "b": "enrolling", "c": "enrolled"},
    {"a": "enrolled", "b": "enrolled", "c": "ready"},
    {"a": "enrolled", "b": "ready", "c": "done"},
    {"a": "done", "b": "done", "c": "done"},
)


def recording(*moments: Mapping[str, str]) -> str:
    """Return the output of a terminal for a live table that is drawn at each of these moments."""
    file = io.StringIO()
    live = LiveTable(file, lambda: Paper(COLUMNS, 24), lambda: 50.0)
    live._refreshing.stop()
    live.expect(Expected(list("abc"), "ready"))
    for moment in moments:
        for minion_id, stage in moment.items():
            live.update(minion_id, stage, 2.5, f"{minion_id} has <printed> & [this]")
        live.draw()
    live.close()
    return file.getvalue().replace("\n", "\r\n")


def words(svg: str) -> str:
    """Return the text of a picture; fail if the picture is not XML."""
    return " ".join(" ".join(ElementTree.fromstring(svg).itertext()).split())  # noqa: S314 - trusted input


def test_every_table_of_a_recording_is_found() -> None:
    drawn = list(picture.tables(recording(*MOMENTS)))
    seen = [picture.stages(table) for table in drawn if len(picture.stages(table)) == 3]
    assert [stages for number, stages in enumerate(seen) if stages not in seen[:number]] == [
        list(moment.values()) for moment in MOMENTS
    ]
    assert {line for table in drawn for line in table.plain.splitlines() if "\x1b" in line} == set()


def test_the_picture_shows_the_moment_with_the_most_stages_while_some_nodes_are_ready() -> None:
    table = picture.best(list(picture.tables(recording(*MOMENTS))))
    assert table is not None
    assert picture.stages(table) == ["enrolled", "ready", "done"]


def test_without_such_a_moment_there_is_no_picture() -> None:
    assert picture.best(list(picture.tables(recording(*MOMENTS[:2], MOMENTS[-1])))) is None


def test_the_picture_has_the_text_and_colours_of_the_table() -> None:
    table = picture.best(list(picture.tables(recording(MOMENTS[3]))))
    assert table is not None
    svg = picture.svg(table, COLUMNS, "salt-run hart.create_role")
    assert "a has <printed> & [this]" in words(svg)
    (style,) = re.findall(r'class="live-table-(r\d)"[^>]*>done', svg)
    (colour,) = re.findall(rf"live-table-{style} {{ fill: (#\w+)", svg)
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    assert green > max(red, blue)


def test_the_picture_in_the_repository_shows_such_a_moment() -> None:
    svg = PICTURE.read_text(encoding="utf-8")
    shown = words(svg)
    assert "salt-run hart.create_role app count=3" in shown
    assert "minion stage time last line" in shown
    stages = re.findall(r"\.local\.app (\w+) +\d+\.\d s", shown)
    assert len(stages) == 3
    assert 0 < sum(stage in picture.READY for stage in stages) < 3


def test_the_picture_in_the_repository_fetches_nothing() -> None:
    svg = PICTURE.read_text(encoding="utf-8")
    assert re.findall(r"@font-face|@import|url\((?!#)|\bhref\b|\bsrc\b", svg) == []
    width = float(re.findall(r'viewBox="0 0 ([\d.]+) ', svg)[0])
    assert width > COLUMNS * 12
