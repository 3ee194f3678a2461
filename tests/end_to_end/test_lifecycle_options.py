"""``script``, ``apply``, ``minion_config``, ``tags`` and grains, on real minions."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import hart_salt
from tests.end_to_end import tools
from tests.end_to_end.conftest import Ran, SaltMaster

GOOD, BAD_SCRIPT, BAD_STATE = IDS = ("good.example", "badscript.example", "badstate.example")
SCRIPT = """#!/bin/sh
echo "the script sees $(ls "$HART_ROOT/etc/salt/pki/minion" | tr '\\n' ' ')"
case "$HART_ROOT" in */badscript.example) echo "the script gives up" >&2; exit 4 ;; esac
"""
#: a file on each node; and a state that fails on one of them
STATES = {
    "site": "{{ opts.cachedir }}/site:\n  file.managed:\n    - contents: by state\n",
    "picky": "picky:\n  test.configurable_test_state:\n    - result: {{ grains.id != 'badstate.example' }}\n",
    "top": "base:\n  roles:app:\n    - match: grain\n    - site\n    - picky\n",
}
MINION_CONFIG = {
    "grains": {"team": {"name": "blue"}, "hart.size": "mine"},
    "schedule": {"nothing": {"function": "test.ping", "days": 30}},
    "log_fmt_console": "%(message)s",
    "master_tries": 7,
}


@dataclass
class Made:
    """Three nodes of one call, and what one minion says of itself."""

    done: Ran
    left: dict[str, list[str]]
    logs: dict[str, str]
    kept_script: tuple[str, int]
    state_files: dict[str, bool]
    says: dict[str, Any]
    listed: dict[str, Any]


@pytest.fixture(scope="module")
def made(_session_master: SaltMaster) -> Made:
    """Make one call with all options; the nodes are gone when the tests run."""
    master = _session_master
    with tools.restored(master):
        return _make(master)


def _make(master: SaltMaster) -> Made:
    _write_states(master)
    script = master.root / "srv/first"
    script.write_text(SCRIPT)
    master.hart["minion_config"] = {"grains": {"team": {"floor": 2}}, "master_tries": 6}
    master.hart["roles"]["app"] = {
        "script": str(script), "apply": ["site", "picky"], "minion_config": MINION_CONFIG, "tags": ["one", "two"],
    }  # fmt: skip
    master.write()
    done = master.run("hart.create", ",".join(IDS), "role=app")
    kept = master.instances / GOOD / "root/hart-init"
    minions = master.instances.glob("*")
    return Made(
        done=done,
        left=tools.left_of_each(master, IDS),
        logs={minion_id: tools.log_of(master, minion_id) for minion_id in IDS},
        kept_script=(kept.read_text(), kept.stat().st_mode & 0o777),
        state_files={path.name: (path / "var/cache/salt/minion/site").exists() for path in minions},
        says={
            "info": master.salt(GOOD, "hart.info").data,
            "grains": master.salt(GOOD, "grains.items").data[GOOD],
            "schedule": master.salt(GOOD, "config.get", "schedule").data[GOOD],
            "master_tries": master.salt(GOOD, "config.get", "master_tries").data[GOOD],
            "by role": master.salt("-G", "roles:app", "test.ping").data,
        },
        listed=master.run("hart.list_minions").data,
    )


def _write_states(master: SaltMaster) -> None:
    for name, text in STATES.items():
        (master.root / f"srv/salt/{name}.sls").write_text(text)


def test_the_script_runs_once_the_node_is_a_minion_and_stays_there(made: Made) -> None:
    assert made.kept_script == (SCRIPT, 0o700)
    # salt-minion writes only its keys there; the master's key was there, and the node had answered a ping.
    assert "the script sees minion.pem minion.pub minion_master.pub" in made.logs[GOOD]
    order = [made.logs[GOOD].index(word) for word in ("== enrolled", "the script sees", "== ready")]
    assert order == sorted(order)


def test_a_failing_script_fails_its_node_with_its_output_in_the_log_and_leaves_nothing(made: Made) -> None:
    entry = made.done.data[BAD_SCRIPT]
    assert entry["result"] is False
    assert "ended with exit code 4" in entry["error"]
    assert "the script gives up" in entry["output"]
    assert "the script gives up" in made.logs[BAD_SCRIPT]
    assert made.left[BAD_SCRIPT] == []
    assert made.done.code == 1


def test_states_are_applied_once_the_minion_is_ready(made: Made) -> None:
    assert made.done.data[GOOD]["result"] is True
    assert made.state_files == {GOOD: True, BAD_STATE: True}


def test_a_failing_state_is_reported_and_keeps_its_node_as_a_ready_minion(made: Made) -> None:
    entry = made.done.data[BAD_STATE]
    assert entry["result"] is False
    assert "was kept" in entry["error"]
    assert "picky" in entry["error"]
    assert "picky" in made.logs[BAD_STATE]
    assert made.listed[BAD_STATE]["status"] == "ready"
    assert made.says["by role"] == {GOOD: True, BAD_STATE: True}


def test_minion_config_is_merged_at_every_depth_on_the_minion(made: Made) -> None:
    grains = made.says["grains"]
    assert grains["team"] == {"name": "blue", "floor": 2}
    assert made.says["schedule"]["nothing"]["function"] == "test.ping"
    assert made.says["master_tries"] == 7


def test_the_minion_knows_its_role_provider_region_and_size_unless_the_user_sets_them(made: Made) -> None:
    grains = made.says["grains"]
    assert {name: grains[name] for name in ("roles", "hart.provider", "hart.region", "hart.size")} == {
        "roles": ["app"], "hart.provider": "local", "hart.region": "local", "hart.size": "mine",
    }  # fmt: skip


def test_the_execution_module_says_how_the_minion_was_created(made: Made) -> None:
    reported = made.says["info"][GOOD]
    age = datetime.now(timezone.utc) - datetime.fromisoformat(reported.pop("created"))
    assert timedelta(0) <= age < timedelta(hours=1)
    assert reported == {
        "roles": ["app"], "provider": "local", "region": "local", "zone": None, "size": "mine",
        "version": hart_salt.__version__,
    }  # fmt: skip


def test_the_highstate_is_applied_and_a_failing_one_is_reported(master: SaltMaster) -> None:
    _write_states(master)
    done = master.run("hart.create", f"{GOOD},{BAD_STATE}", "role=app", "apply=highstate")
    files = [(master.instances / minion_id / "var/cache/salt/minion/site").exists() for minion_id in (GOOD, BAD_STATE)]
    assert done.code == 1
    assert (done.data[GOOD]["result"], done.data[BAD_STATE]["result"]) == (True, False)
    assert files == [True, True]


def test_states_that_cannot_be_rendered_are_reported_and_keep_the_node(master: SaltMaster) -> None:
    refused = master.run("hart.create", "a", "role=app", "apply=hightstate")
    assert (refused.code, master.left_over()["records"]) == (2, [])
    assert "apply: there is no state hightstate, did you mean highstate?" in refused.data["error"]
    (master.root / "srv/salt/broken.sls").write_text("{{ nowhere.at_all }}\n")
    done = master.run("hart.create", "a", "role=app", "apply=broken")
    assert done.code == 1
    assert "nowhere" in done.data["a"]["error"]
    assert master.salt("a", "test.ping").data == {"a": True}


def test_a_node_with_tags_is_created_and_its_settings_are_shown(master: SaltMaster) -> None:
    assert master.run("hart.create", "a", "role=app", "tags=x,y").data["a"]["result"] is True
    assert master.run("hart.show_role", "app", "tags=x,y").data["tags"] == ["x", "y"]


#: a state run that goes on until the test has made a file, and then writes its name; and one that only writes its name
SLOW = """slow:
  cmd.run:
    - name: >-
        for second in $(seq 300); do [ ! -e {released} ] || break; sleep 1; done; rm {released}; echo slow >> {order}
"""
QUICK = "quick:\n  cmd.run:\n    - name: echo quick >> {order}\n"


@pytest.mark.parametrize("drain", [["quick"], {"function": "state.sls", "args": ["quick"]}])
def test_apply_and_drain_wait_for_a_state_run_that_is_under_way(master: SaltMaster, drain: Any) -> None:
    order, released = master.root / "order", master.root / "released"
    order.unlink(missing_ok=True)
    for name, text in {"slow": SLOW, "quick": QUICK}.items():
        (master.root / f"srv/salt/{name}.sls").write_text(text.format(order=order, released=released))
    startup = {"startup_states": "sls", "sls_list": ["slow"]}
    master.hart["roles"]["app"] = {"apply": ["quick"], "minion_config": startup, "drain": drain}
    master.write()
    running = master.instances / "a/var/cache/salt/minion/proc"

    def refused() -> int:
        """Count the jobs that the minion has refused because of another."""
        returns = (master.root / "var/cache/salt/master/jobs").glob("*/*/a/return.p")
        return sum(b"is running as PID" in file.read_bytes() for file in returns)

    def behind_it(*command: str) -> tuple[Ran, list[str]]:
        before = refused()
        with tools.running(master, *command) as run:
            tools.until(lambda: refused() > before, "a job that is refused because of the slow states")
            assert not order.exists()
            released.touch()
            done = tools.ended(run)
        return done, order.read_text().split() if order.exists() else []

    created, ran = behind_it("hart.create", "a", "role=app")
    assert (created.code, ran) == (0, ["slow", "quick"]), created
    order.unlink()
    command = [str(master.bin / "salt"), "-c", str(master.root / "etc"), "--async", "a", "state.apply", "slow"]
    subprocess.run(command, env=master.environment, check=True, capture_output=True, timeout=300)
    tools.until(lambda: list(running.iterdir()), "the slow states")
    scaled, ran = behind_it("hart.scale", "app", "count=0")
    assert (scaled.code, ran) == (0, ["slow", "quick"]), scaled
