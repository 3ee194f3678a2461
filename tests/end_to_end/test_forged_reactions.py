"""The reactors of the examples and of the documentation, with the events of a hostile minion."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import salt.config
import yaml
from saltfactories.manager import FactoriesManager

from hart_salt.inventory.records import Record, Store
from hart_salt.master.client import Master
from tests.emulation.light import make_minion_key
from tests.end_to_end import forging, tools
from tests.end_to_end.conftest import Event, SaltMaster, running_master
from tests.end_to_end.forging import Forger
from tests.end_to_end.test_examples import EXAMPLES
from tests.former import former_of

REACTORS = (Path(__file__).resolve().parents[2] / "docs/reactors.md").read_text()
#: what nobody should write, and what must still grant nothing: all arguments from the event
ALL_FROM_THE_EVENT = """
all of it:
  runner.hart.scale:
    - args:
{%- for name, value in data['args'].items() %}
      - {{ {name: value} | tojson }}
{%- endfor %}
"""
#: an orchestration that a reactor starts, whose next states need the outcome
WAITS = {
    "reactor/waits.sls": "waits: {runner.state.orchestrate: [{args: [{mods: orch.waits}]}]}",
    "orch/waits.sls": "plan: {salt.runner: [{name: hart.scale}, {role: app}, {count: 1}, {test: true}]}",
}
NODE, ADDRESS, ELSEWHERE = "web", "203.0.113.7", "203.0.113.66"
TIMEOUT = 200


@dataclass(frozen=True)
class Scene:
    master: SaltMaster
    mallory: Forger

    @property
    def canary(self) -> Path:
        """Return the files that exist if a part of an event was executed."""
        return self.master.root / "canary"

    def ended(self, function: str, since: float) -> list[Any]:
        """Return the outcomes of the runner calls of reactors since then."""
        calls = [event for event in self.calls(since) if event.tag.endswith("/ret")]
        return [former_of(event.data["return"]) for event in calls if event.data["fun"] == f"runner.{function}"]

    def calls(self, since: float) -> list[Event]:
        """Return the events of the begin and the end of the calls of reactors since then."""
        seen = [one for one in self.master.events_since(since) if re.fullmatch("salt/run/[0-9]+/(new|ret)", one.tag)]
        # The jobs of the calls have such events too, of another user.
        return [event for event in seen if event.data["user"] == "Reactor"]

    def after(self, function: str, events: list[tuple[str, dict[str, Any]]]) -> list[Any]:
        """Fire the events, and return the outcomes of the calls when there are as many."""
        since = time.time()
        for tag, data in events:
            self.mallory.fire(tag, data)
        enough: Callable[[], Any] = lambda: len(self.ended(function, since)) >= len(events)  # noqa: E731
        tools.until(enough, f"{len(events)} calls of {function}", TIMEOUT)
        return self.ended(function, since)

    def asked(self, minion_id: str, since: float) -> list[tuple[str, Any]]:
        """Return the jobs for a minion with their keywords, without Salt's own question whether one still runs."""
        jobs = [job for job in forging.jobs_for(self.master, minion_id, since) if job["fun"] != "saltutil.find_job"]
        return [(job["fun"], next((one for one in job["arg"] if isinstance(one, dict)), None)) for job in jobs]


def _of_the_documentation(file: str) -> str:
    (text,) = map(str, re.findall(rf"^`{file}`:\n\n```\w+\n(.*?)^```$", REACTORS, re.MULTILINE | re.DOTALL))
    return text


@pytest.fixture(scope="module")
def scene(factories: FactoriesManager) -> Iterator[Scene]:
    config: dict[str, Any] = {}
    for file in (EXAMPLES / "master.d").glob("*.conf"):
        config |= yaml.safe_load(file.read_text())
    more = {
        "hart/*/ready": ["salt://reactor/ready.sls"], "all/from/the/event": ["salt://reactor/all.sls"],
        "waits": ["salt://reactor/waits.sls"],
    }  # fmt: skip
    config["reactor"] += [{tag: files} for tag, files in more.items()]
    config.pop("schedule")
    # There is no firewall. One reaction after the other waits for its answer.
    config |= {"timeout": 1, "gather_job_timeout": 1}

    def prepare(master: SaltMaster) -> None:
        roots = master.root / "srv/salt"
        shutil.copytree(EXAMPLES / "salt", roots, dirs_exist_ok=True)
        for name in ("reactor/ready.sls", "orch/ready.sls"):
            (roots / name).write_text(_of_the_documentation(name))
        (roots / "reactor/all.sls").write_text(ALL_FROM_THE_EVENT)
        for name, text in WAITS.items():
            (roots / name).write_text(text)

    with running_master(factories, prepare, **config) as master, forging.taken_over(master) as mallory:
        opts = salt.config.master_config(str(master.root / "etc/master"))
        ours = Master(opts)
        for minion_id in ("firewall", NODE):
            ours.keys.accept(minion_id, make_minion_key())
        record = Record(
            minion_id=NODE, provider="local", driver="local", region="local", size="shared", stage="running",
            owner="", batch="", created=time.time(), public_ip=ADDRESS,
        )  # fmt: skip
        Store(ours.cache()).put(record)
        yield Scene(master, mallory)


def hostile(canary: Path) -> list[Any]:
    """Return values for any field of an event: line ends, jinja, quotes, globs, and values that are not text."""
    command = f"touch {canary}"
    run = f"runner.salt.cmd:\n    - args:\n      - fun: cmd.run\n      - cmd: '{command}'\n      - python_shell: true"
    return [
        f"'victim'\nowned on the master:\n  {run}\nx:\n  local.test.ping:\n    - tgt: mallory",
        f"x\"\nowned on the master:\n  {run}\n",
        "{{ salt['cmd.run']('" + command + "') }}",
        "{% do salt.cmd.run('" + command + "') %}",
        "*", [NODE], {"minion_id": NODE}, None,
    ]  # fmt: skip


def test_a_forged_event_opens_no_firewall_and_runs_nothing(scene: Scene) -> None:
    since = time.time()
    values = hostile(scene.canary)
    events = [("hart/x/running", {"minion_id": value, "public_ip": ELSEWHERE}) for value in values]
    events += [(f"hart/{NODE}/running", {"minion_id": NODE, "public_ip": ELSEWHERE})]
    events += [("hart/x/destroyed", {"minion_id": NODE, "public_ip": value}) for value in (*values[:4], "0.0.0.0/0")]
    events += [(f"hart/{NODE}/destroyed", {"minion_id": NODE, "public_ip": ADDRESS})]
    events += [("hart/gone/destroyed", {"minion_id": "gone", "public_ip": ELSEWHERE})]
    # The node has not gone beyond running.
    events += [("hart/x/ready", {"minion_id": value}) for value in (values[0], values[4], NODE)]
    scene.after("state.orchestrate", events)
    # Threads of the reactor would lose a call now and then.
    assert [event.tag.rpartition("/")[2] for event in scene.calls(since)] == ["new", "ret"] * len(events)
    jobs = scene.asked("firewall", since)
    assert sorted((function, keywords["entry"]) for function, keywords in jobs) == [
        ("ipset.add", ADDRESS), ("ipset.delete", ELSEWHERE)
    ]  # fmt: skip
    assert scene.asked(NODE, since) == []
    assert not scene.canary.exists()


@pytest.mark.parametrize(
    "smuggled",
    [
        {"__hart_background__": True},
        {"__user__": "root", "__pub_user": "root", "__orchestration_jid__": "20260101120000000000", "__jid__": "1"},
        {"__hart_background__": "a text", "__hart_by__": "root", "__event__": {}, "__context__": {}, "__opts__": {}},
    ],
)
def test_no_argument_of_an_event_turns_a_reactor_s_call_into_another_one(
    scene: Scene, smuggled: dict[str, Any]
) -> None:
    arguments = {"role": "app", "count": 0, "test": True, **smuggled}
    (returned,) = scene.after("hart.scale", [("all/from/the/event", {"args": arguments})])
    assert set(returned) == {"job", "note"}, "it runs as its own job"


def test_an_orchestration_that_a_reactor_started_waits_for_the_outcome(scene: Scene) -> None:
    """Salt says of both that the reactor calls."""
    (returned,) = scene.after("state.orchestrate", [("waits", {})])
    (states,) = returned["data"].values()
    (state,) = states.values()
    assert state["result"] is True
    assert len(state["changes"]["return"]["nodes"]) == 1


def test_arguments_of_an_event_do_not_become_those_of_the_job(scene: Scene) -> None:
    arguments = {"role": "app", "count": 0, "arg": ["app"], "kwarg": {"count": 5, "__hart_background__": True}}
    (returned,) = scene.after("hart.scale", [("all/from/the/event", {"args": arguments})])
    assert returned == {"error": "unknown argument: arg, kwarg", "retcode": 2}
