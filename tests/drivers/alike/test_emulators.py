"""What the emulated clouds share: faults of machines, and the command that serves one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.drivers.tested import Time
from tests.emulation.backend import recorded
from tests.emulation.client import Client
from tests.emulation.faults import MachineFault
from tests.emulation.stateful import StatefulEmulator

CLOUDS = ("do", "vultr")
#: what instances are called in paths, and the filter of their lists by tag
LISTED = {"do": ("droplets", "tag_name"), "vultr": ("instances", "tag")}


@pytest.mark.parametrize("cloud_name", CLOUDS)
@pytest.mark.parametrize(("fault", "wait"), [(MachineFault(hidden_lists=2), 0), (MachineFault(hidden_for=5), 2.5)])
def test_a_list_shows_an_instance_late(
    cloud_name: str, cloud: StatefulEmulator[Any, Any], client: Client, time: Time, fault: MachineFault, wait: float
) -> None:
    things, by_tag = LISTED[cloud_name]
    cloud.faults.add(fault)
    made = client.create(tags=["t"])
    seen = []
    for _ in range(3):
        seen.append(len(client.get(things, **{by_tag: "t"})[things]))
        time.advance(wait)
    assert seen == [0, 0, 1]
    assert client.get(f"{things}/{made['id']}")


@pytest.mark.parametrize(("cloud_name", "named"), [("do", ()), ("vultr", ("hostname",))])
def test_what_is_for_the_machines_reaches_them(
    cloud: StatefulEmulator[Any, Any], client: Client, named: tuple[str, ...]
) -> None:
    """``named`` are the fields beside the first that have the name as well."""
    cloud.faults.add(
        MachineFault(hostname="^dead$", never_boots=True),
        MachineFault(hostname="^broken$", fail_at="install"),
        MachineFault(hostname="^other$", impostor=True),
    )
    for name in ("dead", "broken", "other", "sound"):
        client.create(name, **dict.fromkeys(named, name))
    assert cloud.settle(10)
    booted = {it.hostname: (it.fail_at, it.impostor) for it in recorded(cloud.machines).booted.values()}
    assert booted == {"broken": ("install", False), "other": ("", True), "sound": ("", False)}


@pytest.mark.parametrize("cloud_name", CLOUDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_line(cloud_name: str, number: int) -> None:
    command = [sys.executable, "-m", "tests.machines", "up", "--provider", cloud_name, "--none"]
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) as process:
        try:
            assert process.stdout is not None
            facts: dict[str, Any] = json.loads(process.stdout.readline())
            endpoint, head = facts["endpoint"], {"Authorization": f"Bearer {facts['token']}"}
            assert requests.get(f"{endpoint.rstrip('/')}/account", headers=head, timeout=120).ok
            assert facts["settings"]["hart"]["providers"][cloud_name]["endpoint"] == endpoint
            os.kill(process.pid, number)
            assert process.wait(120) == 0
        finally:
            process.kill()
    with pytest.raises(requests.ConnectionError):
        requests.get(endpoint, timeout=5)
