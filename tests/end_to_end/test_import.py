"""
Minions that hart did not create, imported with the real ``salt-run`` beside a real master.

hart creates each on a light machine; then everything by which hart knows it is removed. What is left is what hart 0.22,
salt-cloud or an admin creates: an accepted minion on an instance without hart's tags.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from saltfactories.manager import FactoriesManager

from tests.drivers.do import in_tables as cloud_do
from tests.drivers.gce import in_tables as cloud_gce
from tests.emulation.faults import Fault
from tests.end_to_end import light_cloud, tools
from tests.end_to_end.conftest import Ran, SaltMaster, idle_machine
from tests.end_to_end.light_cloud import LightCloud, nodes_of

_missing = light_cloud.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

ROOT = Path(__file__).resolve().parents[2]
PUT_TAG = Fault("POST", r"/v2/tags/hart-owner:.*/resources$", when="after", stall=60.0)


@pytest.fixture(scope="module")
def lights(factories: FactoriesManager) -> Iterator[list[LightCloud]]:
    with light_cloud.light_clouds(factories, [cloud_do.CLOUD, cloud_gce.CLOUD]) as opened:
        yield opened


@pytest.fixture
def do(lights: list[LightCloud]) -> Iterator[LightCloud]:
    yield lights[0]
    lights[0].forget()


@pytest.fixture
def gce(lights: list[LightCloud]) -> Iterator[LightCloud]:
    yield lights[1]
    lights[1].forget()


@dataclass(frozen=True)
class Strange:
    """A minion that hart knows nothing of."""

    minion_id: str
    instance_id: str
    facts: dict[str, Any]


def strange(light: LightCloud, unmark: Callable[[LightCloud, str], None]) -> Strange:
    """Make one."""
    ran = light.create()
    assert ran.code == 0, ran
    ((minion_id, facts),) = nodes_of(ran).items()
    light.master.record(minion_id).unlink()
    unmark(light, minion_id)
    return Strange(minion_id, facts["instance_id"], facts)


def plain_droplet(light: LightCloud, minion_id: str) -> None:
    state: Any = light.cloud
    for droplet in state.state.droplets.values():
        if droplet.name == minion_id:
            droplet.tags = ["theirs"]


def hart_s_instance(light: LightCloud, minion_id: str) -> None:
    """Make an instance of hart 0.22: with its own name, the id as the description, and the role as a label."""
    state: Any = light.cloud
    words, digest = "-".join(reversed(minion_id.split("."))), hashlib.sha256(minion_id.encode()).hexdigest()
    for instance in state.state.instances.values():
        if instance.minion == minion_id:
            instance.body.update(name=f"hart-{words[:47]}-{digest[:6]}", labels={"hart-role": "app"})
            instance.metadata = [{"key": "enable-oslogin", "value": "FALSE"}]


def run(light: LightCloud, *arguments: str, code: int = 0) -> Ran:
    ran = light.master.run(*arguments)
    assert ran.code == code, ran
    return ran


def imported(light: LightCloud, minion_id: str, *arguments: str, code: int = 0) -> Any:
    data = run(light, "hart.import_minion", minion_id, f"provider={light.provider}", *arguments, code=code).data
    return data.get(minion_id, data)


def statuses(light: LightCloud, *arguments: str) -> dict[str, str]:
    listed = run(light, "hart.list_minions", *arguments).data
    return {minion_id: entry["status"] for minion_id, entry in listed.items()}


def hart_s_store(path: Path, **there: Strange) -> str:
    """Return the records of hart 0.22 for minions, by its name of the provider; one of them is gone."""
    entries = {
        it.minion_id: {
            "minion_id": it.minion_id, "provider": driver, "region": it.facts["region"], "zone": it.facts["zone"],
            "roles": ["app"], "public_ips": [it.facts["public_ip"]], "private_ips": [], "node_id": it.instance_id,
        }
        for driver, it in there.items()
    }  # fmt: skip
    entries["gone.example.com"] = {"provider": "do", "node_id": "1"}
    path.write_text(json.dumps({"version": 1, "minions": entries}))
    return str(path)


def test_existing_minions_become_nodes_and_are_destroyed_as_such(
    do: LightCloud, gce: LightCloud, tmp_path: Path
) -> None:
    it, other = strange(do, plain_droplet), strange(gce, hart_s_instance)
    plan = imported(do, it.minion_id, "test=True")
    assert (plan["result"], plan["action"], plan["instance_id"]) == (None, "import", it.instance_id)
    with do.master.events() as events:
        done = imported(do, it.minion_id)
    assert (done["result"], done["changed"], done["notes"]) == (True, True, [])
    kept = ("role", "provider", "region", "size", "instance_id", "public_ip", "private_ip", "minion_key_finger")
    assert {name: done[name] for name in kept} == {name: it.facts[name] for name in kept}
    assert [event["minion_id"] for event in tools.of(events, f"hart/{it.minion_id}/imported")] == [it.minion_id]

    store = hart_s_store(tmp_path / "minions.json", do=it, gce=other)
    ran = run(do, "hart.import_minions", store, code=1).data
    reported = {name: (entry["result"], entry.get("changed")) for name, entry in ran.items() if name != "retcode"}
    assert reported == {
        it.minion_id: (True, False), other.minion_id: (True, True), "gone.example.com": (False, None),
    }  # fmt: skip
    assert "there is no key with that id" in ran["gone.example.com"]["error"]
    assert ran[other.minion_id]["role"] == "app"
    assert statuses(do) == {it.minion_id: "ready", other.minion_id: "ready"}
    assert run(do, "hart.sweep", "grace=0").data == {"removed": [], "kept": []}
    scaled = run(do, "hart.scale", "app", "count=0").data
    assert (scaled["before"], set(scaled["destroyed"])) == (2, {it.minion_id, other.minion_id})
    assert (do.left(), gce.left()) == ({}, {})


def test_a_refusal_is_one_sentence_and_nothing_is_done(do: LightCloud) -> None:
    it = strange(do, plain_droplet)
    before = do.left()
    do.minions.grains[it.minion_id]["ipv4"] = ["127.0.0.1", "192.0.2.77"]
    cases = {
        (it.minion_id,): "is a different machine: the minion has 192.0.2.77",
        (it.minion_id, "region="): "region must not be empty",
        ("nobody.example.com",): "it is not a minion of this master: there is no key with that id",
    }
    for arguments, words in cases.items():
        refused = imported(do, *arguments, code=2)
        assert words in refused["error"]
        assert "\n" not in refused["error"]
    assert do.left() == before
    cloud: Any = do.cloud
    (droplet,) = cloud.state.droplets.values()
    droplet.tags = ["hart-owner:fedcba9876543210"]
    assert "another master of hart's, fedcba9876543210" in imported(do, it.minion_id, code=2)["error"]


def test_a_kill_between_tags_and_record_affects_no_machine_and_can_be_repeated(do: LightCloud) -> None:
    it = strange(do, plain_droplet)
    do.cloud.faults.add(PUT_TAG)
    with tools.running(do.master, "hart.import_minion", it.minion_id, f"provider={do.provider}") as killed:
        tools.until(lambda: PUT_TAG in do.cloud.faults.struck or killed.poll() is not None, "the last tag")
        killed.send_signal(signal.SIGKILL)
        assert killed.wait(300) == -signal.SIGKILL
    do.cloud.faults.clear()
    do.cloud.faults.struck.clear()
    # The minion does not answer: only the record protects it.
    do.minions.stop(it.minion_id)
    swept = run(do, "hart.sweep", "grace=0").data
    assert (swept["removed"], [entry["name"] for entry in swept["kept"]]) == ([], [it.minion_id])
    assert [machine.request.hostname for machine in do.machines.machines] == [it.minion_id]
    assert statuses(do, "ping=False") == {it.minion_id: "left at importing"}
    do.minions.join(it.minion_id)
    assert imported(do, it.minion_id)["changed"]
    assert run(do, "hart.sweep", "grace=0").data == {"removed": [], "kept": []}
    run(do, "hart.destroy", it.minion_id)
    assert do.left() == {}


def test_salt_cloud_s_configuration_is_printed_as_a_file(do: LightCloud, tmp_path: Path) -> None:
    (tmp_path / "cloud.providers").write_text("a: {driver: do, personal_access_token: planted-token, location: nyc3}")
    (tmp_path / "cloud.profiles").write_text("web: {provider: a, size: s-1vcpu-1gb, minion: {master: m}}")
    ran = do.master.run("hart.from_salt_cloud", str(tmp_path), out=None)
    assert ran.code == 0
    assert "token: sdb://salt_cloud/a:personal_access_token" in ran.stdout
    assert ran.stdout.startswith("# Translated from salt-cloud's configuration")
    assert "planted" not in ran.stdout + ran.stderr
    assert "has no configuration of salt-cloud" in run(do, "hart.from_salt_cloud", "/nowhere", code=2).data["error"]


#: one configuration of each kind that a map, a reference or a merge of files makes different
REAL = ("machines-of-maps", "secrets-everywhere", "one-alias-in-two-files", "duplicate-names", "names-that-become-one")


def test_the_printed_file_works_on_the_real_salt_run(tmp_path: Path) -> None:
    """Every kind of configuration is printed without its secrets, and hart and Salt read what is printed."""
    files = sorted((ROOT / "tests/functional/migration/data").glob("salt_cloud_*.yaml"))
    cases = {case["name"]: case for file in files for case in yaml.safe_load(file.read_text())}
    with idle_machine() as machine:
        del machine.config["hart"]
        machine.write()
        for name in REAL:
            found = _translated(machine, cases[name], tmp_path / name)
            assert {cases[name].get("roles", {}).get(it, it) for it in cases[name]["means"]} == found, name


def _translated(machine: SaltMaster, case: dict[str, Any], base: Path) -> set[str]:
    """Translate a configuration, put what is printed into ``master.d``, and return the roles that hart then has."""
    for path, text in case["files"].items():
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text(text)
    ran = machine.run("hart.from_salt_cloud", str(base), out=None)
    assert ran.code == 0, ran.stderr
    assert "planted" not in (ran.stdout + ran.stderr).lower(), case["name"]
    printed = machine.root / "etc/master.d/hart.conf"
    printed.parent.mkdir(exist_ok=True)
    printed.write_text(ran.stdout)
    listed = machine.run("hart.list_roles")
    assert listed.code == 0, listed.stderr
    return set(listed.data)
