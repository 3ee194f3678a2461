"""What sweep considers an orphan, and what it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hart_salt.config.schema import Provider
from hart_salt.drivers.local.driver import Account
from hart_salt.inventory.identity import Found, sort_out
from hart_salt.inventory.records import BAKE, IMPORTING, Record
from hart_salt.inventory.snapshot import Snapshot
from hart_salt.model import Instance, Leftover
from hart_salt.operations.leaks import Scene, decide

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
    asked: tuple[str, ...] = ("cloud",), present: tuple[str, ...] = (), accepted: tuple[str, ...] = (), **more: Any,
) -> Scene:  # fmt: skip
    by_id = {record.minion_id: record for record in records}
    found, unknown = sort_out([Found(instance, CLOUD) for instance in instances], by_id)
    keys: Mapping[str, tuple[str, ...]] = dict.fromkeys(accepted, ("minions",))
    seen = Snapshot(found, frozenset(asked), (), by_id, keys, frozenset(present), unknown=unknown)
    temporary = [("cloud", leftover) for leftover in leftovers]
    dead: dict[str, dict[str, Any]] = {DEAD: {}}
    given = {"dead": dead, "now": NOW, "grace": 3600.0, **more}
    return Scene(seen, temporary, lambda name: name == busy, lambda batch: batch == LIVING, **given)


def orphans(what: Scene) -> list[tuple[str, str]]:
    return [(orphan.kind, orphan.name) for orphan in decide(what).orphans]


def kept(what: Scene) -> list[tuple[str, str]]:
    return [(orphan.kind, orphan.name) for orphan in decide(what).kept]


NOBODY: list[tuple[str, str]] = []


def test_a_ready_node_with_its_instance_is_no_orphan() -> None:
    assert orphans(scene(THERE, records=(READY,))) == kept(scene(THERE, records=(READY,))) == NOBODY


@pytest.mark.parametrize("record", [READY, replace(READY, stage="running", sealed=False)])
def test_a_node_of_another_owner_is_kept_because_its_instance_was_not_listed(record: Record) -> None:
    what = scene(records=(record,), owner="another")
    assert (orphans(what), kept(what)) == (NOBODY, [("node", "a")])
    assert orphans(scene(records=(record,), owner="me")) == [("node", "a")]


@pytest.mark.parametrize("stage", ["launching", "running", "bootstrapping", "enrolling", "enrolled", "failed"])
def test_a_node_that_never_became_ready_goes_with_its_instance(stage: str) -> None:
    left = replace(READY, stage=stage, sealed=False)
    assert orphans(scene(THERE, records=(left,))) == [("node", "a")]


@pytest.mark.parametrize("present", [("a",), ()])
@pytest.mark.parametrize("more", [{}, {"only_dead": True}])
def test_a_node_that_is_ready_and_was_never_sealed_stays_and_is_sealed(
    present: tuple[str, ...], more: dict[str, Any]
) -> None:
    """It was reported as ready; whether its minion answers now decides nothing."""
    what = scene(THERE, records=(replace(READY, sealed=False, batch=DEAD),), present=present, **more)
    assert (orphans(what), kept(what)) == (NOBODY, NOBODY)
    assert [orphan.name for orphan in decide(what).unsealed] == ["a"]


def test_a_node_that_another_machine_may_be_sealing_is_left_alone() -> None:
    what = scene(THERE, records=(replace(READY, sealed=False, created=YOUNG),))
    assert (orphans(what), decide(what).unsealed, kept(what)) == (NOBODY, [], [("node", "a")])
    assert decide(scene(THERE, records=(replace(READY, sealed=False),))).unsealed != []
    assert decide(scene(THERE, records=(replace(READY, sealed=False),), only_dead=True)).unsealed == []


@pytest.mark.parametrize("stage", ["launching", "running", "bootstrapping", "enrolling", "enrolled", "failed"])
@pytest.mark.parametrize("batch", ["b1", DEAD])
def test_a_minion_that_answers_stays_whatever_its_record_says(stage: str, batch: str) -> None:
    left = replace(READY, stage=stage, sealed=False, batch=batch)
    what = scene(replace(THERE, batch=batch), records=(left,), present=("a",))
    assert (orphans(what), kept(what)) == (NOBODY, [("node", "a")])
    assert "salt-run hart.destroy a removes it" in decide(what).kept[0].why


@pytest.mark.parametrize("more", [{}, {"only_dead": True}])
def test_a_node_of_a_bake_goes_although_its_minion_answers(more: dict[str, Any]) -> None:
    left = replace(READY, stage="imaging", sealed=False, batch=DEAD, kind=BAKE)
    what = scene(replace(THERE, batch=DEAD), records=(left,), present=("a",), **more)
    assert (orphans(what), kept(what)) == ([("node", "a")], NOBODY)


def test_an_instance_belongs_to_the_record_that_never_got_its_id() -> None:
    left = replace(READY, stage="launching", sealed=False, instance_id=None)
    assert orphans(scene(THERE, records=(left,))) == [("node", "a")]


def test_an_instance_without_a_record_goes() -> None:
    assert orphans(scene(THERE)) == [("instance", "a")]


def test_a_second_instance_with_the_id_of_a_ready_node_is_reported_and_goes_only_if_its_operation_died() -> None:
    second = replace(THERE, instance_id="i-2")
    what = scene(THERE, second, records=(READY,))
    assert (orphans(what), kept(what)) == (NOBODY, [("instance", "i-2")])
    (orphan,) = decide(scene(THERE, replace(second, batch=DEAD), records=(READY,))).orphans
    assert (orphan.name, orphan.instance) == ("i-2", replace(second, batch=DEAD))
    living_elsewhere: tuple[dict[str, Any], ...] = ({"busy": "a"}, {})
    for more in living_elsewhere:
        living = replace(second, batch="b2" if more else LIVING)
        assert kept(scene(THERE, living, records=(READY,), **more)) == NOBODY


@pytest.mark.parametrize("instance", [THERE, replace(THERE, created=YOUNG), replace(THERE, batch=DEAD)])
@pytest.mark.parametrize("present", [("a",), ()])
def test_an_instance_with_an_accepted_key_gets_its_record_again(instance: Instance, present: tuple[str, ...]) -> None:
    what = scene(instance, accepted=("a",), present=present)
    assert (orphans(what), kept(what)) == (NOBODY, NOBODY)
    assert [orphan.instance for orphan in decide(what).rebuild] == [instance]


def test_before_a_create_only_dead_operations_get_records_again() -> None:
    assert decide(scene(THERE, accepted=("a",), only_dead=True)).rebuild == []
    assert decide(scene(replace(THERE, batch=DEAD), accepted=("a",), only_dead=True)).rebuild != []


def test_without_a_master_key_an_instance_is_a_salt_master_that_is_reported_and_stays() -> None:
    what = scene(THERE, masterless=True)
    assert (orphans(what), kept(what)) == (NOBODY, [("instance", "a")])
    assert "hart.destroy a" in decide(what).kept[0].why
    assert orphans(scene(replace(THERE, batch=DEAD), masterless=True)) == [("instance", "a")]


def many(number: int, **more: Any) -> list[Instance]:
    return [replace(THERE, instance_id=f"i-{it}", minion_id=f"m{it}", **more) for it in range(number)]


def test_if_many_records_are_missing_nothing_is_removed_without_force() -> None:
    left = replace(READY, minion_id="left", instance_id=None, stage="running", sealed=False)
    what = scene(*many(5), records=(left,), leftovers=(KEY,))
    assert (orphans(what), len(kept(what))) == (NOBODY, 7)
    assert "5 of 6 nodes have no record" in decide(what).lost
    assert all("force=True" in orphan.why for orphan in decide(what).kept)
    assert len(orphans(replace(what, force=True))) == 7


def test_a_tenth_of_the_nodes_without_record_but_with_keys_is_a_lost_store() -> None:
    ready = tuple(replace(READY, minion_id=f"r{it}", instance_id=f"r-{it}") for it in range(9))
    there = [replace(THERE, instance_id=f"r-{it}", minion_id=f"r{it}") for it in range(9)]
    assert decide(scene(*there, THERE, records=ready, accepted=("a",))).lost
    more = replace(READY, minion_id="r9", instance_id="r-9")
    assert not decide(scene(*there, THERE, records=(*ready, more), accepted=("a",))).lost


def test_leftovers_of_crashes_elsewhere_are_not_a_lost_store() -> None:
    assert orphans(scene(*many(4))) == [("instance", f"m{it}") for it in range(4)]
    assert len(orphans(scene(*many(9, batch=DEAD)))) == 9
    assert not decide(scene(*many(9, batch=LIVING))).lost


@pytest.mark.parametrize("minion_id", ["", "x" * 256, "a\0b", "../../x", "retcode", "*", "a b", 7, None, ["a"]])
def test_an_instance_that_names_no_node_is_reported_by_its_own_id_and_stays(minion_id: Any) -> None:
    what = scene(replace(THERE, minion_id=minion_id), replace(THERE, instance_id="i-2", minion_id="b"))
    assert (orphans(what), kept(what)) == ([("instance", "b")], [("instance", "i-1")])


def test_two_instances_with_one_id_are_reported_and_stay() -> None:
    what = scene(THERE, replace(THERE, instance_id="i-2"), accepted=("a",), present=("a",))
    assert (orphans(what), decide(what).rebuild) == (NOBODY, [])
    assert kept(what) == [("instance", "i-1"), ("instance", "i-2")]


def test_a_temporary_resource_with_an_invalid_batch_is_reported_and_stays() -> None:
    what = scene(leftovers=(replace(KEY, batch="../../x"), replace(KEY, name="other")))
    assert (orphans(what), kept(what)) == ([("SSH key", "other")], [("SSH key", "hart-me-b1")])


def test_a_ready_node_without_its_instance_goes() -> None:
    (orphan,) = decide(scene(records=(READY,))).orphans
    assert (orphan.kind, orphan.name, orphan.is_missing) == ("node", "a", True)


def test_a_node_without_its_instance_is_kept_while_its_minion_answers() -> None:
    """The provider may use another account today, or its list may have a gap."""
    what = scene(records=(READY,), present=("a",))
    assert (orphans(what), kept(what)) == (NOBODY, [("node", "a")])


def test_nothing_is_removed_at_a_provider_that_did_not_answer() -> None:
    assert orphans(scene(records=(READY, replace(READY, minion_id="b", sealed=False)), asked=())) == NOBODY


@pytest.mark.parametrize("record", [None, replace(READY, stage="running", sealed=False), READY])
def test_the_resources_of_a_living_process_are_not_touched(record: Record | None) -> None:
    records = (record,) if record else ()
    assert orphans(scene(replace(THERE, instance_id="i-9"), records=records, busy="a")) == NOBODY


def test_the_resources_of_a_batch_of_a_living_process_are_not_touched() -> None:
    """The record may not be written yet, or the instance may appear late."""
    left = replace(READY, stage="launching", sealed=False, batch=LIVING, minion_id="b")
    what = scene(replace(THERE, batch=LIVING), records=(left,), leftovers=(replace(KEY, batch=LIVING),))
    assert orphans(what) == NOBODY


def test_a_node_that_keep_failed_kept_stays() -> None:
    kept = replace(READY, stage="failed", sealed=False, kept=True)
    assert orphans(scene(THERE, records=(kept,))) == NOBODY


def test_young_resources_are_kept() -> None:
    left = replace(READY, minion_id="b", instance_id=None, stage="running", sealed=False, created=YOUNG)
    what = scene(replace(THERE, created=YOUNG), records=(left,), leftovers=(replace(KEY, created=YOUNG),))
    assert (orphans(what), len(kept(what))) == (NOBODY, 3)


def test_young_resources_of_a_dead_operation_go() -> None:
    left = replace(READY, minion_id="b", instance_id=None, stage="running", sealed=False, created=YOUNG, batch=DEAD)
    what = scene(
        replace(THERE, created=YOUNG, batch=DEAD), records=(left,), leftovers=(replace(KEY, created=YOUNG, batch=DEAD),)
    )
    assert orphans(what) == [("instance", "a"), ("node", "b"), ("SSH key", "hart-me-b1")]


def test_only_dead_removes_nothing_else() -> None:
    left = replace(READY, minion_id="b", stage="running", sealed=False)
    dead = replace(left, minion_id="c", batch=DEAD, instance_id=None)
    gone = replace(READY, minion_id="d", instance_id="i-4")
    what = scene(THERE, records=(left, dead, gone), leftovers=(KEY,), only_dead=True)
    assert orphans(what) == [("node", "c")]


def test_a_temporary_resource_without_a_date_is_as_old_as_its_batch() -> None:
    batch = f"{int(YOUNG):08x}abcdef"
    assert orphans(scene(leftovers=(replace(KEY, batch=batch),))) == NOBODY
    assert orphans(scene(leftovers=(replace(KEY, batch=f"{int(OLD):08x}abcdef"),))) == [("SSH key", "hart-me-b1")]
    assert orphans(scene(leftovers=(KEY,))) == [("SSH key", "hart-me-b1")]


def test_a_volume_that_keep_volumes_keeps_is_reported_and_never_removed() -> None:
    volume = replace(KEY, kind="volume", name="vol-1", keep=True, batch=DEAD)
    assert (orphans(scene(leftovers=(volume,))), kept(scene(leftovers=(volume,)))) == (NOBODY, [("volume", "vol-1")])
    assert kept(scene(leftovers=(volume,), only_dead=True)) == NOBODY
    assert decide(scene(leftovers=(volume,), force=True)).orphans == []


def test_a_temporary_resource_of_a_node_in_progress_stays() -> None:
    coming = replace(READY, minion_id="n", stage="running", sealed=False)
    assert orphans(scene(records=(coming,), leftovers=(KEY,), busy="n")) == NOBODY


def test_each_entry_says_what_it_is_and_why() -> None:
    (orphan,) = decide(scene(replace(THERE, region="nyc3"))).orphans
    assert orphan.facts() == {
        "kind": "instance", "name": "a", "provider": "cloud", "region": "nyc3", "why": "no record of it",
    }  # fmt: skip


@pytest.mark.parametrize("there", [(), (THERE,)])
def test_an_interrupted_import_is_kept_with_all_its_resources(there: tuple[Instance, ...]) -> None:
    """Its machine existed before hart, so no crash left it."""
    cut = replace(READY, stage=IMPORTING, batch="")
    what = scene(*there, records=(cut,))
    assert (orphans(what), kept(what)) == (NOBODY, [("node", "a")])
    assert "hart.import_minion a" in decide(what).kept[0].why
    assert kept(scene(*there, records=(cut,), only_dead=True)) == NOBODY
    assert kept(scene(*there, records=(cut,), busy="a")) == NOBODY
