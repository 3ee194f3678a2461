"""Numbers, prices, durations and ages in words."""

from __future__ import annotations

import pytest

from hart_salt.screens import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (41.4, "41 s"), (59.6, "1 min"), (200, "3 min 20 s"), (187_300, "2 d 4 h")],
)
def test_a_duration(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("past", "text"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172_800, "2 d"), (-5, "0 s")],
)
def test_an_age(past: float, text: str) -> None:
    assert words.age(1_000_000 - past, now=1_000_000) == text


def test_an_age_from_iso_8601_and_of_an_unknown_time() -> None:
    assert words.age("1970-01-12T13:46:40+00:00", now=1_000_300) == "5 min"
    assert words.age("1970-01-12T13:46:40Z", now=1_000_300) == "5 min"
    assert [words.age(value, now=0) for value in (None, "yesterday")] == ["", ""]


def test_prices() -> None:
    assert [words.price(*it) for it in ((6.0, "USD"), (1234.5, None), (3.49, "EUR"), (None, "USD"))] == [
        "$6.00", "$1,234.50", "EUR 3.49", "",
    ]  # fmt: skip
    assert words.prices({"USD": 12.0, "EUR": 3.49}) == "EUR 3.49 and $12.00"
    assert words.prices({}) == "$0.00"


@pytest.mark.parametrize(("megabytes", "text"), [(512, "512 MB"), (1024, "1 GB"), (1536, "1.5 GB"), (None, "")])
def test_memory(megabytes: float | None, text: str) -> None:
    assert words.memory(megabytes) == text


def test_counts() -> None:
    assert (words.counted(1, "node"), words.counted(0, "node")) == ("1 node", "0 nodes")
    assert words.listed([("ready", 2), ("failed", 0), ("waiting", 1)]) == "2 ready, 1 waiting"
