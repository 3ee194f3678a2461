"""However hart fails, it is visible: in the exit code, in the result, in orchestrations and on the event bus."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.end_to_end.conftest import Event, Ran, SaltMaster, running_master
from tests.end_to_end.runs import install_driver, returns, side_by_side, states_of, write_sls
from tests.end_to_end.tools import SIGNALS, ended, running, until

#: a driver with a defect in the first call, or later in a node's life
BROKEN = """
    import dataclasses
    from hart_salt.drivers.local.driver import SCHEMA, Local

    class DRIVER(Local):
        schema = dataclasses.replace(SCHEMA, driver="broken")

        def regions(self):
            if self.provider.name == "early":
                raise KeyError("a planned defect")
            return super().regions()

        def root(self, instance):
            if instance.minion_id == "unlucky":
                raise KeyError("a planned defect")
            return super().root(instance)
"""

HART = {
    "providers": {"local": {}, "early": {"driver": "broken"}, "late": {"driver": "broken"}},
    "saltmaster": "127.0.0.1",
    "provider": "local",
    "roles": {
        "app": {},
        # its minion calls a port without a listener
        "silent": {"minion_config": {"master_port": 9}, "ready_timeout": 2},
        "scripted": {},
    },
}


@dataclass(frozen=True)
class Failure:
    """A call that fails, and what must be reported about it."""

    name: str
    function: str
    code: int
    says: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    #: the node whose entry has the error; None: the call as a whole was refused
    node: str | None = None

    def words(self) -> list[str]:
        """Return the call as on a command line."""
        given = [*self.args, *(f"{key}={json.dumps(value)}" for key, value in self.kwargs.items())]
        return [self.function, *map(str, given)]

    def state(self, *more: str) -> str:
        """Return the call as a state of an orchestration, where arguments have names only."""
        lines = [f"{self.name}:", "  salt.runner:", f"    - name: hart.{self.function}", *more]
        given = {**({"arg": self.args} if self.args else {}), **self.kwargs}
        return "\n".join([*lines, *(f"    - {key}: {json.dumps(value)}" for key, value in given.items())])


MISTAKE, NODE, DEFECT = 2, 1, 70
APP = {"role": "app"}
FAILURES = [
    Failure("mistake", "create_role", MISTAKE, "there is no role ap, did you mean app?", kwargs={"role": "ap"}),
    Failure("defect", "create", DEFECT, "a defect in hart: KeyError", kwargs={"minion_id": "e", "provider": "early"}),
    Failure(
        "defect_in_life", "create", NODE, "a defect in hart: KeyError", node="unlucky",
        kwargs={"minion_id": "unlucky", "provider": "late"},
    ),
    Failure(
        "bootstrap", "create", NODE, "ended with exit code 3", node="s",
        kwargs={"minion_id": "s", "role": "scripted"},
    ),
    Failure(
        "no_answer", "create", NODE, "did not reach this master", node="n",
        kwargs={"minion_id": "n", "role": "silent"},
    ),
    Failure(
        "one_of_several", "create", NODE, "a defect in hart: KeyError", node="unlucky",
        kwargs={"minion_id": "lucky,unlucky", "provider": "late", "role": "app"},
    ),
]  # fmt: skip

#: Python would raise a TypeError for this, which Salt would call a success
WRONG_CALLS = [
    Failure("create_without_id", "create", MISTAKE, "needs an id"),
    Failure("create_role_without_role", "create_role", MISTAKE, "needs a role"),
    Failure("two_ids_apart", "show", MISTAKE, "write everything else as name=value: y", args=["x", "y"]),
    Failure("too_many", "check", MISTAKE, "unknown argument: verbose", args=["verbose"]),
    Failure("unknown_keyword", "destroy", MISTAKE, "unknown argument: force", kwargs={"minion_id": "x", "force": True}),
    Failure("unknown_setting", "create_role", MISTAKE, "argument:sise: unknown", kwargs={**APP, "sise": "shared"}),
    Failure("count_zero", "create_role", MISTAKE, "count must be a whole number", kwargs={**APP, "count": 0}),
    Failure("test_word", "create_role", MISTAKE, "test must be True or False", kwargs={**APP, "test": "maybe"}),
    Failure("config_list", "check", MISTAKE, "config must be the path", kwargs={"config": ["a.toml"]}),
    Failure("config_nowhere", "check", MISTAKE, "there is no such file", kwargs={"config": "/nowhere/hart.toml"}),
    Failure("region_list", "create_role", MISTAKE, "region", kwargs={**APP, "region": ["a"]}),
    Failure("provider_mapping", "create_role", MISTAKE, "provider", kwargs={**APP, "provider": {"a": 1}}),
    Failure("ids_mapping", "destroy", MISTAKE, "needs an id", kwargs={"minion_id": {"a": 1}}),
    Failure("role_list", "show_role", MISTAKE, "needs a role", kwargs={"role": ["app"]}),
]


@pytest.fixture(scope="module")
def faulty(factories: Any) -> Iterator[SaltMaster]:
    """A master with what makes nodes fail: a script, a silent role, a driver with defects."""
    with running_master(factories, hart=HART) as master:
        site = master.root / "site"
        install_driver(site, "broken", BROKEN)
        there = master.environment.get("PYTHONPATH")
        master.environment["PYTHONPATH"] = f"{site}:{there}" if there else str(site)
        (master.root / "fails.sh").write_text("#!/bin/sh\necho the last words\nexit 3\n")
        master.hart["roles"]["scripted"]["script"] = str(master.root / "fails.sh")
        master.write()
        yield master


@dataclass
class Seen:
    """Return the outcomes of all failures, each from its own ``salt-run``."""

    runs: dict[str, Ran]
    events: list[Event]
    left: dict[str, Any]


@pytest.fixture(scope="module")
def seen(faulty: SaltMaster) -> Seen:
    every = [*FAILURES, *WRONG_CALLS]
    with faulty.events() as events:
        runs = side_by_side(faulty, [(f"hart.{words[0]}", *words[1:]) for words in (one.words() for one in every)])
    left = faulty.left_over()
    faulty.run("hart.destroy", "lucky")
    return Seen(dict(zip((one.name for one in every), runs, strict=True)), events, left)


def check_no_traceback(ran: Ran) -> None:
    for text in (ran.stdout, ran.stderr):
        assert not re.search(r'Traceback|File "', text), text


@pytest.mark.parametrize("failure", [*FAILURES, *WRONG_CALLS], ids=lambda failure: failure.name)
def test_a_failure_has_an_exit_code_and_one_message(seen: Seen, failure: Failure) -> None:
    ran = seen.runs[failure.name]
    assert ran.code == failure.code, ran
    entry = ran.data[failure.node] if failure.node else ran.data
    assert failure.says in entry["error"]
    assert ran.data["retcode"] == failure.code
    assert "\n" not in entry["error"]
    check_no_traceback(ran)


def test_a_failure_is_on_the_event_bus_and_a_success_is_not(seen: Seen, faulty: SaltMaster) -> None:
    for failure in [*FAILURES, *WRONG_CALLS]:
        ours = [data["success"] for data in returns(seen.events, f"hart.{failure.function}") if _is(data, failure)]
        assert ours == [False], failure
    with faulty.events() as events:
        assert faulty.run("hart.list_roles").code == 0
    assert [data["success"] for data in returns(events, "hart.list_roles")] == [True]


def _is(data: dict[str, Any], failure: Failure) -> bool:
    given = [arg for arg in data["fun_args"] if not isinstance(arg, dict)]
    named = [arg for arg in data["fun_args"] if isinstance(arg, dict)]
    keywords = {key: value for one in named for key, value in one.items() if not key.startswith("__")}
    return given == failure.args and keywords == failure.kwargs


def test_the_failure_of_one_node_leaves_no_trace_and_does_not_affect_the_others(seen: Seen) -> None:
    ran = seen.runs["one_of_several"]
    assert ran.data["lucky"]["result"] is True
    assert ran.data["unlucky"]["result"] is False
    assert seen.left["keys"] == ["lucky"]
    assert seen.left["instances"] == ["late/lucky"]
    assert len(seen.left["records"]) == 1
    assert seen.left["locks"] == []


def test_a_failed_node_shows_the_end_of_its_output_and_names_its_log(seen: Seen, faulty: SaltMaster) -> None:
    entry = seen.runs["bootstrap"].data["s"]
    assert "the last words" in entry["output"]
    assert entry["log"] == str(faulty.log_dir / "s.log")
    assert "the last words" in (faulty.log_dir / "s.log").read_text()


def test_the_log_has_the_place_of_a_defect_and_the_caller_gets_only_its_type(seen: Seen, faulty: SaltMaster) -> None:
    assert "planned" not in seen.runs["defect"].stdout + seen.runs["defect"].stderr
    place = r"hart failed with KeyError at \S+/hart_broken.py:\d+ in regions, "
    assert re.search(place, (faulty.root / "log/master").read_text())


def test_every_failure_fails_its_state_and_the_orchestration_and_leaks_nothing(faulty: SaltMaster) -> None:
    every = [failure for failure in [*FAILURES, *WRONG_CALLS] if not failure.args]
    success = "{0}_then:\n  salt.runner:\n    - name: {1}".format
    states = [failure.state() for failure in every]
    states[len(FAILURES) : len(FAILURES)] = [success("hart", "hart.version")]
    states += [success("again", "hart.version"), success("other", "test.arg")]
    write_sls(faulty, "orch.fails", "\n".join(states))
    with faulty.events() as events:
        ran = faulty.run("state.orchestrate", "orch.fails")
    faulty.run("hart.destroy", "lucky")

    results = {name: state["result"] for name, state in states_of(ran).items()}
    assert results == {
        **{failure.name: False for failure in every},
        **dict.fromkeys(["hart_then", "again_then", "other_then"], True),
    }
    assert ran.code != 0
    assert [data["success"] for data in returns(events, "state.orchestrate")] == [False]
    check_no_traceback(ran)


def test_an_orchestration_of_successes_succeeds(faulty: SaltMaster) -> None:
    write_sls(faulty, "orch.succeeds", "roles:\n  salt.runner:\n    - name: hart.list_roles")
    with faulty.events() as events:
        ran = faulty.run("state.orchestrate", "orch.succeeds")
    assert ran.code == 0
    assert states_of(ran)["roles"]["result"] is True
    assert [data["success"] for data in returns(events, "state.orchestrate")] == [True]


def test_each_signal_ends_the_run_with_its_own_code_and_undoes_nodes_in_progress(faulty: SaltMaster) -> None:
    with faulty.events() as events, contextlib.ExitStack() as stack:
        runs = {}
        for signum in SIGNALS:
            minion_id = signal.Signals(signum).name
            runs[signum] = stack.enter_context(running(faulty, "hart.create", minion_id, "role=silent"))
        for signum, process in runs.items():
            config = faulty.instances / signal.Signals(signum).name / "etc/salt/minion.d/zzz-hart.conf"
            until(config.exists, "the minion is being started")
            process.send_signal(signum)
        results = {signum: ended(process) for signum, process in runs.items()}
    for signum, ran in results.items():
        name = signal.Signals(signum).name
        assert ran.code == 128 + signum, ran
        assert ran.data[name]["error"] == f"interrupted by {name}; the node was rolled back"
        check_no_traceback(ran)
    assert [data["success"] for data in returns(events, "hart.create")] == [False] * len(SIGNALS)
    assert not any(faulty.left_over().values())


def test_a_signal_fails_the_orchestration_that_it_interrupts(faulty: SaltMaster) -> None:
    write_sls(faulty, "orch.long", FAILURES[4].state("    - ready_timeout: 60"))
    with running(faulty, "state.orchestrate", "orch.long") as process:
        until((faulty.instances / "n/etc/salt/minion.d/zzz-hart.conf").exists, "the minion is being started")
        process.send_signal(signal.SIGTERM)
        ran = ended(process)
    assert ran.code != 0
    assert states_of(ran)["no_answer"]["result"] is False
    check_no_traceback(ran)
    assert not any(faulty.left_over().values())


def test_a_result_for_people_has_the_message_and_no_traceback(master: SaltMaster) -> None:
    ran = master.run("hart.create_role", "ap", out=None)
    assert ran.code == MISTAKE
    assert "there is no role ap" in ran.stdout
    check_no_traceback(ran)


def test_a_driver_package_that_cannot_be_loaded_is_named(master: SaltMaster) -> None:
    site = master.root / "site"
    install_driver(site, "rotten", "import there_is_no_such_package")
    before = master.environment.get("PYTHONPATH")
    try:
        master.environment["PYTHONPATH"] = f"{site}:{before}" if before else str(site)
        ran = master.run("hart.list_roles")
    finally:
        del master.environment["PYTHONPATH"]
        master.environment.update({"PYTHONPATH": before} if before else {})
    assert ran.code == MISTAKE
    assert "rotten" in ran.data["error"]
