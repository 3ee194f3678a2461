"""What each operation writes to the journal, and that a journal that cannot be written changes no outcome."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.caller import Caller
from hart_salt.base.errors import NodeFailed, TemporaryFailure
from hart_salt.base.gate import Gate
from hart_salt.inventory.context import Context
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.journal import FILE, Entry, Journal, journal_of
from hart_salt.model import MasterInfo, Node
from hart_salt.operations import create, destroy
from tests.functional.fakes import fails_with
from tests.functional.node.life_world import FakeMaster, Stage, new_stage
from tests.functional.operations import sweep_world
from tests.functional.operations.world import World
from tests.parts import master_info

CALLER = Caller("alice", "hart.test")


def written(info: MasterInfo) -> list[Entry]:
    """Return what is in the journal; each entry must say who called."""
    entries = Journal(Path(info.log_dir) / FILE, Gate()).read()
    assert {(one.by, one.function) for one in entries} <= {("alice", "hart.test")}
    return entries


def with_journal(context: Context) -> Context:
    """Return the context with a journal."""
    return replace(context, journal=journal_of(context.info, Gate(), CALLER))


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return new_stage(tmp_path, monkeypatch)


def create_all(stage: Stage, *nodes: Node, info: MasterInfo | None = None) -> tuple[dict[str, Any], Context]:
    """Create nodes with a journal."""
    master: Any = FakeMaster(stage.world)
    locks = FileLocks(stage.info.cachedir)
    context = with_journal(Context(master, info or stage.info, stage.store, locks, Gate(), stage.others))
    data, interrupted = create.create_all(nodes, stage.driver, context)
    assert interrupted is None
    return data, context


def test_each_created_node_is_in_the_journal_with_its_price_and_its_stages(stage: Stage) -> None:
    """The price is that of the size when the node was created."""
    create_all(stage, replace(stage.node("a"), monthly_price=4.5, currency="EUR"), stage.node("b"))
    by_id = {one.minion_id: one for one in written(stage.info)}
    a, b = by_id["a"], by_id["b"]
    assert (a.action, a.result, a.error, a.monthly_price, a.currency) == ("create", True, "", 4.5, "EUR")
    assert (b.monthly_price, b.currency) == (None, None)
    assert {"launching", "bootstrapping", "ready"} <= set(a.stages)
    assert a.seconds == pytest.approx(sum(a.stages.values()), abs=0.01)
    record = stage.store.get("a")
    assert record is not None
    assert (record.by, record.monthly_price, record.currency) == ("alice", 4.5, "EUR")
    assert (a.instance_id, a.batch, a.size) == (record.instance_id, record.batch, record.size)
    assert a.created == pytest.approx(record.created, abs=0.001)


def test_a_node_that_failed_is_in_the_journal_with_its_reason_and_with_what_is_left(stage: Stage) -> None:
    """What the undo could not remove may go on costing money."""
    stage.world.faults["connect"] = fails_with(NodeFailed("no luck"))
    stage.world.faults["terminate"] = fails_with(TemporaryFailure("try later"))
    data, _ = create_all(stage, stage.node("a"))
    (one,) = written(stage.info)
    assert (one.action, one.result, one.error) == ("create", False, data["a"]["error"])
    assert "no luck" in one.error
    assert "try later" in one.error


def test_the_journal_is_written_when_a_node_ends_and_not_when_the_call_ends(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that is killed leaves what was known."""
    seen: list[list[str]] = []
    ended = create._side_by_side

    async def watched(*args: Any) -> None:
        await ended(*args)
        seen.append(sorted(one.minion_id for one in written(stage.info)))

    monkeypatch.setattr(create, "_side_by_side", watched)
    create_all(stage, stage.node("a"), stage.node("b"))
    assert seen == [["a", "b"]]


def test_a_journal_that_cannot_be_written_fails_neither_a_node_nor_a_rollback(stage: Stage, tmp_path: Path) -> None:
    """The call says so in a note."""
    path = tmp_path / "no" / FILE
    path.mkdir(parents=True)
    info = replace(stage.info, log_dir=str(path.parent))
    data, context = create_all(stage, stage.node("a"), info=info)
    assert data["a"]["result"] is True
    assert len(context.journal.notes) == 1
    stage.world.faults["connect"] = fails_with(NodeFailed("no luck"))
    data, _ = create_all(stage, stage.node("b"), info=info)
    assert "no luck" in data["b"]["error"]
    assert stage.left()["records"] == ["a"]


@pytest.mark.parametrize(("own_keys", "action"), [(False, "destroy"), (True, "sweep")])
def test_a_destroyed_node_is_in_the_journal_with_its_price_and_when_it_was_created(
    tmp_path: Path, own_keys: bool, action: str
) -> None:
    """This is enough to know what the node cost, even if the entry of its creation is gone."""
    world = World(tmp_path)
    context = with_journal(world.context)
    records = [world.start("a", monthly_price=4.5, currency="EUR", created=5.0), world.start("b")]
    world.faults["terminate i-b"] = fails_with(TemporaryFailure("try later"))
    destroy.destroy_all({one.minion_id: one for one in records}, world.drivers, context, own_keys=own_keys)
    by_id = {one.minion_id: one for one in written(context.info)}
    a, b = by_id["a"], by_id["b"]
    assert (a.action, a.result, a.monthly_price, a.currency, a.created) == (action, True, 4.5, "EUR", 5.0)
    assert (b.action, b.result, b.error) == (action, False, "try later")
    assert a.seconds is not None


def test_what_a_sweep_removes_is_in_the_journal(tmp_path: Path) -> None:
    """Nodes, instances without a record, and temporary resources, each with the reason."""
    with contextlib.ExitStack() as stack:
        world = sweep_world.World(tmp_path, stack)
        world.context = with_journal(world.context)
        world.left("node")
        world.instance("lost")
        world.leftover("k1")
        world.leftover("k2")
        world.on["remove k2"] = fails_with(TemporaryFailure("try later"))
        world.sweep()
    found = {
        one.minion_id: (one.action, one.kind, one.result, one.instance_id) for one in written(master_info(tmp_path))
    }
    assert found == {
        "node": ("sweep", "minion", True, "i-node"),
        "lost": ("sweep", "instance", True, "i-lost"),
        "hart-k1": ("sweep", "SSH key", True, None),
        "hart-k2": ("sweep", "SSH key", False, None),
    }
