"""
The driver ``local``: instances on this machine, without an account, root or a container.

An instance is a directory in the master's cachedir with a machine process (``machine.py``) that stands in for
firmware, init and sshd. The path from launch to sealed minion is the same as for every cloud.
"""

from __future__ import annotations

import os
import platform
import pwd
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psutil

from hart_salt.base.errors import InvalidRequest, NotFound, Protected, TemporaryFailure
from hart_salt.base.machine import local_instances
from hart_salt.config.schema import Provider, Schema
from hart_salt.drivers.capabilities import PowerSupport
from hart_salt.drivers.local import directory
from hart_salt.drivers.local.settings import REGION, SIZE
from hart_salt.drivers.local.settings import SCHEMA as SCHEMA
from hart_salt.drivers.local.settings import Account as Account
from hart_salt.drivers.local.settings import Options as Options
from hart_salt.drivers.tags import digest_in
from hart_salt.model import Access, Image, Instance, Leftover, MasterInfo, Node, Region, Size

BOOT_LOOKS = 300  #: looks, ``poll_interval`` apart, until a machine process listens


class Local(PowerSupport):
    """Instances as directories; see the module."""

    schema: ClassVar[Schema] = SCHEMA
    no_addresses: ClassVar[str] = "a node of the driver local is a process of this machine and shares its addresses"
    no_resize: ClassVar[str] = "a node of the driver local is a process of this machine and has its whole size"
    no_tags: ClassVar[str] = "a node of the driver local has no tags"
    platform: ClassVar[str] = "local"
    poll_interval: ClassVar[float] = 0.1

    def __init__(self, provider: Provider, master: MasterInfo) -> None:
        super().__init__(provider, master)
        self._base = local_instances(master.cachedir, provider.name)

    def check(self) -> str:
        """Check the directory; there are no credentials."""
        base = self._base
        while not os.path.lexists(base):
            base = base.parent
        if not base.is_dir():
            raise InvalidRequest(f"{base} is not a directory: the driver local keeps its instances there; move it away")
        if not os.access(base, os.W_OK):
            raise InvalidRequest(f"{base} is not writable for this user: the driver local keeps its instances there")
        return f"instances below {self._base}"

    def objections(self, node: Node) -> Sequence[str]:
        """Check the Salt version: a node runs its master's Salt and no other."""
        wanted, have = node.settings.salt_version, self.master.salt_version
        if wanted and not f"{have}.".startswith(wanted.removesuffix("*").removesuffix(".") + "."):
            return [f"salt_version is {wanted}, but a node of the driver local runs its master's Salt, {have}"]
        sockets = directory.socket_dir(self._base / node.minion_id).parent
        if not os.access(sockets, os.W_OK | os.X_OK, effective_ids=True):
            return [f"{sockets} is not writable for this user: nodes of the driver local have their sockets there"]
        return []

    @contextmanager
    def access(self, batch: str, client_public_key: str, nodes: Sequence[Node]) -> Iterator[Access]:
        """Open nothing: a machine process listens on loopback only."""
        yield Access(batch, client_public_key)

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        """Make the directory, which claims the minion id, and start its machine process."""
        path = self._base / node.minion_id
        claim = {
            "minion_id": node.minion_id,
            "owner": self.master.owner,
            "role": node.role,
            "batch": access.batch,
            "region": node.region,
            "size": node.size,
            "digest": node.digest or None,
        }
        directory.create(path, claim, user_data, node.ends)
        directory.start(path)
        return _instance(path, claim)

    def instances(self, region: str | None = None) -> list[Instance]:
        """
        Return this master's instance directories, with the state of their processes.

        A directory whose claim cannot be read counts as this master's, because it is in its cachedir; it has no minion
        id.
        """
        return [_instance(path, claim) for path, claim in self._claims()]

    def instances_of(self, batch: str, region: str | None = None) -> list[Instance]:
        """Return the same for the directories whose claims name the batch; only their processes are looked up."""
        return [_instance(path, claim) for path, claim in self._claims() if claim.get("batch") == batch]

    def _claims(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        for path in directory.listing(self._base):
            claim = directory.read_claim(path)
            if claim is not None and self._is_ours(claim):
                yield path, claim

    def _is_ours(self, claim: Mapping[str, Any] | None) -> bool:
        """Return whether a claim names this master. Without a readable claim, the cachedir proves it."""
        return not claim or claim.get("owner") == self.master.owner

    def protect(self, instance: Instance, *, on: bool) -> None:
        """Write a mark into the instance's directory, or remove it."""
        path = self._path(instance)
        if path is not None and directory.read_claim(path) is not None:
            directory.protect(path, on=on)
        elif on:
            raise NotFound(f"{self.provider.name}: there is no local instance {instance.instance_id}")

    def set_end(self, instance: Instance, ends: float | None) -> None:
        """Write the end into a file of the instance's directory, or remove that."""
        directory.set_end(self._existing(instance), ends)

    def terminate(self, instance: Instance) -> None:
        """Kill every process of the instance and remove its directory, unless it is protected."""
        path = self._path(instance)
        if path is None:
            return
        if directory.is_protected(path):
            said = f"the local instance {path.name} is protected"
            raise Protected(f"{self.provider.name}: {said}; salt-run hart.unprotect removes the protection")
        directory.destroy(path)

    def _path(self, instance: Instance) -> Path | None:
        """Return the directory of an instance, which need not exist; None for an id that no instance has."""
        path = self._base / instance.instance_id
        return path if path.parent == self._base and path.name not in ("..", "") else None

    def power_on(self, instance: Instance) -> None:
        """Start the machine process, which starts the minion."""
        path = self._existing(instance)
        if directory.machine_state(path)[0] == "stopped":
            directory.power_on(path)
        for _ in range(BOOT_LOOKS):
            if directory.machine_state(path)[0] == "running":
                return
            time.sleep(self.poll_interval)
        raise TemporaryFailure(f"the machine process of {path.name} does not start: see {path}/var/log/machine.log")

    def power_off(self, instance: Instance, *, force: bool = False) -> None:
        """End every process of the instance and keep its directory."""
        directory.power_off(self._existing(instance), force=force)

    def reboot(self, instance: Instance, *, force: bool = False) -> None:
        """End every process of the instance, and start the machine process."""
        path = self._existing(instance)
        if directory.machine_state(path)[0] != "running":
            raise InvalidRequest(f"the local instance {path.name} does not run: it can only be started")
        directory.power_off(path, force=force)
        self.power_on(instance)

    def _existing(self, instance: Instance) -> Path:
        """Return the directory of an instance. Raises ``NotFound`` if there is none."""
        path = self._path(instance)
        if path is None or not directory.read_claim(path):
            raise NotFound(f"there is no local instance {instance.instance_id}")
        return path

    def leftovers(self) -> list[Leftover]:
        """Return this master's instance directories that a crash left half made or half removed."""
        return [
            Leftover("directory", path.name, path.name, batch, REGION, created)
            for path, batch in directory.unfinished(self._base)
            if (created := directory.born(path)) is not None and self._is_ours(directory.read_claim(path))
        ]

    def remove(self, leftover: Leftover) -> None:
        """Remove one of these directories."""
        path = self._base / leftover.handle
        if path.parent == self._base and path.name.startswith((directory.NEW, directory.GONE)):
            directory.remove(path)

    def regions(self) -> Sequence[Region]:
        """Return one region: this machine."""
        return [Region(REGION, "this machine")]

    def sizes(self, region: str | None) -> Sequence[Size]:
        """Return one size: the whole machine, shared with everything else on it."""
        memory = psutil.virtual_memory().total // 2**20
        arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
        return [Size(SIZE, memory, float(os.cpu_count() or 1), None, 0.0, True, "this machine, shared", arch=arch)]

    def images(self, region: str | None) -> Sequence[Image]:
        """Return no images: a node runs its master's Python and Salt."""
        return []

    def minion_defaults(self, node: Node) -> Mapping[str, Any]:
        """Return configuration that keeps all files in the directory and sets the ports of this master."""
        root = self._base / node.minion_id
        return {
            "user": pwd.getpwuid(os.getuid()).pw_name,
            # Salt would prepend any other root to the socket directory too.
            "root_dir": "/",
            "pki_dir": str(root / "etc/salt/pki/minion"),
            "cachedir": str(root / "var/cache/salt/minion"),
            "extension_modules": str(root / "var/cache/salt/minion/extmods"),
            "log_file": str(root / "var/log/salt/minion"),
            "pidfile": str(root / "run/salt-minion.pid"),
            "sock_dir": str(directory.socket_dir(root)),
            "publish_port": self.master.publish_port,
            "master_port": self.master.return_port,
        }

    def root(self, instance: Instance) -> str:
        """Return the instance's directory."""
        return str(self._base / instance.instance_id)


DRIVER = Local


def _instance(path: Path, claim: Mapping[str, Any]) -> Instance:
    state, port = directory.machine_state(path)
    return Instance(
        instance_id=path.name,
        minion_id=claim.get("minion_id") or "",
        state=state,
        role=claim.get("role"),
        batch=claim.get("batch") or "",
        region=claim.get("region"),
        size=claim.get("size"),
        public_ip="127.0.0.1" if port else None,
        private_ip="127.0.0.1" if port else None,
        ssh_port=port or 22,
        created=directory.born(path),
        digest=digest_in(claim.get("digest")),
        ends=directory.end_of(path),
        protected=directory.is_protected(path),
    )
