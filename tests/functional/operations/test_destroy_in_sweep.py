"""What ``hart.sweep`` destroys of its own accord, and what it keeps and reports."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hart_salt.operations.sweep import Sweep
from tests.functional.operations.world import ANOTHER_MASTER, BATCH, CLOUD, World, nodes


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def swept(world: World) -> dict[str, Any]:
    data, interrupted = Sweep(world.drivers, world.context, sleep=lambda seconds: None).run(grace=0)
    assert interrupted is None
    return data


def test_sweep_terminates_only_what_a_dead_create_left(world: World) -> None:
    world.start("db")
    world.start("web", instance_id=None, stage="launching", sealed=False)
    del world.keys["web"]
    world.drivers[CLOUD].run("web", "i-theirs", owner=ANOTHER_MASTER)
    world.die(BATCH)
    assert [entry["name"] for entry in swept(world)["removed"]] == ["web"]
    assert world.left() == {**nodes("db"), "instances": ["i-db", "i-theirs"]}


def test_sweep_reports_skipped_nodes_as_kept(world: World) -> None:
    decided = world.start("web", stage="bootstrapping", sealed=False)
    world.faults["claimed web"] = lambda: world.store.put(dataclasses.replace(decided, stage="enrolled"))
    data = swept(world)
    assert (data["removed"], [entry["name"] for entry in data["kept"]]) == ([], ["web"])
    assert world.left() == nodes("web")


def test_sweep_does_not_terminate_the_instance_of_another_call_that_it_keeps(world: World) -> None:
    world.start("web", instance_id=None, stage="launching", sealed=False)
    world.drivers[CLOUD].run("web", "i-second", "b-another")
    data = swept(world)
    assert [entry["name"] for entry in data["removed"]] == ["web"]
    assert [entry["name"] for entry in data["kept"]] == ["i-second"]
    assert world.left()["instances"] == ["i-second"]
