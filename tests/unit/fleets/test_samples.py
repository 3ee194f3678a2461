"""The files with recorded loads."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hart_salt.base.errors import EnvironmentFault, Refused
from hart_salt.fleets.recording import last, record
from hart_salt.fleets.samples import Sample, gaps, read, recorded

AT = 1796025600.0


def parse(lines: list[str]) -> list[Sample]:
    """Return the samples of a file that is called ``day`` in its faults."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "day"
        path.write_text("\n".join(line.rstrip("\n") for line in lines), encoding="utf-8", errors="replace", newline="")
        try:
            return read(path)
        except Refused as error:
            raise Refused(str(error).replace(f"{directory}/", "")) from None


def test_json_lines_with_loads_or_values() -> None:
    lines = [
        '{"time": "2026-11-30T08:00:00Z", "load": 4.5, "more": 1}\n',
        "\n",
        '{"time": "2026-11-30T09:01:00+01:00", "load": null}',
        '{"time": "2026-11-30 08:02", "values": [0.5, null, 2]}',
        '{"time": 1796025780.5, "values": {"web-2": null, "web-1": 1}}',
        '{"time": 1796025781, "values": []}',
        '{"time": 1796025782, "values": [NaN, -1, 1e999]}',
    ]
    assert parse(lines) == [
        Sample(AT, 4.5), Sample(AT + 60), Sample(AT + 120, values=(0.5, None, 2.0)),
        Sample(AT + 180.5, values=(1.0, None)), Sample(AT + 181), Sample(AT + 182, values=(None, None, None)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "samples"),
    [
        ("time,load\n2026-11-30T08:00Z,4.5\n1796025660,\n", [Sample(AT, 4.5), Sample(AT + 60)]),
        ("Time, Load\r\n2026-11-30 08:00:00, 1\r\n", [Sample(AT, 1.0)]),
        ("\ufefftime,web-1,web-2\n1796025600,0.5,\n", [Sample(AT, values=(0.5, None))]),
        ('web-1,"time"\n"0.5",1796025600\n', [Sample(AT, values=(0.5,))]),
    ],
)
def test_csv(text: str, samples: list[Sample]) -> None:
    assert parse(text.splitlines(keepends=True)) == samples


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (['{"time": 1, "load": 1}', "{"], "line 2: is no JSON"),
        (['{"time": 1, "load": 1}', "[1]"], "line 2: must be a JSON object with time, and load or values"),
        (['{"load": 1}'], "line 1: time must be ISO 8601, or seconds since the epoch"),
        (['{"time": "soon", "load": 1}'], "line 1: time must be ISO 8601"),
        (['{"time": true, "load": 1}'], "line 1: time must be ISO 8601"),
        (['{"time": 1796025600000000, "load": 1}'], "line 1: time must be ISO 8601"),
        (['{"time": 1}'], "line 1: must have either load or values"),
        (['{"time": 1, "load": 1, "values": []}'], "line 1: must have either load or values"),
        (['{"time": 1, "load": -1}'], "line 1: load must be a number of at least 0, or null for silence"),
        (['{"time": 1, "load": "1"}'], "line 1: load must be a number"),
        (['{"time": 1, "load": NaN}'], "line 1: load must be a number"),
        (['{"time": 1, "values": 1}'], "line 1: values must be a list or a mapping of numbers"),
        (['{"time": 1, "values": ["a"]}'], "line 1: values must be numbers, or null for silence"),
        (['{"time": 1, "values": [true]}'], "line 1: values must be numbers"),
        (['{"time": 2, "load": 1}', "", '{"time": 1, "load": 1}'], "line 3: its time is before that of the line above"),
        (["hello"], "line 1: is neither JSON nor a heading of CSV with time, and load or the names of nodes"),
        (["time"], "line 1: is neither JSON nor a heading"),
        (["time,time"], "line 1: is neither JSON nor a heading"),
        (["time,load", "1"], "line 2: has 1 cells, and the heading has 2"),
        (["time,load", "1,x"], "line 2: load must be a number of at least 0"),
        (["time,load", "1,-3"], "line 2: load must be a number of at least 0"),
        (["time,load", "x,1"], "line 2: time must be ISO 8601"),
        (["time,a", "1,x"], "line 2: its cells must be numbers, or empty for silence"),
        (["time,a", '1,"x'], "line 2: its cells must be numbers"),
    ],
)
def test_a_fault_is_one_sentence_with_its_line(lines: list[str], fault: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(lines)
    said = str(caught.value)
    assert said.startswith(f"day: {fault}"), said
    assert "\n" not in said


def test_all_faults_are_reported_but_not_thousands() -> None:
    with pytest.raises(Refused) as caught:
        parse(["{"] * 1000)
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[-1]) == (11, "day: 990 more lines are wrong")


def test_a_fault_shows_nothing_of_the_file() -> None:
    with pytest.raises(Refused) as caught:
        parse(["root:$6$secret", "{secret", "secret"])
    assert "secret" not in str(caught.value)


@given(st.lists(st.one_of(st.text(), st.text().map(lambda text: f"{{{text}"), st.text().map("time,{}\n".format))))
def test_no_text_raises_anything_else(lines: list[str]) -> None:
    for first in ([], ["time,load"], ["time,a,b"]):
        with contextlib.suppress(Refused):
            parse([*first, *lines])


def test_the_recording_of_the_engine_can_be_read(tmp_path: Path) -> None:
    for minute in range(6):
        record(tmp_path, "web", AT + 60 * minute, {"b": None, "a": 0.25 * minute}, limit=180)
    samples, notes = recorded(last(tmp_path, "web"))
    assert [(sample.at - AT, sample.values) for sample in samples][-2:] == [(240, (1.0, None)), (300, (1.25, None))]
    assert (len(samples), notes) == (4, [])


def test_a_recording_with_a_line_that_was_cut_off_and_a_clock_that_was_set_back_can_be_read(tmp_path: Path) -> None:
    for seconds in (0, 60, 30, 60, 120):
        record(tmp_path, "web", AT + seconds, {"a": seconds})
    (path,) = last(tmp_path, "web")
    path.write_text('{"time":"20' + "\n" + path.read_text())
    former = path.with_name(f"{path.name}.1")
    former.write_text(path.read_text())
    samples, notes = recorded(last(tmp_path, "web"))
    assert [(sample.at - AT, sample.values) for sample in samples] == [(0, (0,)), (60, (60,)), (120, (120,))]
    assert notes == [f"{one} has lines that were left out, such as: line 1: is no JSON" for one in (former, path)]
    path.write_text("\n")
    former.unlink()
    with pytest.raises(Refused, match="has no samples"):
        recorded([path])


def test_of_two_samples_at_the_same_time_the_second_one_counts() -> None:
    assert parse(['{"time": 1, "load": 1}', '{"time": 1, "load": 2}', '{"time": 2, "load": 3}']) == [
        Sample(1, 2.0), Sample(2, 3.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("missing", "does not exist|No such file"), ("directory", "directory"), ("fifo", "is not a file")],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, kind: str, fault: str) -> None:
    path = tmp_path / "day"
    if kind == "directory":
        path.mkdir()
    if kind == "fifo":
        os.mkfifo(path)
    with pytest.raises((Refused, EnvironmentFault), match=fault):
        read(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "day").write_text("\n\n")
    with pytest.raises(Refused, match="day has no samples"):
        read(tmp_path / "day")


def test_gaps_are_found() -> None:
    samples = [Sample(at, 1.0) for at in (0, 60, 3660, 3720)]
    assert list(gaps(samples, 600)) == [(60, 3600)]
