"""Which nodes differ from the present configuration."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hart_salt.base.errors import Refused
from hart_salt.config.settings import Settings
from hart_salt.drivers.local.driver import Options
from hart_salt.inventory.ends import end_of
from hart_salt.inventory.records import Record
from hart_salt.model import Instance, Node
from hart_salt.operations.drift import Drift

NOW = "1-65107e62-986ec20d-fe2fd151-8b02980e-644b00b0-2ef8519c"
#: with another size, another image and other settings
OLD = "1-65107e62-00000000-00000000-8b02980e-00000000-2ef8519c"


def record(**changes: Any) -> Record:
    plain = Record("web-1", "do", "do", "nyc3", "s-1", "ready", "me", "b1", 1.0, "app", digest=NOW)
    return dataclasses.replace(plain, **changes)


def instance(**changes: Any) -> Instance:
    return dataclasses.replace(Instance("i-1", "web-1", "running", "app", size="s-1"), **changes)


class World:
    """A configuration that has one role at one provider."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, str | None, str | None]] = []
        self.size = "s-1"

    def example(self, role: str | None, provider: str | None, region: str | None) -> Node:
        self.asked.append((role, provider, region))
        if role != "app" or provider != "do":
            raise Refused(f"there is no role {role}")
        return Node("x", role, provider, "do", str(region), None, self.size, Settings(), Options(), {}, digest=NOW)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def drift(world: World) -> Drift:
    return Drift(world.example)


def test_a_node_that_is_as_configured_has_not_drifted(drift: Drift) -> None:
    assert drift.of(record(), instance()) == ()
    assert drift.known(record(), instance()) == drift.known(record()) == []


def test_the_words_of_the_parts_that_differ_are_returned(drift: Drift) -> None:
    assert drift.of(record(digest=OLD)) == ("image", "settings")


def test_the_instances_digest_counts_if_the_record_has_none(drift: Drift) -> None:
    assert drift.known(record(digest=None), instance(digest=OLD)) == ["image", "settings"]
    assert drift.known(record(digest="nonsense"), instance(digest=OLD)) == ["image", "settings"]
    assert drift.known(record(digest=NOW), instance(digest=OLD)) == [], "the record was written before the create call"


@pytest.mark.parametrize(
    ("in_record", "at_provider", "configured", "words"),
    [("s-1", "s-1", "s-1", []), ("s-1", "s-2", "s-1", ["size"]), ("s-1", "s-2", "s-2", []), ("s-1", None, "s-1", []),
     ("s-1", None, "s-2", ["size"]), ("s-2", "s-1", "s-1", [])],
)  # fmt: skip
@pytest.mark.parametrize("digest", [NOW, OLD.replace("-00000000-00000000-8", "-00000000-fe2fd151-8")])
def test_the_size_is_that_of_now(
    drift: Drift, world: World, in_record: str, at_provider: str | None, configured: str, words: list[str], digest: str
) -> None:
    """``hart.resize`` changes it after the creation, and so can people."""
    world.size = configured
    found = drift.known(record(size=in_record, digest=digest), instance(size=at_provider))
    assert found == [*words, *(["settings"] if digest != NOW else [])]


@pytest.mark.parametrize(
    "changes",
    [{"digest": None}, {"digest": ""}, {"digest": "1-2-3"}, {"role": None}, {"role": "gone"}, {"provider": "gone"},
     {"kind": "master"}, {"region": ""}],
)  # fmt: skip
def test_what_cannot_be_compared_has_not_drifted(drift: Drift, changes: dict[str, Any]) -> None:
    """A node of before digests, or an imported one, and a role that is not configured any more."""
    one = record(**{"size": "s-9", **changes})
    assert drift.known(one, instance()) is None
    assert drift.of(one) == ()


def test_the_configuration_of_a_place_is_resolved_once(drift: Drift, world: World) -> None:
    for number in range(100):
        drift.of(record(minion_id=f"web-{number}", region="fra1" if number % 2 else "nyc3"))
        drift.of(record(minion_id=f"db-{number}", role="gone"))
    assert sorted(map(str, world.asked)) == sorted(
        map(str, [("app", "do", "nyc3"), ("app", "do", "fra1"), ("gone", "do", "nyc3")])
    )


@pytest.mark.parametrize(
    ("in_record", "in_tag", "ends"),
    [(None, None, None), (5.0, None, 5.0), (None, 7.0, 7.0), (5.0, 7.0, 7.0), (9.0, 7.0, 9.0)],
)  # fmt: skip
def test_the_later_of_two_ends_counts(in_record: float | None, in_tag: float | None, ends: float | None) -> None:
    assert end_of(record(ends=in_record), instance(ends=in_tag)) == ends
    assert end_of(record(ends=in_record), None) == in_record
    assert end_of(None, instance(ends=in_tag)) == in_tag
