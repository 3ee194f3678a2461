"""The engine in a real salt-master: fleets become what their declarations say, whatever is killed on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.utils.event
from saltfactories.manager import FactoriesManager

from hart_salt.fleets.engine_files import EngineFiles
from tests import scope
from tests.end_to_end.conftest import SaltMaster, running_master
from tests.end_to_end.tools import TIMEOUT, until
from tests.end_to_end.two_masters import HOT, two_masters


@pytest.fixture(scope="module")
def master(factories: FactoriesManager) -> Iterator[SaltMaster]:
    """A master with an engine, and nothing declared yet."""
    with running_master(factories, engines=[{"hart": {"interval": 60}}]) as found:
        yield found
        found.clear()


def engine_of(master: SaltMaster) -> int:
    """Return the process of the engine; 0 if it does not run."""
    files = EngineFiles(str(master.cachedir))
    return int(files.read().get("pid", 0)) if files.runs() else 0


def status(master: SaltMaster) -> dict[str, Any]:
    found: dict[str, Any] = master.run("hart.engine").document["engine"]
    return found


def looks(master: SaltMaster) -> int:
    """Return the number of looks that the engine has made since it was started."""
    return int(EngineFiles(str(master.cachedir)).read().get("looks", 0))


def wake(master: SaltMaster, number: int = 1) -> None:
    """Fire events as any minion can."""
    assert master.daemon is not None
    opts = master.daemon.config.copy()
    with salt.utils.event.get_event("master", opts=opts, sock_dir=opts["sock_dir"], listen=False) as bus:
        for _ in range(number):
            bus.fire_event({"notice": True}, "hart/interruption")


def job_file(master: SaltMaster) -> Path | None:
    """Return the file of a job of the engine, if there is one."""
    directory = master.cachedir / "hart/engine/jobs"
    return next(iter(directory.glob("[!.]*")), None) if directory.exists() else None


def test_a_declared_fleet_comes_although_the_engine_is_killed_in_the_middle(master: SaltMaster) -> None:
    """Nothing is restarted for a new declaration; an event makes the engine look before the minute is over."""
    until(lambda: looks(master), "the first look")
    master.hart["fleets"] = {"web": {"role": "app", "count": 2}}
    master.write()
    wake(master)
    until(lambda: job_file(master), "a job of the engine")
    killed = engine_of(master)
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(master.keys()["minions"]) == 2, "two nodes")
    until(lambda: engine_of(master) not in (0, killed) and looks(master), "a look of another engine")

    def steady() -> dict[str, Any] | None:
        wake(master)
        seen = status(master)
        return seen if seen["fleets"]["web"]["state"] == "steady" else None

    found = until(steady, "a steady fleet")
    assert (found["status"], found["leads"]) == ("working", True)
    entries = master.run("hart.history").document["history"]
    assert [one["by"] for one in entries if one["action"] == "create"] == ["engine"] * 2


def test_a_flood_of_forged_events_makes_few_looks(master: SaltMaster) -> None:
    before, early = looks(master), status(master).get("early_looks", 0)
    wake(master, 500)
    until(lambda: looks(master) > before, "an early look")
    assert looks(master) - before <= 2
    assert status(master).get("early_looks", 0) - early <= 2


def test_it_bakes_an_image_and_renews_the_nodes_onto_it(master: SaltMaster) -> None:
    """The role has no image yet, so the bake is due at once."""
    roots = master.root / "srv/salt"
    roots.mkdir(parents=True, exist_ok=True)
    (roots / "base.sls").write_text("ready: {test.succeed_with_changes: []}\n")
    master.hart["fleets"] = {"web": {"role": "app", "count": 1}}
    master.write()
    wake(master)
    (before,) = until(lambda: ready(master) if len(ready(master)) == 1 else None, "one node")
    master.hart["roles"] = {"app": {"image": "baked", "bake": ["base"]}}
    master.hart["fleets"] = {"web": {"role": "app", "count": 1, "drift": "replace", "bake_after": "7d"}}
    master.write()

    def renewed() -> list[str]:
        wake(master)
        nodes = [minion_id for one in images(master).values() for minion_id in one["nodes"]]
        return nodes if nodes and nodes == ready(master) else []

    (node,) = until(renewed, "a node of the image, and no other one", 2 * TIMEOUT)
    assert node != before
    (image,) = images(master).values()
    assert (image["role"], image["state"]) == ("app", "available")
    entries = master.run("hart.history").document["history"]
    made = [one for one in entries if one["action"] == "bake"]
    assert [(one["by"], one["details"].get("fleet")) for one in made] == [("engine", "web")]


def ready(master: SaltMaster) -> list[str]:
    """Return the ids of the nodes that are ready."""
    nodes = master.run("hart.list_minions", "ping=False").document["nodes"]
    return sorted(minion_id for minion_id, one in nodes.items() if one["status"] == "ready")


def images(master: SaltMaster) -> dict[str, dict[str, Any]]:
    """Return the baked images."""
    listed = master.run("hart.list_images").document["images"]
    return {name: one for name, one in listed.items() if one.get("baked")}


@pytest.mark.skipif(not scope.whole, reason="tests/functional/test_engine_masters.py has the same without masters")
def test_of_two_masters_one_leads_and_the_other_takes_over(
    factories: FactoriesManager, servers: Callable[[str], Any]
) -> None:
    space = servers("redis").space()
    fleets = {"web": {"role": "app", "count": 1}}
    hart = {"roles": {"app": {}}, "coordination": space.url, "fleets": fleets}
    more = {**space.settings, "hart": hart, "engines": [{"hart": {"interval": 5}}]}
    with two_masters(factories, HOT, **more) as pair:

        def leaders() -> list[SaltMaster]:
            return [master for master in pair if status(master).get("leads")]

        def are_steady() -> bool:
            seen = [status(master) for master in pair]
            return all(one["status"] == "working" and one["fleets"]["web"]["state"] == "steady" for one in seen)

        until(lambda: len(leaders()) == 1 and are_steady(), "a leader, and a steady fleet")
        (leader,) = leaders()
        assert len(pair.first.run("hart.list_minions", "ping=False").document["nodes"]) == 1
        assert {status(master)["leader"] for master in pair} == {status(leader)["leader"]}
        leader.stop()
        until(lambda: status(pair.other(leader)).get("leads"), "another leader")
