"""When a fleet needs a new baked image of its role, and when a bake that failed is tried again."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hart_salt.base.names import is_bake_of
from hart_salt.fleets.baking import FIRST, LONGEST, Attempt, Images, attempt_of, bake_of, next_attempt
from hart_salt.fleets.scene import Bake, Room
from hart_salt.model import BakedImage
from tests.unit.fleets.scenes import DAY, HOUR, NOW

DIGEST = "1-00000000-11111111-22222222-33333333-44444444-55555555"
OTHER = DIGEST.replace("33333333", "3333333f")
NEWEST = BakedImage("i-1", "hart-app-1", "available", True, "app", digest=DIGEST, created=NOW - DAY)
FAILED = Attempt(NOW - 60, 1, DIGEST, "no capacity")


def seen(*newest: BakedImage | str, **changes: Any) -> Bake:
    """Return what is due for a fleet with ``bake_after: 7d``, of which each region has one of these images."""
    regions = {f"region-{number}": one for number, one in enumerate(newest)}
    return bake_of(dataclasses.replace(Images("region-0", regions, DIGEST), **changes), "app", 7 * DAY, NOW)


def image(**changes: Any) -> BakedImage:
    return dataclasses.replace(NEWEST, **changes)


def test_a_new_image_that_fits_will_do() -> None:
    assert seen(image()) == Bake("", "region-0")
    room = Room(1, "full")
    assert seen(image(), running=True, room=room) == Bake("", "region-0", room, running=True)


def test_an_image_that_is_too_old_is_due_for_a_new_one() -> None:
    found = seen(image(created=NOW - 7 * DAY))
    assert found == Bake("the newest image, hart-app-1, is 7d old, and bake_after is 7d", "region-0")
    assert not seen(image(created=NOW - 7 * DAY + 1)).due


def test_where_only_a_baked_image_boots_and_none_fits_no_node_can_be_created() -> None:
    regions = frozenset({"region-0", "region-1"})
    found = seen(image(), "it is not in fra1", "it is not in ams3", required=regions)
    assert found.missing == {"region-1": "image is baked!, and it is not in fra1"}
    assert not seen("there is none").missing


def test_the_age_of_an_image_counts_only_if_it_is_known() -> None:
    assert not seen(image(created=None)).due


def test_an_image_of_another_configuration_is_due_for_a_new_one() -> None:
    assert seen(image(digest=OTHER)).due == "the newest image, hart-app-1, differs from the configuration: Salt release"


def test_the_size_of_the_node_that_was_baked_does_not_matter() -> None:
    assert not seen(image(digest=DIGEST.replace("11111111", "99999999"))).due


@pytest.mark.parametrize("digest", [None, "", "nonsense", DIGEST.replace("1-", "2-", 1)])
def test_a_digest_that_cannot_be_read_is_no_difference(digest: str | None) -> None:
    """Otherwise an image of an older or newer hart would be replaced again and again."""
    assert not seen(image(digest=digest)).due


def test_each_region_of_the_fleet_needs_an_image() -> None:
    assert seen(image(), "it is not in fra1").due == "it is not in fra1"
    assert "is 8d old" in seen(image(), image(created=NOW - 8 * DAY)).due


def test_a_bake_that_failed_is_tried_again_after_an_hour() -> None:
    found = seen("there is none", last=FAILED)
    assert found.due == "there is none"
    assert found.since == NOW - 60 + HOUR
    assert "the last bake failed (no capacity): the next attempt is possible at 2026-12-02 12:59" in found.waits
    assert found.waits.endswith("salt-run hart.bake app bakes at once")
    again = dataclasses.replace(FAILED, at=NOW - HOUR)
    assert seen("there is none", last=again) == Bake("there is none", "region-0")


def test_a_bake_of_another_configuration_is_tried_at_once() -> None:
    assert not seen("there is none", last=dataclasses.replace(FAILED, digest=OTHER)).waits


def test_a_clock_that_was_set_back_does_not_delay_a_bake() -> None:
    assert not seen("there is none", last=dataclasses.replace(FAILED, at=NOW + 1)).waits


def test_a_failure_does_not_matter_once_there_is_an_image() -> None:
    assert seen(image(), last=FAILED) == Bake("", "region-0")


def test_the_wait_doubles_from_an_hour_to_a_day() -> None:
    last, waits = None, []
    for _ in range(8):
        last = next_attempt(last, DIGEST, "it fails", last.again if last else NOW)
        waits.append(last.again - last.at)
    assert waits == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST, 16 * FIRST, LONGEST, LONGEST, LONGEST]


def test_failures_count_in_a_row_only() -> None:
    many = Attempt(NOW, 9, DIGEST, "it fails")
    assert next_attempt(many, OTHER, "it fails", NOW + DAY).tries == 1, "another configuration"
    assert next_attempt(many, DIGEST, "it fails", NOW + 2 * DAY).tries == 10
    assert next_attempt(many, DIGEST, "it fails", NOW + 2 * DAY + 1).tries == 1, "long ago"
    assert next_attempt(many, DIGEST, "it fails", NOW - 1).tries == 1, "the clock was set back"


def test_what_is_remembered_is_read_back() -> None:
    assert attempt_of(FAILED.as_dict()) == FAILED


@pytest.mark.parametrize(
    "wrong",
    [{"at": "now"}, {"at": -1}, {"at": 1e12}, {"at": float("nan")}, {"at": True}, {"tries": 0}, {"tries": "1"},
     {"tries": 10**9}, {"tries": True}, {"digest": None}, {"error": 5}],
)  # fmt: skip
def test_what_is_not_usable_is_not_remembered(wrong: dict[str, Any]) -> None:
    assert attempt_of({**FAILED.as_dict(), **wrong}) is None
    assert attempt_of({}) is None


@pytest.mark.parametrize(
    ("minion_id", "role", "belongs"),
    [("hart-bake-app-0123abcd", "app", True), ("hart-bake-my-app-0123abcd", "my_app", True),
     ("hart-bake-app-x-0123abcd", "app", False), ("hart-bake-app-0123abcd", "app-x", False),
     ("hart-bake-app-0123abc", "app", False), ("hart-bake-app-0123abcd.x", "app", False),
     ("app-0123abcd", "app", False)],
)  # fmt: skip
def test_the_id_of_a_bakes_node_names_the_role(minion_id: str, role: str, belongs: bool) -> None:
    assert is_bake_of(minion_id, role) is belongs
