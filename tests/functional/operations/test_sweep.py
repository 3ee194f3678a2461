"""What a sweep leaves of a world in memory: what is removed, what stays in any case, and what is repaired."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import TemporaryFailure
from hart_salt.inventory.misses import INTERVAL, LOOKS
from hart_salt.inventory.records import BANK, IMPORTING, SUFFIX
from hart_salt.master.keys import DENIED, PENDING
from hart_salt.operations.sweep import QUESTIONS
from tests.functional.fakes import fails_with
from tests.functional.operations.sweep_world import DEAD, LIVING, OLD, THEIRS, WHOLE, World, names, new_world

GRACE = 3600.0
PAUSE = f"sleep {INTERVAL:g}"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with new_world(tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Return a world with two accounts."""
    with new_world(tmp_path, monkeypatch, "cloud", "other") as found:
        yield found


def whys(orphans: list[dict[str, Any]]) -> dict[str, str]:
    return {orphan["name"]: orphan["why"] for orphan in orphans}


# what is removed


def test_orphans_are_removed_and_the_rest_stays(world: World) -> None:
    world.node("web")
    world.left("left")
    world.instance("unrecorded")
    world.leftover("key-1")
    world.dies()
    world.leftover("key-2", DEAD)
    report = world.sweep()
    assert names(report.pop("removed")) == ["hart-key-1", "hart-key-2", "left", "unrecorded"]
    assert report == {"kept": []}
    assert (world.nodes(), world.temporary(), world.claims()) == ({"web": WHOLE}, [], [])
    assert world.sweep() == {"removed": [], "kept": []}


def test_a_temporary_resource_goes_after_the_instances_that_use_it(world: World) -> None:
    world.left("left", batch="b-1")
    world.leftover("key-1", "b-1")
    world.instance("unrecorded", batch="b-2")
    world.leftover("key-2", "b-2")
    world.cloud.attached = {"i-left", "i-unrecorded"}
    assert "failed" not in world.sweep()
    assert (world.nodes(), world.temporary()) == ({}, [])


def test_a_ready_node_whose_instance_is_gone_for_good_goes_with_its_key(world: World) -> None:
    world.node("gone")
    world.cloud.there.clear()
    world.node("web")
    assert whys(world.sweep()["removed"]) == {"gone": "its instance is gone"}
    assert world.nodes() == {"web": WHOLE}
    assert world.steps.count(PAUSE) == LOOKS


def test_an_instance_that_its_provider_calls_gone_is_gone(world: World) -> None:
    world.node("gone")
    world.cloud.gaps["i-gone"] = 99
    world.cloud.there["i-gone"] = replace(world.cloud.there["i-gone"], state="gone")
    assert names(world.sweep()["removed"]) == ["gone"]


def test_lock_files_of_dead_processes_are_removed(world: World, tmp_path: Path) -> None:
    world.works_on("busy")
    locks = tmp_path / "hart/locks"
    (locks / "dead.lock").touch()
    world.sweep()
    assert [path.name for path in locks.iterdir()] == ["busy.lock"]


# what stays with any grace period


def kept(world: World) -> None:
    world.left("a", stage="failed", kept=True)


def recorded_by_another_master(world: World) -> None:
    """Its instance has that master's tag, and this master's lists do not show it."""
    world.left("a", owner=THEIRS)
    world.cloud.owners["i-a"] = THEIRS


def of_others(world: World) -> None:
    world.instance("a", owner=THEIRS)
    world.instance("a", instance_id="i-2", owner=None)
    world.node("b")
    world.cloud.owners["i-b"] = None


def worked_on(world: World) -> None:
    world.left("a")
    world.works_on("a")


def of_a_living_batch(world: World) -> None:
    world.lives()
    world.left("a", batch=LIVING)
    world.instance("b", batch=LIVING)
    world.leftover("key-1", LIVING)


def with_something_temporary_of_a_node_in_hand(world: World) -> None:
    world.left("a", batch="b-1")
    world.works_on("a")
    world.leftover("key-1", "b-1")


def being_imported(world: World) -> None:
    world.node("a", stage=IMPORTING, sealed=False)


def answering_at_last(world: World) -> None:
    """A busy minion leaves some questions unanswered."""
    world.left("a")
    world.master.answers_from["a"] = QUESTIONS


def answering_though_its_instance_is_gone(world: World) -> None:
    world.node("a")
    world.cloud.there.clear()
    world.master.answers_from["a"] = 1


def answering_after_the_last_look(world: World) -> None:
    world.node("a")
    world.cloud.there.clear()
    world.master.answers_from["a"] = QUESTIONS + 1


def with_a_broken_record(world: World) -> None:
    world.instance("a")
    world.cache.store(BANK, f"a{SUFFIX}", ["no record"])


STAY = [
    kept, recorded_by_another_master, of_others, worked_on, of_a_living_batch,
    with_something_temporary_of_a_node_in_hand, being_imported, answering_at_last,
    answering_though_its_instance_is_gone, answering_after_the_last_look, with_a_broken_record,
]  # fmt: skip


@pytest.mark.parametrize("case", STAY, ids=lambda case: case.__name__)
def test_it_stays_while_the_orphan_beside_it_goes(world: World, case: Callable[[World], None]) -> None:
    case(world)
    before = world.nodes(), world.temporary()
    world.left("beside", batch="b-beside")
    assert names(world.sweep()["removed"]) == ["beside"]
    assert (world.nodes(), world.temporary()) == before


# lists with gaps


@pytest.mark.parametrize("lists", [1, LOOKS])
def test_an_instance_that_some_lists_missed_is_not_gone(world: World, lists: int) -> None:
    world.node("web")
    world.cloud.gaps["i-web"] = lists
    report = world.sweep()
    assert (report["removed"], world.nodes()) == ([], {"web": WHOLE})
    assert "a list missed its instance, but it exists" in whys(report["kept"])["web"]


def test_an_instance_that_all_lists_miss_is_looked_up_by_its_id(world: World) -> None:
    """Somebody removed its tags, or it was never listed completely."""
    world.node("web")
    world.cloud.gaps["i-web"] = 99
    assert (world.sweep()["removed"], world.nodes()) == ([], {"web": WHOLE})


def test_only_a_provider_that_misses_something_is_listed_again(two: World) -> None:
    two.record("gone")
    assert names(two.sweep()["removed"]) == ["gone"]
    assert (two.steps.count("list cloud"), two.steps.count("list other")) == (1 + LOOKS, 1)


@pytest.mark.parametrize("place", ["list cloud", "look for one at cloud"])
def test_a_list_that_fails_proves_nothing(world: World, place: str) -> None:
    world.node("gone")
    world.cloud.there.clear()

    def fail_from_now_on() -> None:
        world.on[place] = fails_with(TemporaryFailure("down"))

    world.on[PAUSE] = fail_from_now_on
    report = world.sweep()
    assert (report["removed"], names(report["kept"])) == ([], ["gone"])
    assert world.nodes() == {"gone": "record key"}


@pytest.mark.parametrize("error", [TemporaryFailure("down"), ZeroDivisionError("down")])
def test_a_provider_that_does_not_answer_is_not_an_empty_one(two: World, error: Exception) -> None:
    two.node("web")
    two.left("left")
    two.left("left-2", "other")
    two.leftover("key-1")
    two.leftover("key-2", provider="other")
    two.on["list cloud"] = two.on["leftovers cloud"] = fails_with(error)
    report = two.sweep()
    assert names(report["removed"]) == ["hart-key-2", "left-2"]
    assert (two.nodes(), two.temporary()) == ({"left": WHOLE, "web": WHOLE}, ["key-1"])
    temporary, instances = report["errors"]
    assert ("cloud: its temporary resources could not be listed" in temporary, "down" in temporary) == (True, True)
    assert (instances.startswith("cloud: "), "down" in instances) == (True, True)


def test_the_resources_of_a_provider_that_is_not_asked_stay(two: World) -> None:
    two.left("left")
    two.left("left-2", "other")
    two.leftover("key-2", provider="other")
    two.dies("b-1", "cloud")
    two.dies("b-2", "other")
    assert names(two.sweep("cloud")["removed"]) == ["left"]
    assert (two.nodes(), two.temporary(), two.claims()) == ({"left-2": WHOLE}, ["key-2"], ["b-2"])


# concurrent changes


def test_a_node_that_comes_up_during_a_sweep_is_no_orphan(world: World) -> None:
    """The records are read last: a listed instance has its record by then."""
    world.on["list cloud"] = lambda: world.nodes() or world.node("web") and None
    assert (world.sweep(), world.nodes()) == ({"removed": [], "kept": []}, {"web": WHOLE})


def changed(world: World) -> None:
    world.record("left", stage="ready", sealed=True)


def removed(world: World) -> None:
    world.store.remove("left")


def broken(world: World) -> None:
    world.cache.store(BANK, f"left{SUFFIX}", ["no record"])


def taken(world: World) -> None:
    world.works_on("left")


@pytest.mark.parametrize("change", [changed, removed, broken, taken], ids=lambda change: change.__name__)
def test_changes_between_the_decision_and_the_lock_are_kept_and_reported(
    world: World, change: Callable[[World], None]
) -> None:
    world.left("left")
    world.left("left-2")
    # The missing one is looked up again after everything is decided.
    world.record("gone")

    def once() -> None:
        del world.on[PAUSE]
        change(world)

    world.on[PAUSE] = once
    report = world.sweep()
    assert names(report["removed"]) == ["gone", "left-2"]
    assert list(world.nodes()) == ["left"]
    assert set(world.nodes()["left"].split()) >= {"instance", "key"}
    assert "another operation" in whys(report["kept"])["left"]
    assert "failed" not in report


@pytest.mark.parametrize("finger", [None, "finger of left"])
@pytest.mark.parametrize("state", [PENDING, DENIED])
def test_keys_of_others_with_the_id_stay(world: World, finger: str | None, state: str) -> None:
    world.left("left", minion_key_finger=finger)
    world.master.stored["left"] = {state: "somebody else's", **({"minions": finger} if finger else {})}
    assert names(world.sweep()["removed"]) == ["left"]
    assert world.master.stored == {"left": {state: "somebody else's"}}


@pytest.mark.parametrize("step", ["keys", "terminate i-left"])
def test_an_operation_that_dies_during_a_sweep_leaves_its_claim_to_the_next_one(world: World, step: str) -> None:
    """Its resources were not in the snapshot: without its claim, they would count as young."""
    world.dies()
    world.left("left", batch=DEAD)
    now = time.time()

    def die() -> None:
        world.left("later", batch="b-later", created=now)
        world.dies("b-later")

    world.on[step] = die
    assert names(world.sweep()["removed"]) == ["left"]
    world.on.clear()
    assert (world.nodes(), world.claims()) == ({"later": WHOLE}, ["b-later"])
    assert names(world.sweep(grace=GRACE)["removed"]) == ["later"]
    assert (world.nodes(), world.claims()) == ({}, [])


# grace, only_dead, test, force


def test_young_resources_are_kept_unless_their_operation_died(world: World) -> None:
    now = time.time()
    world.dies()
    for batch in ("b-1", DEAD):
        world.left(f"left-{batch}", batch=batch, created=now)
        world.instance(f"unrecorded-{batch}", batch=batch, created=now)
        world.leftover(f"key-{batch}", batch, created=now)
    report = world.sweep(grace=GRACE)
    assert names(report["removed"]) == [f"hart-key-{DEAD}", f"left-{DEAD}", f"unrecorded-{DEAD}"]
    assert names(report["kept"]) == ["hart-key-b-1", "left-b-1", "unrecorded-b-1"]
    assert (world.nodes(), world.temporary()) == ({"left-b-1": WHOLE, "unrecorded-b-1": "instance"}, ["key-b-1"])
    assert all("younger than the grace period of 3600 s" in why for why in whys(report["kept"]).values())
    world.sweep()
    assert (world.nodes(), world.temporary()) == ({}, [])


def test_only_dead_removes_and_reports_nothing_else(world: World) -> None:
    world.dies()
    for batch in ("b-1", DEAD):
        world.left(f"left-{batch}", batch=batch)
        world.instance(f"unrecorded-{batch}", batch=batch)
        world.leftover(f"key-{batch}", batch)
    world.record("gone")
    report = world.sweep(only_dead=True)
    assert names(report.pop("removed")) == [f"hart-key-{DEAD}", f"left-{DEAD}", f"unrecorded-{DEAD}"]
    assert report == {"kept": []}
    assert world.nodes() == {"gone": "record", "left-b-1": WHOLE, "unrecorded-b-1": "instance"}
    assert (world.temporary(), world.claims()) == (["key-b-1"], [])


def everything_to_do(world: World) -> None:
    """Add a resource of each kind."""
    world.dies()
    world.left("left", batch=DEAD)
    world.instance("unrecorded")
    world.leftover("key-1")
    world.record("gone")
    world.node("unsealed", sealed=False)
    world.master.answers_from = {"unsealed": 1, "unwritten": 1}
    world.master.unsealed = {"unsealed"}
    world.cloud.attached = {"i-unsealed"}
    for number in range(20):
        world.node(f"web-{number}")
    world.instance("unwritten")
    world.accept("unwritten")
    (Path(world.info.cachedir) / "hart/locks/dead.lock").touch()


def test_a_test_changes_nothing_and_reports_what_a_sweep_does(world: World) -> None:
    everything_to_do(world)
    before = world.everything()
    plan = world.sweep(test=True)
    assert world.everything() == before
    assert world.interrupted is None
    done = world.sweep()
    assert names(plan["would_remove"]) == names(done["removed"]) == ["gone", "hart-key-1", "left", "unrecorded"]
    assert plan["would_remove"] == sorted(done["removed"], key=plan["would_remove"].index)
    assert (plan["would_rebuild"], plan["would_seal"]) == (done["rebuilt"], done["sealed"])
    assert (names(done["rebuilt"]), names(done["sealed"])) == (["unwritten"], ["unsealed"])
    assert "removed" not in plan


def test_if_the_records_are_lost_nothing_is_removed_without_force(world: World) -> None:
    world.dies()
    world.left("left", batch=DEAD)
    world.leftover("key-1", DEAD)
    for number in range(5):
        world.instance(f"web-{number}")
    before = world.nodes(), world.temporary()
    report = world.sweep()
    assert (report["removed"], len(report["kept"])) == ([], 7)
    assert "5 of 6 nodes have no record" in report["lost"]
    assert (world.nodes(), world.temporary(), world.claims()) == (*before, [DEAD])
    report = world.sweep(force=True)
    assert (len(report["removed"]), "5 of 6 nodes" in report["lost"]) == (7, True)
    assert (world.nodes(), world.temporary()) == ({}, [])


def test_a_minion_that_answers_stays_even_with_force(world: World) -> None:
    """The records seem to be lost: without force nothing would be removed, and nobody would have to be asked."""
    for number in range(5):
        world.instance(f"web-{number}")
    world.left("answers")
    world.master.answers_from["answers"] = QUESTIONS
    report = world.sweep(force=True)
    assert (len(report["removed"]), world.nodes()) == (5, {"answers": WHOLE})


# repairs


def test_a_rebuilt_record_has_what_is_known(world: World) -> None:
    world.instance("web", batch="b-1", role="app", region="nyc3", public_ip="192.0.2.1")
    world.accept("web")
    world.master.answers_from["web"] = 1
    report = world.sweep()
    assert (names(report["rebuilt"]), report["removed"], world.nodes()) == (["web"], [], {"web": WHOLE})
    record = world.store.get("web")
    assert record == replace(
        world.record("other"), minion_id="web", batch="b-1", role="app", region="nyc3", public_ip="192.0.2.1", size="",
        instance_id="i-web", created=OLD, minion_key_finger="finger of web",
    )  # fmt: skip


def test_a_record_that_another_call_wrote_is_not_overwritten(world: World) -> None:
    world.instance("web")
    world.accept("web")
    world.on["finger"] = lambda: world.record("web", role="theirs") and None
    assert "rebuilt" not in world.sweep()
    record = world.store.get("web")
    assert (record and record.role, world.nodes()) == ("theirs", {"web": WHOLE})


def test_a_record_that_cannot_be_written_is_reported(world: World) -> None:
    world.instance("web")
    world.accept("web")
    world.on["finger"] = lambda: world.works_on("web")
    report = world.sweep()
    assert "being worked on by another operation" in whys(report["kept"])["web"]
    assert ("rebuilt" in report, world.nodes()) == (False, {"web": "instance key"})


def unsealed(world: World, **changes: Any) -> None:
    world.node("web", sealed=False, **changes)
    world.master.unsealed, world.cloud.attached = {"web"}, {"i-web"}
    world.master.answers_from["web"] = 1


def is_sealed(world: World) -> bool:
    """Return whether the record says so, and whether it is true."""
    record = world.store.get("web")
    assert record is not None
    assert record.sealed is not bool(world.master.unsealed or world.cloud.attached)
    return record.sealed


def test_a_node_that_was_never_sealed_is_sealed(world: World) -> None:
    world.dies()
    unsealed(world, batch=DEAD)
    report = world.sweep(only_dead=True)
    assert (names(report["sealed"]), is_sealed(world), world.claims()) == (["web"], True, [])
    assert world.nodes() == {"web": WHOLE}


@pytest.mark.parametrize(
    "part", ["its minion does not answer", "the API is down", "its seal script ended with exit code 1: no space left"]
)
def test_a_node_that_cannot_be_sealed_stays_with_its_claim_and_is_reported(world: World, part: str) -> None:
    world.dies()
    unsealed(world, batch=DEAD)
    if part == "the API is down":
        world.on["settle i-web"] = fails_with(TemporaryFailure(part))
    elif "exit code" in part:
        world.master.seal_answer = (1, "no space left")
    else:
        world.master.answers_from.clear()
    report = world.sweep()
    assert ("sealed" in report, is_sealed(world), world.claims()) == (False, False, [DEAD])
    why = whys(report["kept"])["web"]
    assert (part in why, "salt-run hart.destroy web removes the node" in why) == (True, True)
    assert world.nodes() == {"web": WHOLE}


@pytest.mark.parametrize(("batch", "sealed"), [("b-1", False), (DEAD, True)])
def test_a_node_that_another_machine_may_be_sealing_is_only_checked(world: World, batch: str, sealed: bool) -> None:
    """Its record was lost, and with it whether it is sealed."""
    world.dies()
    unsealed(world, batch=batch, created=time.time())
    world.store.remove("web")
    report = world.sweep(grace=GRACE)
    assert (names(report["rebuilt"]), is_sealed(world)) == (["web"], sealed)
    assert ("another machine may be sealing it" in whys(report["kept"]).get("web", "")) is not sealed
