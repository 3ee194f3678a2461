"""The meaning of an instance's flat tags."""

from __future__ import annotations

import pytest

from hart_salt.drivers import tags

OWN, OTHER, THIRD = "bbbb", "aaaa", "cccc"


@pytest.mark.parametrize(
    ("owners", "named"),
    [
        ([], None),
        ([OWN], OWN),
        ([OTHER], OTHER),
        ([OTHER, THIRD], OTHER),
        ([OWN, OTHER], OTHER),
        ([OWN, THIRD], THIRD),
        ([THIRD, OWN, OWN], THIRD),
    ],
)
def test_an_instance_of_two_owners_is_the_others(owners: list[str], named: str | None) -> None:
    """A master does not import an instance that another master owns."""
    flat = ["hart", "web", *(f"hart-owner:{owner}" for owner in owners), "hart-role:app"]
    assert tags.owner(flat, OWN) == named


def test_names_of_tags_go_by_the_whole_of_what_stands_before_the_colon() -> None:
    assert tags.owner(["hart-owners:aaaa", "my-hart-owner:aaaa"], OWN) is None


@pytest.mark.parametrize(
    ("text", "read"),
    [("1796065796", 1796065796.0), ("1", 1.0), ("9" * 15, 253402300799.0), ("9" * 16, None), ("0", None), ("-5", None),
     ("", None), ("soon", None), ("1e9", None), ("1.5", None), ("٣", None), (" 1", None), ("1\n", None), (None, None),
     (5, None)],
)  # fmt: skip
def test_an_end_is_a_bounded_number_of_seconds_and_anything_else_is_none(text: object, read: float | None) -> None:
    assert tags.ends_in(text) == read


def test_of_several_ends_the_latest_counts() -> None:
    assert tags.ends_of(["hart-ends:5", "hart-ends:70", "Hart-Ends:6", "hart-ends:soon", "hart-ends", "ends:99"]) == 70
    assert tags.ends_of(["hart-ends:ab12:70"]) == 70
    assert tags.ends_of(["hart-ends:", "web"]) is None


@pytest.mark.parametrize(
    ("text", "good"),
    [("1-65107e62-986ec20d", True), ("a" * 63, True), ("a" * 64, False), ("A-b", False), ("a--b", False), ("-a", False),
     ("a\n", False), ("", False), (None, False), (7, False), ("***", False)],
)  # fmt: skip
def test_a_digest_is_what_a_label_can_hold(text: object, good: bool) -> None:
    assert tags.digest_in(text) == (text if good else None)
