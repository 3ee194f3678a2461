"""Reports as the runner's functions write them, seen in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import TemporaryFailure
from hart_salt.base.gate import Gate
from hart_salt.reports import timeline as timelines
from hart_salt.reports.timeline import Timeline
from hart_salt.runners import hart as runner
from tests import browser, scope
from tests.browser import Browser, Seen
from tests.functional import test_use_cases
from tests.functional.test_use_cases import Place, refusal
from tests.unit.reports import test_fleet
from tests.unit.reports.samples import BATCH, HOSTILE, SECONDS, failed, life, timeline
from tests.unit.reports.test_timeline import hostile

place = test_use_cases.place  # the fixture
#: a width in pixels, and whether the reader prefers dark pages
VIEWS = ((400, False), (1280, True), (1280, False), (400, True))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.running() as made:
        yield made


def as_it_should_be(seen: Seen, file: Path) -> None:
    """A page is not blank, fits its window, has no error and loads nothing."""
    assert seen.requests == [file.as_uri()]
    assert seen.console == []
    assert seen.width == seen.visible, "the page is wider than its window"
    assert seen.collisions == []
    assert seen.colours > 50
    assert seen.pictures
    assert all(title and text for title, text in seen.pictures)


def test_the_browser_sees_what_a_page_must_not_have(chromium: Browser, tmp_path: Path) -> None:
    """The checks of the other tests can fail."""
    file = tmp_path / "bad.html"
    svg = "<svg width='60' height='20' aria-labelledby='t'><title id='t'>x</title>{}</svg>"
    texts = "<text x='0' y='14'>one long text</text><text x='5' y='14'>another</text>"
    file.write_text(
        "<div style='width: 3000px'>wide</div><script>console.log('hello'); nope()</script>"
        "<img src='http://evil.example.com/x.png'>" + svg.format(texts)
    )
    seen = chromium.look(file)
    assert seen.requests[1:] == ["http://evil.example.com/x.png"]
    assert len(seen.console) >= 2
    assert seen.width >= 3000 > seen.visible
    assert {"one long text leaves its picture", "one long text lies over another"} <= set(seen.collisions)
    assert seen.colours < 1000
    blank = tmp_path / "blank.html"
    blank.write_text("<!DOCTYPE html><title>x</title>")
    assert chromium.look(blank).colours == 1


@pytest.mark.parametrize(("width", "dark"), VIEWS if scope.whole else VIEWS[:2])
@pytest.mark.parametrize(
    "of",
    [timeline(1), timeline(3), timeline(1000), hostile(),
     Timeline("x", [life(2), failed(1)], {"a": SECONDS}, "role app at do"),
     Timeline("x", [replace(life(1), minion_id="a" * 200)])],
    ids=["one", "three", "thousand", "hostile", "failed", "long"],
)  # fmt: skip
def test_a_timeline_in_a_browser(chromium: Browser, tmp_path: Path, of: Timeline, width: int, dark: bool) -> None:
    file = tmp_path / "x.html"
    file.write_text(timelines.page(of, Gate(), time.time()), encoding="utf-8")
    seen = chromium.look(file, width, dark=dark)
    as_it_should_be(seen, file)
    assert seen.paper == ("rgb(16, 21, 28)" if dark else "rgb(255, 255, 255)")
    assert "Where the seconds went" in seen.text


@pytest.mark.parametrize(("width", "dark"), VIEWS if scope.whole else VIEWS[:2])
@pytest.mark.parametrize("count", [6, 1000])
def test_a_report_in_a_browser(chromium: Browser, tmp_path: Path, count: int, width: int, dark: bool) -> None:
    file = tmp_path / "x.html"
    file.write_text(test_fleet.html_of(test_fleet.fleet(count)), encoding="utf-8")
    seen = chromium.look(file, width, dark=dark)
    as_it_should_be(seen, file)
    assert "What differs between the sources" in seen.text


def test_hostile_text_reads_as_it_is(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "x.html"
    file.write_text(timelines.page(hostile(), Gate(), time.time()), encoding="utf-8")
    assert HOSTILE.replace("\u202e", "\ufffd") in chromium.look(file).text


# the runner's function


def call(function: str, *arguments: Any, **keywords: Any) -> dict[str, Any]:
    data: dict[str, Any] = getattr(runner, function)(*arguments, **keywords)
    return data


def test_a_timeline_of_nodes_is_returned_and_written(place: Place, tmp_path: Path) -> None:
    place.start("web-1", seconds=SECONDS, batch=BATCH)
    place.start("web-2", seconds=SECONDS, batch=BATCH)
    place.start("web-3", seconds=SECONDS)
    data = call("timeline", BATCH, file=str(tmp_path / "x.html"))
    assert list(data["nodes"]) == ["web-1", "web-2"]
    assert data["file"] == str(tmp_path / "x.html")
    html = (tmp_path / "x.html").read_text()
    assert "web-1" in html
    assert "Median of 1 other node" in html
    assert "file" not in call("timeline", "web-1,web-3")
    assert set(call("timeline", "web-1", "web-3")["nodes"]) == {"web-1", "web-3"}


def test_a_relative_file_begins_at_the_directory_of_salt_run(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.start("web-1", seconds=SECONDS)
    monkeypatch.chdir(tmp_path)
    assert "absolute path" in refusal(call("timeline", "web-1", file="x.html"))
    place.opts["fun"] = "hart.timeline"
    assert call("timeline", "web-1", file="x.html")["file"] == str(tmp_path / "x.html")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [({"file": 5}, "file must be the path of the HTML file to write"),
     ({"file": ""}, "file must be"), ({"force": 3}, "force must be True or False"),
     ({"fil": "x"}, "unknown argument: fil; did you mean file?"),
     ({"file": "/no/such/x.html"}, "/no/such does not exist")],
)  # fmt: skip
def test_wrong_arguments_of_a_timeline_are_one_sentence(place: Place, given: dict[str, object], sentence: str) -> None:
    place.start("web-1", seconds=SECONDS)
    assert sentence in refusal(call("timeline", "web-1", **given))


def test_no_file_is_written_for_a_node_of_which_nothing_is_known(place: Place, tmp_path: Path) -> None:
    assert "neither a record nor a log" in refusal(call("timeline", "nope", file=str(tmp_path / "x.html")))
    assert "needs an id" in refusal(call("timeline"))
    assert list(tmp_path.glob("*.html")) == []


def test_a_file_that_is_no_report_is_replaced_only_by_force(place: Place, tmp_path: Path) -> None:
    place.start("web-1", seconds=SECONDS)
    path = tmp_path / "x.html"
    path.write_text("mine")
    assert "is not a report of hart" in refusal(call("timeline", "web-1", file=str(path)))
    assert path.read_text() == "mine"
    assert "retcode" not in call("timeline", "web-1", file=str(path), force=True)
    assert "retcode" not in call("timeline", "web-1", file=str(path)), "now it is one"


def test_the_fleet_is_returned_in_numbers_and_written(place: Place, tmp_path: Path) -> None:
    place.start("web-1", seconds=SECONDS)
    place.start("web-2", seconds=SECONDS)
    place.present.discard("web-2")
    place.accept("foreign")
    data = call("report", file=str(tmp_path / "x.html"))
    found = data["fleet"]
    assert (found["nodes"], found["status"], found["role"]) == (2, {"ready": 1, "unreachable": 1}, {"app": 2})
    assert found["monthly_price"] == {"USD": 10.0}
    assert found["median_seconds"] == SECONDS
    html = (tmp_path / "x.html").read_text()
    assert "1 node not ready" in html
    assert "1 more key of this master" in html
    assert call("report", ping=False)["fleet"]["status"] == {"ready": 2}


def test_a_provider_that_does_not_answer_takes_only_its_own_part_away(place: Place, tmp_path: Path) -> None:
    place.start("web-1")
    place.clouds["other"].error = TemporaryFailure("the API does not answer")
    data = call("report", file=str(tmp_path / "x.html"))
    assert data["retcode"] == 1
    assert data["problems"] == ["other: the API does not answer"]
    assert data["fleet"]["status"] == {"ready": 1}
    assert "other: the API does not answer" in (tmp_path / "x.html").read_text()


def test_the_history_of_a_fleet_is_in_its_report(place: Place, tmp_path: Path) -> None:
    assert not call("create", "web-9", role="app")["nodes"]["web-9"]["result"]
    data = call("report", file=str(tmp_path / "x.html"))
    assert data["fleet"]["last_30_days"] == {"created": 0, "failed": 1, "destroyed": 0}
    assert "1 failed" in (tmp_path / "x.html").read_text()
