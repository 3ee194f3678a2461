"""Declared fleets: what an operator declares comes up, is repaired and rolled, whatever happens in between."""

from __future__ import annotations

import json
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from tests.end_to_end import tools
from tests.end_to_end.clouds import all_clouds
from tests.end_to_end.conftest import SaltMaster
from tests.end_to_end.light_cloud import light_cloud, missing
from tests.end_to_end.runs import states_of, write_sls
from tests.end_to_end.test_examples import EXAMPLES
from tests.end_to_end.test_fleet import fewest_ready, fleet

REPAIRED = {"role": "app", "count": 2, "repair_after": "10m"}


def declare(master: SaltMaster, role: dict[str, Any] | None = None, **settings: Any) -> None:
    master.hart.update(roles={"app": role or {}}, fleets={"web": {**REPAIRED, **settings}})
    master.write()


def run(master: SaltMaster, function: str, *arguments: str, code: int = 0) -> Any:
    ran = master.run(function, *arguments)
    assert ran.code == code, ran
    return json.loads(ran.stdout)


def plan(master: SaltMaster, code: int) -> list[tuple[str, str | None]]:
    """Return the actions of the plan, which must end with this exit code."""
    found = run(master, "hart.plan", code=code)["fleets"]["web"]
    return [(one["action"], one["minion_id"]) for one in (*found["actions"], *found["following"])]


def clean(master: SaltMaster, count: int) -> list[str]:
    """Return the nodes of the fleet, which must be ready and all that there is."""
    nodes = fleet(master)
    assert len(nodes) == count
    assert sorted(path.name for path in master.instances.glob("[!.]*")) == sorted(nodes)
    assert sorted(master.keys()["minions"]) == sorted(nodes)
    assert [path.name for path in master.cachedir.glob("hart/locks/*.batch")] == []
    return nodes


def test_a_fleet_comes_up_whatever_happens_and_is_repaired_and_rolled(master: SaltMaster) -> None:
    declare(master)
    assert plan(master, 3) == [("create", None)] * 2
    with master.to_be_killed("hart.apply") as killed:
        tools.until(lambda: killed.has_ended() or any(master.instances.glob("*")), "a node")
        killed.kill()
    with tools.running(master, "hart.apply") as one, tools.running(master, "hart.apply") as other:
        both = [tools.ended(one), tools.ended(other)]
    assert [ran.code for ran in both] == [0, 0], both
    assert sorted(len(json.loads(ran.stdout)["nodes"]) for ran in both) == [0, 2], "one of them has nothing to do"
    first, second = clean(master, 2)

    declare(master, {"minion_config": {"grains": {"release": 2}}}, drift="replace")
    run(master, "hart.hold", "web")
    held = run(master, "hart.apply", code=1)
    assert (held["nodes"], "held" in held["problems"][0]) == ({}, True)
    run(master, "hart.unhold", "web")
    for pid in tools.processes_of(master.instances / first):
        tools.kill_family(pid)
    with master.events() as events:
        done = run(master, "hart.apply")
    assert set(clean(master, 2)) & {first, second} == set()
    assert done["nodes"][first]["reason"] == "its instance is stopped"
    assert done["nodes"][second]["reason"] == "it differs from the configuration: settings"
    assert fewest_ready(events, [second]) == 1, "it goes when its new node is ready"
    assert plan(master, 0) == []
    swept = run(master, "hart.sweep", "grace=0")
    assert (swept["removed"], swept["kept"]) == ([], [])


def test_a_bake_and_an_apply_renew_the_nodes_of_a_fleet_one_by_one(master: SaltMaster) -> None:
    declare(master, {"image": "baked"}, drift="replace")
    run(master, "hart.apply")
    old = clean(master, 2)
    assert plan(master, 0) == [], "there is no image yet"
    image = run(master, "hart.bake", "app")["bakes"]["app"]["image"]
    assert plan(master, 3) == [("replace", name) for name in sorted(old)]
    with master.events() as events:
        done = run(master, "hart.apply")
    assert {done["nodes"][name]["reason"] for name in old} == {"it differs from the configuration: image"}
    assert fewest_ready(events, old) == 2, "the new node is ready before the old one goes"
    new = clean(master, 2)
    assert set(new) & set(old) == set()
    assert {done["nodes"][name]["image"] for name in new} == {image}
    declare(master, {"image": "baked"}, drift="replace", bake_after="7d")
    assert plan(master, 0) == [], "the image is new, and made of this configuration"


def test_a_fleet_whose_role_needs_a_baked_image_bakes_the_first_one(master: SaltMaster) -> None:
    write_sls(master, "base", "ready: {test.succeed_with_changes: []}\n")
    declare(master, {"image": "baked!", "bake": ["nosuch"]}, count=1, bake_after="7d")
    assert plan(master, 3) == []
    refused = run(master, "hart.apply", code=1)
    assert "there is no state nosuch" in refused["problems"][0]
    declare(master, {"image": "baked!", "bake": ["base"]}, count=1, bake_after="7d")
    assert plan(master, 3) == [("bake", None), ("create", None)]
    done = run(master, "hart.apply")
    (node,) = clean(master, 1)
    assert done["nodes"][node]["image"] == done["bakes"]["app"]["image"]
    assert plan(master, 0) == []
    entries = run(master, "hart.history")["history"]
    made = {one["action"]: one["details"] for one in entries if one["action"] in ("bake", "create")}
    assert {action: details.get("fleet") for action, details in made.items()} == {"bake": "web", "create": "web"}
    assert "has no baked image of the role app" in made["bake"]["reason"]


def test_an_orchestration_bakes_and_renews_the_nodes_of_a_fleet(master: SaltMaster) -> None:
    """It is one of the examples."""
    write_sls(master, "orch.renew", (EXAMPLES / "salt/orch/renew.sls").read_text())
    declare(master, {"image": "baked"}, count=1, drift="replace")
    run(master, "hart.apply")
    (old,) = clean(master, 1)
    ran = master.run("state.orchestrate", "orch.renew", "pillar={role: app, fleet: web}")
    assert ran.code == 0, ran
    states = states_of(ran)
    assert [(name, state["result"]) for name, state in states.items()] == [("a new image", True), ("its nodes", True)]
    (new,) = clean(master, 1)
    changes = states["its nodes"]["changes"]
    assert (list(changes["created"]), list(changes["destroyed"])) == ([new], [old])


@pytest.mark.skipif(bool(missing()), reason=missing() or "-")
def test_a_droplet_that_was_turned_off_is_replaced(factories: FactoriesManager) -> None:
    with light_cloud(factories, all_clouds()["do"]) as light:
        master = light.master
        web = {**REPAIRED, "provider": light.provider, "disruption": {"at_once": 2}}
        master.hart["fleets"] = {"web": web}
        master.write()
        run(master, "hart.apply")
        first, second = sorted(light.minion_ids())
        run(master, "hart.stop", first)
        run(master, "hart.apply")
        assert (len(light.minion_ids()), first in light.minion_ids(), second in light.minion_ids()) == (2, False, True)
        master.hart["fleets"] = {"web": {**web, "count": 0}}
        master.write()
        run(master, "hart.apply", "force=True")
        assert light.left() == {}
