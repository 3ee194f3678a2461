"""
How nodes are destroyed, by ``hart.destroy`` and by sweep: what is removed, in which order, what stays after a failure,
and what is reported.

With ``own_keys`` the caller is sweep.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hart_salt.base import descriptors
from hart_salt.base.errors import AuthError, DriverError, TemporaryFailure
from hart_salt.inventory.records import Record
from hart_salt.model import ADDITIONAL, RESERVED
from hart_salt.operations import destroy
from tests.functional.fakes import fails_with
from tests.functional.operations.world import ANOTHER_MASTER, CLOUD, World, finger, interruption, nodes

NOTHING = nodes()
BOTH = pytest.mark.parametrize("own_keys", [False, True])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def end(world: World, *records: Record, own_keys: bool = False) -> dict[str, Any]:
    """Destroy the nodes of these records without interruption, and return the outcome of each."""
    data, interrupted = end_until_signal(world, *records, own_keys=own_keys)
    assert interrupted is None
    return data


def end_until_signal(world: World, *records: Record, own_keys: bool = False) -> tuple[dict[str, Any], int | None]:
    by_id = {record.minion_id: record for record in records}
    return destroy.destroy_all(by_id, world.drivers, world.context, own_keys=own_keys)


def results(data: Mapping[str, Any]) -> dict[str, bool | None]:
    return {minion_id: entry["result"] for minion_id, entry in data.items()}


def stages(world: World, minion_id: str) -> list[str]:
    """Return the events of a node."""
    return [tag.split("/")[-1] for tag, data in world.events if data["minion_id"] == minion_id]


# what is removed


@BOTH
def test_instances_that_no_record_names_are_found_in_one_list(
    world: World, own_keys: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many nodes there are, and however many of them go."""
    names = [f"web-{number}" for number in range(20)]
    records = [world.start(name, instance_id=None, stage="launching", sealed=False) for name in names]
    world.start("db")
    lists: list[str] = []
    world.faults[f"list {CLOUD}"] = lambda: lists.append(CLOUD)
    reads = itertools.count()
    read = world.store.all
    monkeypatch.setattr(world.store, "all", lambda: (next(reads), read())[1])
    assert set(results(end(world, *records, own_keys=own_keys)).values()) == {True}
    assert (lists, next(reads)) == ([CLOUD], 1)
    monkeypatch.undo()
    assert world.left() == nodes("db")


@BOTH
def test_the_instances_go_before_the_keys_and_each_record_last(world: World, own_keys: bool) -> None:
    records = [world.start("db"), world.start("web")]
    data = end(world, *records, own_keys=own_keys)
    assert data == {
        name: {"result": True, "provider": CLOUD, "instance_id": f"i-{name}"} for name in ("db", "web")
    }  # fmt: skip
    assert world.left() == NOTHING
    assert sorted(world.gone[:2]) == ["instance i-db", "instance i-web"]
    assert world.gone[2:] == ["key db", "key web", "record db", "record web"]
    assert stages(world, "web") == ["destroying", "destroyed"]


@BOTH
def test_a_node_that_is_not_named_stays(world: World, own_keys: bool) -> None:
    world.start("db")
    end(world, world.start("web"), own_keys=own_keys)
    assert world.left() == nodes("db")


@BOTH
def test_all_keys_go_in_one_call_and_the_master_rotates_its_key_once(world: World, own_keys: bool) -> None:
    end(world, *(world.start(f"web-{number}") for number in range(5)), own_keys=own_keys)
    assert (world.left(), world.rotations) == (NOTHING, 1)


@BOTH
def test_after_a_lost_create_answer_only_the_instance_with_this_minion_id_goes(world: World, own_keys: bool) -> None:
    world.start("db")
    world.start("web-1")
    world.drivers[CLOUD].run("unrecorded")
    data = end(world, world.start("web", instance_id=None, stage="launching"), own_keys=own_keys)
    assert data == {"web": {"result": True, "provider": CLOUD, "instance_id": None}}
    left = nodes("db", "web-1")
    assert world.left() == {**left, "instances": ["i-db", "i-unrecorded", "i-web-1"]}


@BOTH
def test_an_instance_of_another_owner_with_the_same_minion_id_is_kept(world: World, own_keys: bool) -> None:
    world.drivers[CLOUD].run("web", "i-theirs", owner=ANOTHER_MASTER)
    end(world, world.start("web", instance_id=None), own_keys=own_keys)
    assert world.left() == {**NOTHING, "instances": ["i-theirs"]}


@BOTH
def test_the_instance_of_another_record_is_kept_even_if_its_tags_name_this_node(world: World, own_keys: bool) -> None:
    world.start("db")
    machine = world.drivers[CLOUD].account["i-db"]
    machine.instance = dataclasses.replace(machine.instance, minion_id="web")
    end(world, world.start("web", instance_id=None), own_keys=own_keys)
    assert world.left() == nodes("db")


def test_only_the_instance_that_the_record_names_goes(world: World) -> None:
    record = world.start("web")
    world.drivers[CLOUD].run("web", "i-second")
    world.faults[f"list {CLOUD}"] = fails_with(AssertionError("nobody needs a list"))
    assert results(end(world, record)) == {"web": True}
    assert world.left() == {**NOTHING, "instances": ["i-second"]}


def test_each_node_is_destroyed_at_its_own_provider(tmp_path: Path) -> None:
    world = World(tmp_path, ["one", "other"])
    records = [world.start("db", "one"), world.start("web", "other", instance_id=None)]
    world.drivers["one"].run("web", "i-there")
    assert results(end(world, *records)) == {"db": True, "web": True}
    assert world.left() == {**NOTHING, "instances": ["i-there"]}


@BOTH
@pytest.mark.parametrize("instance_id", ["i-web", None])
def test_a_node_of_which_only_the_record_is_left_leaves_no_record(
    world: World, own_keys: bool, instance_id: str | None
) -> None:
    record = world.start("web", instance_id=instance_id)
    world.drivers[CLOUD].account.clear()
    world.keys.clear()
    assert results(end(world, record, own_keys=own_keys)) == {"web": True}
    assert (world.left(), world.gone, world.rotations) == (NOTHING, ["record web"], 0)
    assert results(end(world, record)) == {"web": True}


def test_every_instance_with_the_minion_id_goes_if_the_record_names_none(world: World) -> None:
    world.drivers[CLOUD].run("web", "i-second")
    end(world, world.start("web", instance_id=None))
    assert world.left() == NOTHING


def test_reserved_addresses_are_released_before_the_instance_ends(world: World) -> None:
    kinds = {"192.0.2.0": RESERVED, "192.0.2.1": ADDITIONAL}
    record = world.start("web", addresses=[{"kind": kind, "ip": ip, "handle": ""} for ip, kind in kinds.items()])
    world.drivers[CLOUD].reserved = {"192.0.2.0": "i-web", "192.0.2.9": "i-theirs"}
    end(world, record)
    assert world.gone[:2] == ["address 192.0.2.0", "instance i-web"]
    assert world.drivers[CLOUD].reserved == {"192.0.2.0": "", "192.0.2.9": "i-theirs"}


def test_an_address_that_cannot_be_released_does_not_keep_the_instance(world: World) -> None:
    record = world.start("web", addresses=[{"kind": RESERVED, "ip": "192.0.2.0", "handle": ""}])
    world.faults["take 192.0.2.0"] = fails_with(DriverError("it is stuck"))
    assert results(end(world, record)) == {"web": True}
    assert world.left() == NOTHING
    assert "192.0.2.0 is released with the instance: it is stuck" in Path(world.info.log_dir, "web.log").read_text()


def test_an_address_that_an_instance_lost_is_noted_if_the_instance_stays(world: World) -> None:
    record = world.start("web", addresses=[{"kind": RESERVED, "ip": "192.0.2.0", "handle": ""}])
    world.drivers[CLOUD].reserved = {"192.0.2.0": "i-web"}
    world.faults["terminate i-web"] = fails_with(AuthError("the token lacks a scope"))
    entry = end(world, record)["web"]
    assert (entry["result"], entry["error"], world.left()) == (False, "the token lacks a scope", nodes("web"))
    assert entry["notes"] == [
        "192.0.2.0 was detached before: salt-run hart.add_ip web kind=reserved ip=192.0.2.0 adds it"
    ]


def test_a_node_is_locked_until_its_record_is_gone(world: World) -> None:
    held: list[bool] = []
    world.faults |= {place: lambda: held.append(world.locks.busy("web")) for place in ("terminated", "flush web")}
    end(world, world.start("web"))
    assert (held, world.locks.busy("web")) == ([True, True], False)


def test_nodes_that_would_exceed_the_limit_of_open_files_go_one_after_the_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptors, "places", lambda each: 2)
    records = [world.start(f"web-{number}") for number in range(5)]
    together: list[int] = []
    world.faults["terminated"] = lambda: together.append(sum(world.locks.busy(one.minion_id) for one in records))
    assert set(results(end(world, *records)).values()) == {True}
    assert (world.left(), world.rotations) == (NOTHING, 3)
    assert max(together) == 2


# failures

ERRORS = [DriverError("forbidden"), TemporaryFailure("forbidden", uncertain=True), ZeroDivisionError("forbidden")]


@BOTH
@pytest.mark.parametrize("error", ERRORS)
def test_an_instance_that_cannot_be_terminated_keeps_its_key_and_record_and_affects_no_other(
    world: World, own_keys: bool, error: Exception
) -> None:
    records = [world.start(name) for name in ("app", "db", "web")]
    world.faults["terminate i-db"] = fails_with(error)
    data = end(world, *records, own_keys=own_keys)
    assert results(data) == {"app": True, "db": False, "web": True}
    assert "forbidden" in data["db"]["error"]
    assert world.left() == nodes("db")
    assert world.events[-1][0] != "hart/db/destroyed"
    assert stages(world, "db") == ["destroying", "failed"]


@BOTH
def test_if_the_provider_does_not_answer_a_node_without_an_instance_id_stays(tmp_path: Path, own_keys: bool) -> None:
    world = World(tmp_path, ["asleep", "awake"])
    records = [world.start("db", "asleep", instance_id=None), world.start("web", "awake", instance_id=None)]
    world.faults["list asleep"] = fails_with(AuthError("the token was revoked"))
    data = end(world, *records, own_keys=own_keys)
    assert (data["db"]["result"], data["db"]["error"]) == (False, "the token was revoked")
    assert data["web"]["result"] is True
    assert world.left() == nodes("db")


def test_if_one_of_two_instances_cannot_be_terminated_key_and_record_stay(world: World) -> None:
    record = world.start("web", instance_id=None)
    world.drivers[CLOUD].run("web", "i-zzz")
    world.faults["terminate i-zzz"] = fails_with(DriverError("forbidden"))
    assert results(end(world, record)) == {"web": False}
    assert world.left() == {**nodes("web"), "instances": ["i-zzz"]}


def test_a_terminate_call_whose_answer_was_lost_can_be_repeated(world: World) -> None:
    record = world.start("web")
    world.faults["terminated"] = fails_with(TemporaryFailure("no answer", uncertain=True))
    assert results(end(world, record)) == {"web": False}
    assert world.left() == {**nodes("web"), "instances": []}
    world.faults.clear()
    assert results(end(world, record)) == {"web": True}
    assert world.left() == NOTHING


@BOTH
@pytest.mark.parametrize("error", [OSError(28, "disk full"), ZeroDivisionError("disk full")])
def test_keys_that_cannot_be_deleted_keep_the_records_and_are_reported(
    world: World, own_keys: bool, error: Exception
) -> None:
    records = [world.start("db"), world.start("web")]
    world.faults["delete keys"] = fails_with(error)
    data = end(world, *records, own_keys=own_keys)
    for name in ("db", "web"):
        assert data[name]["result"] is False
        assert "disk full" in data[name]["error"]
        assert f"salt-run hart.destroy {name} removes them" in data[name]["error"]
        assert stages(world, name) == ["destroying", "failed"]
    assert world.left() == {**nodes("db", "web"), "instances": []}
    world.faults.clear()
    assert results(end(world, *records)) == {"db": True, "web": True}
    assert world.left() == NOTHING


@BOTH
def test_a_record_that_cannot_be_removed_is_reported_and_affects_no_other(world: World, own_keys: bool) -> None:
    records = [world.start(name) for name in ("app", "db", "web")]
    world.faults["flush db"] = fails_with(OSError(13, "forbidden"))
    data = end(world, *records, own_keys=own_keys)
    assert results(data) == {"app": True, "db": False, "web": True}
    assert "forbidden" in data["db"]["error"]
    assert "salt-run hart.destroy db removes them" in data["db"]["error"]
    assert world.left() == {**NOTHING, "records": ["db"]}
    assert stages(world, "db") == ["destroying", "failed"]


@BOTH
def test_a_node_that_cannot_be_locked_is_reported_and_affects_no_other(
    world: World, tmp_path: Path, own_keys: bool
) -> None:
    records = [world.start("db"), world.start("web")]
    (tmp_path / "hart/locks/db.lock").mkdir(parents=True)
    data = end(world, *records, own_keys=own_keys)
    assert results(data) == {"db": False, "web": True}
    assert "db.lock" in data["db"]["error"]
    assert world.left() == nodes("db")


# whose key it is


@pytest.mark.parametrize(("own_keys", "stays"), [(True, ["web"]), (False, [])])
def test_sweep_does_not_delete_a_key_that_is_not_the_nodes(world: World, own_keys: bool, stays: list[str]) -> None:
    record = world.start("web")
    world.keys["web"] = finger("somebody else")
    assert results(end(world, record, own_keys=own_keys)) == {"web": True}
    assert world.left() == {**NOTHING, "keys": stays}


@pytest.mark.parametrize(("own_keys", "stays"), [(True, ["web"]), (False, [])])
def test_sweep_does_not_delete_a_key_that_the_record_does_not_know(
    world: World, own_keys: bool, stays: list[str]
) -> None:
    record = world.start("web", minion_key_finger=None)
    assert results(end(world, record, own_keys=own_keys)) == {"web": True}
    assert world.left() == {**NOTHING, "keys": stays}


# nodes of another operation


@pytest.mark.parametrize(("own_keys", "result", "word"), [(True, None, "note"), (False, False, "error")])
def test_a_node_that_another_operation_works_on_is_skipped(
    world: World, own_keys: bool, result: bool | None, word: str
) -> None:
    records = [world.start("db"), world.start("web")]
    with world.locks.claim("db"):
        data = end(world, *records, own_keys=own_keys)
        assert world.locks.busy("db")
    assert results(data) == {"db": result, "web": True}
    assert "being worked on by another operation" in data["db"][word]
    assert world.left() == nodes("db")


@pytest.mark.parametrize("moment", ["before", "claimed web"])
def test_sweep_skips_a_node_that_has_changed_since_it_decided(world: World, moment: str) -> None:
    decided = world.start("web", stage="launching")
    ready = dataclasses.replace(decided, stage="ready")
    if moment == "before":
        world.store.put(ready)
    else:
        world.faults[moment] = lambda: world.store.put(ready)
    data = end(world, decided, world.start("db"), own_keys=True)
    assert results(data) == {"web": None, "db": True}
    assert "changed it since sweep decided" in data["web"]["note"]
    assert (world.left(), world.store.get("web")) == (nodes("web"), ready)


def test_sweep_skips_a_node_that_another_operation_has_removed(world: World) -> None:
    decided = world.start("web")
    world.store.remove("web")
    assert results(end(world, decided, own_keys=True)) == {"web": None}
    assert world.left() == {**nodes("web"), "records": []}


def test_sweep_skips_a_node_whose_record_cannot_be_compared(world: World) -> None:
    records = [world.start("db"), world.start("web")]
    world.faults["fetch web"] = fails_with(OSError(5, "the disk is broken"))
    assert results(end(world, *records, own_keys=True)) == {"db": True, "web": None}
    world.faults.clear()
    assert world.left() == nodes("web")


def test_a_named_node_is_destroyed_even_if_its_record_has_changed(world: World) -> None:
    named = world.start("web", stage="launching", instance_id=None)
    world.store.put(dataclasses.replace(named, stage="ready", instance_id="i-web"))
    assert results(end(world, named)) == {"web": True}
    assert world.left() == NOTHING


# signals


def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "places", lambda each: 1)


@BOTH
@pytest.mark.parametrize("step", ["terminate i-db", "terminated", "delete keys", "flush db"])
def test_after_a_signal_started_work_finishes_and_the_rest_is_reported(
    world: World, monkeypatch: pytest.MonkeyPatch, own_keys: bool, step: str
) -> None:
    one_at_a_time(monkeypatch)
    records = [world.start("db"), world.start("web")]
    world.faults[step] = interruption(monkeypatch)
    data, interrupted = end_until_signal(world, *records, own_keys=own_keys)
    assert interrupted == signal.SIGTERM
    assert results(data) == {"db": True, "web": False}
    assert data["web"]["error"] == "interrupted by SIGTERM; call hart.destroy again"
    assert world.gone == ["instance i-db", "key db", "record db"]
    assert world.left() == nodes("web")


def test_after_a_signal_all_nodes_that_started_together_finish(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [world.start(f"web-{number}") for number in range(20)]
    world.faults["terminate i-web-3"] = interruption(monkeypatch)
    data, interrupted = end_until_signal(world, *records)
    assert (interrupted, set(results(data).values())) == (signal.SIGTERM, {True})
    assert world.left() == NOTHING


@pytest.mark.parametrize("own_keys", [False, True])
def test_a_claim_waits_in_a_thread_and_the_event_loop_goes_on(world: World, own_keys: bool) -> None:
    """A claim can wait for another call, for the server with the leases, or for the store."""
    claimed: list[str] = []
    world.faults["claimed web"] = lambda: claimed.append(threading.current_thread().name.partition("_")[0])
    end_until_signal(world, world.start("web"), own_keys=own_keys)
    assert claimed == ["hart-salt"]


def test_after_a_signal_nothing_is_forgotten_before_the_last_instance_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    ended = threading.Event()
    new_loop = asyncio.new_event_loop

    def loop() -> asyncio.AbstractEventLoop:
        loops.append(new_loop())
        return loops[0]

    monkeypatch.setattr(asyncio, "new_event_loop", loop)

    async def many_rounds() -> None:
        for _ in range(1000):
            await asyncio.sleep(0)

    def end_late() -> None:
        assert ended.wait(300)
        asyncio.run_coroutine_threadsafe(many_rounds(), loops[0]).result(30)

    world.faults |= {
        "terminate i-db": interruption(monkeypatch), "terminated": ended.set, "terminate i-web": end_late,
    }  # fmt: skip
    data, _ = end_until_signal(world, world.start("db"), world.start("web"))
    assert results(data) == {"db": True, "web": True}
    assert world.gone == ["instance i-db", "instance i-web", "key db", "key web", "record db", "record web"]


def test_an_instance_that_cannot_be_terminated_during_a_signal_keeps_its_key_and_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [world.start("db"), world.start("web")]
    signalled = interruption(monkeypatch)

    def fail() -> None:
        signalled()
        raise DriverError("forbidden")

    world.faults["terminate i-db"] = fail
    data, interrupted = end_until_signal(world, *records)
    assert (interrupted, results(data)) == (signal.SIGTERM, {"db": False, "web": True})
    assert world.left() == nodes("db")


def test_a_failure_before_a_signal_is_reported_with_its_own_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_at_a_time(monkeypatch)
    records = [world.start(name) for name in ("app", "db", "web")]
    world.faults |= {
        "terminate i-app": fails_with(DriverError("forbidden")), "terminate i-db": interruption(monkeypatch),
    }  # fmt: skip
    data, _ = end_until_signal(world, *records)
    assert results(data) == {"app": False, "db": True, "web": False}
    assert data["app"]["error"] == "forbidden"
    assert world.left() == nodes("app", "web")
