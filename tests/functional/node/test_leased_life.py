"""Creating nodes where several masters share the records: the claim, the fence, and the loss of the lease."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.errors import NodeFailed, Refused
from hart_salt.base.gate import Gate
from hart_salt.base.stopping import COUNTS_AS
from hart_salt.inventory.context import Context
from hart_salt.inventory.leases import LeaseLocks
from hart_salt.inventory.session import Times
from hart_salt.node import bootstrap
from hart_salt.node.lifecycle import new_record
from hart_salt.operations import create
from tests.end_to_end.tools import until
from tests.functional.node.life_world import NOTHING, FakeMaster, Stage, new_stage
from tests.unit.inventory.lease_world import FakeEngine, Server


class Leased:
    """A stage whose calls hold leases; ``call`` is that of this master, and ``other`` one of another master."""

    def __init__(self, stage: Stage, root: Path) -> None:
        self.stage = stage
        self.server = Server()
        self.call, self.other = (self.locks(root / name) for name in ("m1", "m2"))

    def locks(self, root: Path) -> LeaseLocks:
        engine, server = FakeEngine(self.server), self.server
        return LeaseLocks(engine, self.stage.store, str(root), Times(), server.clock, server.sleep, lambda _: None)

    def create(self, *names: str) -> tuple[dict[str, Any], int | None]:
        master: Any = FakeMaster(self.stage.world)
        context = Context(master, self.stage.info, self.stage.store, self.call, Gate())
        return create.create_all([self.stage.node(name) for name in names], self.stage.driver, context)

    def at(self, step: str, what: Callable[[], object]) -> None:
        """Do something when the driver or the session reaches a step."""
        self.stage.world.faults[step] = lambda: what() and None

    def at_access(self, what: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
        """Do something when the batch's access has been opened, and no instance has been requested."""
        access = self.stage.driver.access

        @contextmanager
        def opened(*arguments: Any) -> Iterator[Any]:
            with access(*arguments) as found:
                what()
                yield found

        monkeypatch.setattr(self.stage.driver, "access", opened)

    def take_over(self, minion_id: str) -> None:
        """Let the lease run out and another master take the node."""
        self.server.now += Times().lease
        record = self.stage.store.get(minion_id)
        assert record is not None
        self.stage.store.put(dataclasses.replace(record, session="another"))


@pytest.fixture
def leased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leased:
    return Leased(new_stage(tmp_path, monkeypatch), tmp_path)


def test_a_node_comes_up_and_its_record_names_no_session_any_more(leased: Leased) -> None:
    seen: list[bool] = []
    leased.at("connect", lambda: seen.append(leased.other.busy("a")))
    data, interrupted = leased.create("a")
    record = leased.stage.store.get("a")
    assert (data["a"]["result"], interrupted, seen) == (True, None, [True])
    assert record is not None
    assert (record.stage, record.session, record.machine) == ("ready", None, leased.call.machine)
    assert (leased.server.leases, leased.stage.store.batches()) == ({}, {})


def test_a_node_that_another_master_creates_is_refused_and_leaves_no_record(leased: Leased) -> None:
    with leased.other.claim("b", dataclasses.replace(_record(leased), minion_id="b")):
        with pytest.raises(Refused, match="b is being worked on"):
            leased.create("a", "b")
        assert [record.minion_id for record in leased.stage.store.all()] == ["b"]


def _record(leased: Leased) -> Any:
    node = leased.stage.node("x")
    kind: Any = type("Kind", (), {"name": "minion"})
    return new_record(node, leased.stage.info, kind, leased.other, None)


def test_the_record_of_the_claim_goes_if_nothing_was_launched(leased: Leased, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        assert [record.minion_id for record in leased.stage.store.all()] == ["a"]
        raise NodeFailed("no key")

    leased.at_access(fail, monkeypatch)
    with pytest.raises(NodeFailed, match="no key"):
        leased.create("a")
    assert leased.stage.store.all() == []


def test_after_the_loss_of_the_lease_no_instance_is_made(leased: Leased, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose() -> None:
        leased.server.now += Times().lease

    leased.at_access(lose, monkeypatch)
    data, interrupted = leased.create("a")
    assert interrupted == COUNTS_AS
    assert "this call has lost its lease, because this process did not run" in data["a"]["error"]
    assert leased.stage.left() == NOTHING


def test_what_is_unfinished_when_the_lease_is_lost_is_rolled_back(leased: Leased) -> None:
    leased.at("connect", lambda: leased.call.stop.stop("this call has lost its lease"))
    data, interrupted = leased.create("a", "b")
    assert interrupted == COUNTS_AS
    assert {entry["error"] for entry in data.values()} == {"this call has lost its lease; the node was rolled back"}
    assert leased.stage.left() == NOTHING


def test_what_the_store_has_lost_is_written_again_while_the_call_runs(
    leased: Leased, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep on another master finds the claim and the record, also of a node that stays at one stage for long."""
    monkeypatch.setattr(LeaseLocks, "restores", 0.01)
    cache: Any = leased.stage.store._cache
    found: list[tuple[list[str], bool]] = []

    def lose_and_wait() -> None:
        cache.banks.clear()
        until(lambda: leased.stage.store.get("a"), "the record is there again")
        found.append((list(leased.stage.store.batches()), leased.other.busy("a")))

    leased.at("settle", lose_and_wait)  # in a thread: the event loop goes on
    data, interrupted = leased.create("a")
    assert (data["a"]["result"], interrupted, found) == (True, None, [(["b1"], True)])
    assert leased.stage.store.batches() == {}


def test_a_node_that_another_master_has_taken_over_is_left_to_it(leased: Leased) -> None:
    leased.at("connect", lambda: leased.take_over("a"))
    data, _ = leased.create("a")
    record = leased.stage.store.get("a")
    assert "a is no longer this call's" in data["a"]["error"]
    assert len(leased.stage.left()["instances"]) == 1
    assert record is not None
    assert record.session == "another"
    assert list(leased.call.dead_batches()) == ["b1"]  # for a sweep


def test_a_node_that_was_taken_over_before_its_instance_was_requested_gets_none(
    leased: Leased, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render(_: object) -> str:
        record = leased.stage.store.get("a")
        assert record is not None
        leased.stage.store.put(dataclasses.replace(record, session="another"))
        return "#!/bin/sh"

    monkeypatch.setattr(bootstrap, "render", render)
    data, _ = leased.create("a")
    assert "a is no longer this call's" in data["a"]["error"]
    assert (leased.stage.left()["instances"], leased.stage.left()["records"]) == ([], ["a"])
