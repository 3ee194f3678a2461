"""What sweep takes for a stray, and what it spares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hart_salt.drivers.local import Account
from hart_salt.model import Instance, Leftover, Provider
from hart_salt.store import IMPORTING, Record
from hart_salt.strays import Scene, decide
from hart_salt.survey import Found, Survey

NOW = 2_000_000_000.0
OLD, YOUNG = NOW - 10_000, NOW - 60
DEAD, LIVING = "b-dead", "b-living"
CLOUD = Provider("cloud", "local", Account())
READY = Record(
    "a", "cloud", "local", "r", "s", "ready", "me", "b1", OLD, instance_id="i-1", sealed=True, minion_key_finger="f"
)
THERE = Instance("i-1", "a", "running", batch="b1", created=OLD)
KEY = Leftover("SSH key", "hart-me-b1", "keys/1", "b1")


def scene(
    *instances: Instance, records: tuple[Record, ...] = (), leftovers: tuple[Leftover, ...] = (), busy: str = "",
    asked: tuple[str, ...] = ("cloud",), present: tuple[str, ...] = (), **more: Any,
) -> Scene:  # fmt: skip
    found = [Found(instance, CLOUD) for instance in instances]
    by_id = {record.minion_id: record for record in records}
    keys: Mapping[str, tuple[str, ...]] = {}
    seen = Survey(found, frozenset(asked), (), by_id, keys, frozenset(present))
    temporary = [("cloud", leftover) for leftover in leftovers]
    dead: dict[str, dict[str, Any]] = {DEAD: {}}
    given = {"dead": dead, "now": NOW, "grace": 3600.0, **more}
    return Scene(seen, temporary, lambda name: name == busy, lambda batch: batch == LIVING, **given)


def strays(what: Scene) -> list[tuple[str, str]]:
    return [(stray.kind, stray.name) for stray in decide(what).strays]


def spared(what: Scene) -> list[tuple[str, str]]:
    return [(stray.kind, stray.name) for stray in decide(what).spared]


NOBODY: list[tuple[str, str]] = []


def test_a_ready_node_with_its_instance_is_none() -> None:
    assert strays(scene(THERE, records=(READY,))) == spared(scene(THERE, records=(READY,))) == NOBODY


@pytest.mark.parametrize("record", [READY, replace(READY, stage="running", sealed=False)])
def test_a_node_of_another_owner_is_spared_for_its_instance_was_not_looked_for(record: Record) -> None:
    what = scene(records=(record,), owner="another")
    assert (strays(what), spared(what)) == (NOBODY, [("node", "a")])
    assert strays(scene(records=(record,), owner="me")) == [("node", "a")]


@pytest.mark.parametrize("stage", ["launching", "running", "bootstrapping", "enrolling", "enrolled", "failed"])
def test_a_node_that_never_became_ready_goes_with_its_instance(stage: str) -> None:
    left = replace(READY, stage=stage, sealed=False)
    assert strays(scene(THERE, records=(left,))) == [("node", "a")]


def test_a_node_that_is_ready_and_was_never_sealed_goes() -> None:
    assert strays(scene(THERE, records=(replace(READY, sealed=False),))) == [("node", "a")]


def test_it_goes_also_where_its_minion_answers() -> None:
    left = replace(READY, stage="enrolled", sealed=False)
    assert strays(scene(THERE, records=(left,), present=("a",))) == [("node", "a")]


def test_the_instance_of_a_record_that_never_learned_its_id_is_that_record_s() -> None:
    left = replace(READY, stage="launching", sealed=False, instance_id=None)
    assert strays(scene(THERE, records=(left,))) == [("node", "a")]


def test_an_instance_without_a_record_goes() -> None:
    assert strays(scene(THERE)) == [("instance", "a")]


def test_a_second_instance_under_the_id_of_a_ready_node_goes_and_the_node_stays() -> None:
    second = replace(THERE, instance_id="i-2")
    assert strays(scene(THERE, second, records=(READY,))) == [("instance", "a")]
    (stray,) = decide(scene(THERE, second, records=(READY,), present=("a",))).strays
    assert stray.instance == second


def test_an_instance_whose_minion_answers_is_spared_though_its_record_was_lost() -> None:
    what = scene(THERE, present=("a",))
    assert (strays(what), spared(what)) == (NOBODY, [("instance", "a")])


def test_a_ready_node_whose_instance_is_gone_goes() -> None:
    (stray,) = decide(scene(records=(READY,))).strays
    assert (stray.kind, stray.name, stray.is_missing) == ("node", "a", True)


def test_it_is_spared_as_long_as_its_minion_answers() -> None:
    """The account may be another one today, or the provider's list may have a gap."""
    what = scene(records=(READY,), present=("a",))
    assert (strays(what), spared(what)) == (NOBODY, [("node", "a")])


def test_of_a_provider_that_could_not_be_asked_nothing_goes() -> None:
    assert strays(scene(records=(READY, replace(READY, minion_id="b", sealed=False)), asked=())) == NOBODY


@pytest.mark.parametrize("record", [None, replace(READY, stage="running", sealed=False), READY])
def test_what_a_living_process_works_on_is_not_touched(record: Record | None) -> None:
    records = (record,) if record else ()
    assert strays(scene(replace(THERE, instance_id="i-9"), records=records, busy="a")) == NOBODY


def test_what_belongs_to_a_batch_that_a_living_process_holds_is_not_touched() -> None:
    """Its record may not be written yet, or its instance may show late."""
    left = replace(READY, stage="launching", sealed=False, batch=LIVING, minion_id="b")
    what = scene(replace(THERE, batch=LIVING), records=(left,), leftovers=(replace(KEY, batch=LIVING),))
    assert strays(what) == NOBODY


def test_what_was_kept_as_asked_stays() -> None:
    kept = replace(READY, stage="failed", sealed=False, kept=True)
    assert strays(scene(THERE, records=(kept,))) == NOBODY


def test_what_is_young_is_spared() -> None:
    left = replace(READY, minion_id="b", instance_id=None, stage="running", sealed=False, created=YOUNG)
    what = scene(replace(THERE, created=YOUNG), records=(left,), leftovers=(replace(KEY, created=YOUNG),))
    assert (strays(what), len(spared(what))) == (NOBODY, 3)


def test_what_is_young_and_known_to_be_dead_goes() -> None:
    left = replace(READY, minion_id="b", instance_id=None, stage="running", sealed=False, created=YOUNG, batch=DEAD)
    what = scene(
        replace(THERE, created=YOUNG, batch=DEAD), records=(left,), leftovers=(replace(KEY, created=YOUNG, batch=DEAD),)
    )
    assert strays(what) == [("instance", "a"), ("node", "b"), ("SSH key", "hart-me-b1")]


def test_where_only_the_dead_are_asked_for_nothing_else_goes() -> None:
    left = replace(READY, minion_id="b", stage="running", sealed=False)
    dead = replace(left, minion_id="c", batch=DEAD, instance_id=None)
    gone = replace(READY, minion_id="d", instance_id="i-4")
    what = scene(THERE, records=(left, dead, gone), leftovers=(KEY,), only_dead=True)
    assert strays(what) == [("node", "c")]


def test_a_temporary_thing_without_a_date_is_as_old_as_its_batch() -> None:
    batch = f"{int(YOUNG):08x}abcdef"
    assert strays(scene(leftovers=(replace(KEY, batch=batch),))) == NOBODY
    assert strays(scene(leftovers=(replace(KEY, batch=f"{int(OLD):08x}abcdef"),))) == [("SSH key", "hart-me-b1")]
    assert strays(scene(leftovers=(KEY,))) == [("SSH key", "hart-me-b1")]


def test_a_temporary_thing_of_a_node_that_is_being_brought_up_stays() -> None:
    coming = replace(READY, minion_id="n", stage="running", sealed=False)
    assert strays(scene(records=(coming,), leftovers=(KEY,), busy="n")) == NOBODY


def test_it_says_of_each_what_and_why() -> None:
    (stray,) = decide(scene(replace(THERE, region="nyc3"))).strays
    assert stray.facts() == {
        "kind": "instance", "name": "a", "provider": "cloud", "region": "nyc3", "why": "no record of it",
    }  # fmt: skip


@pytest.mark.parametrize("there", [(), (THERE,)])
def test_an_import_that_was_cut_short_is_spared_whatever_there_is_of_it(there: tuple[Instance, ...]) -> None:
    """Its machine was there before hart: it is none of a crash's."""
    cut = replace(READY, stage=IMPORTING, batch="")
    what = scene(*there, records=(cut,))
    assert (strays(what), spared(what)) == (NOBODY, [("node", "a")])
    assert "hart.import_minion a" in decide(what).spared[0].why
    assert spared(scene(*there, records=(cut,), only_dead=True)) == NOBODY
    assert spared(scene(*there, records=(cut,), busy="a")) == NOBODY
