"""Destroying, sweeping and listing where several masters share the records, with a server of the tests' own."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import Refused
from hart_salt.base.stopping import COUNTS_AS
from hart_salt.inventory import rebuild
from hart_salt.inventory.context import Context
from hart_salt.inventory.leases import LeaseLocks
from hart_salt.inventory.records import Record
from hart_salt.inventory.session import Times
from hart_salt.inventory.snapshot import record_of, take_snapshot
from hart_salt.operations import chosen, destroy, listing, sweep
from tests.functional.operations.world import ANOTHER_MASTER, BATCH, CLOUD, World
from tests.unit.inventory.lease_world import FakeEngine, Server


class Leased(World):
    """A world with two masters, ``call`` of this one and ``other``."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.root = root
        self.server = Server()
        self.call, self.other = (self._locks(root / name) for name in ("m1", "m2"))
        self.context: Context = dataclasses.replace(self.context, locks=self.call)

    def _locks(self, root: Path, owner: str = "") -> LeaseLocks:
        engine, server = FakeEngine(self.server), self.server
        return LeaseLocks(
            engine, self.store, str(root), Times(), server.clock, server.sleep, lambda _: None, owner or self.info.owner
        )  # fmt: skip

    def start(self, minion_id: str, provider: str = CLOUD, **changes: Any) -> Record:
        """Make a node that is ready, whose record names this machine unless the changes say otherwise."""
        return super().start(minion_id, provider, **{"machine": self.call.machine, **changes})

    def end(self, minion_id: str, *, own_keys: bool = False) -> tuple[dict[str, Any], int | None]:
        record = self.store.get(minion_id)
        assert record is not None
        data, interrupted = destroy.destroy_all({minion_id: record}, self.drivers, self.context, own_keys=own_keys)
        return data[minion_id], interrupted

    def sweep(self) -> dict[str, Any]:
        work = sweep.Sweep(self.drivers, self.context, sleep=lambda _: None)
        data, _ = sweep.alone(work, self.context.locks, grace=0, test=False, force=False)
        return data

    def listed(self, minion_id: str) -> dict[str, Any]:
        seen = take_snapshot(list(self.drivers.values()), self.store, self.context.master)
        return listing.nodes(seen, self.call.look(seen.records).busy, self.info, self.call.elsewhere)[minion_id]


@pytest.fixture
def world(tmp_path: Path) -> Leased:
    return Leased(tmp_path)


def test_a_node_goes_as_without_leases(world: Leased) -> None:
    world.start("web")
    data, interrupted = world.end("web")
    assert (data["result"], interrupted, world.left()) == (True, None, {"instances": [], "keys": [], "records": []})
    assert world.server.leases == {}


@pytest.mark.parametrize("own_keys", [False, True])
def test_a_node_that_another_master_took_over_is_not_terminated(world: Leased, own_keys: bool) -> None:
    world.start("web")

    def take_over() -> None:
        world.server.now += Times().lease
        record = world.store.get("web")
        assert record is not None
        world.store.put(dataclasses.replace(record, session="another"))

    world.faults["claimed web"] = take_over
    claim = world.call.claim

    @contextlib.contextmanager
    def claimed(minion_id: str, new: Any = None) -> Any:
        with claim(minion_id, new) as written:
            world.step(f"claimed {minion_id}")
            yield written

    world.call.claim = claimed  # type: ignore[method-assign]
    data, _ = world.end("web", own_keys=own_keys)
    assert data["result"] is not True
    assert (world.left()["instances"], world.left()["records"], world.gone) == (["i-web"], ["web"], [])


def test_a_lost_lease_ends_the_destruction_like_a_signal(world: Leased) -> None:
    world.start("web")
    world.faults["terminate i-web"] = lambda: world.call.stop.stop("this call has lost its lease")
    data, interrupted = world.end("web")
    assert (data["result"], interrupted, world.left()["records"]) == (True, COUNTS_AS, [])


def test_a_node_of_a_living_call_of_another_master_is_no_orphan(world: Leased) -> None:
    record = world.start("web", stage="running", sealed=False)
    with world.other.batch(record.batch, {"provider": CLOUD}), world.other.claim("web"):
        assert world.listed("web")["status"] == "in progress"
        report = world.sweep()
        assert (report["removed"], world.left()["instances"]) == ([], ["i-web"])
    assert [orphan["name"] for orphan in world.sweep()["removed"]] == ["web"]


def test_what_a_call_of_another_master_left_goes_when_its_lease_has_run_out(world: Leased) -> None:
    record = world.start("web", stage="running", sealed=False)
    with contextlib.ExitStack() as stack:
        stack.enter_context(world.other.batch(record.batch, {"provider": CLOUD}))
        assert world.call.dead_batches() == {}
        world.server.now += Times().lease
        assert list(world.call.dead_batches()) == [BATCH]
        assert [orphan["name"] for orphan in world.sweep()["removed"]] == ["web"]
        assert world.store.batches() == {}


def test_a_node_that_a_living_call_creates_stays_although_the_store_lost_everything(world: Leased) -> None:
    """Neither a sweep without a grace period nor a destroy ends it: the lease of its batch says that the call lives."""
    record = world.start("web", stage="running", sealed=False)
    world.keys.clear()
    with world.other.batch(record.batch, {"provider": CLOUD}):
        cache: Any = world.store._cache
        cache.banks.clear()
        report = world.sweep()
        assert (report["removed"], report["kept"], world.left()["instances"]) == ([], [], ["i-web"])
        seen = take_snapshot(list(world.drivers.values()), world.store, world.context.master)
        (found,) = seen.found
        unrecorded = {"web": record_of(found.instance, found.provider, world.info)}
        data, _ = destroy.destroy_all(unrecorded, world.drivers, world.context)
        assert data["web"]["error"].startswith("web is being worked on by another operation")
        assert world.left()["instances"] == ["i-web"]
    assert [orphan["name"] for orphan in world.sweep()["removed"]] == ["web"]


def test_an_instance_whose_call_ends_while_the_sweep_decides_stays(
    world: Leased, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call writes the record that the store had lost, and gives its lease back."""
    record = world.start("web", stage="running", sealed=False)
    world.store.remove("web")
    world.keys.clear()
    confirm = sweep.Sweep._confirm

    def end(work: sweep.Sweep, decision: Any) -> None:
        confirm(work, decision)
        world.store.put(record)

    monkeypatch.setattr(sweep.Sweep, "_confirm", end)
    report = world.sweep()
    assert (report["removed"], world.left()["instances"]) == ([], ["i-web"])
    assert report["failed"][0]["error"] == "another operation has written its record since sweep decided"


def test_a_second_sweep_changes_nothing_and_says_so(world: Leased) -> None:
    world.start("web", stage="running", sealed=False)
    with world.other.sweep(wait=0):
        assert world.sweep() == {"note": "another sweep is running; nothing was changed"}
    assert world.left()["instances"] == ["i-web"]


def test_a_process_of_another_machine_is_listed_and_neither_swept_nor_destroyed(world: Leased) -> None:
    record = world.start("web", machine=world.other.machine)
    del world.drivers[CLOUD].account["i-web"]
    entry = world.listed("web")
    assert (entry["status"], entry["sources"]["cloud"]) == ("elsewhere", None)
    assert entry["note"].startswith("it runs on ")
    assert (world.sweep()["removed"], world.left()["records"]) == ([], ["web"])
    with pytest.raises(Refused, match=r"web: it runs on .*: call salt-run hart.destroy web there"):
        chosen.refuse_elsewhere({"web": record}, world.context)
    assert len(world.sweep()["kept"]) == 0


def test_the_dead_batch_of_a_master_with_another_mark_is_left_to_that_master(world: Leased) -> None:
    """This master does not see the instances of that batch, so it must not conclude that nothing of it is left."""
    theirs = world._locks(world.root / "m3", ANOTHER_MASTER)
    with theirs.batch(BATCH, {"provider": CLOUD, "owner": ANOTHER_MASTER}) as claim:
        claim.keep = True
    world.sweep()
    sweep.remove_dead([CLOUD], world.drivers.__getitem__, world.context, logging.getLogger())
    assert list(theirs.dead_batches()) == [BATCH]


def test_a_node_with_another_mark_is_listed_and_neither_swept_nor_destroyed(world: Leased) -> None:
    record = world.start("web", owner=ANOTHER_MASTER, machine=None, stage="running")
    world.drivers[CLOUD].account["i-web"].owner = ANOTHER_MASTER
    entry = world.listed("web")
    assert (entry["status"], entry["sources"]["cloud"]) == ("elsewhere", None)
    assert entry["note"].startswith(f"the master with the mark {ANOTHER_MASTER} created it")
    report = world.sweep()
    assert (report["removed"], report["kept"], world.left()["records"]) == ([], [], ["web"])
    there = (
        f"web: the master with the mark {ANOTHER_MASTER} .*: call salt-run hart.destroy web there. If no such master"
    )
    with pytest.raises(Refused, match=there):
        chosen.refuse_elsewhere({"web": record}, world.context)


def test_the_rebuilt_record_of_a_process_names_its_machine(world: Leased) -> None:
    """Without it, other masters with the same mark judge the living node and do not find its instance."""
    world.start("web")
    world.store.remove("web")
    seen = take_snapshot(list(world.drivers.values()), world.store, world.context.master)
    (found,) = seen.found
    assert rebuild.new_record(found, world.context).machine == world.call.machine
