"""Which node ``hart.destroy`` finds for an id, with a record and without; what it refuses, it does not touch."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from hart_salt.base import descriptors
from hart_salt.base.errors import AuthError, Refused
from hart_salt.inventory.records import BANK, SUFFIX
from hart_salt.service import Service
from tests.functional.fakes import fails_with
from tests.functional.operations.world import ANOTHER_MASTER, CLOUD, World, finger, interruption, nodes
from tests.parts import master_opts

NOTHING = nodes()
TWO = ("cloud", "other")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, TWO)


@pytest.fixture
def service(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Return a real service of a master that does not run; its providers, keys and records are the world's."""
    made = Service(master_opts(tmp_path, hart={"providers": dict.fromkeys(TWO, {"driver": "local"})}))
    monkeypatch.setattr(made, "driver", world.drivers.__getitem__)
    made.context, made.master = world.context, world.context.master
    return made


def break_record(world: World, minion_id: str) -> None:
    world.cache.store(BANK, minion_id + SUFFIX, {"minion_id": minion_id})


def refusal(service: Service, *minion_ids: str) -> str:
    """Destroy nodes, which must be refused; return the error."""
    with pytest.raises(Refused) as caught:
        service.destroy(minion_ids)
    return str(caught.value)


def test_the_named_nodes_go_each_of_them_once(world: World, service: Service) -> None:
    for name in ("app", "db", "web"):
        world.start(name)
    report = service.destroy(["web", "app", "web"])
    assert (report.ok, list(report.data)) == (True, ["web", "app"])
    assert world.left() == nodes("db")


def test_a_node_whose_record_names_its_instance_goes_even_if_no_provider_can_list(
    world: World, service: Service
) -> None:
    world.start("web")
    world.faults |= {f"list {name}": fails_with(AuthError("lists are forbidden")) for name in TWO}
    assert service.destroy(["web"]).ok
    assert world.left() == NOTHING


def test_a_node_without_a_record_is_found_by_the_tags_of_its_instance(world: World, service: Service) -> None:
    world.start("db")
    world.start("web", "other")
    world.store.remove("web")
    report = service.destroy(["web"])
    assert report.data == {"web": {"result": True, "provider": "other", "instance_id": "i-web"}}
    assert world.left() == nodes("db")


@pytest.mark.parametrize(("unknown", "looks"), [("nobody", True), ("../web", False), ("*", False), ("", False)])
def test_one_unknown_id_keeps_all_of_them(world: World, service: Service, unknown: str, looks: bool) -> None:
    """An invalid id must not become part of a path or key: no record is looked up."""
    world.start("web")
    looked: list[str] = []
    world.faults[f"fetch {unknown}"] = lambda: looked.append(unknown)
    assert f"{unknown}: " in refusal(service, "web", unknown)
    assert bool(looked) is looks
    assert world.left() == nodes("web")


def test_an_id_with_only_a_key_is_no_node(world: World, service: Service) -> None:
    world.keys["desk"] = finger("desk")
    assert "salt-key -d desk" in refusal(service, "desk")
    assert world.left() == {**NOTHING, "keys": ["desk"]}


def test_an_instance_of_another_owner_is_no_node(world: World, service: Service) -> None:
    world.drivers[CLOUD].run("web", owner=ANOTHER_MASTER)
    assert "is not known" in refusal(service, "web")
    assert world.left() == {**NOTHING, "instances": ["i-web"]}


def test_of_two_instances_with_one_minion_id_and_no_record_none_is_terminated(world: World, service: Service) -> None:
    world.drivers[CLOUD].run("web")
    world.drivers["other"].run("web", "i-second")
    assert "is not known" in refusal(service, "web")
    assert world.left() == {**NOTHING, "instances": ["i-second", "i-web"]}


def test_a_provider_that_does_not_answer_is_named_if_it_may_have_the_node(world: World, service: Service) -> None:
    world.start("db")
    world.faults["list other"] = fails_with(AuthError("the token was revoked"))
    assert "other: the token was revoked" in refusal(service, "web", "db")
    assert world.left() == nodes("db")


@pytest.mark.parametrize("has_instance", [True, False])
def test_a_broken_record_goes_with_everything_of_its_node(world: World, service: Service, has_instance: bool) -> None:
    world.start("db")
    world.start("web", "other")
    if not has_instance:
        world.drivers["other"].account.clear()
    break_record(world, "web")
    assert service.destroy(["web"]).ok
    assert (world.left(), world.store.read().broken) == (nodes("db"), {})


def test_a_broken_record_stays_if_its_instance_cannot_be_looked_up(world: World, service: Service) -> None:
    world.start("web", "other")
    break_record(world, "web")
    world.faults["list other"] = fails_with(AuthError("the token was revoked"))
    assert "is broken" in refusal(service, "web")
    assert list(world.store.read().broken) == ["web"]
    assert world.left() == {**nodes("web"), "records": []}


def test_a_plan_changes_nothing(world: World, service: Service) -> None:
    world.start("web")
    world.start("lost")
    world.store.remove("lost")
    report = service.destroy(["web", "lost"], test=True)
    assert {name: entry["result"] for name, entry in report.data.items()} == {"web": None, "lost": None}
    assert world.left() == {**nodes("lost", "web"), "records": ["web"]}
    assert world.events == []


def test_a_failure_and_a_signal_set_the_exit_code(
    world: World, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [world.start(name).minion_id for name in ("db", "web")]
    world.faults["delete keys"] = fails_with(OSError(28, "disk full"))
    report = service.destroy(names)
    assert (report.ok, report.exit_code) == (False, 1)
    monkeypatch.setattr(descriptors, "places", lambda each: 1)
    world.faults["delete keys"] = interruption(monkeypatch)
    report = service.destroy(names)
    assert (report.ok, report.exit_code) == (False, 128 + signal.SIGTERM)
    assert world.left() == {**nodes("web"), "instances": []}
