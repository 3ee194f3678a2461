"""Thousands of nodes are looked up in indexes: the number of comparisons grows with the number of nodes, not faster."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from hart_salt.base.gate import Gate
from hart_salt.config.schema import Provider
from hart_salt.config.settings import Settings
from hart_salt.drivers.local.driver import Account
from hart_salt.inventory import misses, rebuild
from hart_salt.inventory.context import Context
from hart_salt.inventory.identity import Found, sort_out
from hart_salt.inventory.records import READY, Record
from hart_salt.inventory.snapshot import Snapshot
from hart_salt.master.keys import ACCEPTED
from hart_salt.model import Instance, Leftover
from hart_salt.operations import listing
from hart_salt.operations.fleet import Outcomes, TargetSize
from hart_salt.operations.leaks import Scene, decide
from hart_salt.operations.scale import Order, Scaling
from tests.functional.fakes import EmptyDriver
from tests.parts import master_info

NODES, BATCHES = 3000, 300
#: comparisons for each node that are certainly enough; a scan of all nodes for each node makes thousands
ENOUGH = 60
NOW = 2_000_000_000.0
CLOUD = Provider("cloud", "local", Account())


class Text(str):
    """Text that counts how often it is compared."""

    __slots__ = ()
    comparisons: ClassVar[int] = 0

    def __eq__(self, other: object) -> bool:
        Text.comparisons += 1
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class Empty(EmptyDriver):
    """A provider without instances."""

    def instances(self, region: str | None = None) -> list[Instance]:
        return []

    def terminate(self, instance: Instance) -> None:
        raise AssertionError("nothing is to be terminated")


@contextlib.contextmanager
def few_comparisons() -> Iterator[None]:
    """Check that the block makes few comparisons."""
    Text.comparisons = 0
    yield
    assert 0 < Text.comparisons < ENOUGH * NODES


def node(number: int, **changes: Any) -> Record:
    facts: dict[str, Any] = {"role": "app", "instance_id": Text(f"i-{number}"), "sealed": True, **changes}
    return Record(
        Text(f"web-{number}"), Text("cloud"), "local", "r", "s", READY, "me", Text(f"b-{number % BATCHES}"),
        NOW - 10_000, **facts,
    )  # fmt: skip


def snapshot(records: Sequence[Record], *, gone: int = 0) -> Snapshot:
    """Return a snapshot of nodes; the last ``gone`` of them have no instance."""
    listed = [
        Found(
            Instance(
                Text(record.instance_id or f"i-{record.minion_id}"), Text(record.minion_id), "running", "app",
                Text(record.batch), created=record.created,
            ),
            CLOUD,
        )
        for record in records[: len(records) - gone]
    ]  # fmt: skip
    by_id: dict[str, Record] = {Text(record.minion_id): record for record in records}
    found, unknown = sort_out(listed, by_id)
    keys: dict[str, tuple[str, ...]] = {Text(name): (ACCEPTED,) for name in by_id}
    return Snapshot(found, frozenset([Text("cloud")]), (), by_id, keys, frozenset(keys), unknown=unknown)


def scene(seen: Snapshot, **more: Any) -> Scene:
    leftovers = [("cloud", Leftover("key", f"k-{number}", "h", Text(f"b-{number}"))) for number in range(BATCHES)]
    given: dict[str, Any] = {"leftovers": leftovers, "dead": {}, "now": NOW, "grace": 3600.0, **more}
    return Scene(seen, busy=lambda _: False, batch_lives=lambda _: False, **given)


@pytest.mark.parametrize("changes", [{}, {"instance_id": None}])
def test_they_are_listed(changes: dict[str, Any]) -> None:
    records = [node(number, **changes) for number in range(NODES)]
    with few_comparisons():
        entries = listing.nodes(snapshot(records), lambda _: False, master_info(Path("/"), "me"))
    assert {entry["sources"]["cloud"] for entry in entries.values()} == {"running"}
    assert len(entries) == NODES


@pytest.mark.parametrize("gone", [0, NODES - 1])
def test_a_sweep_decides_about_them(gone: int) -> None:
    records = [node(number) for number in range(NODES)]
    with few_comparisons():
        decision = decide(scene(snapshot(records, gone=gone)))
    assert len(decision.orphans) == BATCHES
    assert len(decision.kept) == gone, "their minions answer"


def test_a_sweep_asks_only_about_the_nodes_of_a_leftovers_batch() -> None:
    asked: list[str] = []

    def is_busy(minion_id: str) -> bool:
        asked.append(minion_id)
        return False

    seen = snapshot([node(number) for number in range(NODES)])
    leftovers = [("cloud", Leftover("key", "k", "h", "b-7"))] * 5
    decide(Scene(seen, leftovers, is_busy, lambda _: False, {}, NOW, 3600.0))
    assert sorted(asked) == sorted(record.minion_id for record in seen.records.values() if record.batch == "b-7")
    assert asked


def test_they_are_missed() -> None:
    records = [node(number) for number in range(NODES)]
    seen = snapshot(records, gone=NODES // 2)
    driver = Empty("cloud", master_info(Path("/"), "me"))
    with few_comparisons():
        gone = misses.gone(records[NODES // 2 :], lambda _: seen, lambda _: driver, lambda _: None)
    assert len(gone) == NODES // 2


def test_a_role_with_all_of_them_is_scaled() -> None:
    seen = snapshot([node(number) for number in range(NODES)], gone=NODES // 3)
    with few_comparisons():
        outcome = _scaling(seen).scale(TargetSize(delta=1), remove="newest", cooldown=0, wait=False)
    assert (outcome.data["before"], outcome.data["after"]) == (NODES - NODES // 3, NODES - NODES // 3 + 1)


def _scaling(seen: Snapshot) -> Scaling:
    store = SimpleNamespace(last_scaled=lambda role: None)
    locks: Any = SimpleNamespace(
        role=lambda role, wait: contextlib.nullcontext(True), busy=lambda _: False, batch_lives=lambda _: False,
        dead_batches=dict,
    )  # fmt: skip
    locks.look, locks.elsewhere = lambda records, batches: locks, lambda record: False
    info = master_info(Path("/"), "me")
    context: Any = Context(SimpleNamespace(), info, store, locks, Gate())  # type: ignore[arg-type]
    numbers = itertools.count()
    make: Callable[[int, bool], Outcomes] = lambda count, test: Outcomes({f"new-{next(numbers)}": {}})  # noqa: E731
    return Scaling(
        Order("app", test=True), context, lambda provider: seen, make, lambda records: Outcomes(),
        lambda record: Settings(), lambda: None, lambda lost, test: [], lambda name: Empty("cloud", info),
        lambda seconds: None,
    )  # fmt: skip


def test_records_without_a_node_are_found() -> None:
    seen = snapshot([node(number) for number in range(NODES)])
    with few_comparisons():
        assert rebuild.lost(seen, lambda _: False, lambda _: False, ()) == ""
