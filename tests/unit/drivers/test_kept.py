"""The list of sizes that is kept on disk: only a good and new list of the same server counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hart_salt.drivers.kept import KEPT_FOR, KeptSizes

SIZES: list[dict[str, Any]] = [{"slug": "s-1"}]
NOW = 1_800_000_000.0


def kept(root: Path, *, server: str = "https://api", now: float = NOW) -> KeptSizes:
    return KeptSizes(str(root), "do", server, lambda: now)


def test_the_list_of_an_earlier_call_counts_for_a_day(tmp_path: Path) -> None:
    assert kept(tmp_path).get() == []
    kept(tmp_path).put(SIZES)
    assert kept(tmp_path, now=NOW + KEPT_FOR - 1).get() == SIZES
    assert kept(tmp_path, now=NOW + KEPT_FOR).get() == []
    assert kept(tmp_path, now=NOW - 60).get() == [], "the clock was wrong then, or is wrong now"


def test_the_list_of_another_server_does_not_count(tmp_path: Path) -> None:
    kept(tmp_path).put(SIZES)
    assert kept(tmp_path, server="https://other").get() == []


def test_a_forgotten_list_is_gone(tmp_path: Path) -> None:
    kept(tmp_path).forget()
    kept(tmp_path).put(SIZES)
    kept(tmp_path).forget()
    assert kept(tmp_path).get() == []


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", "{}", '{"server": "https://api"}', '{"time": null, "server": "https://api", "sizes": []}',
     json.dumps({"server": "https://api", "time": NOW, "sizes": {}}), "[" * 100_000],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_no_list(tmp_path: Path, text: str) -> None:
    kept(tmp_path).put(SIZES)
    (tmp_path / "hart/sizes/do.json").write_text(text)
    assert kept(tmp_path).get() == []


def test_a_directory_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "hart").write_text("not a directory")
    kept(tmp_path).put(SIZES)
    kept(tmp_path).forget()
    assert kept(tmp_path).get() == []
