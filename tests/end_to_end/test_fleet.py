"""Fleets: the number of a role's nodes, their replacement, and how they are drained before they go."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from typing import Any

import pytest

from tests.end_to_end import tools
from tests.end_to_end.conftest import Event, SaltMaster
from tests.end_to_end.runs import write_sls


def scale(master: SaltMaster, *arguments: str, code: int = 0) -> dict[str, Any]:
    ran = master.run("hart.scale", "app", *arguments)
    assert ran.code == code, ran
    data: dict[str, Any] = ran.data
    return data


def fleet(master: SaltMaster) -> list[str]:
    """Return the ids of the role's nodes, the oldest first."""
    listed = master.run("hart.list_minions", "role=app").data
    assert {entry["status"] for entry in listed.values()} <= {"ready"}, listed
    return sorted(listed, key=lambda minion_id: listed[minion_id]["created"])


def test_scale_reaches_the_number_and_changes_nothing_if_it_is_right(master: SaltMaster) -> None:
    up = scale(master, "count=3")
    assert (up["before"], up["after"], up["changed"], len(up["created"])) == (0, 3, True, 3)
    first = fleet(master)
    with master.events() as events:
        again = scale(master, "count=3")
    assert (again["before"], again["after"], again["changed"]) == (3, 3, False)
    assert tools.of(events, "hart/") == []
    planned = scale(master, "delta=-2", "min=2", "test=True")
    assert (planned["after"], list(planned["destroyed"])) == (2, [first[-1]])
    assert fleet(master) == first

    down = scale(master, "delta=-2")
    assert (down["after"], sorted(down["destroyed"])) == (1, sorted(first[1:])), "the newest go first"
    assert scale(master, "delta=+5", "max=2")["after"] == 2
    oldest, newest = fleet(master)
    assert scale(master, "count=1", "remove=oldest")["destroyed"].keys() == {oldest}
    refused = scale(master, "count=0", f"remove={oldest}", code=2)
    assert f"remove names {oldest}" in refused["error"]
    assert fleet(master) == [newest]
    assert scale(master, "count=0")["after"] == 0
    assert not any(master.left_over().values())


def test_the_plan_of_more_nodes_changes_nothing(master: SaltMaster) -> None:
    planned = scale(master, "count=2", "test=True")
    assert (planned["after"], [entry["action"] for entry in planned["created"].values()]) == (2, ["create"] * 2)
    assert not any(master.left_over().values())


def test_during_the_cooldown_after_a_change_nothing_is_changed(master: SaltMaster) -> None:
    assert scale(master, "delta=+1", "cooldown=300")["changed"]
    rests = scale(master, "delta=+1", "cooldown=300")
    assert (rests["changed"], "less than 300 s ago" in rests["note"]) == (False, True)
    assert len(fleet(master)) == 1
    assert scale(master, "delta=+1")["after"] == 2


def test_a_second_call_waits_for_the_first_and_then_changes_nothing(master: SaltMaster) -> None:
    with tools.tried(master) as trial:
        master.hart["roles"] = {"app": {"role_naming_scheme": "held"}}
        master.write()
        trial.hold("launch", "held")
        with (
            tools.running(master, "hart.scale", "app", "count=1") as first,
            tools.running(master, "hart.scale", "app", "count=1") as second,
        ):
            trial.wait("launch", "held")
            assert second.stderr is not None
            said = second.stderr.readline() if first.poll() is None else ""
            waiting = second if "waiting for it" in said else first
            trial.go("launch", "held")
            both = [tools.ended(first), tools.ended(second)]
        assert [ran.code for ran in both] == [0, 0], both
        assert sorted(ran.data["changed"] for ran in both) == [False, True]
        assert waiting is second or "waiting for it" in both[0].stderr
        assert master.run("hart.destroy", "held").code == 0


def test_nodes_are_drained_before_they_go_and_stay_if_that_fails(master: SaltMaster) -> None:
    master.hart["roles"] = {"app": {"drain": "farewell"}}
    master.write()
    write_sls(master, "farewell", f"{master.root}/drained-{{{{ grains.id }}}}: {{file.managed: [contents: yes]}}\n")
    scale(master, "count=2")
    stays, goes = fleet(master)
    assert scale(master, "count=1")["destroyed"].keys() == {goes}
    assert (master.root / f"drained-{goes}").exists()

    write_sls(master, "farewell", "no: {test.fail_without_changes: []}\n")
    kept = scale(master, "count=0", code=1)
    assert (kept["after"], kept["destroyed"]) == (1, {})
    assert "drain failed, so the node stays" in kept["kept"][stays]
    assert fleet(master) == [stays]

    master.hart["roles"] = {"app": {"drain": {"function": "test.sleep", "args": [60]}, "drain_timeout": 1}}
    master.write()
    slow = scale(master, "count=0", code=1)
    assert "did not finish within 1 s" in slow["kept"][stays]
    master.hart["roles"] = {"app": {"drain": {"function": "test.false"}}}
    master.write()
    assert "test.false failed" in scale(master, "count=0", code=1)["kept"][stays]
    assert scale(master, "count=0", "force=True")["after"] == 0
    assert not any(master.left_over().values())


def test_a_signal_during_a_drain_leaves_the_node(master: SaltMaster) -> None:
    scale(master, "count=1")
    (node,) = fleet(master)
    master.hart["roles"] = {"app": {"drain": {"function": "test.sleep", "args": [60]}}}
    master.write()
    with master.events() as events, tools.running(master, "hart.scale", "app", "count=0") as run:
        tools.until(lambda: _sleeps(master), "the minion is being drained")
        run.send_signal(signal.SIGTERM)
        ran = tools.ended(run)
    assert ran.code == 143, ran
    assert "interrupted by SIGTERM while nodes were drained" in ran.data["error"]
    assert fleet(master) == [node]
    assert tools.of(events, "hart/") == []


def _sleeps(master: SaltMaster) -> Any:
    return master.run("jobs.active").data


def test_a_fleet_is_replaced_with_new_nodes_first(master: SaltMaster) -> None:
    scale(master, "count=3")
    old = fleet(master)
    with master.events() as events:
        ran = master.run("hart.replace", "app", "batch=2")
    assert ran.code == 0, ran
    new = fleet(master)
    assert (len(new), set(new) & set(old)) == (3, set())
    assert (ran.data["before"], ran.data["after"], sorted(ran.data["destroyed"])) == (3, 3, sorted(old))
    assert fewest_ready(events, old) == 3


def fewest_ready(events: list[Event], there: list[str]) -> int:
    """Return the lowest number of nodes at any time."""
    now, fewest = set(there), len(there)
    for event in events:
        stage, minion_id = event.tag.rpartition("/")[2], event.data.get("minion_id", "")
        if event.tag.startswith("hart/"):
            now = now | {minion_id} if stage == "ready" else now - {minion_id} if stage == "destroying" else now
            fewest = min(fewest, len(now))
    return fewest


def test_a_replacement_stops_at_the_first_failure_with_a_complete_fleet(master: SaltMaster) -> None:
    scale(master, "count=2")
    old = fleet(master)
    script = master.root / "fails"
    script.write_text("#!/bin/sh\nexit 1\n")
    ran = master.run("hart.replace", "app", f"script={script}")
    assert ran.code == 1
    assert (ran.data["after"], ran.data["destroyed"]) == (2, {})
    assert fleet(master) == old
    planned = master.run("hart.replace", "app", "test=True")
    assert (planned.code, sorted(planned.data["destroyed"]), len(planned.data["created"])) == (0, sorted(old), 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("hart.scale",), "hart.scale needs a role"),
        (("hart.scale", "app"), "set count, the number of nodes, delta"),
        (("hart.scale", "app", "count=-1"), "count must be a whole number of at least 0"),
        (("hart.scale", "app", "count=two"), "count must be a whole number"),
        (("hart.scale", "app", "delta=1.5"), "delta must be a whole number"),
        (("hart.scale", "app", "count=1", "cooldown=-1"), "cooldown must be a number of seconds"),
        (("hart.scale", "app", "count=1", "force=maybe"), "force must be True or False"),
        (("hart.scale", "app", "count=1", "szie=x"), "szie"),
        (("hart.scale", "ap", "count=1"), "did you mean app?"),
        (("hart.scale", "app", "count=1", "provider=nowhere"), "there is no provider nowhere"),
        (("hart.replace", "app", "batch=0"), "batch must be a whole number of at least 1"),
        (("hart.sweep", "everything"), "unknown argument: everything"),
        (("hart.sweep", "grace=long"), "grace must be a number of seconds"),
        (("hart.show",), "hart.show needs an id"),
        (("hart.show", "nobody"), "nobody: is not known"),
    ],
)
def test_impossible_calls_are_refused(master: SaltMaster, arguments: tuple[str, ...], words: str) -> None:
    ran = master.run(*arguments)
    assert ran.code == 2, ran
    assert words in ran.data["error"]
    assert not any(master.left_over().values())


def test_show_has_everything_that_is_known_of_one_node(master: SaltMaster) -> None:
    scale(master, "count=1")
    (name,) = fleet(master)
    shown = master.run("hart.show", name).data
    assert (shown["status"], shown["stage"], shown["sealed"]) == ("ready", "ready", True)
    assert shown["sources"] == {"cloud": "running", "record": "ready", "key": "accepted", "present": True}
    assert {"launching", "bootstrapping", "enrolled"} <= set(shown["seconds"])
    assert shown["log"] == str(master.log_dir / f"{name}.log")
    assert shown["ssh_host_keys"][0].startswith("ssh-ed25519 ")


def test_on_a_terminal_the_nodes_are_a_table_and_elsewhere_data(master: SaltMaster) -> None:
    scale(master, "count=1")
    (name,) = fleet(master)
    shown = on_a_terminal(master, "hart.list_minions")
    heading, row = [line for line in shown.splitlines() if line.startswith(("MINION ", name))]
    assert heading.split()[:3] == ["MINION", "STATUS", "ROLE"]
    assert row.split()[:3] == [name, "ready", "app"]
    listed = json.loads(on_a_terminal(master, "hart.list_minions", "--out=json"))
    assert listed["nodes"][name]["status"] == "ready"
    with master.events() as events:
        refused = on_a_terminal(master, "hart.show", "nobody", code=2)
        assert refused.startswith("hart.show: nobody: is not known")
        assert on_a_terminal(master, "hart.list_roles").splitlines()[1].split() == ["app", "local"]
    ends = [event.data for event in events if event.tag.startswith("salt/run/") and event.tag.endswith("/ret")]
    assert [(end["fun"], end["success"]) for end in ends] == [
        ("runner.hart.show", False),
        ("runner.hart.list_roles", True),
    ]
    assert ends[1]["return"]["data"]["hart"]["document"]["roles"] == {"app": ["local"]}


def on_a_terminal(master: SaltMaster, *arguments: str, code: int = 0) -> str:
    """Return what a command writes to a terminal that is its standard output."""
    ours, theirs = pty.openpty()
    command = master.command(arguments[0], *arguments[1:], out=None)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL, env=master.environment
    )
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 65536):
            said += chunk
    except OSError:  # Linux reports in this way that nobody holds the other end any more
        pass
    finally:
        os.close(ours)
    assert process.wait(60) == code
    return tools.without_colours(said.decode())


def test_a_silent_minion_and_one_that_is_not_ours_have_different_states(master: SaltMaster) -> None:
    scale(master, "count=1")
    (name,) = fleet(master)
    with tools.bare_minion(master, "other"):
        tools.until(lambda: "other" in master.keys()["minions_pre"], "the other minion's key is pending")
        tools.salt_key(master, "-a", "other")
        listed = master.run("hart.list_minions").data
        assert (listed[name]["status"], listed["other"]["status"]) == ("ready", "not ours")
        assert list(master.run("hart.list_minions", "status=ready").data) == [name]
    tools.stop_minion(master, name)
    down = master.run("hart.list_minions", "role=app").data
    assert (down[name]["status"], down[name]["sources"]["present"]) == ("unreachable", False)
    tools.resume_minion(master, name)


def test_destroying_many_makes_the_master_rotate_its_key_once(master: SaltMaster) -> None:
    with tools.tried(master) as trial:
        scale(master, "count=5")
        before = len(trial.noted("rotations"))
        assert scale(master, "count=0")["after"] == 0
        assert len(trial.noted("rotations")) - before == 1


def test_the_fleet_of_another_provider_does_not_count_if_one_is_named(master: SaltMaster) -> None:
    master.hart.update(providers={"local": {}, "second": {"driver": "local"}})
    master.write()
    assert scale(master, "count=1", "provider=local")["after"] == 1
    assert scale(master, "count=1", "provider=second")["before"] == 0
    assert scale(master, "count=2")["changed"] is False
    unclear = scale(master, "count=3", code=2)
    assert "several providers are possible" in unclear["error"]
    assert scale(master, "count=0")["after"] == 0
