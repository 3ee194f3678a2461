"""The examples of the package, unchanged: what reactors and orchestrations do with hart."""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from saltfactories.manager import FactoriesManager

import hart_salt
from hart_salt.base.gate import Gate
from hart_salt.inventory.journal import FILE, Entry, Journal
from hart_salt.inventory.records import ROLES, SUFFIX
from tests.end_to_end import tools
from tests.end_to_end.conftest import Event, SaltMaster, running_master
from tests.end_to_end.runs import states_of, write_sls
from tests.former import former_of

EXAMPLES = Path(hart_salt.__file__).parent / "examples"
TIMEOUT = 200


@pytest.fixture(scope="module")
def _examples(factories: FactoriesManager) -> Iterator[SaltMaster]:
    """A master with all the examples, its file roots and its configuration."""
    config: dict[str, Any] = {}
    for file in (EXAMPLES / "master.d").glob("*.conf"):
        config |= yaml.safe_load(file.read_text())
    with running_master(factories, **config) as master:
        yield master


@pytest.fixture
def examples(_examples: SaltMaster) -> Iterator[SaltMaster]:
    shutil.copytree(EXAMPLES / "salt", _examples.root / "srv/salt", dirs_exist_ok=True)
    hart = copy.deepcopy(_examples.config["hart"])
    yield _examples
    _examples.config["hart"] = hart
    _examples.write()
    _examples.clear()
    shutil.rmtree(_examples.cachedir / ROLES, ignore_errors=True)


def send(master: SaltMaster, tag: str) -> None:
    assert master.run("event.send", tag).code == 0


def results(events: list[Event], function: str) -> list[dict[str, Any]]:
    """Return the results of the calls that reactors started, in the order in which they ended."""
    ended = [event.data for event in events if event.tag.startswith("hart/") and event.tag.endswith("/result")]
    return [data for data in ended if data["fun"] == function]


@contextlib.contextmanager
def heard(master: SaltMaster) -> Iterator[Callable[[str, int], list[dict[str, Any]]]]:
    """Yield a function that waits for a number of results of a function, and returns them."""
    began = time.time()

    def wait(function: str, number: int) -> list[dict[str, Any]]:
        def found() -> list[dict[str, Any]]:
            ours = results(master.events_since(began), function)
            return ours if len(ours) >= number else []

        return list(tools.until(found, f"{number} results of {function}", TIMEOUT))

    yield wait


def outcomes(master: SaltMaster) -> list[Entry]:
    """Return what is in the journal of the master."""
    return Journal(Path(master.config["log_file"]).parent / "hart" / FILE, Gate()).read()


def fleet(master: SaltMaster) -> list[str]:
    return list(master.run("hart.list_minions", "role=app").data)


def test_an_orchestration_creates_three_configures_and_registers_them(examples: SaltMaster) -> None:
    ran = examples.run("state.orchestrate", "orch.app")
    assert ran.code == 0, ran
    assert all(state["result"] for state in states_of(ran).values())
    registered = examples.run("mine.get", "roles:app", "network.ip_addrs", "tgt_type=grain").data
    assert len(registered) == 3
    assert sorted(registered) == sorted(fleet(examples))

    more = examples.run("state.orchestrate", "orch.resize", "pillar={count: 4}")
    assert more.code == 0, more
    (state,) = states_of(more).values()
    assert state["changes"]["nodes"] == {"old": 3, "new": 4}
    fewer = examples.run("state.orchestrate", "orch.resize", "pillar={count: 1}")
    assert (fewer.code, len(fleet(examples))) == (0, 1), fewer


def test_an_orchestration_declares_which_nodes_exist_and_changes_only_what_differs(examples: SaltMaster) -> None:
    assert examples.run("hart.create", "web0.example.com", "role=app").code == 0
    web = ["web1.example.com", "web2.example.com"]
    plan = states_of(examples.run("state.orchestrate", "orch.declared", "test=True"))
    assert [plan[name]["result"] for name in ("the web servers", "the former server")] == [None, None]
    assert list(plan["the web servers"]["changes"]["created"]) == web
    assert list(plan["the former server"]["changes"]["destroyed"]) == ["web0.example.com"]
    assert fleet(examples) == ["web0.example.com"]

    ran = examples.run("state.orchestrate", "orch.declared")
    assert ran.code == 0, ran
    states = states_of(ran)
    assert list(states["the web servers"]["changes"]["created"]) == fleet(examples) == web
    assert list(states["the former server"]["changes"]["destroyed"]) == ["web0.example.com"]
    assert "States ran successfully" in states["configure what is new"]["comment"]

    again = examples.run("state.orchestrate", "orch.declared")
    assert again.code == 0, again
    states = states_of(again)
    assert [(state["result"], state["changes"]) for state in states.values()] == [(True, {})] * 3
    assert "none of the onchanges reqs changed" in states["configure what is new"]["comment"]


def test_twenty_events_at_once_add_one_node_and_another_event_removes_one(examples: SaltMaster) -> None:
    with heard(examples) as wait:
        examples.run("hart.scale", "app", "count=2")
        _scaled(examples).unlink()
        event = "{salt.runner: [{name: event.send}, {tag: fleet/app/load/high}]}"
        write_sls(examples, "orch.storm", "\n".join(f"event {number}: {event}" for number in range(20)))
        assert examples.run("state.orchestrate", "orch.storm").code == 0
        ended = wait("hart.scale", 20)
        assert all(one["success"] for one in ended), ended
        assert sum(bool(one["return"]["changed"]) for one in ended) == 1
        notes = {note.split(";")[0] for one in ended for note in one["return"]["notes"]}
        assert notes <= {"another call is changing this fleet", "it was scaled less than 300 s ago"}
        assert len(fleet(examples)) == 3

        send(examples, "fleet/app/load/low")
        (rests,) = wait("hart.scale", 21)[20:]
        assert "less than 300 s ago" in rests["return"]["notes"][0]
        _scaled(examples).unlink()
        send(examples, "fleet/app/load/low")
        (fewer,) = wait("hart.scale", 22)[21:]
        assert (fewer["return"]["before"], fewer["return"]["after"]) == (3, 2)
        assert tools.job_result(examples, fewer["jid"]) == former_of(fewer["return"])
    more, less = (one for one in outcomes(examples) if one.by.startswith("reactor "))
    assert (more.action, more.by.split(" (")[0]) == ("create", "reactor one node of app more")
    assert (less.action, less.function) == ("destroy", "hart.scale")
    assert [one.by.split(", ")[-1] for one in (more, less)] == ["event fleet/app/load/high", "event fleet/app/load/low"]


def _scaled(master: SaltMaster) -> Path:
    """Remove the time of the last change, and with it the cooldown."""
    return master.cachedir / ROLES / f"app{SUFFIX}.p"


def test_a_failure_of_a_reactor_s_call_is_visible(examples: SaltMaster) -> None:
    write_sls(examples, "reactor.more", "broken: {runner.hart.scale: [{args: [{role: app}, {delta: one}]}]}\n")
    try:
        with heard(examples) as wait:
            send(examples, "fleet/app/load/high")
            (failed,) = wait("hart.scale", 1)
    finally:
        shutil.copytree(EXAMPLES / "salt", examples.root / "srv/salt", dirs_exist_ok=True)
    assert failed["success"] is False
    assert "delta must be a whole number" in failed["return"]["error"]
    log = Path(examples.config["log_file"]).read_text()
    line = next(line for line in log.splitlines() if f"a reactor called as job {failed['jid']}" in line)
    assert "[ERROR" in line
    assert "delta must be a whole number" in line


def test_a_reactor_s_worker_is_free_at_once_and_its_call_outlives_the_master(examples: SaltMaster) -> None:
    with tools.tried(examples) as trial:
        examples.hart["roles"] = {"app": {"role_naming_scheme": "held"}}
        examples.write()
        examples.stop()
        examples.start()
        trial.hold("launch", "held")
        with examples.events() as events:
            send(examples, "fleet/app/load/high")
            trial.wait("launch", "held")
        assert [event.data["return"]["job"] for event in events if _began(event)]
        assert examples.daemon is not None
        examples.daemon.terminate()
        examples.start()
        trial.go("launch", "held")
        tools.until(lambda: "held" in examples.keys()["minions"], "the node comes up under a new master", TIMEOUT)
        tools.until(lambda: not tools.left_elsewhere_but_up(examples, "held"), "its call has ended", TIMEOUT)
        assert examples.run("hart.destroy", "held").code == 0


def _began(event: Event) -> bool:
    data = event.data
    return data.get("fun") == "runner.hart.scale" and isinstance(data.get("return"), dict) and "job" in data["return"]


def test_the_master_s_start_sweeps_what_a_crash_left(examples: SaltMaster) -> None:
    with tools.tried(examples) as trial:
        trial.hold("launched", "killed")
        with tools.running(examples, "hart.create", "killed", "role=app") as run:
            trial.wait("launched", "killed")
            run.send_signal(signal.SIGKILL)
            run.wait(300)
        trial.go_everywhere()
        assert tools.left_of(examples, "killed")
        with heard(examples) as wait:
            examples.stop()
            examples.start()
            swept = wait("hart.sweep", 1)[0]
        assert swept["success"], swept
        assert "killed" in [one["name"] for one in swept["return"]["removed"]]
        assert tools.left_of(examples, "killed") == []


_ipset = shutil.which("ipset")
_no_sets = "kernel sets of addresses need root and the command ipset"


@pytest.mark.skipif(os.geteuid() != 0 or not _ipset, reason=_no_sets)
def test_a_firewall_is_opened_for_a_node_and_closed_after_it(examples: SaltMaster) -> None:
    with firewall(examples) as members:
        assert examples.run("hart.create", "seen", "role=app").code == 0
        tools.until(lambda: members() == ["127.0.0.1"], "the node is let through")
        assert examples.run("hart.destroy", "seen").code == 0
        tools.until(lambda: members() == [], "the node is let through no longer")


@contextlib.contextmanager
def firewall(master: SaltMaster) -> Iterator[Callable[[], list[str]]]:
    """Run a minion ``firewall`` that uses the kernel's ipset, in a separate network namespace."""
    namespace = f"ht{os.getpid()}"
    bin_dir = master.root / "firewall-bin"
    bin_dir.mkdir()
    wrapper = bin_dir / "ipset"
    wrapper.write_text(f'#!/bin/sh\nexec nsenter --net=/run/netns/{namespace} {_ipset} "$@"\n')
    wrapper.chmod(0o755)
    path = master.environment["PATH"]
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        subprocess.run([wrapper, "create", "nodes", "hash:ip"], check=True)
        master.environment["PATH"] = f"{bin_dir}:{path}"
        with tools.bare_minion(master, "firewall"):
            master.environment["PATH"] = path
            tools.let_in(master, "firewall")
            yield lambda: _members(wrapper)
    finally:
        master.environment["PATH"] = path
        subprocess.run(["ip", "netns", "delete", namespace], check=True)
        shutil.rmtree(bin_dir)


def _members(wrapper: Path) -> list[str]:
    shown = subprocess.run([wrapper, "list", "nodes"], capture_output=True, text=True, check=True)
    return shown.stdout.partition("Members:\n")[2].split()


def test_every_example_is_run_here() -> None:
    """An example that no test runs is not one."""
    files = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*") if path.suffix in (".sls", ".conf")}
    assert files == {
        "master.d/engine.conf", "master.d/hart.conf", "master.d/reactor.conf", "salt/top.sls", "salt/app.sls",
        "salt/drain.sls",
        "salt/orch/app.sls", "salt/orch/resize.sls", "salt/orch/declared.sls", "salt/orch/renew.sls",
        "salt/orch/open.sls", "salt/orch/close.sls",
        "salt/reactor/more.sls", "salt/reactor/fewer.sls", "salt/reactor/sweep.sls", "salt/reactor/open.sls",
        "salt/reactor/close.sls",
    }  # fmt: skip
