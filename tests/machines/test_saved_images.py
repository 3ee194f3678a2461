"""Images that a back end keeps of machines: what boots from them, in which order, and when their files are removed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulation.backend import BootRequest, Machines, NoMachines
from tests.emulation.light import LightMachines, Tenant
from tests.machines import requirements
from tests.machines.machines import Machine, MachineHost
from tests.machines.real import RealMachines
from tests.machines.test_cloud_machines import RAN, USER_DATA, ok

_missing = requirements.missing()
machines = pytest.mark.skipif(bool(_missing), reason=f"no machines can be booted here: {'; '.join(_missing)}")

PLAIN: dict[str, Any] = {
    "hostname": "web", "user_data": USER_DATA, "public_keys": (), "public_ip": None, "private_ip": "", "tags": (),
    "region": "nyc3", "size": "s-1vcpu-1gb", "image_name": "12 x64",
}  # fmt: skip
DEADLINE = 120.0


def request(instance_id: str, image: str = "debian-12-x64", **more: Any) -> BootRequest:
    return BootRequest(instance_id=instance_id, image=image, **{**PLAIN, **more})


class Slow(NoMachines):
    """A back end whose ``save`` waits, and which logs what happened."""

    def __init__(self) -> None:
        super().__init__()
        self.may_save = threading.Event()
        self.log: list[str] = []

    def halt(self, instance_id: str) -> None:
        self.log.append(f"halt {instance_id}")

    def save(self, instance_id: str, image: str) -> None:
        assert self.may_save.wait(DEADLINE)
        super().save(instance_id, image)
        self.log.append(f"save {image}")

    def boot(self, request: BootRequest) -> None:
        super().boot(request)
        self.log.append(f"boot {request.instance_id}")

    def kill(self, instance_id: str) -> None:
        super().kill(instance_id)
        self.log.append(f"kill {instance_id}")

    def forget(self, image: str) -> None:
        super().forget(image)
        self.log.append(f"forget {image}")


def test_a_save_waits_for_its_machine_and_boots_and_forget_wait_for_the_save() -> None:
    backend = Slow()
    with contextlib.closing(Machines(backend)) as pool:
        pool.boot(request("1"))
        pool.halt("1")
        pool.save("1", "5001")
        pool.kill("1")
        pool.boot(request("2", "5001"))
        pool.forget("5001")
        backend.may_save.set()
        assert pool.settle(DEADLINE)
        assert pool.failures == []
        assert backend.log[:3] == ["boot 1", "halt 1", "save 5001"]
        assert {*backend.log[3:]} == {"kill 1", "boot 2", "forget 5001"}
        assert backend.log.index("boot 2") < backend.log.index("forget 5001")
        assert backend.saved == {}


def test_a_light_machine_knows_the_machine_that_its_image_was_made_of() -> None:
    with contextlib.closing(LightMachines(port=22023)) as light:
        mine, others = Tenant(light, "mine"), Tenant(light, "others")
        mine.boot(request("1"))
        first = light.machines["mine/1"]
        mine.save("1", "5001")
        mine.kill("1")
        mine.boot(request("2", "5001"))
        mine.boot(request("3", "debian-12-x64", image_name="5001"))
        others.boot(request("2", "5001"))
        assert light.machines["mine/2"].made_of is light.machines["mine/3"].made_of is first
        assert light.machines["others/2"].made_of is None
        mine.forget("5001")
        mine.forget("5001")
        mine.boot(request("4", "5001"))
        assert light.machines["mine/4"].made_of is None
        mine.save("4", "5002")
        mine.close()
        assert light.saved == {}


@pytest.fixture
def real() -> Iterator[RealMachines]:
    with MachineHost() as host, contextlib.closing(RealMachines(host, "digitalocean")) as backend:
        yield backend


def booted(backend: RealMachines, instance_id: str, image: str) -> Machine:
    addresses = backend.take(True)
    backend.boot(request(instance_id, image, image_name="", public_ip=addresses.public, private_ip=addresses.private))
    machine = backend.machines[instance_id]
    machine.wait(RAN)
    machine.wait("cloud-init status | grep -q done")
    return machine


def kept(backend: RealMachines) -> list[str]:
    return sorted(path.name for path in backend.host.directory.glob("snapshot-*") if path.suffix != ".removed")


@machines
def test_an_image_of_a_machine_that_was_made_of_an_image_has_the_changes_of_both(real: RealMachines) -> None:
    first = booted(real, "1", "debian-12-x64")
    # The overlay marks a removed file with a whiteout, and a directory that was made again as opaque.
    ok(first, "echo 1 > /root/one; rm /etc/motd; rm -r /etc/skel; mkdir /etc/skel; touch /etc/skel/new; sync")
    with pytest.raises(ValueError, match="web is running: only a machine that is off can be saved"):
        real.save("1", "5001")
    real.halt("1")
    real.save("1", "5001")
    real.kill("1")

    second = booted(real, "2", "5001")
    assert ok(second, "cat /root/one; ls -A /etc/skel") == "1\nnew\n"
    assert second.run("test -e /etc/motd")[0] == 1
    assert len(ok(second, RAN).splitlines()) == 2
    ok(second, "rm /root/one; echo 2 > /root/two; echo again > /etc/motd; sync")
    real.halt("2")
    real.save("2", "5002")
    real.kill("2")
    real.forget("5001")
    assert len(kept(real)) == 2, "the younger image has the older one's files as a layer"

    third = booted(real, "3", "5002")
    assert ok(third, "cat /root/two /etc/motd; ls -A /etc/skel") == "2\nagain\nnew\n"
    assert third.run("test -e /root/one")[0] == 1
    real.forget("5002")
    real.forget("5002")
    assert len(kept(real)) == 2, "a machine has them as layers"
    real.restart("3")
    third.wait("grep 2 /root/two")
    real.kill("3")
    assert kept(real) == []
    with pytest.raises(ValueError, match="no image"):
        real.boot(request("4", "5002", image_name=""))
