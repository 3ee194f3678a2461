"""A machine boots like Hetzner's: its metadata, and the network that its images configure from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.drivers.hetzner.emulator import metadata as metadata_hetzner
from tests.machines import requirements
from tests.machines.machines import Machine, MachineHost
from tests.machines.network import Interface
from tests.machines.test_cloud_machines import KEY, RAN, ok, spec_for

_missing = requirements.missing()
machines = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")

ID = "42506325"
ADDRESSES = "ip -4 -oneline address show scope global | awk '{ print $2, $4 }'"
Boot = Callable[..., Machine]


@pytest.fixture(scope="module")
def host() -> Iterator[MachineHost]:
    with MachineHost() as opened:
        yield opened


@pytest.fixture
def boot(host: MachineHost) -> Iterator[Boot]:
    """Return a function that boots a Hetzner machine for one test, with both addresses by default."""
    booted: list[Machine] = []

    def begin(**changes: object) -> Machine:
        machine = host.boot(spec_for(host, 1, **{"instance_id": ID, "datasource": "hetzner", **changes}))
        booted.append(machine)
        machine.wait(RAN)
        machine.wait("cloud-init status | grep -q done")
        return machine

    yield begin
    for machine in booted:
        machine.kill()


def addresses(machine: Machine) -> dict[str, str]:
    return dict(line.split() for line in ok(machine, ADDRESSES).splitlines())


@machines
def test_cloud_init_reads_the_metadata_and_runs_the_user_data_with_both_addresses(boot: Boot) -> None:
    machine = boot()
    spec = machine.spec
    assert ok(machine, RAN).split()[:2] == [spec.hostname, "0"]
    assert "DataSourceHetzner" in ok(machine, "cloud-init status --long")
    assert ok(machine, "cat /var/lib/cloud/data/instance-id").strip() == ID
    assert KEY in ok(machine, "cat /root/.ssh/authorized_keys")
    assert ok(machine, "grep -c -E ' (WARNING|ERROR)' /var/log/cloud-init.log || true").strip() == "0"
    assert addresses(machine) == {"eth0": f"{spec.public_ip}/24", "eth1": f"{spec.private_ip}/24"}
    assert "dev eth0 proto dhcp" in ok(machine, "ip route show default")
    machine.wait("systemctl is-system-running")
    assert machine.service is not None
    assert {"/hetzner/v1/metadata", "/hetzner/v1/userdata"} <= set(machine.service.asked)


@machines
def test_without_a_public_address_debian_13_has_the_private_address_and_a_default_route(boot: Boot) -> None:
    machine = boot(public_ip=None, image="debian-13")
    assert "DataSourceHetzner" in machine.run("cloud-init status --long")[1]
    assert addresses(machine) == {"eth1": f"{machine.spec.private_ip}/24"}
    assert "dev eth1 proto dhcp" in ok(machine, "ip route show default")
    ok(machine, "apt-get update -qq --error-on=any")


# the contents of the metadata, without a machine


def interface(name: str, kind: str, address: str) -> Interface:
    return Interface(name, kind, f"02:00:00:00:00:0{len(kind)}", address, "255.255.255.0", "10.0.0.1")


@pytest.mark.parametrize("public", [True, False])
def test_the_metadata_describes_both_kinds_of_interface(public: bool) -> None:
    spec: Any = SimpleNamespace(
        instance_id=ID, hostname="h", user_data="#!/bin/sh\n", public_keys=(KEY,), datasource="hetzner", metadata={}
    )
    given = [interface("eth1", "private", "10.0.0.2"), *([interface("eth0", "public", "192.0.2.7")] if public else [])]
    service = metadata_hetzner.service(spec, tuple(given), ("192.0.2.1",))

    def said(path: str) -> Any:
        return yaml.safe_load(service("GET", f"/hetzner/v1/{path}", {})[2])

    document = said("metadata")
    assert [one["name"] for one in document["network-config"]["config"]] == ["eth0"] * public
    assert (document["instance-id"], said("metadata/instance-id"), said("metadata/hostname")) == (int(ID), int(ID), "h")
    assert said("metadata/public-ipv4") == ("192.0.2.7" if public else None)
    assert [one["ip"] for one in said("metadata/private-networks")] == ["10.0.0.2"]
    assert service("GET", "/hetzner/v1/userdata", {}) == (200, "text/plain", b"#!/bin/sh\n")
    assert service("GET", "/hetzner/v1/metadata/nothing", {})[0] == 404
    (written,) = metadata_hetzner.files(spec, tuple(given)).values()
    assert ("UseRoutes=no" in written) is public
