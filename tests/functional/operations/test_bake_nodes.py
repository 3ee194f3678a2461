"""The node of a bake in the functions for nodes: it can be destroyed, and none takes it for a node of its role."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hart_salt.inventory.records import BAKE, Record
from hart_salt.inventory.snapshot import record_of, take_snapshot
from hart_salt.operations import destroy, listing
from tests.functional.fakes import FakePeer, other_masters
from tests.functional.operations.world import CLOUD, World, finger

NODE = "hart-bake-app-0a1b2c3d"
NOTHING: dict[str, list[str]] = {"instances": [], "keys": [], "records": []}


def of_a_bake(world: World, **changes: object) -> Record:
    """Make the node of a bake that did not end."""
    given = {"stage": "imaging", "sealed": False, "kind": BAKE, "role": None, **changes}
    return world.start(NODE, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("own_keys", [False, True])
@pytest.mark.parametrize("stage", ["launching", "generalising", "imaging", "destroying", "failed"])
def test_it_can_be_destroyed_with_its_keys_here_and_on_other_masters(
    tmp_path: Path, stage: str, *, own_keys: bool
) -> None:
    world = World(tmp_path)
    peer = FakePeer(**{NODE: finger(NODE), "db": finger("db")})
    world.context = dataclasses.replace(world.context, others=other_masters(m2=peer))
    data, _ = destroy.destroy_all(
        {NODE: of_a_bake(world, stage=stage)}, world.drivers, world.context, own_keys=own_keys
    )  # fmt: skip
    assert data[NODE]["result"] is True
    assert world.left() == NOTHING
    assert peer.keys == {"db": finger("db")}


def test_an_instance_without_a_record_gets_one_of_its_kind(tmp_path: Path) -> None:
    """hart.destroy and hart.list_minions know from the id what it was made for."""
    world = World(tmp_path)
    driver = world.drivers[CLOUD]
    made = record_of(driver.run(NODE), driver.provider, world.info)
    assert made.kind == BAKE
    assert record_of(driver.run("web"), driver.provider, world.info).kind == "minion"


@pytest.mark.parametrize("busy", [False, True])
def test_it_is_listed_with_what_it_is(tmp_path: Path, *, busy: bool) -> None:
    world = World(tmp_path)
    of_a_bake(world)
    seen = take_snapshot(list(world.drivers.values()), world.store, world.context.master)
    entry = listing.nodes(seen, lambda _: busy, world.info, lambda _: "")[NODE]
    assert (entry["status"], entry["role"]) == ("in progress" if busy else "left at imaging", None)
