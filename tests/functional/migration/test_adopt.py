"""
Whole imports with the emulated DigitalOcean: records and tags, and what remains after a failure.

The sweep is the real one: after each failure it runs, and must not delete the machine.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.caller import Caller
from hart_salt.base.gate import Gate
from hart_salt.drivers.do.driver import DigitalOcean
from hart_salt.inventory.context import Context
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.journal import journal_of
from hart_salt.inventory.records import IMPORTING, Record, Store
from hart_salt.master.client import Master
from hart_salt.master.keys import ACCEPTED, Keys
from hart_salt.master.minions import Minions
from hart_salt.migration import adopt as importing
from hart_salt.migration.adopt import Importing, Outcome
from hart_salt.migration.match import ImportRequest, Noted
from hart_salt.model import Instance
from hart_salt.operations.sweep import Sweep
from tests.drivers.do.driver import Client, Time, driver_of, open_cloud
from tests.drivers.do.emulator.cloud import DigitalOcean as Cloud
from tests.drivers.tested import OWNER
from tests.emulation.faults import Fault
from tests.parts import master_info
from tests.unit.inventory.test_records import MemoryCache

ID = "old-1.example.com"
TAG, TAGS = r"/v2/tags/.+/resources$", r"/v2/tags$"
LIST = r"/v2/droplets$"


class FakeMaster:
    """The part of Salt that an import uses. The minions in ``grains`` answer."""

    def __init__(self) -> None:
        self.accepted = {ID}
        self.grains_of: dict[str, Mapping[str, Any]] = {}
        self.fired: list[tuple[str, Any]] = []
        self.keys = self.minions = self

    def states(self) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(self.accepted, (ACCEPTED,))

    def grains(self, minion_ids: Sequence[str], names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        assert set(minion_ids) <= self.accepted
        return {name: self.grains_of[name] for name in minion_ids if name in self.grains_of}

    def accepted_finger(self, minion_id: str) -> str | None:
        return f"finger of {minion_id}"

    def present(self, minion_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(minion_ids) & set(self.grains_of)

    def fire(self, tag: str, data: Any) -> None:
        self.fired.append((tag, data))

    def close(self) -> None:
        """Nothing is open."""


REAL = (Master, Keys, Minions)
assert all(any(hasattr(one, name) for one in REAL) for name in vars(FakeMaster) if not name.startswith("_"))


class World:
    """A master with an account."""

    def __init__(self, cloud: Cloud, time: Time, root: Path) -> None:
        self.cloud, self.time = cloud, time
        self.master = FakeMaster()
        self.info = replace(master_info(root), owner=OWNER)
        master: Any = self.master  # has the part of a real one that is asked for here, see above
        journal = journal_of(self.info, Gate(), Caller("alice"))
        self.context = Context(
            master, self.info, Store(MemoryCache()), FileLocks(str(root)), Gate(), journal=journal
        )  # fmt: skip
        self.driver: DigitalOcean = driver_of(cloud, time)

    def make(self, name: str = ID, **more: Any) -> str:
        made = str(Client(self.cloud).create(name, tags=["theirs"], **more)["id"])
        self.time.advance(20)
        return made

    def run(self, *requests: ImportRequest, test: bool = False) -> dict[str, Outcome]:
        given = requests or (ImportRequest(ID, "do"),)
        work = Importing(given, {"do": self.driver}, self.context, {"app": None}, test=test)
        assert work.run() is None
        return work.outcomes

    def one(self, *requests: ImportRequest, test: bool = False) -> Outcome:
        (outcome,) = self.run(*requests, test=test).values()
        return outcome

    def tags(self) -> dict[str, list[str]]:
        return {str(it.id): sorted(it.tags) for it in self.cloud.state.droplets.values()}

    def records(self) -> dict[str, str]:
        return {record.minion_id: record.stage for record in self.context.store.all()}

    def swept(self) -> dict[str, Any]:
        """Run a sweep that protects nothing because of its age, after the crash of an import."""
        data, _ = Sweep({"do": self.driver}, self.context, sleep=lambda seconds: None).run(grace=0)
        return data


def recorded(outcome: Outcome) -> Record:
    """The record of a minion that was imported."""
    assert outcome.record is not None
    return outcome.record


@pytest.fixture
def world(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(importing, "LOOK_INTERVAL", 0.0)
    time = Time()
    with open_cloud(time) as cloud:
        yield World(cloud, time, root)


def test_imports_are_in_the_journal(world: World) -> None:
    """An import that changes nothing is no event."""
    number = world.make()
    world.master.grains_of = {ID: {"ipv4": ["10.120.0.4"]}}
    world.one()
    world.one()
    (entry,) = world.context.journal.read()
    assert (entry.action, entry.minion_id, entry.result, entry.instance_id) == ("import", ID, True, number)
    assert recorded(world.one()).by == entry.by == "alice"


def test_an_imported_minion_is_tagged_recorded_and_reported(world: World) -> None:
    number = world.make()
    world.master.grains_of = {ID: {"ipv4": ["127.0.0.1", "10.120.0.4"], "roles": ["app"]}}
    outcome = world.one()
    record = world.context.store.get(ID)
    assert (outcome.error, outcome.changed, outcome.record, outcome.notes) == ("", True, record, [])
    assert world.tags() == {number: ["hart", f"hart-owner:{OWNER}", "hart-role:app", "theirs"]}
    assert record == Record(
        ID, "do", "do", "nyc3", "s-1vcpu-1gb", "ready", OWNER, "", record.created if record else 0.0, "app",
        instance_id=number, public_ip="203.0.113.4", private_ip="10.120.0.4", sealed=True,
        minion_key_finger=f"finger of {ID}", by="alice",
    )  # fmt: skip
    ((tag, data),) = world.master.fired
    assert (tag, data["role"], data["public_ip"]) == (f"hart/{ID}/imported", "app", "203.0.113.4")
    world.master.grains_of = {}
    assert world.swept() == {"removed": [], "kept": []}


def test_a_repeated_import_changes_nothing(world: World) -> None:
    world.make()
    world.one()
    calls = len(world.cloud.calls)
    outcome = world.one()
    assert (outcome.changed, outcome.error) == (False, "")
    assert "already imported" in outcome.data(test=False)["notes"][0]
    assert {call.method for call in world.cloud.calls[calls:]} == {"GET"}
    assert len(world.master.fired) == 1


def test_the_plan_changes_nothing(world: World) -> None:
    number = world.make()
    plan = world.one(test=True).data(test=True)
    assert (plan["result"], plan["action"], plan["instance_id"]) == (None, "import", number)
    assert "could not confirm" in plan["notes"][0]
    assert (world.records(), world.tags()[number]) == ({}, ["theirs"])


def test_a_refused_import_changes_nothing(world: World) -> None:
    number = world.make()
    world.master.grains_of = {ID: {"ipv4": ["192.0.2.1"]}}
    for outcome in (world.one(), world.one(test=True)):
        assert outcome.refused
        assert "is a different machine" in outcome.error
    assert (world.records(), world.tags()[number], world.master.fired) == ({}, ["theirs"], [])


def test_many_minions_are_imported_although_one_fails(world: World) -> None:
    names = [f"old-{number}" for number in range(5)]
    world.master.accepted |= set(names)
    ids = {name: world.make(name) for name in names[:-1]}
    looks = world.cloud.count("GET", LIST, query="tag_name=")
    outcomes = world.run(*(ImportRequest(name, "do") for name in names))
    assert [name for name, outcome in outcomes.items() if outcome.error] == [names[-1]]
    assert world.records() == dict.fromkeys(ids, "ready")
    assert world.cloud.count("GET", LIST, query="tag_name=") == looks + 1, "one list for all that were tagged"


@pytest.mark.parametrize("test", [True, False])
def test_one_machine_cannot_be_two_minions(world: World, test: bool) -> None:
    number = world.make()
    world.master.accepted |= {"old-2"}
    both = world.run(ImportRequest(ID, "do"), ImportRequest("old-2", "do", instance_id=number), test=test)
    (refused,) = [outcome for outcome in both.values() if outcome.error]
    assert (refused.refused, f"{number} matches" in refused.error) == (True, True)
    assert len(world.records()) == (not test)
    assert len(world.driver.instances()) == (not test)


def test_another_call_that_imports_the_same_machine_is_seen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    number = world.make()
    real = world.context.store.put

    def put(record: Record) -> None:
        real(record)
        if record.minion_id == ID and record.stage == IMPORTING:
            real(replace(record, minion_id="other"))

    monkeypatch.setattr(world.context.store, "put", put)
    assert f"{number} is the machine of other; it is unchanged" in world.one().error
    assert world.records() == {"other": IMPORTING}
    assert world.tags()[number] == ["theirs"]


def test_a_noted_id_counts_and_a_stale_one_falls_back_to_the_name(world: World) -> None:
    first = world.make("renamed-by-somebody")
    assert recorded(world.one(ImportRequest(ID, "do", noted=Noted(first)))).instance_id == first
    assert [(it.instance_id, it.minion_id) for it in world.driver.instances()] == [(first, ID)]
    world.master.accepted |= {"old-2"}
    second = world.make("old-2")
    noted = Noted("999", addresses=frozenset(["203.0.113.7"]))
    refused = world.one(ImportRequest("old-2", "do", noted=noted))
    assert "not the instance 999" in refused.error
    noted = replace(noted, addresses=frozenset(["10.120.0.5", "203.0.113.5"]))
    assert recorded(world.one(ImportRequest("old-2", "do", noted=noted))).instance_id == second


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", TAGS, status=403),
        Fault("POST", TAG, status=403, skip=1),
        Fault("POST", TAG, status=403, when="after", skip=1),
        Fault("GET", LIST, query="tag_name=", status=401, times=importing.LOOKS),
    ],
)
def test_a_failure_leaves_everything_as_it_was(world: World, fault: Fault) -> None:
    number = world.make()
    world.cloud.faults.add(fault)
    outcome = world.one()
    assert outcome.error.endswith("; it is unchanged")
    assert not outcome.refused
    assert (world.records(), world.tags()[number], world.master.fired) == ({}, ["theirs"], [])
    assert world.swept()["removed"] == []
    assert world.one().changed


def test_an_import_that_cannot_be_rolled_back_is_reported_and_not_swept(world: World) -> None:
    number = world.make()
    world.cloud.faults.add(Fault("POST", TAG, status=403, when="after", skip=1))
    world.cloud.faults.add(Fault("DELETE", TAG, status=403))
    outcome = world.one()
    assert "could not be rolled back" in outcome.error
    assert world.records() == {ID: IMPORTING}
    (entry,) = world.swept()["kept"]
    assert "hart.import_minion" in entry["why"]
    assert list(world.tags()) == [number]
    assert world.one().changed
    assert (world.records(), world.swept()) == ({ID: "ready"}, {"removed": [], "kept": []})


def test_tags_that_never_show_are_removed_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    number = world.make()
    monkeypatch.setattr(world.driver, "instances", lambda region=None: [])
    assert "does not list it as this master's" in world.one().error
    assert (world.records(), world.tags()[number]) == ({}, ["theirs"])


def test_one_failed_query_does_not_end_the_import(world: World) -> None:
    world.make()
    world.cloud.faults.add(Fault("GET", LIST, query="tag_name=", status=401, times=2))
    assert (world.one().changed, world.records()) == (True, {ID: "ready"})


def test_tags_that_show_late_are_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.make()
    looks: list[int] = []
    real = world.driver.instances

    def late(region: str | None = None) -> list[Instance]:
        looks.append(len(looks))
        return real() if len(looks) > 3 else []

    monkeypatch.setattr(world.driver, "instances", late)
    assert world.one().changed
    assert len(looks) == 4


@pytest.mark.parametrize("crash", ["record", "some tags", "all tags"])
def test_after_any_crash_sweep_keeps_the_machine_and_the_import_can_continue(world: World, crash: str) -> None:
    """SIGKILL at each point; the minion does not answer, although an answer would protect it."""
    number = world.make()
    left = world.one(test=True).record
    assert left is not None
    world.context.store.put(replace(left, stage=IMPORTING))
    if crash != "record":
        world.driver.adopt(Instance(number, "", ""), ID, "app" if crash == "some tags" else None)
    swept = world.swept()
    assert (swept["removed"], [entry["name"] for entry in swept["kept"]]) == ([], [ID])
    assert list(world.tags()) == [number]
    assert world.one().changed
    assert world.records() == {ID: "ready"}
    assert world.swept() == {"removed": [], "kept": []}


def test_a_signal_rolls_back_whatever_is_not_ready(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    number = world.make()
    real = world.driver.adopt

    def adopt(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(0.5)
        real(*arguments)

    monkeypatch.setattr(world.driver, "adopt", adopt)
    work = Importing([ImportRequest(ID, "do")], {"do": world.driver}, world.context, (), test=False)
    assert work.run() == signal.SIGTERM
    assert work.outcomes[ID].error == "it was interrupted; it is unchanged"
    assert (world.records(), world.tags()[number]) == ({}, ["theirs"])


def test_a_signal_while_the_record_becomes_ready_leaves_no_ready_record_without_tags(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = world.make()
    stages: list[tuple[str, bool]] = []
    real = world.context.store.put

    def put(record: Record) -> None:
        stages.append((record.stage, f"hart-owner:{OWNER}" in world.tags()[number]))
        if record.stage == "ready":
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(0.5)
        real(record)

    monkeypatch.setattr(world.context.store, "put", put)
    work = Importing([ImportRequest(ID, "do")], {"do": world.driver}, world.context, (), test=False)
    assert work.run() == signal.SIGTERM
    assert stages == [(IMPORTING, False), ("ready", True), (IMPORTING, True)]
    assert (world.records(), world.tags()[number]) == ({}, ["theirs"])


def test_a_minion_locked_by_another_operation_is_left_alone(world: World) -> None:
    world.make()
    with world.context.locks.claim(ID):
        assert "is being worked on by another operation" in world.one().error
    assert world.records() == {}


def test_a_lost_record_is_written_again_and_a_failure_leaves_the_tags(world: World) -> None:
    number = world.make()
    world.driver.adopt(Instance(number, "", ""), ID, "app")
    before = world.tags()
    world.cloud.faults.add(Fault("GET", LIST, query="tag_name=", status=401, times=importing.LOOKS))
    assert world.one().error
    assert (world.records(), world.tags()) == ({}, before)
    world.cloud.faults.add(Fault("POST", TAG, status=403, when="after"))
    assert world.one(ImportRequest(ID, "do", role="db")).error
    assert (world.records(), world.tags()) == ({}, before), "the tags that it had are back"
    assert recorded(world.one()).role == "app"
