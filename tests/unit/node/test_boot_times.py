"""The time that instances take to run is remembered, and nothing depends on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hart_salt.node.boot_times import EARLIER, KEPT, LONGEST, BootTimes
from tests.parts import new_node

UNKNOWN = (0.0, 7.0)


def boots(root: Path, **settings: Any) -> BootTimes:
    return BootTimes(str(root), new_node("web", **settings))


def file_of(root: Path) -> Path:
    return next((root / "hart/boot").glob("*.json"))


def test_without_any_experience_the_driver_decides(tmp_path: Path) -> None:
    assert boots(tmp_path).looks(UNKNOWN) == UNKNOWN


def test_the_time_until_the_first_instance_ran_is_the_next_wait(tmp_path: Path) -> None:
    boots(tmp_path).learn(21.0, at_once=False)
    assert boots(tmp_path).looks(UNKNOWN) == (21,)
    assert boots(tmp_path, size="other").looks(UNKNOWN) == UNKNOWN, "another size may boot faster"


def test_the_next_image_of_a_role_boots_like_the_last_one(tmp_path: Path) -> None:
    boots(tmp_path, baked="i-1").learn(21.0, at_once=False)
    assert boots(tmp_path, baked="i-2").looks(UNKNOWN) == (21,)
    assert boots(tmp_path, baked="i-2", role="db").looks(UNKNOWN) == UNKNOWN
    assert boots(tmp_path).looks(UNKNOWN) == UNKNOWN


def test_if_the_first_look_came_too_late_the_next_one_comes_earlier(tmp_path: Path) -> None:
    boots(tmp_path).learn(20.0, at_once=True)
    assert boots(tmp_path).looks(UNKNOWN) == (20 * EARLIER,)


def test_nothing_is_learned_from_a_call_without_an_instance_or_from_instances_that_run_at_once(tmp_path: Path) -> None:
    boots(tmp_path).learn(None, at_once=False)
    boots(tmp_path).learn(0.2, at_once=False)
    assert list(tmp_path.iterdir()) == []


def test_the_wait_is_limited_however_long_an_instance_took(tmp_path: Path) -> None:
    boots(tmp_path).learn(600.0, at_once=False)
    assert boots(tmp_path).looks(UNKNOWN) == (LONGEST,)


def test_the_number_of_remembered_kinds_is_limited(tmp_path: Path) -> None:
    for number in range(KEPT + 1):
        boots(tmp_path, size=f"s-{number}").learn(10.0, at_once=False)
    looks = [boots(tmp_path, size=f"s-{number}").looks() for number in range(KEPT + 1)]
    assert looks == [(0,), *[(10,)] * KEPT]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '{"KIND": null}', '{"KIND": "soon"}', '{"KIND": NaN}', '{"KIND": -4}'],
)
def test_a_file_that_makes_no_sense_is_no_experience(tmp_path: Path, text: str) -> None:
    boots(tmp_path).learn(21.0, at_once=False)
    (kind,) = json.loads(file_of(tmp_path).read_text())
    file_of(tmp_path).write_text(text.replace("KIND", kind))
    assert boots(tmp_path).looks(UNKNOWN) == UNKNOWN


def test_a_directory_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "hart").write_text("not a directory")
    boots(tmp_path).learn(21.0, at_once=False)
    assert boots(tmp_path).looks(UNKNOWN) == UNKNOWN
