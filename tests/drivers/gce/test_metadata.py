"""Google's metadata service, and machines that boot as at Google: with Google's agent and without cloud-init."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.drivers.gce.emulator import metadata as metadata_gce
from tests.machines import requirements
from tests.machines.machines import Machine, MachineHost, Spec
from tests.machines.network import Interface

FLAVOR = {"metadata-flavor": "Google"}
PUBLIC = Interface("eth0", "public", "02:00:00:00:00:01", "198.19.0.4", "255.255.255.0", "198.19.0.1")
PRIVATE = Interface("eth1", "private", "02:00:00:00:00:02", "10.213.0.4", "255.255.255.0", "10.213.0.1")
SCRIPT = "#!/bin/sh\necho ran >> /root/ran\n"

_missing = requirements.missing()
boots = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")


@dataclass
class Place:
    """The metadata service as a machine sees it."""

    attributes: dict[str, str] = field(default_factory=lambda: {"startup-script": SCRIPT, "hart-role": "app"})
    user_data: str = SCRIPT

    def __post_init__(self) -> None:
        spec = Spec("4112", "web-1", self.user_data, (), "gce-startup", None, "10.213.0.4",
                    metadata={"attributes": lambda: self.attributes})  # fmt: skip
        self.answer = metadata_gce.service(spec, (PUBLIC, PRIVATE), ("10.213.0.1",))

    def get(self, path: str, headers: Any = FLAVOR) -> tuple[int, str]:
        status, _, body, *_ = self.answer("GET", path, headers)
        return status, body.decode()


def test_requests_without_the_header_or_through_a_proxy_are_refused() -> None:
    place = Place()
    for headers in ({}, {"metadata-flavor": "google"}, {**FLAVOR, "x-forwarded-for": "10.0.0.1"}):
        assert place.get("/computeMetadata/v1/instance/id", headers)[0] == 403
    assert place.get("/computeMetadata/v1/instance/id") == (200, "4112")
    assert place.get("/elsewhere")[0] == 404


def test_values_and_names_and_the_whole_document_are_served() -> None:
    place = Place()
    assert place.get("/computeMetadata/v1/instance/attributes/startup-script") == (200, SCRIPT)
    assert place.get("/computeMetadata/v1/instance/attributes/") == (200, "startup-script\nhart-role\n")
    assert place.get("/computeMetadata/v1/instance/attributes/nothing")[0] == 404
    assert place.get("/computeMetadata/v1/project/project-id") == (200, "hart-test-1")
    path = "/computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip"
    assert place.get(path) == (200, "198.19.0.4")
    found = json.loads(place.get("/computeMetadata/v1/?recursive=true&alt=json")[1])
    assert (found["instance"]["id"], found["instance"]["networkInterfaces"][0]["ip"]) == (4112, "10.213.0.4")


def test_removed_metadata_is_gone_at_once() -> None:
    place = Place()
    del place.attributes["startup-script"]
    assert place.get("/computeMetadata/v1/instance/attributes/startup-script")[0] == 404


def test_the_script_is_the_machines_current_user_data() -> None:
    assert Place(user_data="").get("/computeMetadata/v1/instance/attributes/startup-script")[0] == 404
    assert Place(user_data="other").get("/computeMetadata/v1/instance/attributes/startup-script") == (200, "other")


def test_a_request_that_waits_for_a_change_is_answered_after_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    place, waits = Place(), []
    monkeypatch.setattr(metadata_gce, "LOOK", 0.01)
    _, _, _, *more = place.answer("GET", "/computeMetadata/v1/instance/attributes/?recursive=true", FLAVOR)
    (headers,) = more
    path = f"/computeMetadata/v1/instance/attributes/?recursive=true&wait_for_change=true&last_etag={headers['ETag']}"
    thread = threading.Thread(target=lambda: waits.append(place.get(path)[1]))
    thread.start()
    thread.join(0.1)
    assert waits == []
    place.attributes["new"] = "1"
    thread.join(120)
    assert json.loads(waits[0])["new"] == "1"
    began = time.monotonic()
    assert place.get(path)[0] == 200  # the metadata has changed since this ETag
    assert time.monotonic() - began < 1


# machines


@pytest.fixture(scope="module")
def host() -> Iterator[MachineHost]:
    with MachineHost() as opened:
        yield opened


def ok(machine: Machine, command: str) -> str:
    code, output = machine.run(command)
    assert code == 0, output
    return output.strip()


@boots
@pytest.mark.parametrize("image", ["debian-12", "debian-13"])
def test_google_s_agent_makes_the_host_keys_and_its_script_runner_runs_the_script_at_every_boot(
    host: MachineHost, image: str
) -> None:
    attributes = {"startup-script": SCRIPT}
    network = host.network
    machine = host.boot(
        Spec("4112", "hart-web-1", SCRIPT, (), "gce-startup", network.take("public"), network.take("private"), image,
             metadata={"attributes": lambda: attributes})
    )  # fmt: skip
    machine.wait_started()
    booted = "systemctl -q is-active google-startup-scripts.service"
    machine.wait(booted)
    assert ok(machine, "cat /root/ran; hostname; cloud-init status").split() == [
        "ran", "hart-web-1", "status:", "disabled",
    ]  # fmt: skip
    assert "ssh-ed25519" in ok(machine, "cat /etc/ssh/ssh_host_ed25519_key.pub")
    machine.wait("systemctl is-system-running")
    assert machine.service is not None
    assert any("recursive=true" in path for path in machine.service.asked)
    assert machine.run("ls /root/.ssh /home/*")[0] != 0  # the agent let nobody in
    # The script runs again while it is in the metadata; after its removal, nothing runs.
    for expected in (2, 2):
        machine.stop()
        machine.start()
        machine.wait(booted)
        assert ok(machine, "wc -l < /root/ran") == str(expected)
        attributes.clear()
    journal = ok(machine, "journalctl -b -u google-startup-scripts -o cat")
    assert "No startup scripts to run." in journal
    machine.kill()


@boots
def test_googles_programs_are_off_at_other_providers(host: MachineHost) -> None:
    network = host.network
    machine = host.boot(
        Spec("7", "web-1", "", (), "digitalocean", network.take("public"), network.take("private"))
    )  # fmt: skip
    machine.wait("cloud-init status | grep -q done")
    for unit in ("google-guest-agent", "google-startup-scripts", "google-shutdown-scripts"):
        assert machine.run(f"systemctl is-active {unit}")[1].strip() == "inactive"
    machine.kill()
