"""Times that come back every week."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from hart_salt.config.week import as_moment, as_window


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


#: a Saturday
SATURDAY = "2026-11-28"


@pytest.mark.parametrize(
    ("window", "now", "is_open"),
    [
        ("Sat 02:00-05:00 UTC", f"{SATURDAY}T02:00", True),
        ("Sat 02:00-05:00", f"{SATURDAY}T04:59", True),
        ("Sat 02:00-05:00 UTC", f"{SATURDAY}T05:00", False),
        ("Sat 02:00-05:00 UTC", f"{SATURDAY}T01:59", False),
        ("Sun 02:00-05:00 UTC", f"{SATURDAY}T03:00", False),
        ("Fri 22:00-04:00", f"{SATURDAY}T03:59", True),
        ("Fri 22:00-04:00", f"{SATURDAY}T04:00", False),
        ("Sat,Sun 00:00-24:00", "2026-11-29T23:59", True),
        ("Sat,Sun 00:00-24:00", "2026-11-30T00:00", False),
        ("Fri-Mon 01:00-02:00", f"{SATURDAY}T01:30", True),
        ("01:00-02:00", f"{SATURDAY}T01:30", True),
        ("daily 01:00-01:00", f"{SATURDAY}T18:30", True),
        ("Sat 03:00-06:00 Europe/Berlin", f"{SATURDAY}T02:00", True),
        ("Sat 03:00-06:00 Europe/Berlin", f"{SATURDAY}T01:59", False),
        ("Sat 03:00-06:00 Europe/Berlin", "2026-07-04T01:00", True),
    ],
)
def test_a_window_is_open_from_its_beginning_until_before_its_end(window: str, now: str, is_open: bool) -> None:
    assert as_window(window).is_open(at(now)) is is_open


def test_a_window_says_when_it_opens_next() -> None:
    window = as_window("Sat 02:00-05:00 UTC")
    assert window.opens(at(f"{SATURDAY}T05:00")) == at("2026-12-05T02:00")
    assert window.opens(at(f"{SATURDAY}T03:00")) == at(f"{SATURDAY}T03:00")
    assert window.end(at(f"{SATURDAY}T03:00")) == at(f"{SATURDAY}T05:00")


def test_a_moment_says_when_it_was_and_when_it_is_next() -> None:
    moment = as_moment("Mon-Fri 08:00")
    assert moment.last(at(f"{SATURDAY}T12:00")) == at("2026-11-27T08:00")
    assert moment.last(at("2026-11-27T08:00")) == at("2026-11-27T08:00")
    assert moment.next(at("2026-11-27T08:00")) == at("2026-11-30T08:00")


@given(st.floats(0, 4e9), st.sampled_from(["Sat 02:00-05:00", "Fri 22:00-04:00", "03:00-03:30 Europe/Berlin"]))
def test_a_window_opens_within_a_week_and_is_open_then(now: float, written: str) -> None:
    window = as_window(written)
    opens = window.opens(now)
    assert now <= opens <= now + 7 * 86400 + 3600
    assert window.is_open(opens)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [("Sat", "time of the week"), ("Sat 02:00", "a beginning and an end"), ("Sat 25:00-26:00", "does not exist"),
     ("Sat 24:00-01:00", "does not exist"), ("Sab 02:00-05:00", "days that are not known"), ("Sat- 1:00-2:00", "days"),
     ("Sat 02:00-05:00 Mars/Base", "time zone"), ("Sat 02:00-05:00 Etc", "time zone"), (120, "time of the week"),
     ("Sat 2-5", "time of the week"), (None, "must be text"), ("Sat 02:00-05:00 ../x", "time of the week")],
)  # fmt: skip
def test_what_is_no_window_is_refused(wrong: Any, why: str) -> None:
    with pytest.raises(PydanticCustomError, match=why):
        as_window(wrong)


def test_a_moment_has_no_end() -> None:
    with pytest.raises(PydanticCustomError, match="must be one time"):
        as_moment("Mon 08:00-09:00")
