"""Apply beside other calls, after signals, and at its limits."""

from __future__ import annotations

import dataclasses
import signal
import threading
from typing import Any

import pytest

from hart_salt.base.errors import (
    EnvironmentFault,
    NoCapacity,
)
from hart_salt.fleets import memory
from hart_salt.inventory.flocks import FileLocks
from hart_salt.inventory.records import CHANGES, Store
from hart_salt.inventory.slots import Slots
from tests.functional.fakes import Fault
from tests.functional.fleets.fleet_world import WEST, World, once, raising

# other calls


@pytest.mark.parametrize("fails", [False, True])
def test_a_node_that_another_call_destroyed_during_the_drain_is_a_success(world: World, fails: bool) -> None:
    world.start("a", "b", "c", "d")

    def destroyed() -> None:
        del world.cloud.account["i-d"]
        world.store.remove("d")

    world.on["drain d"] = destroyed
    world.drain_problems["d"] = ["the minion did not answer"] if fails else []
    done = world.apply()
    assert done["nodes"]["d"]["notes"][0] == "another call destroyed it"
    assert world.nodes() == ["a", "b", "c"]


def test_a_node_without_a_record_stays_if_its_drain_fails(world: World) -> None:
    world.start("a", "b", "c", "d")
    world.store.remove("d")
    world.drain_problems["d"] = ["no"]
    world.apply(code=1)
    assert "i-d" in world.cloud.account


def test_a_node_that_another_call_made_again_during_the_drain_stays(world: World) -> None:
    world.start("a", "b", "c", "d")

    def made_again() -> None:
        instance = dataclasses.replace(world.cloud.account.pop("i-d"), instance_id="i-new")
        world.cloud.account["i-new"] = instance
        known = world.store.get("d")
        assert known is not None
        world.store.put(dataclasses.replace(known, instance_id="i-new"))

    world.on["drain d"] = made_again
    done = world.apply(code=1)
    assert "another call has replaced it" in done["nodes"]["d"]["error"]
    assert "i-new" in world.cloud.account


def test_a_hold_between_two_waves_stops_the_work(world: World) -> None:
    world.start("a", "b", "c", "d", "e")
    world.on["terminate i-e"] = lambda: world.call("hold", "web")
    done = world.apply(code=1)
    assert world.nodes() == ["a", "b", "c", "d"]
    assert "web: held by root" in str(done["problems"])
    world.on.clear()
    world.call("unhold", "web")
    world.apply()
    assert world.nodes() == ["a", "b", "c"]


def test_in_a_reaction_a_fleet_that_another_call_changes_is_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.opts["hart"]["fleets"]["data"] = {"role": "db", "count": 1}
    monkeypatch.setattr("hart_salt.runners.hart._may_wait", lambda: False)
    world.stack.enter_context(world.locks.role("app", wait=True))
    done = world.apply()
    assert done["notes"] == ["web: another call is changing this fleet"]
    assert (world.nodes(), len(world.clouds[WEST].account)) == ([], 1)


def test_a_call_waits_for_the_role_without_a_slot_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.opts["hart"]["max_calls"] = 1
    held = world.locks.role("app", wait=True)
    held.__enter__()
    free: list[bool] = []
    real = FileLocks.role

    def role(locks: FileLocks, name: str, *, wait: bool) -> Any:
        if wait:  # the other call takes a slot, and ends

            def other() -> None:
                with Slots(world.info.cachedir).call() as slot:
                    slot.take(1)
                    free.append(True)

            thread = threading.Thread(target=other, daemon=True)
            thread.start()
            thread.join(60)
            held.__exit__(None, None, None)
        return real(locks, name, wait=wait)

    monkeypatch.setattr(FileLocks, "role", role)
    world.apply()
    assert free, "the call has a slot while it waits"
    assert "another call is changing the fleet of app; waiting for it" in capsys.readouterr().err


# signals


@pytest.mark.parametrize("step", ["create", "drain e", "terminate i-e", "drain d"])
def test_after_a_signal_in_any_step_the_next_call_completes_it(world: World, step: str) -> None:
    world.start("a", "b", "c", "d", "e")
    world.fleet["count"] = 6 if step == "create" else 3
    world.on[step] = once(world.interrupt)
    done = world.call("apply")
    assert done["retcode"] == 128 + signal.SIGTERM, done
    assert "hart.apply completes it" in done["notes"][-1]
    assert len(world.nodes()) == {"create": 5, "drain e": 5}.get(step, 4)
    world.on.clear()
    world.apply()
    assert len(world.nodes()) == world.fleet["count"]


def test_a_call_that_loses_its_lease_ends_and_another_one_completes_it(world: World) -> None:
    world.start("a", "b", "c")
    world.break_down("c", "stopped")
    world.on["create"] = once(lambda: world.stop.stop("the lease of this call is lost"))
    done = world.call("apply")
    assert done["retcode"] == 128 + signal.SIGHUP
    assert (world.did, world.nodes()) == ([], ["a", "b", "c"])
    world.on.clear()
    world.apply()
    assert world.did == ["+ here", "- c"]


def test_a_signal_in_the_last_step_ends_a_call_that_has_done_everything(world: World) -> None:
    world.start("a", "b", "c", "d")
    world.on["terminate i-d"] = world.interrupt
    world.apply()
    assert world.nodes() == ["a", "b", "c"]


def test_a_signal_while_it_looks_again_ends_the_call_with_what_was_done(world: World) -> None:
    world.start("a", "b", "c", "d", "e")

    def lost() -> None:
        world.on.clear()
        world.present.discard("a")
        del world.cloud.account["i-a"]
        world.clock.on_sleep = world.interrupt

    world.on["terminate i-e"] = lost
    done = world.call("apply")
    assert done["retcode"] == 128 + signal.SIGTERM
    assert done["nodes"]["e"]["result"] is True


# the limit of changes


def times(world: World) -> list[float]:
    found: list[float] = world.store.recall(CHANGES, memory.key_of("web", world.info.owner)).get("times", [])
    return found


def test_changes_per_hour_end_the_work_until_the_hour_is_over(world: World) -> None:
    world.fleet.update(count=5, limits={"changes_per_hour": 2})
    done = world.apply(code=1)
    assert len(world.nodes()) == 2
    assert "changes_per_hour is 2" in done["problems"][0]
    world.apply(code=1)
    assert len(world.nodes()) == 2
    world.clock.sleep(3601)
    world.apply(code=1)
    assert len(world.nodes()) == 4


def test_changes_of_the_same_hour_add_up(world: World) -> None:
    world.fleet.update(count=2, limits={"changes_per_hour": 3})
    world.apply()
    world.fleet["count"] = 5
    for _ in range(2):
        world.clock.sleep(60)
        world.apply(code=1)
        assert len(world.nodes()) == 3


@pytest.mark.parametrize("fault", [raising(NoCapacity("no")), None])
def test_changes_count_also_if_they_failed_or_were_interrupted(world: World, fault: Fault | None) -> None:
    world.fleet.update(count=2, limits={"changes_per_hour": 2})
    world.on["create"] = fault or world.interrupt
    world.call("apply")
    world.on.clear()
    assert len(times(world)) == 2
    before = len(world.cloud.account)
    world.call("apply")
    assert len(world.cloud.account) == before


def test_changes_count_also_if_the_call_was_killed_in_them(world: World) -> None:
    class Killed(BaseException):
        """The end of the process."""

    def kill() -> None:
        raise Killed

    world.on["create"] = kill
    with pytest.raises(Killed):
        world.call("apply")
    assert len(times(world)) == 3


def test_if_a_change_cannot_be_counted_it_is_not_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Store.remember

    def remember(store: Store, bank: str, key: str, data: Any) -> None:
        if bank == CHANGES:
            raise EnvironmentFault("the record store cannot be written: full")
        real(store, bank, key, data)

    monkeypatch.setattr(Store, "remember", remember)
    assert world.apply(code=1)["problems"] == ["web: the record store cannot be written: full"]
    assert world.nodes() == []


def test_a_node_whose_instance_is_gone_does_not_count_as_a_change(world: World) -> None:
    world.start("a", "b", "c")
    world.break_down("c")
    del world.cloud.account["i-c"]
    world.apply()
    assert len(times(world)) == 1


def test_new_nodes_that_differ_at_once_are_no_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hart_salt.operations.drift.Drift.of", lambda self, record, instance: ("settings",))
    world.fleet["drift"] = "replace"
    world.start("a", "b", "c")
    done = world.apply(code=1)
    assert len(world.nodes()) == 3
    assert "would remove it again: it differs from the configuration" in done["problems"][0]
    assert world.did.count("+ here") <= 3, "each old node is replaced once at most"
