"""
Addresses from the provider to the node and back, with faults and signals: real drivers over emulated APIs, and a minion
that answers like the script.

All or nothing: after each failure the provider, the node and the record are as before.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base.caller import Caller
from hart_salt.base.errors import Refused
from hart_salt.base.gate import Gate
from hart_salt.drivers.contract import Driver
from hart_salt.inventory.context import Context
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.journal import journal_of
from hart_salt.inventory.records import Record, Store
from hart_salt.model import ADDITIONAL, PRIVATE, RESERVED, AddressRequest, Instance
from hart_salt.operations import addresses, destroy
from tests.drivers.do import driver as do_driver
from tests.drivers.vultr import driver as vultr_driver
from tests.emulation import faults
from tests.emulation.emulator import Emulator
from tests.emulation.faults import Fault
from tests.parts import master_info
from tests.unit.inventory.test_records import MemoryCache

ID = "w1.example.com"
Answer = tuple[int, str] | None


@dataclass
class FakeMaster:
    """A minion with a public interface, and after a restart one for each of its networks."""

    configured: set[str] = field(default_factory=set)
    #: the scripts that ran, and answers to return instead of the right ones
    ran: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    #: called when a script runs
    meanwhile: Callable[[], None] = lambda: None
    there: bool = True
    deleted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = self.minions = self

    def ping(self, minion_id: str, timeout: float) -> bool:
        return self.there

    def shell(self, minion_id: str, script: str, arguments: Sequence[str]) -> Answer:
        assert (minion_id, script) == (ID, addresses.SCRIPT.read_text())
        what, ip, place = arguments[:3]
        self.ran.append(what)
        if self.answers:
            return self.answers.pop(0)
        assert place.startswith("mac=5a:") or place.startswith("beside=") and place != "beside="
        was = ip in self.configured
        if what == "check":
            return (0, "unchanged eth0") if was else (4, "not there")
        (self.configured.add if what == "add" else self.configured.discard)(ip)
        self.meanwhile()
        return 0, "changed" if what == "remove" else f"{'unchanged' if was else 'changed'} eth0"

    def delete(self, minion_ids: list[str]) -> None:
        self.deleted += minion_ids

    def fire(self, tag: str, data: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


@dataclass
class Stage:
    """A node that is ready, with everything around it."""

    cloud: Any
    driver: Driver
    master: FakeMaster
    context: Context
    instance: Instance
    before: dict[str, Any]

    @property
    def record(self) -> Record:
        found = self.context.store.get(ID)
        assert found is not None
        return found

    def find(self, request: AddressRequest) -> Any:
        return addresses.find(self.record, self.instance, request, self.driver)

    def add(self, request: AddressRequest) -> tuple[dict[str, Any], int | None]:
        return addresses.add(self.record, self.instance, self.find(request), self.driver, self.context)

    def remove(self, ip: str) -> tuple[dict[str, Any], int | None]:
        found = addresses.find_there(self.record, self.instance, ip, self.driver)
        assert found is not None
        return addresses.remove(self.record, self.instance, found, self.driver, self.context)

    def state(self) -> dict[str, Any]:
        """Return the state of provider, node and record."""
        left = {kind: names for kind, names in self.cloud.left().items() if "address" in kind or kind == "assigned"}
        inside = [it.vpc_ids for it in getattr(self.cloud.state, "instances", {}).values()]
        return {**left, "inside": inside, "node": set(self.master.configured), "record": self.record.addresses}

    def nothing_changed(self) -> bool:
        return self.state() == self.before


def stage_of(cloud: Any, driver: Any, helper: Any, clock: Any, root: Path) -> Stage:
    helper.launch(driver, helper.node(ID))
    clock.advance(60)
    (instance,) = driver.instances()
    master: Any = FakeMaster()
    info = master_info(root)
    store = Store(MemoryCache())
    journal = journal_of(info, Gate(), Caller("alice"))
    context: Any = Context(master, info, store, FileLocks(str(root)), Gate(), journal=journal)
    store.put(Record(
        ID, driver.provider.name, "x", instance.region, "s", "ready", info.owner, "b", 1.0,
        instance_id=instance.instance_id, public_ip=instance.public_ip, private_ip=instance.private_ip, sealed=True,
    ))  # fmt: skip
    stage = Stage(cloud, driver, master, context, instance, {})
    stage.before = stage.state()
    return stage


@pytest.fixture
def vultr(root: Path) -> Iterator[Stage]:
    clock = do_driver.Time()
    with vultr_driver.open_cloud(clock) as cloud:
        yield stage_of(cloud, vultr_driver.driver_of(cloud, clock), vultr_driver, clock, root)


@pytest.fixture
def do(root: Path) -> Iterator[Stage]:
    clock = do_driver.Time()
    with do_driver.open_cloud(clock) as cloud:
        yield stage_of(cloud, do_driver.driver_of(cloud, clock), do_driver, clock, root)


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "RESTART_INTERVAL", 0.01)


def request_of(kind: str, stage: Stage) -> AddressRequest:
    if kind == RESERVED:
        return AddressRequest(kind, stage.cloud.add_reserved("ams"))
    if kind == PRIVATE:
        return AddressRequest(kind, vpc=stage.cloud.add_vpc("of-the-account", "ams"))
    return AddressRequest(kind)


KINDS = pytest.mark.parametrize("kind", [RESERVED, ADDITIONAL, PRIVATE])
GIVE = r"/(attach|ipv4)$"


def changes(cloud: Emulator) -> int:
    return sum(call.method != "GET" for call in cloud.calls)


@KINDS
def test_an_address_is_assigned_and_configured_and_the_second_call_writes_nothing(vultr: Stage, kind: str) -> None:
    request = request_of(kind, vultr)
    entry, interrupted = vultr.add(request)
    assert (entry["result"], entry["changed"], entry["interface"], interrupted) == (True, True, "eth0", None), entry
    ip = entry["ip"]
    assert [one.partition("/")[0] for one in vultr.master.configured] == [ip]
    assert [(one["kind"], one["ip"]) for one in vultr.record.addresses] == [(kind, ip)]
    before = changes(vultr.cloud)
    again, _ = vultr.add(request)
    assert (again["result"], again["changed"], again["ip"]) == (True, False, ip)
    assert changes(vultr.cloud) == before
    assert addresses.plan(vultr.record, vultr.find(request), vultr.context)["action"] == "none"


@KINDS
def test_an_address_is_removed_from_the_node_the_provider_and_the_record(vultr: Stage, kind: str) -> None:
    entry, _ = vultr.add(request_of(kind, vultr))
    gone, _ = vultr.remove(entry["ip"])
    assert (gone["result"], gone["changed"]) == (True, True)
    assert vultr.nothing_changed()
    assert addresses.find_there(vultr.record, vultr.instance, entry["ip"], vultr.driver) is None


def test_changes_of_addresses_are_in_the_journal(vultr: Stage) -> None:
    """A call that changes nothing is no event; one that failed is."""
    request = request_of(RESERVED, vultr)
    vultr.master.answers = [(1, "RTNETLINK answers: no")]
    vultr.add(request)
    vultr.master.answers = []
    vultr.add(request)
    vultr.add(request)
    vultr.remove(str(request.ip))
    found = [(one.action, one.result, dict(one.details)) for one in vultr.context.journal.read()]
    details = {"kind": RESERVED, "ip": request.ip}
    assert found == [("add_ip", False, details), ("add_ip", True, details), ("remove_ip", True, details)]


@KINDS
def test_a_plan_says_what_would_be_done_and_changes_nothing(vultr: Stage, kind: str) -> None:
    request = request_of(kind, vultr)
    before = changes(vultr.cloud)
    plan = addresses.plan(vultr.record, vultr.find(request), vultr.context)
    assert plan == {"result": None, "action": "add", "kind": kind, "ip": request.ip, "restarts": kind == PRIVATE}
    assert (changes(vultr.cloud), vultr.master.ran, vultr.nothing_changed()) == (before, [], True)


@KINDS
def test_an_address_that_cannot_be_configured_is_removed_again(vultr: Stage, kind: str) -> None:
    vultr.master.answers = [(1, "RTNETLINK answers: no")]
    entry, interrupted = vultr.add(request_of(kind, vultr))
    assert (entry["result"], interrupted) == (False, None)
    assert entry["error"] == f"{ID} says: RTNETLINK answers: no; it was undone"
    assert vultr.nothing_changed()


@KINDS
def test_without_an_answer_of_the_node_both_are_rolled_back(vultr: Stage, kind: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(addresses, "RESTART_TIMEOUT", 0.0)
    vultr.master.answers = [None]
    entry, _ = vultr.add(request_of(kind, vultr))
    assert entry["error"] == f"{ID} gave no answer; it was undone"
    assert (vultr.master.ran[-1], vultr.nothing_changed()) == ("remove", True)


def test_an_incomplete_rollback_is_reported(vultr: Stage) -> None:
    vultr.master.answers = [None, None]
    vultr.cloud.faults.add(Fault("POST", "/detach$", status=400, answer={"error": "stuck", "status": 400}))
    request = request_of(RESERVED, vultr)
    entry, _ = vultr.add(request)
    assert "the node may have it configured: w1.example.com gave no answer" in entry["error"]
    assert "the instance may still have it: Vultr: stuck (400); hart.remove_ip removes it" in entry["error"]
    # It is in the record, and can be removed, by hart.destroy too.
    assert [one["ip"] for one in vultr.record.addresses] == [request.ip]
    assert vultr.add(request)[0]["result"] is True


@KINDS
@pytest.mark.parametrize("how", ["refused", "lost", "throttled", "not done"])
def test_faults_of_the_call_that_assigns_the_address(vultr: Stage, kind: str, how: str) -> None:
    vultr.cloud.faults.add({
        "refused": Fault("POST", GIVE, status=400, answer={"error": "No.", "status": 400}),
        "lost": faults.lost_answer(GIVE), "throttled": faults.throttled(GIVE, "POST"),
        "not done": Fault("POST", GIVE, drop=True),
    }[how])  # fmt: skip
    entry, _ = vultr.add(request_of(kind, vultr))
    assert entry["result"] is (how in ("lost", "throttled")), entry
    if how == "refused":
        assert entry["error"] == "Vultr: No. (400); nothing was changed"
    assert entry["result"] or vultr.nothing_changed()
    assert vultr.cloud.count("POST", GIVE) == 1 + (how == "throttled")


@KINDS
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_rolls_back_what_was_done(vultr: Stage, kind: str, signum: int) -> None:
    def once() -> None:
        vultr.master.meanwhile = lambda: None
        os.kill(os.getpid(), signum)
        time.sleep(0.5)  # while the waiting thread receives it

    vultr.master.meanwhile = once
    entry, interrupted = vultr.add(request_of(kind, vultr))
    assert interrupted == signum, entry
    assert (entry["result"], "interrupted by" in entry["error"]) == (False, True)
    assert entry["error"].endswith("; it was undone")
    assert vultr.nothing_changed()


def test_hart_waits_for_a_node_that_restarts(vultr: Stage) -> None:
    vultr.master.answers = [(addresses.NO_INTERFACE, "no interface"), None, (addresses.NO_INTERFACE, "no interface")]
    entry, _ = vultr.add(request_of(PRIVATE, vultr))
    assert (entry["result"], vultr.master.ran) == (True, ["add"] * 4)


def test_no_script_runs_on_a_node_before_it_answers_again(vultr: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [False, False, True]
    monkeypatch.setattr(vultr.master.minions, "ping", lambda minion_id, timeout: answers.pop(0))
    entry, _ = vultr.add(request_of(PRIVATE, vultr))
    assert (entry["result"], vultr.master.ran, answers) == (True, ["add"], [])


def test_a_node_that_does_not_return_with_its_interface_is_rolled_back(vultr: Stage, monkeypatch: Any) -> None:
    monkeypatch.setattr(addresses, "RESTART_TIMEOUT", 0.05)
    vultr.master.answers = [(addresses.NO_INTERFACE, "no interface of this machine has 5a")] * 100
    entry, _ = vultr.add(request_of(PRIVATE, vultr))
    assert "no interface of this machine has 5a" in entry["error"]
    assert vultr.nothing_changed()


def test_an_address_that_the_instance_has_is_configured_and_stays_on_failure(vultr: Stage) -> None:
    """As after a crash between the two, or if somebody attached it by hand."""
    request = request_of(RESERVED, vultr)
    vultr.driver.add_address(vultr.instance, vultr.find(request))
    attached = vultr.cloud.state.left()["attached addresses"]
    assert addresses.plan(vultr.record, vultr.find(request), vultr.context)["action"] == "configure"
    vultr.master.there = False
    with pytest.raises(Refused, match="the minion does not answer"):
        addresses.plan(vultr.record, vultr.find(request), vultr.context)
    vultr.master.there = True
    vultr.master.answers = [(1, "no")]
    entry, _ = vultr.add(request)
    assert (entry["result"], entry["error"]) == (False, f"{ID} says: no; nothing was changed")
    assert vultr.cloud.state.left()["attached addresses"] == attached
    entry, _ = vultr.add(request)
    assert (entry["result"], entry["changed"]) == (True, True)


def test_removing_can_be_repeated_after_a_failure_at_either_end(vultr: Stage) -> None:
    entry, _ = vultr.add(request_of(ADDITIONAL, vultr))
    vultr.master.answers = [(1, "busy")]
    failed, _ = vultr.remove(entry["ip"])
    assert failed["error"] == f"{ID} says: busy; call hart.remove_ip again"
    vultr.cloud.faults.add(Fault("DELETE", "/ipv4/", status=401))
    failed, _ = vultr.remove(entry["ip"])
    assert "401" in failed["error"]
    assert vultr.record.addresses != []
    assert vultr.remove(entry["ip"])[0]["result"] is True
    assert vultr.nothing_changed()


def test_an_address_that_the_node_was_created_with_is_refused(vultr: Stage) -> None:
    with pytest.raises(Refused, match="was created with"):
        addresses.find_there(vultr.record, vultr.instance, str(vultr.instance.public_ip), vultr.driver)


@pytest.mark.parametrize("adding", [True, False])
def test_a_restart_must_be_allowed_and_the_node_must_answer(vultr: Stage, adding: bool) -> None:
    found = vultr.find(request_of(PRIVATE, vultr))
    with pytest.raises(Refused, match="allow it with reboot=True"):
        addresses.refuse_unready(vultr.record, found, vultr.context, reboot=False, adding=adding)
    addresses.refuse_unready(vultr.record, found, vultr.context, reboot=True, adding=adding)
    vultr.master.there = False
    with pytest.raises(Refused, match="the minion does not answer"):
        addresses.refuse_unready(vultr.record, found, vultr.context, reboot=True, adding=adding)


def test_destroy_releases_reserved_addresses_first_and_deletes_the_others(vultr: Stage) -> None:
    vultr.add(request_of(RESERVED, vultr))
    vultr.add(request_of(ADDITIONAL, vultr))
    outcome, _ = destroy.destroy_all({ID: vultr.record}, {"vultr": vultr.driver}, vultr.context)
    assert outcome[ID]["result"] is True
    paths = [call.path for call in vultr.cloud.calls if call.method in ("POST", "DELETE")]
    assert paths[-2].endswith("/detach")
    left = vultr.cloud.state.left()
    assert (left["instances"], left["attached addresses"], left["additional addresses"]) == ([], [], [])
    assert len(vultr.cloud.state.reserved) == 1, "it stays the account's"


def test_destroy_continues_if_the_provider_does_not_detach(vultr: Stage) -> None:
    vultr.add(request_of(RESERVED, vultr))
    vultr.cloud.settings.stuck = True
    outcome, _ = destroy.destroy_all({ID: vultr.record}, {"vultr": vultr.driver}, vultr.context)
    assert outcome[ID]["result"] is True
    assert vultr.cloud.state.left()["attached addresses"] == []


# DigitalOcean


def test_a_droplet_gets_its_address_without_a_script_on_the_node(do: Stage) -> None:
    do.master.there = False  # it is not needed
    request = AddressRequest(RESERVED, do.cloud.add_reserved("nyc3"))
    addresses.refuse_unready(do.record, do.find(request), do.context, reboot=False, adding=True)
    entry, _ = do.add(request)
    assert (entry["result"], entry["changed"], entry["interface"], do.master.ran) == (True, True, None, [])
    assert do.add(request)[0]["changed"] is False
    assert do.cloud.count("POST", "/actions$") == 1
    assert do.remove(str(request.ip))[0]["result"] is True
    assert do.nothing_changed()


def test_an_assignment_that_does_not_finish_is_removed_again(do: Stage) -> None:
    request = AddressRequest(RESERVED, do.cloud.add_reserved("nyc3"))
    do.cloud.settings.assign_after = 70
    entry, _ = do.add(request)
    assert "is still being changed" in entry["error"]
    assert do.nothing_changed()


def test_destroy_releases_the_address_of_a_droplet(do: Stage) -> None:
    do.add(AddressRequest(RESERVED, do.cloud.add_reserved("nyc3")))
    outcome, _ = destroy.destroy_all({ID: do.record}, {"do": do.driver}, do.context)
    assert (outcome[ID]["result"], do.cloud.state.left()["assigned"]) == (True, [])
