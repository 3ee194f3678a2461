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
