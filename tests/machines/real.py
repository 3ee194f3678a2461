"""A back end with real machines: what an emulated provider requests, booted by ``machines.py``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.emulation.backend import Addresses, BootRequest
from tests.machines.machines import Machine, MachineHost, Spec
from tests.machines.overlay import Overlay

#: the provider's image (DigitalOcean: slug, Hetzner: name, Vultr: id) → the image here
IMAGES = {
    "debian-12-x64": "debian-12", "debian-13-x64": "debian-13",
    "debian-12": "debian-12", "debian-13": "debian-13",
    "2136": "debian-12", "2625": "debian-13",
}  # fmt: skip


@dataclass(frozen=True)
class Changes:
    """How the image of one machine differs from the usual one; see ``Spec``."""

    prepare: Callable[[Overlay], None] | None = None
    layers: tuple[Path, ...] = ()


class RealMachines:
    """The machines of one emulator on a host. Closing this leaves the host open."""

    def __init__(self, host: MachineHost, datasource: str, apt_sources: str = "deb822") -> None:
        self.host = host
        self.apt_sources = apt_sources
        self.machines: dict[str, Machine] = {}
        #: host name → what differs in this machine's image
        self.variants: dict[str, Changes] = {}
        #: image of the provider → image of the host
        self.images: dict[str, str] = {}
        self._datasource = datasource
        self._lock = threading.Lock()

    def boot(self, request: BootRequest) -> None:
        """Boot a machine; an impostor boots without the user-data, so it answers with its own host keys."""
        user_data = failing(request.user_data, request.fail_at) if request.fail_at else request.user_data
        variant = self.variants.get(request.hostname)
        spec = Spec(
            instance_id=request.instance_id,
            hostname=request.hostname,
            user_data="" if request.impostor else user_data,
            public_keys=request.public_keys,
            datasource=self._datasource,
            public_ip=request.public_ip,
            private_ip=request.private_ip,
            image=self._image(request),
            apt_sources=self.apt_sources,
            metadata=request.metadata,
            layers=variant.layers if variant else (),
            prepare=variant.prepare if variant else None,
        )
        machine = self.host.boot(spec)
        with self._lock:
            self.machines[request.instance_id] = machine
        machine.wait_started()

    def _image(self, request: BootRequest) -> str:
        kept = self.images.get(request.image) or self.images.get(request.image_name)
        return kept or IMAGES.get(request.image, request.image_name)

    def kill(self, instance_id: str) -> None:
        """End a machine."""
        with self._lock:
            machine = self.machines.pop(instance_id, None)
        if machine is not None:
            machine.kill()

    def take(self, public: bool) -> Addresses:
        """Return unused addresses of the host's networks."""
        network = self.host.network
        return Addresses(network.take("public") if public else None, network.take("private"))

    def give_back(self, addresses: Addresses) -> None:
        """Release addresses, which other machines can have from then on."""
        for address in (addresses.public, addresses.private):
            if address:
                self.host.network.give_back(address)

    def plug(self, instance_id: str, private_ip: str) -> str:
        """Add a second interface without a configuration, since no cloud's image configures it."""
        attachment = self.machines[instance_id].attachment
        assert attachment is not None
        return self.host.network.plug(attachment, private_ip)

    def unplug(self, instance_id: str) -> None:
        """Remove the second interface."""
        attachment = self.machines[instance_id].attachment
        assert attachment is not None
        self.host.network.unplug(attachment)

    def restart(self, instance_id: str) -> None:
        """Restart a machine as if by its power switch."""
        machine = self.machines.get(instance_id)
        if machine is not None:
            machine.start(cold=True)

    def halt(self, instance_id: str) -> None:
        """Turn a machine off as if by its power switch; its disk stays."""
        machine = self.machines.get(instance_id)
        if machine is not None:
            machine.stop()

    def start(self, instance_id: str) -> None:
        """Turn a machine on."""
        self.restart(instance_id)

    def save(self, instance_id: str, image: str) -> None:
        """Copy the files of a machine. Raises ``ValueError`` if it is not off: its files would not be consistent."""
        machine = self.machines[instance_id]
        if machine.state() != "stopped":
            raise ValueError(f"{machine.spec.hostname} is {machine.state()}: only a machine that is off can be saved")
        self.images[image] = self.host.snapshot(machine)

    def forget(self, image: str) -> None:
        """Remove an image."""
        kept = self.images.pop(image, None)
        if kept:
            self.host.forget(kept)

    def hostnames(self) -> list[str]:
        """Return the hostnames of all machines."""
        return sorted(machine.spec.hostname for machine in self.machines.values())

    def by_name(self, hostname: str) -> Machine:
        """Return the machine with a hostname, for the assertions of a test."""
        return next(machine for machine in self.machines.values() if machine.spec.hostname == hostname)

    def close(self) -> None:
        """End every machine of this back end, and remove its images."""
        for instance_id in list(self.machines):
            self.kill(instance_id)
        for image in list(self.images):
            self.forget(image)


def failing(script: str, step: str) -> str:
    """Return a bootstrap script whose step ``step`` fails right after its begin."""
    mark = f"begin {step}\n"
    if mark not in script:
        raise ValueError(f"the script has no step {step}")
    return script.replace(mark, f"{mark}echo 'the test cloud fails this step'; false\n")
