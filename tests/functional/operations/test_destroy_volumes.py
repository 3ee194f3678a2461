"""What a destroy does with the volumes of nodes that have ``keep_volumes``."""

from __future__ import annotations

from typing import Any

import pytest

from hart_salt.base.errors import NotFound, TemporaryFailure
from hart_salt.model import Instance
from tests.functional.fakes import fails_with
from tests.functional.operations.test_destroy import NOTHING, end, results, world
from tests.functional.operations.world import CLOUD, World, nodes

__all__ = ["world"]  # a fixture


def test_a_volume_that_stays_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    driver: Any = world.drivers[CLOUD]
    monkeypatch.setattr(driver, "kept_volumes", lambda instance: [f"vol-{instance.minion_id}"])
    data = end(world, world.start("db"))
    assert data["db"]["result"] is True
    note = f"the volume vol-db stays at {CLOUD}: delete it there if you do not need it"
    assert (data["db"]["notes"], world.left()) == ([note], NOTHING)


def test_a_failure_to_list_volumes_does_not_stop_a_destroy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.drivers[CLOUD], "kept_volumes", lambda instance: fails_with(TemporaryFailure("busy"))())
    assert results(end(world, world.start("db"))) == {"db": True}
    assert world.left() == NOTHING


@pytest.mark.parametrize(
    ("stage", "sealed", "kept"), [("ready", False, ["i-db"]), ("ready", True, []), ("bootstrapping", False, [])]
)
def test_the_volumes_of_a_minion_that_was_never_sealed_are_kept_before_its_instance_goes(
    world: World, monkeypatch: pytest.MonkeyPatch, stage: str, sealed: bool, kept: list[str]
) -> None:
    asked: list[str] = []

    def keep(instance: Instance) -> None:
        assert world.gone == []
        asked.append(instance.instance_id)

    monkeypatch.setattr(world.drivers[CLOUD], "keep_volumes", keep)
    assert results(end(world, world.start("db", stage=stage, sealed=sealed))) == {"db": True}
    assert (asked, world.left()) == (kept, NOTHING)


def test_a_minion_whose_volumes_cannot_be_kept_is_not_terminated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = fails_with(TemporaryFailure("its volumes cannot be kept: busy"))
    monkeypatch.setattr(world.drivers[CLOUD], "keep_volumes", lambda instance: busy())
    data = end(world, world.start("db", sealed=False))
    assert (data["db"]["result"], data["db"]["error"]) == (False, "its volumes cannot be kept: busy")
    assert world.left() == nodes("db")


def test_a_minion_that_was_never_sealed_and_is_gone_keeps_no_volumes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = fails_with(NotFound("no such instance"))
    monkeypatch.setattr(world.drivers[CLOUD], "keep_volumes", lambda instance: gone())
    assert results(end(world, world.start("db", sealed=False))) == {"db": True}
    assert world.left() == NOTHING
