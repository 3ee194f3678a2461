"""Many calls of a reactor at the same time: no more than ``max_calls`` run, all succeed, and the master still works."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence

import pytest
import salt.utils.event
from saltfactories.manager import FactoriesManager

from tests.drivers.do.in_tables import CLOUD
from tests.emulation.emulator import Call
from tests.end_to_end import light_cloud
from tests.end_to_end.light_cloud import COMMON, LightCloud
from tests.end_to_end.test_examples import heard

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

CALLS, MOST = 12, 3
#: seconds until a droplet is active: long enough for all calls to start in the meantime
ACTIVE_AFTER = 5.0
EVENT = "test/create"
REACTION = """
create it:
  runner.hart.create:
    - args:
      - minion_id: {{ data['minion_id'] | tojson }}
      - role: app
      - config: CONFIG
"""


@pytest.fixture
def light(factories: FactoriesManager) -> Iterator[LightCloud]:
    reactor = [{EVENT: ["salt://create.sls"]}]
    with light_cloud.light_cloud(factories, CLOUD, reactor=reactor, reactor_worker_threads=1) as opened:
        opened.cloud.switches().active_after = ACTIVE_AFTER
        config = opened.master.root / "hart.toml"
        # The jobs of a reactor have the configuration with which the master was started.
        section = {"driver": CLOUD.name, **COMMON, **CLOUD.node, **opened.cloud.account()}
        lines = [f"{name} = {json.dumps(value)}" for name, value in section.items()]
        config.write_text("\n".join(["[hart]", f"max_calls = {MOST}", f"[providers.{opened.provider}]", *lines]))
        roots = opened.master.root / "srv/salt"
        roots.mkdir(parents=True, exist_ok=True)
        (roots / "create.sls").write_text(REACTION.replace("CONFIG", str(config)))
        yield opened


def fire(light: LightCloud, ids: Sequence[str]) -> None:
    assert light.master.daemon is not None
    opts = light.master.daemon.config.copy()
    with salt.utils.event.get_event("master", opts["sock_dir"], opts=opts, listen=False) as bus:
        for minion_id in ids:
            bus.fire_event({"minion_id": minion_id}, EVENT)


def batches(calls: Sequence[Call]) -> tuple[int, int]:
    """Return how many batches existed at the same time, and how many exist still, by their temporary keys."""
    there = most = 0
    for call in calls:
        if call.path.startswith("/v2/account/keys"):
            there += {"POST": 1, "DELETE": -1}.get(call.method, 0)
        most = max(most, there)
    return most, there


@contextlib.contextmanager
def explained(light: LightCloud) -> Iterator[None]:
    """Add to a failed assertion what shows where the calls are: Salt's jobs, the nodes' records and all logs."""
    try:
        yield
    except AssertionError as error:
        master = light.master
        running = sorted(path.name for path in (master.cachedir / "proc").iterdir())
        tickets = sorted(path.name for path in (master.cachedir / "hart/calls").iterdir())
        logs = [
            f"{path}:\n{path.read_text()[-3000:]}"
            for path in sorted((master.root / "log").rglob("*"))
            if path.is_file()
        ]
        records = master.run("hart.list_minions", "ping=False", "--out", "json").stdout
        facts = f"left: {light.left()}\njobs: {running}\ncalls: {tickets}\nrecords: {records}"
        raise AssertionError("\n".join([str(error), facts, *logs])) from error


def test_twelve_calls_of_a_reactor_run_three_at_a_time_and_the_master_answers_meanwhile(light: LightCloud) -> None:
    ids = [f"n{number}.{light.provider}.example" for number in range(CALLS)]
    with heard(light.master) as wait:
        fire(light, ids)
        wait("hart.create", 1)
        ready = sorted(light.minion_ids())
        assert ready
        assert light.master.salt(ready[0], "test.ping").data == {ready[0]: True}
        with explained(light):
            results = wait("hart.create", CALLS)
    assert [one["return"] for one in results if not one["success"]] == []
    nodes = {name: entry["result"] for one in results for name, entry in one["return"]["nodes"].items()}
    assert nodes == dict.fromkeys(ids, True)
    assert sorted(light.minion_ids()) == sorted(ids)
    assert batches(light.calls_since(0)) == (MOST, 0)
    assert "claims" not in light.left()
    calls = light.master.cachedir / "hart/calls"
    assert [path.name for path in calls.iterdir() if path.suffix in (".runs", ".waits")] == []
