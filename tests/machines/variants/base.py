"""What a variant of an image is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.machines.overlay import Overlay

#: the units that run the startup script, at the clouds with cloud-init and at Google
SCRIPT_UNITS = ("cloud-final.service", "google-startup-scripts.service")


@dataclass(frozen=True)
class Around:
    """What is around a machine in the test cloud."""

    #: the master's address and its two ports
    master: str
    master_port: int
    publish_port: int
    #: URL of Salt's repository, and the key that signs it
    salt_url: str
    salt_key: str
    #: the directory of the base image and of the repositories
    base: Path
    repositories: Path
    #: URLs of sources that fail, and of a proxy, see ``tests/machines/mirrors.py``
    missing_url: str
    unsigned_url: str
    refused_url: str
    proxy_url: str
    #: Salt's repository again, signed now, and the file with the key that signs it
    fresh_url: str
    fresh_key: Path


def no_layers(around: Around) -> tuple[Path, ...]:
    """Return no layers."""
    return ()


@dataclass(frozen=True)
class Variant:
    """One variant."""

    name: str
    prepare: Callable[[Overlay, Around], None]
    #: directories that are layered over the image
    layers: Callable[[Around], tuple[Path, ...]] = no_layers


def before_script(root: Overlay, name: str, program: str) -> None:
    """Run a program, which is a shell script, just before the unit that runs the startup script, at every boot."""
    file = f"/usr/lib/test-cloud/{name}"
    root.write(file, program, 0o755)
    for unit in SCRIPT_UNITS:
        root.write(f"/etc/systemd/system/{unit}.d/{name}.conf", f"[Service]\nExecStartPre={file}\n")


def service(root: Overlay, name: str, program: str, options: str = "Type=notify\nNotifyAccess=all\n") -> None:
    """Run a program as a service, started before the startup script runs."""
    file, unit = f"/usr/lib/test-cloud/{name}", f"/etc/systemd/system/test-{name}.service"
    root.write(file, program, 0o755)
    before = " ".join(SCRIPT_UNITS)
    root.write(unit, f"[Unit]\nAfter=local-fs.target\nBefore={before}\n[Service]\n{options}ExecStart={file}\n")
    root.link(f"/etc/systemd/system/multi-user.target.wants/test-{name}.service", unit)
