"""
``hart.bake`` at clouds with machines that really boot, from the first node to the deleted image.

An image is baked, two nodes boot from it at once, and nothing of the machine that it was made of is found on them. At
the end only the image is left at the provider, and ``hart.remove_image`` removes that, too. By default one cloud has
this; ``./test --all`` runs it with every cloud whose driver makes images.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from saltfactories.manager import FactoriesManager

from hart_salt import drivers
from hart_salt.base.names import is_bake_id
from hart_salt.drivers.capabilities import SnapshotSupport
from tests import scope
from tests.emulation.backend import BootRequest
from tests.end_to_end import real_cloud, tools
from tests.end_to_end.clouds import all_clouds
from tests.end_to_end.conftest import Event, Ran
from tests.end_to_end.real_cloud import BOOTSTRAP_PATHS, RealCloud, files_with, ok
from tests.end_to_end.runs import write_sls
from tests.machines import requirements
from tests.machines.machines import Machine

_missing = requirements.missing()
pytestmark = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")

CLOUDS = {name: it for name, it in all_clouds().items() if issubclass(drivers.driver_class(name), SnapshotSupport)}
BY_DEFAULT = tuple(CLOUDS) if scope.whole else ("do",)
#: what an image consists of at a provider, as the emulators name it
IMAGES = ("images", "snapshots")
NODES = ("web-1.example", "web-2.example")
#: prints what only the one machine has, as JSON; it must be on no other
OWN = (
    "for name in /etc/machine-id /etc/salt/pki/minion/minion.pem /etc/salt/pki/minion/minion.pub"
    " /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_ed25519_key.pub; do echo \"== $name\"; cat $name; done"
)  # fmt: skip
#: applied to the node of the bake; the second state reports what the node has of its own, and keeps nothing of it
STATES = f"""
/srv/baked:
  file.managed: [contents: of the image]
what the node has of its own:
  cmd.run: [name: {json.dumps(OWN)}]
"""
DIFFERENT = (
    "/etc/machine-id", "/etc/salt/pki/minion/minion.pem", "/etc/salt/pki/minion/minion.pub",
    "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key.pub",
)  # fmt: skip


@dataclass
class Bake:
    """One bake, and what its node had."""

    ran: Ran
    minion_id: str
    user_data: str
    #: by path, files of the node that no other may have
    own: dict[str, str]
    #: what was at the provider and here when it ended
    left: dict[str, Any]

    @property
    def entry(self) -> dict[str, Any]:
        entry: dict[str, Any] = self.ran.data["app"]
        return entry


@pytest.fixture(scope="module")
def clouds(factories: FactoriesManager) -> Iterator[dict[str, RealCloud]]:
    with real_cloud.opened_all(factories, [CLOUDS[name] for name in BY_DEFAULT]) as opened:
        (master,) = {id(cloud.master): cloud.master for cloud in opened.values()}.values()
        write_sls(master, "base", STATES)
        master.hart["roles"]["app"] = {"bake": "base"}
        master.write()
        yield opened


@pytest.fixture(scope="module", params=BY_DEFAULT)
def cloud(clouds: dict[str, RealCloud], request: pytest.FixtureRequest) -> RealCloud:
    return clouds[request.param]


@pytest.fixture(scope="module")
def bake(cloud: RealCloud) -> Bake:
    booted: list[BootRequest] = []
    with pytest.MonkeyPatch.context() as patch, cloud.master.events() as events:
        boot = cloud.backend.boot

        def recorded(request: BootRequest) -> None:
            booted.append(request)
            boot(request)

        patch.setattr(cloud.backend, "boot", recorded)
        ran = cloud.master.run("hart.bake", "app", f"provider={cloud.kind.name}", timeout=real_cloud.TIMEOUT)
    assert ran.code == 0, ran
    (request,) = booted
    (minion_id,) = {event.data["id"] for event in events if _is_start(event)}
    assert is_bake_id(minion_id)
    assert cloud.cloud.settle(60)
    return Bake(ran, minion_id, request.user_data, _own(events), cloud.left())


def _is_start(event: Event) -> bool:
    return event.tag.startswith("salt/minion/") and event.tag.endswith("/start")


def _own(events: list[Event]) -> dict[str, str]:
    """Return what the states reported of the node's own files."""
    jobs = [event.data for event in events if event.tag.startswith("salt/job/")]
    (states,) = [job["return"] for job in jobs if job.get("fun") == "state.apply" and "return" in job]
    (output,) = [one["changes"]["stdout"] for one in states.values() if one["name"] == OWN]
    return _files(output)


def _files(output: str) -> dict[str, str]:
    """Return the contents by path that the command ``OWN`` printed."""
    parts = output.split("== ")[1:]
    return {path: content.strip() for path, content in (part.split("\n", 1) for part in parts)}


@dataclass
class Booted:
    """The two nodes that run from the image."""

    ran: Ran
    machines: dict[str, Machine]
    #: by minion id and path, the files that no two machines may have in common
    own: dict[str, dict[str, str]]
    #: what was requested from the package mirror
    asked: list[str]


@pytest.fixture(scope="module")
def nodes(cloud: RealCloud, bake: Bake) -> Booted:
    cloud.host.repository.asked.clear()
    ran = cloud.create(",".join(NODES), image="baked!")
    assert ran.code == 0, ran
    machines = {name: cloud.machine(name) for name in NODES}
    own = {name: _files(ok(machine, OWN)) for name, machine in machines.items()}
    return Booted(ran, machines, own, list(cloud.host.repository.asked))


def test_a_bake_leaves_a_complete_image_and_nothing_else(cloud: RealCloud, bake: Bake) -> None:
    """The instance, its key, its record, its machine and what the batch had are gone."""
    assert bake.entry["result"] is True
    assert bake.user_data
    assert sorted(bake.own) == sorted(DIFFERENT)
    assert "images" in bake.left, bake.left
    assert {kind for kind in bake.left if kind not in IMAGES} == set(), bake.left
    listed = cloud.master.run("hart.list_images", f"provider={cloud.kind.name}").data[bake.entry["image"]]
    assert (listed["role"], listed["available"], listed["state"], listed["nodes"]) == ("app", True, "available", [])
    assert (cloud.cloud.defects, cloud.cloud.machines.failures) == ([], [])


def test_two_nodes_boot_from_the_image_at_once_and_ask_no_package_mirror(
    cloud: RealCloud, bake: Bake, nodes: Booted
) -> None:
    entries = [nodes.ran.data[name] for name in NODES]
    assert [(entry["result"], entry["image"]) for entry in entries] == [(True, bake.entry["image"])] * 2
    assert cloud.pings(*NODES)
    assert cloud.master.keys()["minions"] == sorted(NODES)
    assert nodes.asked == []
    for machine in nodes.machines.values():
        assert ok(machine, "cat /srv/baked") == "of the image"
        assert ok(machine, "systemctl is-enabled salt-minion") == "enabled"
        assert ok(machine, "systemctl --failed --no-legend --plain") == ""


def test_no_two_machines_have_a_key_or_an_id_in_common(bake: Bake, nodes: Booted) -> None:
    for path in DIFFERENT:
        values = [bake.own[path], *(nodes.own[name][path] for name in NODES)]
        assert all(values), path
        assert len(set(values)) == 3, path


def test_nothing_of_the_first_life_is_on_a_node(bake: Bake, nodes: Booted) -> None:
    """Neither the id, the keys and the host keys of the baked machine nor the secrets of its bootstrap."""
    machine = nodes.machines[NODES[0]]
    planted = [bake.minion_id, bake.own["/etc/machine-id"], *real_cloud.secrets_of(bake.user_data)]
    planted += [line for path in DIFFERENT[1:] for line in _own_lines(bake.own[path])]
    assert files_with(machine, planted) == []
    # The search works: it finds what the node has of its own.
    assert files_with(machine, [nodes.own[NODES[0]]["/etc/machine-id"]])


def _own_lines(key: str) -> list[str]:
    """Return the parts of a key's text that no other key has."""
    return tools.body_lines(key) or [key.split()[1][-40:]]


def test_the_nodes_are_sealed(cloud: RealCloud, nodes: Booted) -> None:
    for machine in nodes.machines.values():
        assert [path for path in BOOTSTRAP_PATHS if machine.run(f"test -e {path}")[0] == 0] == []
    user_data = {name: cloud.user_data(name) for name in NODES}
    for name, machine in nodes.machines.items():
        assert files_with(machine, real_cloud.secrets_of(user_data[name])) == []
        assert ok(machine, real_cloud.CLOUD_INITS_COPIES) == ""
    assert cloud.master.salt("-L", ",".join(NODES), "saltutil.sync_modules").code == 0
    functions = ("-L", ",".join(NODES), "sys.list_functions", "hart")
    tools.until(lambda: all(cloud.master.salt(*functions).data.get(name) for name in NODES), "the module is loaded")
    ran = cloud.master.run("hart.check_seal", ",".join(NODES))
    assert (ran.code, ran.data) == (0, {name: {"result": True} for name in NODES}), ran


def test_an_image_in_use_stays_and_is_deleted_after_the_last_node(cloud: RealCloud, bake: Bake, nodes: Booted) -> None:
    """In the end, nothing is left at the provider and on the master."""
    remove = ("hart.remove_image", bake.entry["image"], f"provider={cloud.kind.name}", "force=True")
    refused = cloud.master.run(*remove)
    assert refused.code != 0
    assert "2 nodes run from the image" in refused.data["error"]
    cloud.destroy(*NODES)
    left = cloud.left()
    assert {kind for kind in left if kind not in IMAGES} == set(), left
    removed = cloud.master.run(*remove)
    assert (removed.code, removed.data[bake.entry["image"]]["result"]) == (0, True), removed
    assert cloud.cloud.settle(60)
    assert cloud.left() == {}
    assert cloud.backend.images == {}
