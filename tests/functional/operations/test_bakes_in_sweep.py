"""What a sweep removes of a bake that died: its node in any case, and its image as long as that is half made."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hart_salt.base.names import bake_id
from hart_salt.inventory.records import BAKE
from hart_salt.master.keys import PENDING
from hart_salt.model import Leftover
from hart_salt.operations import sweep
from tests.functional.operations.sweep_world import DEAD, LIVING, OLD, THEIRS, WHOLE, World, names, new_world

NODE = "hart-bake-app-0a1b2c3d"
GRACE = 3600.0


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with new_world(tmp_path, monkeypatch) as found:
        yield found


def of_a_bake(world: World, batch: str = DEAD, stage: str = "imaging") -> None:
    """Add a node of a bake that never ended."""
    world.left(NODE, batch=batch, stage=stage, kind=BAKE)


def half_made(world: World, batch: str = DEAD, created: float | None = OLD) -> None:
    """Add an image without the mark of a complete one, as drivers report it."""
    world.cloud.temporary["image-1"] = Leftover("image", "hart-app-202611301200-b", "image-1", batch, created=created)


@pytest.mark.parametrize("only_dead", [False, True])
@pytest.mark.parametrize("stage", ["launching", "enrolled", "generalising", "imaging", "destroying", "failed"])
def test_a_node_of_a_dead_bake_goes_although_its_minion_answers(world: World, stage: str, *, only_dead: bool) -> None:
    world.dies()
    of_a_bake(world, stage=stage)
    world.left("web", batch=DEAD)
    world.master.answers_from = {NODE: 1, "web": 1}
    report = world.sweep(grace=GRACE, only_dead=only_dead)
    assert names(report["removed"]) == [NODE]
    assert names(report["kept"]) == ["web"]
    assert world.nodes() == {"web": WHOLE}
    assert world.master.fired[-1] == f"hart/{NODE}/destroyed"


def test_minions_of_bakes_are_not_asked(world: World) -> None:
    """A question to a minion that is gone takes seconds, and no answer would keep it."""
    asked: list[str] = []

    def present(minion_ids: Sequence[str]) -> frozenset[str]:
        asked.extend(minion_ids)
        return frozenset()

    world.master.present = present  # type: ignore[method-assign]
    world.dies()
    of_a_bake(world)
    world.instance(lost := bake_id("db"), batch=DEAD)
    world.accept(lost)
    world.sweep()
    assert world.nodes() == {}
    assert asked == []


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("only_dead", [False, True])
def test_a_node_whose_record_was_lost_goes_with_its_key_and_its_record_is_never_rebuilt(
    world: World, *, answers: bool, only_dead: bool
) -> None:
    world.dies()
    world.instance(NODE, batch=DEAD)
    world.accept(NODE)
    world.master.answers_from = {NODE: 1} if answers else {}
    planned = world.sweep(test=True, only_dead=only_dead)
    assert (names(planned["would_remove"]), planned.get("would_rebuild", [])) == (
        [NODE], []
    )  # fmt: skip
    report = world.sweep(only_dead=only_dead)
    assert names(report["removed"]) == [NODE]
    assert "rebuilt" not in report
    assert "sealed" not in report
    assert world.nodes() == {}
    assert world.master.fired[-1] == f"hart/{NODE}/destroyed"
    assert world.claims() == []


def test_such_a_node_of_an_unknown_batch_goes_by_its_age(world: World) -> None:
    world.instance(NODE, created=time.time())
    world.accept(NODE)
    assert names(world.sweep(grace=GRACE)["kept"]) == [NODE]
    assert world.nodes() == {NODE: "instance key"}
    assert names(world.sweep()["removed"]) == [NODE]
    assert world.nodes() == {}


def test_a_key_of_another_machine_with_its_id_stays(world: World) -> None:
    world.dies()
    world.instance(NODE, batch=DEAD)
    world.master.stored[NODE] = {PENDING: "somebody else's"}
    assert names(world.sweep()["removed"]) == [NODE]
    assert world.nodes() == {NODE: "key"}


def test_a_node_that_cannot_be_terminated_keeps_its_key_in_a_record(world: World) -> None:
    """The next sweep removes both: without the record, nobody would know whose key it is."""
    world.dies()
    world.instance(NODE, batch=DEAD)
    world.accept(NODE)

    def fail() -> None:
        raise RuntimeError("no")

    world.on[f"terminate i-{NODE}"] = fail
    assert names(world.sweep()["failed"]) == [NODE]
    assert world.nodes() == {NODE: WHOLE}
    assert [(record.kind, record.stage) for record in world.store.all()] == [(BAKE, "failed")]
    world.on.clear()
    assert names(world.sweep(only_dead=True)["removed"]) == [NODE]
    assert world.nodes() == {}
    assert world.claims() == []


def test_a_record_that_a_call_writes_meanwhile_keeps_the_node(world: World) -> None:
    world.dies()
    world.instance(NODE, batch=DEAD)
    world.accept(NODE)
    world.on["finger"] = lambda: world.record(NODE, stage="running", sealed=False, kind=BAKE) and None
    report = world.sweep()
    assert names(report["kept"]) == [NODE]
    assert report["removed"] == []
    assert "failed" not in report
    assert world.nodes() == {NODE: WHOLE}


def test_the_node_of_a_living_bake_and_that_of_another_master_stay(world: World) -> None:
    world.lives()
    of_a_bake(world, LIVING)
    half_made(world, LIVING)
    world.instance(bake_id("app"), owner=THEIRS, batch="b-theirs")
    before = world.nodes()
    assert world.sweep() == {"removed": [], "kept": []}
    assert (world.nodes(), world.temporary()) == (before, ["image-1"])


def test_a_half_made_image_of_a_dead_batch_goes_after_its_node(world: World) -> None:
    world.dies()
    of_a_bake(world)
    half_made(world, created=time.time())
    report = world.sweep(grace=GRACE, only_dead=True)
    assert [(one["kind"], one["name"]) for one in report["removed"]] == [
        ("node", NODE), ("image", "hart-app-202611301200-b")
    ]  # fmt: skip
    assert report["removed"][1]["why"] == "the bake that made it has ended"
    steps = [step for step in world.steps if step.startswith(("terminate", "remove"))]
    assert steps == [f"terminate i-{NODE}", "remove image-1"]
    assert (world.nodes(), world.temporary(), world.claims()) == ({}, [], [])


def test_a_half_made_image_of_an_unknown_batch_goes_by_its_age(world: World) -> None:
    half_made(world, "b-over", created=time.time())
    assert names(world.sweep(grace=GRACE)["kept"]) == ["hart-app-202611301200-b"]
    assert world.sweep(grace=GRACE, only_dead=True) == {"removed": [], "kept": []}
    assert world.temporary() == ["image-1"]
    half_made(world, "b-over", created=OLD)
    assert names(world.sweep(grace=GRACE)["removed"]) == ["hart-app-202611301200-b"]
    assert world.temporary() == []


def test_a_half_made_image_that_cannot_be_deleted_keeps_the_claim(world: World) -> None:
    world.dies()
    half_made(world)

    def fail() -> None:
        raise RuntimeError("no")

    world.on["remove image-1"] = fail
    assert names(world.sweep()["failed"]) == ["hart-app-202611301200-b"]
    assert world.claims() == [DEAD]


def test_a_test_changes_nothing_and_shows_both(world: World) -> None:
    world.dies()
    of_a_bake(world)
    half_made(world)
    before = world.everything()
    report = world.sweep(test=True)
    assert sorted((one["kind"], one["name"]) for one in report["would_remove"]) == [
        ("image", "hart-app-202611301200-b"), ("node", NODE)
    ]  # fmt: skip
    assert world.everything() == before


def test_the_next_call_removes_what_a_dead_bake_left(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.dies()
    of_a_bake(world)
    half_made(world, created=time.time())
    world.master.answers_from = {NODE: 1}
    sweep.remove_dead({"cloud"}, lambda _: world.cloud, world.context, logging.getLogger("hart"))
    assert (world.nodes(), world.temporary(), world.claims()) == ({}, [], [])
    assert f"removed {NODE} and image hart-app-202611301200-b" in caplog.text


def test_a_lost_record_of_a_bake_is_no_sign_that_all_records_are_lost(world: World) -> None:
    """Otherwise the sweep would keep everything, and ask for ``force``."""
    world.instance(NODE)
    world.accept(NODE)
    report = world.sweep()
    assert "lost" not in report
    assert names(report["removed"]) == [NODE]
