"""The order of a snapshot, in which no node looks like an orphan; and instances that several lists have missed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import AuthError, DriverError
from hart_salt.config.schema import Provider
from hart_salt.drivers.local.driver import Account
from hart_salt.inventory.identity import Found
from hart_salt.inventory.misses import INTERVAL, LOOKS, gone
from hart_salt.inventory.records import BANK, SUFFIX, Record
from hart_salt.inventory.snapshot import Snapshot, bare_record, record_of
from hart_salt.master.keys import ACCEPTED, PENDING
from hart_salt.model import Instance
from tests.functional.fakes import fails_with
from tests.functional.operations.sweep_world import OLD, World, new_world
from tests.parts import master_info


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with new_world(tmp_path, monkeypatch, "cloud", "other") as found:
        yield found


def places(seen: Snapshot) -> list[tuple[str, str]]:
    """Return each instance that was found, with its provider."""
    return sorted((found.provider.name, found.instance.instance_id) for found in seen.found)


# the snapshot


def test_it_has_the_instances_of_all_providers_the_records_and_the_keys(world: World) -> None:
    web = world.node("web")
    db = world.node("db", "other")
    seen = world.look()
    assert places(seen) == [("cloud", "i-web"), ("other", "i-db")]
    assert (set(seen.asked), seen.problems) == ({"cloud", "other"}, [])
    assert (seen.records, seen.keys) == ({"web": web, "db": db}, {"web": (ACCEPTED,), "db": (ACCEPTED,)})
    assert (seen.broken, list(seen.unknown), seen.present) == ({}, [], None)


def test_a_node_that_comes_up_during_the_query_is_in_the_records_and_in_the_key_store(world: World) -> None:
    """Its instance never seems to be unknown."""
    world.on["list other"] = lambda: world.nodes() or world.node("late", "other") and None
    seen = world.look()
    assert places(seen) == [("other", "i-late")]
    assert (list(seen.records), list(seen.keys)) == (["late"], ["late"])


def test_a_node_that_is_removed_during_the_query_has_no_record(world: World) -> None:
    world.node("web")
    world.on["list other"] = lambda: world.store.remove("web")
    assert list(world.look().records) == []


@pytest.mark.parametrize("error", [AuthError("the token is refused"), OSError("the token is refused")])
def test_a_provider_that_cannot_be_queried_is_reported_and_not_among_the_asked(world: World, error: Exception) -> None:
    world.node("web")
    world.node("db", "other")
    world.on["list cloud"] = fails_with(error)
    seen = world.look()
    assert (places(seen), set(seen.asked), set(seen.records)) == ([("other", "i-db")], {"other"}, {"web", "db"})
    (problem,) = seen.problems
    assert (problem.startswith("cloud: "), "the token is refused" in problem) == (True, True)


def test_a_provider_without_instances_counts_as_asked(world: World) -> None:
    assert (set(world.look().asked), places(world.look())) == ({"cloud", "other"}, [])


def test_instances_that_cannot_be_identified_as_nodes_are_separate(world: World) -> None:
    world.instance("web")
    world.instance("../x", instance_id="i-x")
    world.instance("two", instance_id="i-1")
    world.instance("two", instance_id="i-2")
    seen = world.look()
    assert places(seen) == [("cloud", "i-web")]
    assert sorted((it.name, it.double) for it in seen.unknown) == [("i-1", True), ("i-2", True), ("i-x", False)]


def test_an_instance_with_changed_tags_belongs_to_the_record_with_its_id(world: World) -> None:
    record = world.record("web")
    world.instance("renamed", instance_id="i-web")
    seen = world.look()
    found = seen.instance_of(record)
    assert (found and found.minion_id, list(seen.unknown)) == ("web", [])


def test_a_broken_record_is_missing_and_reported(world: World) -> None:
    world.node("web")
    world.instance("bad")
    world.cache.store(BANK, f"bad{SUFFIX}", ["no record"])
    seen = world.look()
    assert (list(seen.records), list(seen.broken)) == (["web"], ["bad"])
    assert "is broken" in seen.broken["bad"]
    assert places(seen) == [("cloud", "i-bad"), ("cloud", "i-web")]


def test_only_minions_that_are_nodes_with_an_accepted_key_are_pinged(world: World) -> None:
    world.node("web")
    world.instance("unrecorded")
    world.record("gone")
    for minion_id in ("unrecorded", "gone", "foreign"):
        world.accept(minion_id)
    world.record("waits")
    world.master.stored["waits"] = {PENDING: "a key"}
    world.record("keyless")
    asked: list[Sequence[str]] = []

    def present(minion_ids: Sequence[str]) -> frozenset[str]:
        asked.append(minion_ids)
        return frozenset(["web"])

    assert world.look(present).present == frozenset(["web"])
    assert asked == [["gone", "unrecorded", "web"]]


def test_without_a_ping_no_minion_counts_as_silent(world: World) -> None:
    world.node("web")
    assert (world.look().present, world.master.questions) == (None, 0)


# the instance of a record

RECORD = Record("web", "cloud", "local", "r", "s", "ready", "me", "b-1", OLD, instance_id="i-1")
NAMELESS = replace(RECORD, instance_id=None)
THERE = Instance("i-1", "web", "running", batch="b-1")


@pytest.mark.parametrize(
    ("record", "instance", "provider", "same"),
    [
        (RECORD, THERE, "cloud", True),
        (RECORD, replace(THERE, minion_id="other", batch="b-2"), "cloud", True),
        (RECORD, THERE, "other", False),
        (RECORD, replace(THERE, instance_id="i-2"), "cloud", False),
        (NAMELESS, THERE, "cloud", True),
        (NAMELESS, replace(THERE, batch=""), "cloud", True),
        (NAMELESS, replace(THERE, batch="b-2"), "cloud", False),
        (NAMELESS, replace(THERE, minion_id="other"), "cloud", False),
        (NAMELESS, THERE, "other", False),
    ],
)
def test_the_instance_of_a_record_is_found_by_its_id_or_else_by_name_and_batch(
    record: Record, instance: Instance, provider: str, same: bool
) -> None:
    found = [Found(instance, Provider(provider, "local", Account()))]
    seen = Snapshot(found, frozenset(["cloud", "other"]), (), {}, {})
    assert seen.instance_of(record) == (instance if same else None)


# records that are made from a cloud's list

ELSEWHERE = Provider("cloud", "ec2", Account())


def test_the_record_of_an_instance_has_the_facts_in_its_tags(tmp_path: Path) -> None:
    instance = Instance(
        "i-1", "web", "running", "app", "b-1", "r", "z", "s", "192.0.2.1", "10.0.0.1", created=OLD
    )  # fmt: skip
    assert record_of(instance, ELSEWHERE, master_info(tmp_path, owner="me")) == Record(
        "web", "cloud", "ec2", "r", "s", "unknown", "me", "b-1", OLD, "app", "z", "i-1", "192.0.2.1", "10.0.0.1"
    )  # fmt: skip


@pytest.mark.parametrize("made", [
    lambda info: record_of(Instance("i-1", "web", "running"), ELSEWHERE, info),
    lambda info: bare_record("web", ELSEWHERE, info),
])  # fmt: skip
def test_unknown_facts_stay_empty_and_the_record_begins_now(tmp_path: Path, made: Callable[[Any], Record]) -> None:
    before = time.time()
    record = made(master_info(tmp_path, owner="me"))
    assert before <= record.created <= time.time()
    assert (record.minion_id, record.provider, record.driver, record.owner) == ("web", "cloud", "ec2", "me")
    assert (record.region, record.size, record.batch, record.role, record.stage) == ("", "", "", None, "unknown")
    assert (record.sealed, record.minion_key_finger) == (False, None)


# instances that several lists have missed


class Missing:
    """Lists again for records, and notes what that costs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.slept: list[float] = []
        self.asked: list[set[str]] = []

    def gone(self, *records: Record) -> list[str]:
        found = gone(records, self._look, self._world.drivers.__getitem__, self.slept.append)
        return [record.minion_id for record in found]

    def _look(self, providers: frozenset[str]) -> Snapshot:
        self.asked.append(set(providers))
        return self._world.look()


@pytest.fixture
def missing(world: World) -> Missing:
    return Missing(world)


def test_an_instance_that_every_list_misses_is_gone_and_one_in_any_list_is_not(world: World, missing: Missing) -> None:
    records = [world.record("gone"), world.node("late"), world.node("later", "other")]
    world.cloud.gaps["i-late"] = 1
    world.drivers["other"].gaps["i-later"] = LOOKS - 1
    assert missing.gone(*records) == ["gone"]
    assert missing.slept == [INTERVAL] * LOOKS
    assert (LOOKS > 1, sum(missing.slept) >= 15) == (True, True), "gaps last for seconds"


def test_an_instance_in_one_list_is_not_gone_even_if_later_lists_miss_it(world: World, missing: Missing) -> None:
    """The next sweep handles it."""
    records = [world.node("web"), world.record("gone")]
    world.on["list cloud"] = lambda: world.cloud.there.clear() if world.steps.count("list cloud") > 1 else None
    assert missing.gone(*records) == ["gone"]


def test_providers_are_queried_again_only_while_something_of_theirs_is_missing(world: World, missing: Missing) -> None:
    assert missing.gone() == []
    assert (missing.gone(world.node("web"), world.record("gone", "other")), missing.asked) == (
        ["gone"], [{"cloud", "other"}, *[{"other"}] * (LOOKS - 1)],
    )  # fmt: skip
    missing.asked.clear()
    assert (missing.gone(world.node("db")), missing.asked) == ([], [{"cloud"}])


@pytest.mark.parametrize("place", ["list cloud", "look for one at cloud"])
def test_an_instance_of_a_provider_that_cannot_be_queried_may_exist(world: World, missing: Missing, place: str) -> None:
    world.on[place] = fails_with(DriverError("forbidden"))
    assert missing.gone(world.record("web")) == []


@pytest.mark.parametrize(("state", "is_gone"), [("running", False), ("stopped", False), ("gone", True)])
def test_an_instance_in_no_list_is_looked_up_by_its_id(
    world: World, missing: Missing, state: str, is_gone: bool
) -> None:
    record = world.node("web")
    world.cloud.there["i-web"] = replace(world.cloud.there["i-web"], state=state)
    world.cloud.owners["i-web"] = None
    assert missing.gone(record) == (["web"] if is_gone else [])


def test_a_record_without_an_instance_id_relies_on_the_lists(world: World, missing: Missing) -> None:
    assert missing.gone(world.record("web", instance_id=None)) == ["web"]
