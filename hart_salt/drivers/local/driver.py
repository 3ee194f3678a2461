"""
The driver ``local``: instances on this machine, without an account, root or a container.

An instance is a directory below the master's cachedir with a machine process (``machine.py``) that plays
firmware, init and sshd for it. The path from launch to sealed minion is the one that every cloud takes.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psutil

from hart_salt.base.errors import InvalidRequest
from hart_salt.config.schema import Provider, Schema
from hart_salt.drivers.contract import Driver
from hart_salt.drivers.local import directory
from hart_salt.drivers.local.settings import REGION, SIZE
from hart_salt.drivers.local.settings import SCHEMA as SCHEMA
from hart_salt.drivers.local.settings import Account as Account
from hart_salt.drivers.local.settings import Options as Options
from hart_salt.model import Access, Image, Instance, Leftover, MasterInfo, Node, Region, Size


class Local(Driver):
    """Instances are directories; see the module."""

    schema: ClassVar[Schema] = SCHEMA
    no_addresses: ClassVar[str] = "a node of the driver local is a process of this machine, and has its addresses"
    platform: ClassVar[str] = "local"
    poll_interval: ClassVar[float] = 0.1

    def __init__(self, provider: Provider, master: MasterInfo) -> None:
        super().__init__(provider, master)
        self._base = Path(master.cachedir) / "hart" / "local" / provider.name

    def check(self) -> str:
        """There are no credentials; what can be wrong is the directory."""
        base = self._base
        while not os.path.lexists(base):
            base = base.parent
        if not base.is_dir():
            raise InvalidRequest(f"{base} is no directory: local keeps its instances there; move it away")
        if not os.access(base, os.W_OK):
            raise InvalidRequest(f"{base} is not writable for this user: local keeps its instances there")
        return f"instances below {self._base}"

    def objections(self, node: Node) -> Sequence[str]:
        """A node runs the Salt of its master, and no other can be had."""
        wanted, have = node.settings.salt_version, self.master.salt_version
        if wanted and not f"{have}.".startswith(wanted.removesuffix("*").removesuffix(".") + "."):
            return [f"salt_version is {wanted}, but a node of the driver local runs its master's Salt, {have}"]
        sockets = directory.socket_dir(self._base / node.minion_id).parent
        if not os.access(sockets, os.W_OK | os.X_OK, effective_ids=True):
            return [f"{sockets} cannot be written by this user: a node of the driver local has its sockets there"]
        return []

    @contextmanager
    def access(self, batch: str, client_public_key: str, nodes: Sequence[Node]) -> Iterator[Access]:
        """A machine process listens on loopback only: there is nothing to open."""
        yield Access(batch, client_public_key)

    def launch(self, node: Node, user_data: str, access: Access) -> Instance:
        """Make the directory, which is the claim on the minion id, and start its machine process."""
        path = self._base / node.minion_id
        claim = {
            "minion_id": node.minion_id,
            "owner": self.master.owner,
            "role": node.role,
            "batch": access.batch,
            "region": node.region,
            "size": node.size,
        }
        directory.create(path, claim, user_data)
        directory.start(path)
        return _instance(path, claim)

    def instances(self, region: str | None = None) -> list[Instance]:
        """
        The directories of this master, with the state of the processes that each has started.

        One whose claim cannot be read is in this master's cachedir, and listed without an identity.
        """
        found = ((path, directory.read_claim(path)) for path in directory.listing(self._base))
        known = [(path, claim) for path, claim in found if claim is not None]
        return [_instance(path, claim) for path, claim in known if self._is_ours(claim)]

    def _is_ours(self, claim: Mapping[str, Any] | None) -> bool:
        """Whether a claim names this master; without a claim that can be read, its cachedir says so."""
        return not claim or claim.get("owner") == self.master.owner

    def terminate(self, instance: Instance) -> None:
        """End every process that was started in the instance and remove its directory."""
        path = self._base / instance.instance_id
        if path.parent == self._base and path.name != "..":
            directory.destroy(path)

    def leftovers(self) -> list[Leftover]:
        """Return this master's instance directories that a crash left half made or half removed."""
        return [
            Leftover("directory", path.name, path.name, batch, REGION, created)
            for path, batch in directory.unfinished(self._base)
            if (created := directory.born(path)) is not None and self._is_ours(directory.read_claim(path))
        ]

    def remove(self, leftover: Leftover) -> None:
        """Remove such a directory."""
        path = self._base / leftover.handle
        if path.parent == self._base and path.name.startswith((directory.NEW, directory.GONE)):
            directory.remove(path)

    def regions(self) -> Sequence[Region]:
        """This machine."""
        return [Region(REGION, "this machine")]

    def sizes(self, region: str | None) -> Sequence[Size]:
        """All of this machine, shared by whatever runs on it."""
        memory = psutil.virtual_memory().total // 2**20
        return [Size(SIZE, memory, float(os.cpu_count() or 1), None, 0.0, True, "this machine, shared")]

    def images(self, region: str | None) -> Sequence[Image]:
        """None to choose from: a node runs the Python and the Salt of its master."""
        return []

    def minion_defaults(self, node: Node) -> Mapping[str, Any]:
        """Everything that a minion keeps stays in the directory; its master is this one, by its ports."""
        root = self._base / node.minion_id
        return {
            "user": pwd.getpwuid(os.getuid()).pw_name,
            # Salt would put any other root before the socket directory as well.
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
        """The instance's directory."""
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
    )
